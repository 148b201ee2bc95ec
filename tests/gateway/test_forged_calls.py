"""Whoever can write rows but not the log gets nothing done by it; and a worker that went along with it would be found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.domain.decisions import Verdict
from affidavit.domain.errors import AffidavitError, LogDamagedError
from affidavit.domain.tools import CallState
from affidavit.gateway.ledger import Ledger
from affidavit.testing.clock import FixedClock
from tests.gateway.world import SECOND, Outside, Table, World, begun, tools_of

PERMIT, ASK, FORBID = Verdict.PERMIT, Verdict.NEEDS_APPROVAL, Verdict.FORBID


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock, outside: Outside) -> Iterator[World]:
    rules = Table({"pay@1": PERMIT, "mail@1": ASK, "look@1": PERMIT, "put@1": FORBID})
    made = begun(tmp_path / "ws", clock, rules, tools_of(outside))
    with made.ws:
        yield made


def call(world: World, name: str, n: int = 1) -> Any:
    return world.gateway.call(*world.wanted(name, n))


def by_hand(world: World, *statements: str) -> None:
    database = world.ws.parts.database
    with database.write():
        for one in statements:
            database.run(one)


def work(world: World) -> str:
    """What becomes of it: "" if a worker goes on as if nothing were wrong."""
    try:
        world.gateway.work()
    except AffidavitError as error:
        return error.message
    return ""


AGAIN = "UPDATE calls SET state = 'ready', due = 0"
MORE = "tool, contract, 'k', 0, 'ready', 0, policy, proposed, proposed, 0 FROM calls WHERE id = 1"


@pytest.mark.parametrize(
    "change",
    [
        AGAIN,
        f"{AGAIN}, claim = 0",
        f"{AGAIN}, claim = 0, changed = proposed",
        f"{AGAIN}, key = 'another'",
        f"{AGAIN}, claim = 0, changed = proposed, key = 'another'",
        f"INSERT INTO calls SELECT 9, 'call-x', tenant, run, 9, {MORE}",
        f"INSERT INTO calls SELECT 9, 'call-x', tenant, 'run-x', 1, {MORE}",
    ],
)
def test_what_is_done_is_not_done_again(world: World, outside: Outside, change: str) -> None:
    done = call(world, "pay")
    assert done.state is CallState.DONE
    by_hand(world, change)
    assert "as the log knows it" in work(world)
    assert outside.delivered == {done.row.key: 1}
    with pytest.raises(LogDamagedError):
        world.ws.verify()


def test_a_worker_that_went_along_would_be_found(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events that such a worker writes say what the row said: rows and log agree, and yet it never was so."""
    done = call(world, "pay")
    monkeypatch.setattr(Ledger, "_as_recorded", lambda *rest: None)
    by_hand(world, AGAIN)
    assert work(world) == ""
    assert outside.delivered[done.row.key] == 2
    with pytest.raises(LogDamagedError, match="done does not become running"):
        world.ws.verify()


def test_claims_that_are_counted_anew_would_be_found(
    world: World, outside: Outside, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.next = ["busy", "busy"]
    world.gateway.propose(*world.wanted("pay"))
    world.gateway.work()
    monkeypatch.setattr(Ledger, "_as_recorded", lambda *rest: None)
    by_hand(world, "UPDATE calls SET claim = 0")
    clock.advance(SECOND)
    world.gateway.work()
    with pytest.raises(LogDamagedError, match="counted one by one"):
        world.ws.verify()


@pytest.mark.parametrize("followed", [True, False])
def test_a_call_does_not_become_one_of_another_tool(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch, followed: bool
) -> None:
    row = world.gateway.propose(*world.wanted("look"))
    by_hand(world, "UPDATE calls SET tool = 'pay@1'")
    if followed:  # by a worker that does not look
        real = Ledger.wanted
        monkeypatch.setattr(
            Ledger, "wanted", lambda self, row: real(self, type(row)(**{**vars(row), "tool": "look@1"}))
        )
        world.gateway.work()
        with pytest.raises(LogDamagedError, match="another tool"):
            world.ws.verify()
    else:
        assert "was a call of look@1" in work(world)
        assert not outside.delivered[row.key]


def forged(world: World, waiting: Any, at: int, opened: int) -> None:
    """A yes in the rows, which points at an event that is no such yes."""
    by_hand(
        world,
        f"UPDATE approvals SET state = 'approved', resolved = {at}, opened = {opened} WHERE call = {waiting.row.id}",
        f"UPDATE calls SET state = 'ready', due = 0 WHERE id = {waiting.row.id}",
    )


@pytest.mark.parametrize("of", ["a no", "another's yes", "an earlier yes", "a decision"])
def test_a_yes_is_one_that_the_log_has(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    other, waiting = call(world, "mail", 1), call(world, "mail", 2)
    calls = world.ledger.calls
    if of == "a no":
        world.gateway.deny(1, other.row.name, "user:bob")
    else:
        world.gateway.approve(1, other.row.name, "user:bob")
    (said,), (mine,) = calls.approvals(other.row.id), calls.approvals(waiting.row.id)
    at, opened = said.resolved, mine.opened
    if of == "an earlier yes":
        opened = said.opened
    if of == "a decision":
        at = waiting.row.proposed + 1
    monkeypatch.setattr(Ledger, "_as_recorded", lambda *rest: None)
    forged(world, waiting, at, opened)
    work(world)
    assert not outside.delivered[waiting.row.key]
    assert world.gateway.stands(waiting.row.id).state is CallState.WAITING


def test_a_yes_does_not_last_longer_because_its_row_says_so(
    world: World, outside: Outside, clock: FixedClock
) -> None:
    waiting = call(world, "mail")
    world.gateway.approve(1, waiting.row.name, "user:bob")
    clock.advance(8 * 86_400 * SECOND)
    by_hand(world, "UPDATE approvals SET expires = expires * 2")
    world.gateway.work()
    assert world.gateway.stands(waiting.row.id).state is CallState.WAITING
    assert not outside.delivered


def test_a_yes_whose_record_was_erased_is_asked_for_again(world: World, outside: Outside) -> None:
    waiting = call(world, "mail")
    world.gateway.approve(1, waiting.row.name, "user:bob")
    (given,) = world.ledger.calls.approvals(waiting.row.id)
    event = world.ws.parts.events.event(given.resolved)
    assert event.body_id is not None
    with world.ws.parts.database.write():
        world.ws.parts.bodies.erase([event.body_id])
    world.gateway.work()
    assert world.gateway.stands(waiting.row.id).state is CallState.WAITING
    assert not outside.delivered
