"""Budgets are declared on the log, checked against it, counted again from it, and warn once."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.money import read_prices
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import LogDamagedError, ManifestError, ModelError, UnknownNameError, UsageError
from affidavit.domain.events import EventKind
from affidavit.models.prices import Target
from affidavit.models.usage import Charge
from affidavit.ports.model import Usage
from affidavit.runs.recorder import Run, new_run_id
from affidavit.testing.clock import FixedClock

BY = "operator:test"
BIG = Target("acme", "big")
PRICES = {"price": [{"provider": "acme", "model": "big", "input": "1", "output": "2"}]}
CALL = Usage(100, 50, 0)
HOUR = 3600 * MICROSECONDS


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path) -> affidavit.Workspace:
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice"}\n{"id": "bob"}\n')
    workspace.import_people(people)
    workspace.money.set_prices(PRICES, BY)
    return workspace


def limit(ws: affidavit.Workspace, scope: str, amount: str, per: str = "day", **more: Any) -> dict[str, Any]:
    return ws.budgets.set(scope, amount, per, BY, ws.parts.tenant(""), **more)


def spend(ws: affidavit.Workspace, who: str = "user:alice", usage: Usage = CALL) -> Charge:
    with ws.money.budgets.call(1, who, "answer", BIG, CALL) as held:
        charge = held.settle(usage)
    run = Run(new_run_id(ws.parts.randomness), 1, "ask", "ab" * 32)
    run.start({"principal": who})
    run.step("model.answer", {}, {"charges": [charge.as_json()]})
    run.finish("answered", {"timings": {}})
    ws.parts.log.write(run.flush)
    return charge


def changes(ws: affidavit.Workspace) -> list[str]:
    return [e.facts["change"] for e in ws.parts.events.of_kind(EventKind.BUDGET_CHANGED)]


def test_a_budget_is_shown_as_it_stands(ws: affidavit.Workspace) -> None:
    said = limit(ws, "person", "0.0005", person="alice", task="answer", requests=10)
    assert (said["budget"], said["person"], said["tenant"], said["spent"]) == (
        1,
        "user:alice",
        "main",
        "0.00",
    )
    spend(ws)
    held = ws.money.budgets.reserve(1, "user:alice", "answer", BIG, CALL)
    shown = ws.budgets.show()[0]
    assert (shown["spent"], shown["reserved"], shown["calls"], shown["state"]) == (
        "0.0002",
        "0.0002",
        2,
        "open",
    )
    held.settle(CALL)
    assert ws.budgets.show()[0]["state"] == "warned"
    assert ws.status()["budgets"][0]["state"] == "warned"


def test_a_budget_of_each_person_is_shown_for_everybody_who_spent(ws: affidavit.Workspace) -> None:
    limit(ws, "person", "1")
    assert [b["person"] for b in ws.budgets.show()] == ["each"]
    spend(ws)
    spend(ws, "user:bob")
    assert sorted(b["person"] for b in ws.budgets.show()) == ["user:alice", "user:bob"]


def test_what_was_spent_before_is_counted_from_the_log(ws: affidavit.Workspace) -> None:
    spend(ws)
    spend(ws, "user:bob")
    limit(ws, "tenant", "0.0005")
    limit(ws, "person", "0.0005", person="bob")
    limit(ws, "person", "0.0005", per="month", requests=1)
    assert [b["spent"] for b in ws.budgets.show()][:2] == ["0.0004", "0.0002"]
    assert ws.money.budgets.room(1, "user:bob", "answer") == 0
    with pytest.raises(ModelError, match="budget 1 is spent"):
        spend(ws)


@pytest.mark.parametrize("column", ["micro", "requests"])
def test_one_number_lowered_is_enough(ws: affidavit.Workspace, column: str) -> None:
    limit(ws, "tenant", "1")
    spend(ws)
    ws.money.close()
    with sqlite3.connect(ws.parts.folder / "money.db") as by_hand:
        by_hand.execute(f"UPDATE counters SET {column} = 0")
    assert ws.budgets.recount() == 1
    assert (ws.budgets.show()[0]["spent"], ws.budgets.show()[0]["calls"]) == ("0.0002", 1)


def test_a_lost_or_lowered_counter_is_raised_to_what_the_log_says(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "0.0005")
    spend(ws)
    spend(ws)
    ws.money.close()
    with sqlite3.connect(ws.parts.folder / "money.db") as by_hand:
        by_hand.execute("UPDATE counters SET micro = 0, requests = 0")
    assert ws.budgets.recount() == 1
    assert ws.budgets.recount() == 0
    assert ws.budgets.show()[0]["spent"] == "0.0004"
    ws.money.close()
    for path in ws.parts.folder.glob("money.db*"):
        path.unlink()
    with pytest.raises(ModelError):
        spend(ws)
        spend(ws)
    assert ws.budgets.show()[0]["spent"] == "0.0004"


def test_setting_again_replaces_and_goes_on_counting(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "0.0002")
    spend(ws)
    with pytest.raises(ModelError):
        spend(ws)
    said = limit(ws, "tenant", "1")
    assert (said["budget"], said["spent"]) == (1, "0.0002")
    spend(ws)
    ws.budgets.remove(1, BY)
    assert ws.budgets.show() == []
    with pytest.raises(UnknownNameError):
        ws.budgets.remove(1, BY)
    assert limit(ws, "tenant", "1")["spent"] == "0.0004"
    assert changes(ws) == ["set", "set", "removed", "set"]
    ws.verify()


def test_a_warning_goes_on_record_once_a_period(ws: affidavit.Workspace, clock: FixedClock) -> None:
    limit(ws, "tenant", "0.0004")
    spend(ws)
    assert ws.budgets.tell() == 0
    spend(ws)
    assert ws.budgets.tell() == 1
    assert ws.budgets.tell() == 0
    with pytest.raises(ModelError):
        spend(ws)
    assert ws.budgets.tell() == 1
    with pytest.raises(ModelError):
        spend(ws)
    assert ws.budgets.tell() == 0
    clock.advance(24 * HOUR)
    spend(ws)
    spend(ws)
    assert ws.budgets.tell() == 1
    assert changes(ws) == ["set", "warned", "spent", "warned"]
    ws.verify()


def test_no_name_is_in_a_header_or_body(ws: affidavit.Workspace) -> None:
    limit(ws, "person", "1", person="alice")
    bodies = [ws.parts.events.body(e) for e in ws.parts.events.of_kind(EventKind.BUDGET_CHANGED)]
    assert "alice" not in repr(bodies)
    assert ws.budgets.show()[0]["person"] == "user:alice"


# -- what cannot be declared


@pytest.mark.parametrize(
    ("scope", "amount", "more"),
    [
        ("world", "1", {}),
        ("tenant", "1", {"person": "alice"}),
        ("tenant", "0.1234567", {}),
        ("tenant", "-1", {}),
        ("tenant", "none", {}),
        ("tenant", "1", {"requests": -2}),
        ("tenant", "1", {"task": "All Of Them"}),
        ("tenant", "1", {"per": "hour"}),
        ("person", "1", {"person": "zoe"}),
    ],
)
def test_what_cannot_be_a_budget(
    ws: affidavit.Workspace, scope: str, amount: str, more: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as caught:
        limit(ws, scope, amount, **more)
    assert caught.value.hint
    assert changes(ws) == []


def test_who_does_it_is_stated(ws: affidavit.Workspace) -> None:
    for by in ("", "alice", "operator:"):
        with pytest.raises(UsageError, match="cannot set"):
            ws.money.set_prices(PRICES, by)


def test_the_currency_stays_while_a_budget_counts_in_it(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "1")
    with pytest.raises(UsageError, match="budget 1 is in USD"):
        ws.money.set_prices({"currency": "EUR"}, BY)
    ws.budgets.remove(1, BY)
    ws.money.set_prices({"currency": "EUR"}, BY)
    assert limit(ws, "tenant", "1")["currency"] == "EUR"


@pytest.mark.parametrize(
    "text",
    [
        "currency =",
        "[[price]]\nprovider = 'a'\nmodel = 'b'\ninput = 0.15\noutput = '1'\n",
        "x = 1",
        "price = 7",
    ],
)
def test_a_malformed_price_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"prices\.toml"):
        read_prices(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_prices(tmp_path / "none.toml")


# -- audit verify


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE budgets SET amount = amount * 10", "budgets"),
        ("UPDATE budgets SET who = '*'", "budgets"),
        ("UPDATE budgets SET until = 5", "budgets"),
        ("DELETE FROM budgets", "budgets"),
        (
            "INSERT INTO budgets (number, tenant, who, task, per, amount, requests, currency, since, until) "
            "VALUES (9, 1, '', '', 'day', 1, 1, 'USD', 3, 4611686018427387904)",
            "budgets",
        ),
        ("UPDATE meta SET value = replace(value, '\"1\"', '\"0\"') WHERE key = 'prices'", "prices"),
        ("DELETE FROM meta WHERE key = 'prices'", "prices"),
    ],
)
def test_a_change_by_hand_is_found(ws: affidavit.Workspace, sql: str, what: str) -> None:
    limit(ws, "tenant", "1")
    limit(ws, "person", "1", person="alice")
    ws.verify()
    with sqlite3.connect(ws.parts.folder / "affidavit.db") as by_hand:
        assert by_hand.execute(sql).rowcount
    with pytest.raises(LogDamagedError, match=what):
        ws.verify()
