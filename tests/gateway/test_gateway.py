"""The gateway, case by case. What random histories do is in test_call_machine.py."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.domain.decisions import Verdict
from affidavit.domain.errors import ArgumentsError, RefusedError, UnknownNameError, UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.tools import CallState
from affidavit.gateway.arguments import parse_arguments
from affidavit.gateway.contracts import Context, tool
from affidavit.gateway.rules import binding
from affidavit.testing.clock import FixedClock
from tests.gateway.world import SECOND, Outside, Table, World, also, begun, tools_of

PERMIT, ASK, FORBID = Verdict.PERMIT, Verdict.NEEDS_APPROVAL, Verdict.FORBID
KEYS = ("look@1", "put@1", "pay@1", "unpay@1", "book@1", "mail@1")


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock, outside: Outside) -> Iterator[World]:
    made = begun(tmp_path / "ws", clock, Table(dict.fromkeys(KEYS, PERMIT)), tools_of(outside))
    with made.ws:
        yield made
        made.ws.verify()


def call(world: World, name: str, n: int = 1, **more: Any) -> Any:
    return world.gateway.call(*world.wanted(name, n, **more))


def test_a_permitted_call_is_done_and_says_so(world: World, outside: Outside) -> None:
    done = call(world, "pay")
    assert (done.state, done.result, done.row.claim) == (CallState.DONE, {"paid": 1}, 1)
    assert outside.applied[done.row.key] == 1
    kinds = [e.kind.value for e in world.ws.parts.events.of_run(done.row.run)]
    assert kinds == [
        "run.started", "call.proposed", "decision.made", "call.changed", "call.changed", "step.recorded", "run.finished",
    ]  # fmt: skip


def test_intent_is_durable_before_the_effect(tmp_path: Path, clock: FixedClock) -> None:
    seen: list[str] = []

    @tool(effect="write", idempotency="native")
    def peek(n: int) -> None:
        """Look at the log while being called."""
        seen.extend(e.facts["state"] for e in place.ws.parts.events.of_kind(EventKind.CALL_CHANGED))

    place = begun(tmp_path / "ws", clock, Table({"peek@1": PERMIT}), [peek])
    with place.ws:
        assert call(place, "peek").state is CallState.DONE
    assert seen == ["running"]


def test_what_no_rule_permits_is_denied_and_on_record(world: World, outside: Outside) -> None:
    world.table.verdicts["pay@1"] = FORBID
    done = call(world, "pay")
    assert (done.state, done.why) == (CallState.DENIED, "forbidden by table")
    assert not outside.delivered


def test_an_error_while_deciding_is_a_denial(world: World, outside: Outside) -> None:
    world.table.fails = True
    done = call(world, "pay")
    assert done.state is CallState.DENIED
    assert "no decision is no" in done.why
    assert "out of order" not in done.why  # whose words they are nobody knows
    assert not outside.delivered


def test_a_stopped_tool_is_not_called(world: World, outside: Outside) -> None:
    waits = world.gateway.propose(*world.wanted("mail"))
    world.table.stopped["mail@1"] = "stopped: spam"
    assert call(world, "mail").why == "stopped: spam"
    assert world.gateway.work() == 0
    done = world.gateway.stands(waits.id)
    assert (done.state, done.cause) == (CallState.DENIED, "halted")
    assert not outside.delivered


@pytest.mark.parametrize("name", ["put", "pay", "book", "look"])
@pytest.mark.parametrize("how", ["lost", "torn", "busy"])
def test_what_may_be_tried_again_is_and_is_done_once(
    world: World, outside: Outside, name: str, how: str
) -> None:
    outside.next = [how]
    done = call(world, name)
    assert (done.state, done.row.claim) == (CallState.DONE, 2)
    assert outside.applied[done.row.key] == 1 or name == "look"


@pytest.mark.parametrize(
    ("how", "state"), [("lost", "unknown"), ("torn", "unknown"), ("refuse", "failed"), ("busy", "failed")]
)
def test_what_may_not_be_tried_again_is_not(world: World, outside: Outside, how: str, state: str) -> None:
    outside.next = [how]
    done = call(world, "mail")
    assert (done.state.value, outside.delivered[done.row.key]) == (state, 1)
    assert world.gateway.work() == 0


def test_after_the_last_attempt_nobody_says_failed(world: World, outside: Outside) -> None:
    outside.next = ["lost"] * 3
    done = call(world, "pay")
    assert (done.state, done.row.claim) == (CallState.UNKNOWN, 3)


@pytest.mark.parametrize(("first", "state"), [("torn", "unknown"), ("lost", "unknown"), ("busy", "failed")])
def test_a_refusal_says_nothing_about_the_attempt_before(
    world: World, outside: Outside, first: str, state: str
) -> None:
    outside.next = [first, "refuse"]
    assert call(world, "pay").state.value == state
    outside.next = [first, "refuse"]
    assert call(world, "look").state is CallState.FAILED


def test_attempts_are_further_and_further_apart(world: World, outside: Outside, clock: FixedClock) -> None:
    outside.next = ["busy"] * 2
    row = world.gateway.propose(*world.wanted("pay"))
    waits = []
    for _ in range(2):
        assert world.gateway.work() == 1
        waits.append(world.gateway.stands(row.id).row.due - clock.now())
        clock.advance(waits[-1])
    assert 100_000 <= waits[0] <= 200_000 <= waits[1] <= 400_000


def test_a_worker_that_died_is_followed_by_another(
    world: World, outside: Outside, clock: FixedClock, tmp_path: Path
) -> None:
    row = world.gateway.propose(*world.wanted("pay"))
    lost = world.gateway.propose(*world.wanted("mail"))
    assert world.claim(row.id) and world.claim(lost.id)
    with (other := also(world, tmp_path / "ws", clock, tools_of(outside))).ws:
        assert other.gateway.work() == 0  # their leases hold
        clock.advance(16 * SECOND)
        assert other.gateway.work() == 1
        assert other.gateway.stands(row.id).state is CallState.DONE
        unknown = other.gateway.stands(lost.id)
    assert (unknown.state, unknown.cause) == (CallState.UNKNOWN, "lease_expired")
    assert "may have been done" in unknown.why
    assert outside.delivered[lost.key] == 0


def test_who_was_overtaken_changes_nothing(world: World, outside: Outside, clock: FixedClock) -> None:
    row = world.gateway.propose(*world.wanted("pay"))
    first = world.claim(row.id)
    clock.advance(16 * SECOND)
    assert world.gateway.work() == 1
    before = world.gateway.stands(row.id)
    world.gateway._carry_out(first)  # wakes up late, with the same key
    assert world.gateway.stands(row.id) == before
    assert (outside.delivered[row.key], outside.applied[row.key]) == (2, 1)


def test_who_was_overtaken_speaks_for_nobody_else(world: World, outside: Outside, clock: FixedClock) -> None:
    row = world.gateway.propose(*world.wanted("pay"))
    first = world.claim(row.id)
    clock.advance(16 * SECOND)
    assert world.claim(row.id) is None  # its lease ran out, which is noted first
    assert world.claim(row.id)
    outside.next = ["refuse"]
    world.gateway._carry_out(first)
    assert world.gateway.stands(row.id).state is CallState.RUNNING


def test_who_wakes_late_clears_up_what_was_unknown(world: World, clock: FixedClock) -> None:
    row = world.gateway.propose(*world.wanted("mail"))
    first = world.claim(row.id)
    clock.advance(16 * SECOND)
    world.gateway.work()
    world.gateway._carry_out(first)
    done = world.gateway.stands(row.id)
    assert (done.state, done.cause) == (CallState.DONE, "late")


def test_proposed_twice_it_is_one_call(world: World, outside: Outside) -> None:
    wanted, first = world.wanted("mail")
    once, again = world.gateway.call(wanted, first), world.gateway.call(wanted, first)
    assert once == again
    assert sum(outside.delivered.values()) == 1
    other, _ = world.wanted("mail", 2, step=1)
    with pytest.raises(UsageError, match="another call"):
        world.gateway.call(type(wanted)(**{**vars(other), "run": wanted.run}), first)


def test_keys_are_ours(world: World) -> None:
    keys = {call(world, "pay", n=7).row.key for _ in range(5)}
    assert len(keys) == 5  # the same words five times are five calls


# -- approvals


def test_a_yes_and_it_is_done(world: World, outside: Outside) -> None:
    world.table.verdicts["pay@1"] = ASK
    done = call(world, "pay")
    assert done.state is CallState.WAITING and not outside.delivered
    assert world.gateway.work() == 0
    assert world.gateway.approve(1, done.row.name, "user:bob", "fine").state is CallState.READY
    assert world.gateway.follow(done.row.id).state is CallState.DONE


def test_four_eyes_and_a_role(world: World, outside: Outside) -> None:
    world.table.verdicts["pay@1"] = ASK
    name = call(world, "pay").row.name
    with pytest.raises(RefusedError, match="somebody else"):
        world.gateway.approve(1, name, "user:alice")
    with pytest.raises(RefusedError, match="none of the roles"):
        world.gateway.approve(1, name, "user:mallory")
    assert world.gateway.deny(1, name, "user:bob", "no").state is CallState.DENIED
    with pytest.raises(RefusedError, match="waits for nobody"):
        world.gateway.approve(1, name, "user:bob")
    assert not outside.delivered


def test_a_yes_comes_too_late(world: World, clock: FixedClock, outside: Outside) -> None:
    world.table.verdicts["pay@1"] = ASK
    name = call(world, "pay").row.name
    clock.advance(8 * 86_400 * SECOND)
    with pytest.raises(RefusedError, match="is over"):
        world.gateway.approve(1, name, "user:bob")
    late = call(world, "pay").row
    clock.advance(8 * 86_400 * SECOND)
    world.gateway.work()
    assert world.gateway.stands(late.id).state is CallState.EXPIRED
    assert not outside.delivered


def test_a_yes_does_not_outlive_its_policy(world: World, outside: Outside) -> None:
    world.table.verdicts["pay@1"] = ASK
    row = call(world, "pay").row
    world.table.version += 1
    with pytest.raises(RefusedError, match="policy has changed"):
        world.gateway.approve(1, row.name, "user:bob")
    assert world.gateway.stands(row.id).state is CallState.WAITING
    world.gateway.approve(1, row.name, "user:bob")
    world.table.version += 1  # between the yes and the claim
    assert world.gateway.work() == 0
    assert world.gateway.stands(row.id).state is CallState.WAITING
    assert not outside.delivered
    world.gateway.approve(1, row.name, "user:bob")
    assert world.gateway.work() == 1


def test_rights_are_asked_for_again_at_the_claim(world: World, outside: Outside) -> None:
    world.table.verdicts["pay@1"] = ASK
    row = call(world, "pay").row
    world.gateway.approve(1, row.name, "user:bob")
    world.table.verdicts["pay@1"] = FORBID
    assert world.gateway.work() == 0
    assert world.gateway.stands(row.id).cause == "forbidden"
    assert not outside.delivered


def test_a_yes_is_to_one_contract(world: World, outside: Outside, tmp_path: Path, clock: FixedClock) -> None:
    world.table.verdicts["pay@1"] = ASK
    row = call(world, "pay").row
    world.gateway.approve(1, row.name, "user:bob")

    @tool(effect="write", idempotency="by_key")
    def pay(n: int, context: Context) -> dict[str, int]:
        """Pay somebody else."""
        return {"paid": outside.ask(context.key, once=True)}

    with (other := also(world, tmp_path / "ws", clock, [pay])).ws:
        assert other.gateway.work() == 0
        assert other.gateway.stands(row.id).state is CallState.WAITING
        assert not outside.delivered
        other.gateway.approve(1, row.name, "user:bob")
        assert other.gateway.work() == 1


def test_what_was_begun_is_never_called_denied(world: World, outside: Outside, clock: FixedClock) -> None:
    outside.next = ["torn"]
    row = world.gateway.propose(*world.wanted("pay"))
    world.gateway.work()
    world.table.stopped["pay@1"] = "stopped"
    clock.advance(SECOND)
    assert world.gateway.work() == 0
    done = world.gateway.stands(row.id)
    assert (done.state, done.cause) == (CallState.UNKNOWN, "halted")
    cleared = world.gateway.clear_up(1, row.name, "operator:cli", "the bank shows it", happened=True)
    assert cleared.state is CallState.DONE


def test_what_nobody_began_can_be_cancelled(world: World, outside: Outside) -> None:
    row = world.gateway.propose(*world.wanted("pay"))
    assert world.gateway.cancel(1, row.name, "operator:cli").state is CallState.DENIED
    assert world.gateway.work() == 0
    with pytest.raises(UsageError):
        world.gateway.cancel(1, call(world, "pay").row.name, "operator:cli")


# -- undo, results, limits


def test_an_undo_is_a_call_of_its_own_once(world: World, outside: Outside) -> None:
    paid = call(world, "pay", 7)
    undone = world.gateway.undo(1, paid.row.name, *world.wanted(""))
    assert (undone.state, undone.row.undoes, undone.row.tool) == (CallState.DONE, paid.row.id, "unpay@1")
    with pytest.raises(UsageError, match="already"):
        world.gateway.undo(1, paid.row.name, *world.wanted(""))
    with pytest.raises(UsageError, match="cannot be undone"):
        world.gateway.undo(1, call(world, "mail").row.name, *world.wanted(""))


def test_an_undo_needs_a_permit_too(world: World, outside: Outside) -> None:
    paid = call(world, "pay", 7)
    world.table.verdicts["unpay@1"] = FORBID
    assert world.gateway.undo(1, paid.row.name, *world.wanted("")).state is CallState.DENIED
    world.table.verdicts["unpay@1"] = PERMIT
    assert world.gateway.undo(1, paid.row.name, *world.wanted("")).state is CallState.DONE


@pytest.mark.parametrize(("effect", "state"), [("read", "failed"), ("write", "unknown")])
def test_a_result_is_as_promised_or_it_is_none(
    tmp_path: Path, clock: FixedClock, effect: str, state: str
) -> None:
    @tool(effect=effect, idempotency="native")
    def lies(n: int) -> dict[str, int]:
        """Promise numbers."""
        return {"n": "<b>text</b>"}  # type: ignore[dict-item]  # that is the lie

    with (world := begun(tmp_path / "ws", clock, Table({"lies@1": PERMIT}), [lies])).ws:
        done = call(world, "lies")
    assert (done.state.value, done.cause, done.result) == (state, "result_invalid", None)


def test_a_slow_tool_is_not_waited_for(tmp_path: Path, clock: FixedClock) -> None:
    free = threading.Event()

    @tool(effect="write", idempotency="none", timeout=50)
    def slow(n: int) -> None:
        """Wait until the test is over."""
        free.wait()

    with (world := begun(tmp_path / "ws", clock, Table({"slow@1": PERMIT}), [slow])).ws:
        done = call(world, "slow")
    free.set()
    assert (done.state, done.cause) == (CallState.UNKNOWN, "timeout")


def test_no_more_than_so_many_in_so_many_seconds_over_processes(tmp_path: Path, clock: FixedClock) -> None:
    times: list[int] = []

    @tool(effect="read", rate=(3, 10))
    def few(n: int) -> None:
        """Note when it was called."""
        times.append(clock.now())

    one = begun(tmp_path / "ws", clock, Table({"few@1": PERMIT}), [few])
    two = also(one, tmp_path / "ws", clock, [few])
    with one.ws, two.ws:
        for n in range(8):
            one.gateway.propose(*one.wanted("few", n))
        for n in range(40):
            (one if n % 2 else two).gateway.work()
            clock.advance(SECOND)
    assert len(times) == 8
    assert all(later - earlier > 10 * SECOND for earlier, later in zip(times, times[3:], strict=False))


def test_a_tool_that_keeps_failing_rests(world: World, outside: Outside, clock: FixedClock) -> None:
    outside.next = ["lost"] * 5
    for _ in range(5):
        call(world, "mail")
    row = world.gateway.propose(*world.wanted("mail"))
    assert world.gateway.work() == 0
    assert world.gateway.stands(row.id).state is CallState.READY
    clock.advance(11 * SECOND)
    assert world.gateway.work() == 1


def test_a_retired_tool_refuses_and_a_deprecated_one_says_so(tmp_path: Path, clock: FixedClock) -> None:
    @tool(effect="read", name="old", version=1, retired="2026-01-01")
    def old_1(n: int) -> int:
        """Old."""
        return n

    @tool(effect="read", name="old", version=2, deprecated="2026-01-01")
    def old_2(n: int) -> int:
        """Less old."""
        return n

    rules = Table({"old@1": PERMIT, "old@2": PERMIT})
    with (world := begun(tmp_path / "ws", clock, rules, [old_1, old_2])).ws:
        with pytest.raises(RefusedError, match="retired"):
            call(world, "old@1")
        done = call(world, "old")
        assert done.row.tool == "old@2"
        body = world.ws.parts.events.body(world.ws.parts.events.event(done.row.proposed))
        assert body["deprecated"] is True


@pytest.mark.parametrize(
    "arguments", [{}, {"n": 5000.0}, {"n": "1"}, {"n": True}, {"n": 1, "m": 2}, {"n": 2**60}]
)
def test_arguments_are_as_asked_for_or_refused_before_anything_is_written(
    world: World, arguments: Any
) -> None:
    head = world.ws.parts.log.head()
    with pytest.raises(ArgumentsError):
        call(world, "pay", arguments=arguments)
    assert world.ws.parts.log.head() == head


def test_secrets_reach_the_tool_and_nothing_else(tmp_path: Path, clock: FixedClock) -> None:
    canary = "s3cr3t-canary"

    @tool(effect="write", idempotency="native", secrets=("api",))
    def leaks(n: int, context: Context) -> list[str]:
        """Say what it was given."""
        if n:
            raise ValueError(f"refused: {context.secrets['api']}")
        return [context.secrets["api"]]

    with (world := begun(tmp_path / "ws", clock, Table({"leaks@1": PERMIT}), [leaks])).ws:
        world.gateway._secrets = lambda tenant, names: {"api": canary}
        assert call(world, "leaks", 0).result == ["[secret api]"]
        assert "[secret api]" in call(world, "leaks", 1).why
        everything = b"".join(
            world.ws.parts.bodies.get(row[0]) for row in world.ws.parts.database.all("SELECT id FROM bodies")
        )
    assert canary.encode() not in everything


@pytest.mark.parametrize("how", ["cut", "base64", "promise", "hidden", "deep", "speechless", "number"])
def test_a_secret_is_taken_out_in_every_form_and_before_words_are_cut(
    tmp_path: Path, clock: FixedClock, how: str
) -> None:
    canary = "31415926535897932384"

    @tool(effect="write", idempotency="native", secrets=("api",))
    def leaks(n: int, context: Context) -> list[str]:
        """Say what it was given."""
        secret = context.secrets["api"]
        if how == "cut":
            raise affidavit.ToolError("x" * 1990 + secret, happened=False)
        if how == "promise":
            return {"odd": "x" * 120 + secret}  # type: ignore[return-value]
        if how == "hidden":
            return [f"{secret}", int(secret[:16])]  # type: ignore[list-item]
        if how == "number":
            return [int(secret)]  # type: ignore[list-item]
        if how == "deep":
            found: Any = secret
            for _ in range(5000):
                found = [found]
            return found  # type: ignore[no-any-return]
        if how == "speechless":
            raise SpeechlessError(secret)
        return [b64encode(f"a:{secret}".encode()).decode()]

    with (world := begun(tmp_path / "ws", clock, Table({"leaks@1": PERMIT}), [leaks])).ws:
        world.gateway._secrets = lambda tenant, names: {"api": canary}
        done = call(world, "leaks")
        everything = b"".join(
            world.ws.parts.bodies.get(row[0]) for row in world.ws.parts.database.all("SELECT id FROM bodies")
        )
    assert done.state in (CallState.DONE, CallState.UNKNOWN, CallState.FAILED)
    assert b"31415926" not in everything or how == "hidden"
    assert canary.encode() not in everything
    assert b64encode(canary.encode())[4:20] not in everything
    assert b64encode(b"a:" + canary.encode())[4:20] not in everything


class SpeechlessError(Exception):
    """Fails when it is asked what is wrong."""

    def __str__(self) -> str:
        raise ValueError(self.args[0])


def test_a_clock_that_jumps_back_brings_no_tool_back(tmp_path: Path, clock: FixedClock) -> None:
    called: list[int] = []

    @tool(effect="write", idempotency="native", retired="2027-01-01")
    def old(n: int) -> None:
        """Retired one day."""
        called.append(n)

    with (world := begun(tmp_path / "ws", clock, Table({"old@1": PERMIT}), [old])).ws:
        assert call(world, "old").state is CallState.DONE
        year = 366 * 86_400 * SECOND
        clock.advance(year)
        world.ws.people.ensure_tenant("other")  # the log has seen the year
        clock.advance(-year)
        with pytest.raises(RefusedError, match="retired"):
            call(world, "old", 2)
    assert called == [1]


@pytest.mark.parametrize("rate", [(5, 0), (0, 5), (-1, 60), (5, -1)])
def test_a_rate_that_limits_nothing_is_no_rate(rate: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="a rate is"):

        @tool(effect="read", rate=rate)
        def few(n: int) -> None:
            """Do nothing."""


@pytest.mark.parametrize(
    "by", ["user:alice", "service:bot", "group:staff", "anyone", "alice", "", "User:bob", "user:Bob"]
)
def test_only_another_person_says_yes(world: World, outside: Outside, by: str) -> None:
    world.table.verdicts["mail@1"] = ASK
    world.table.approvers |= {"service:bot", "group:staff", "anyone", "alice", ""}
    waiting = call(world, "mail")
    with pytest.raises(RefusedError):
        world.gateway.approve(1, waiting.row.name, by)
    with pytest.raises(UnknownNameError):
        world.gateway.approve(2, waiting.row.name, "user:bob")  # of another tenant
    assert world.gateway.stands(waiting.row.id).state is CallState.WAITING
    assert world.gateway.deny(1, waiting.row.name, "service:bot").state is CallState.DENIED


def test_a_run_of_another_tenant_is_not_gone_on_with(world: World) -> None:
    wanted, first = world.wanted("pay")
    world.gateway.call(wanted, first)
    with pytest.raises(UsageError, match="another call"):
        world.gateway.call(replace(wanted, tenant=2), first)


def test_an_approval_is_to_arguments_letter_for_letter() -> None:
    same: dict[str, Any] = {"n": 1, "m": [{"a": "\u00e9"}]}
    others: list[dict[str, Any]] = [
        {"n": True, "m": [{"a": "\u00e9"}]},
        {"n": "1", "m": [{"a": "\u00e9"}]},
        {"n": 1, "m": [{"a": "e\u0301"}]},
        {"n": 1, "m": {"a": "\u00e9"}},
        {"n": 1, "m": [{"a": "\u00e9"}, None]},
        {"n": 1, "m": [{"a": "\u00e9 "}]},
        {"n": 1, "m": [{"A": "\u00e9"}]},
        {"n": 1},
    ]
    bound = binding(same, "contract", "policy")
    assert binding({"m": [{"a": "\u00e9"}], "n": -0 + 1}, "contract", "policy") == bound
    assert all(binding(other, "contract", "policy") != bound for other in others)
    assert binding(same, "policy", "contract") != bound


@pytest.mark.parametrize(
    "text",
    ['{"n": 1, "n": 2}', '{"a": {"n": 1, "n": 1}}', '{"n": -0.0}', '{"n": 1e2}', '{"n": NaN}', '{"n": 9007199254740992}',
     '{"n": "\\ud800"}', "[1]", "1", '{"n": 1} {}', '{"n": ' + "9" * 5000 + "}", '{"a":' * 40 + "1" + "}" * 40],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_no_argument(text: str) -> None:
    with pytest.raises(ArgumentsError):
        parse_arguments(text)


def test_the_yes_of_somebody_who_may_not_any_more_is_asked_for_again(world: World, outside: Outside) -> None:
    world.table.verdicts["mail@1"] = ASK
    waiting = call(world, "mail")
    world.gateway.approve(1, waiting.row.name, "user:bob")
    world.table.approvers.discard("user:bob")
    assert world.gateway.work() == 0
    world.table.approvers |= {"user:bob", "user:carol"}  # what is void stays void
    assert world.gateway.work() == 0
    assert world.gateway.stands(waiting.row.id).state is CallState.WAITING
    world.gateway.approve(1, waiting.row.name, "user:carol")
    assert world.gateway.work() == 1
    assert sum(outside.delivered.values()) == 1


def test_what_is_still_at_it_is_not_asked_whether_it_was_done(tmp_path: Path, clock: FixedClock) -> None:
    free, over = threading.Event(), threading.Event()
    booked: list[str] = []

    @tool(effect="write", idempotency="check_first", attempts=3, timeout=50)
    def slow(n: int, context: Context) -> None:
        """Book when the test lets it."""
        if context.attempt == 1:
            free.wait()
        booked.append(context.key)
        over.set()

    @slow.checks
    def done(context: Context) -> bool | None:
        return context.key in booked or None

    with (world := begun(tmp_path / "ws", clock, Table({"slow@1": PERMIT}), [slow])).ws:
        ended = call(world, "slow")
        free.set()
        assert over.wait(30)
        world.gateway.work()
    assert (ended.state, ended.cause, len(booked)) == (CallState.UNKNOWN, "timeout", 1)
