"""Costs are a view of the log: each line of it comes from a recorded call or a recorded time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.costs import CostView
from affidavit.app.erasure import Target as ErasureTarget
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.domain.records import RunStatus
from affidavit.events.log import Transaction
from affidavit.models.prices import Money, Target
from affidavit.models.usage import Charge, Counted
from affidavit.runs.recorder import Run, new_run_id
from affidavit.testing.clock import FixedClock

BY = "operator:test"
DAY = 86_400 * MICROSECONDS
BIG = Target("acme", "big")
KEY = (1, "", "inference", "answer", "acme", "big", "r", "", "USD")


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path) -> affidavit.Workspace:
    for name, person in (("acme", "alice"), ("globex", "gina")):
        people = tmp_path / f"{name}.jsonl"
        people.write_text(json.dumps({"id": person}) + "\n")
        workspace.import_people(people, name)
    return workspace


def charge(task: str = "answer", cost: int | None = 500, flag: str = "", target: Target = BIG) -> Charge:
    return Charge(
        task, target, Counted(100, 20, 10, flag), None if cost is None else Money(cost, "USD"), None
    )


def record(
    ws: affidavit.Workspace,
    *charges: Charge,
    who: str = "user:alice",
    tenant: int = 1,
    timings: Mapping[str, Any] | None = None,
    sources: tuple[str, ...] = (),
    journey: str = "ask",
    **start: Any,
) -> str:
    run = Run(new_run_id(ws.parts.randomness), tenant, journey, "ab" * 32)
    run.start({"principal": who, "question": "How much?", **start})
    run.step("embed", {}, {"vector": None})
    for one in charges:
        run.step(f"model.{one.task}", {}, {"text": "…", "charges": [one.as_json()]})
    if sources:
        cited = [{"citations": [{"source": s} for s in sources]}]
        run.release_answer(RunStatus.ANSWERED, {"claims": cited})
    run.finish("answered", {"timings": dict(timings or {})})

    def write(tx: Transaction) -> None:
        run.flush(tx)

    ws.parts.log.write(write)
    return run.id


def shown(ws: affidavit.Workspace, by: str, field: str = "micro", **more: Any) -> dict[str, Any]:
    return {row[by]: row[field] for row in ws.money.costs(by, **more)["rows"]}


def test_costs_by_everything(ws: affidavit.Workspace, clock: FixedClock) -> None:
    record(ws, charge(), charge("rewrite", 30))
    clock.advance(DAY)
    record(ws, charge("answer", 7, target=Target("globe", "small")), who="user:gina", tenant=2)
    assert shown(ws, "tenant") == {"acme": 530, "globex": 7}
    assert shown(ws, "person") == {"user:alice of acme": 530, "user:gina of globex": 7}
    assert shown(ws, "task") == {"answer": 507, "rewrite": 30}
    assert shown(ws, "stage") == {"inference": 537}
    assert shown(ws, "model") == {"acme/big": 530, "globe/small": 7}
    assert shown(ws, "release") == {"ab" * 32: 537}
    assert shown(ws, "day") == {"2026-09-21": 530, "2026-09-22": 7}
    assert shown(ws, "day", since="2026-09-22") == {"2026-09-22": 7}
    assert shown(ws, "day", until="2026-09-21") == {"2026-09-21": 530}
    assert shown(ws, "task", tenant=ws.parts.tenant("globex")) == {"answer": 7}
    total = ws.money.costs()["total"]
    assert (total["calls"], total["input"], total["cached"], total["output"]) == (3, 300, 30, 60)
    with pytest.raises(UsageError):
        ws.money.costs("colour")


def test_stages_of_this_machine_have_the_price_of_an_hour(ws: affidavit.Workspace) -> None:
    record(
        ws,
        timings={
            "retrieve": 1_000_000,
            "recheck": 500_000,
            "suffice": 250_000,
            "new": 1,
            "model_answer": 10**9,
        },
    )
    assert shown(ws, "stage", "seconds") == {"retrieval": "1.50", "rerank": "0.25", "other": "0.000001"}
    assert ws.money.costs("stage")["total"]["of_this_machine"] is None
    ws.money.set_prices({"hour": "3.6"}, BY)
    assert shown(ws, "stage") == {"retrieval": 1_500, "rerank": 250, "other": 1}


def test_a_sync_is_time_of_its_source(ws: affidavit.Workspace) -> None:
    record(ws, charge("embed", 9), journey="sync", source="docs", who="")
    assert shown(ws, "source") == {"docs": 9}
    assert shown(ws, "stage") == {"embedding": 9, "ingest": 0}
    assert shown(ws, "person") == {"nobody": 9}


def test_an_answer_is_shared_by_the_sources_it_cites(ws: affidavit.Workspace) -> None:
    record(ws, charge(cost=500), sources=("wiki", "docs", "docs", "hr"))
    record(ws, charge(cost=11))
    by_source = ws.money.costs("source")
    assert {r["source"]: r["micro"] for r in by_source["rows"]} == {
        "docs": 167,
        "hr": 167,
        "wiki": 166,
        "none": 11,
    }
    assert sum(r["calls"] for r in by_source["rows"]) == by_source["total"]["calls"] == 2


def test_what_has_no_price_is_counted_apart_until_it_has_one(ws: affidavit.Workspace) -> None:
    record(ws, charge(cost=None), charge(cost=None), charge(cost=5))
    total = ws.money.costs()["total"]
    assert (total["micro"], total["unpriced_calls"], total["calls"]) == (5, 2, 3)
    price = {
        "provider": "acme",
        "model": "big",
        "input": "1",
        "output": "2",
        "cached": "0.5",
        "request": "0.001",
    }
    ws.money.set_prices({"price": [price]}, BY)
    total = ws.money.costs()["total"]
    assert (total["micro"], total["unpriced_calls"]) == (5 + 2 * (90 + 5 + 40 + 1_000), 0)
    ws.money.set_prices({"price": [{**price, "from": "2026-09-22"}]}, BY)
    assert ws.money.costs()["total"]["unpriced_calls"] == 2


def test_another_currency_is_not_added_up(ws: affidavit.Workspace) -> None:
    record(ws, charge(cost=5))
    ws.money.set_prices({"currency": "EUR"}, BY)
    total = ws.money.costs()["total"]
    assert (total["micro"], total["other_currencies"]) == (0, {"USD": "0.000005"})


def test_estimates_are_told(ws: affidavit.Workspace) -> None:
    record(ws, charge(flag="missing"), charge())
    assert ws.money.costs()["total"]["estimated_calls"] == 1


def test_the_view_goes_on_where_it_was(ws: affidavit.Workspace) -> None:
    record(ws, charge())
    seen: list[int] = []
    ws.money.costs(progress=seen.append)
    ws.money.costs(progress=seen.append)
    record(ws, charge())
    assert ws.money.costs(progress=seen.append)["total"]["micro"] == 1_000
    assert seen == [1, 1]


def test_two_processes_fold_each_run_once(ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    record(ws, charge())
    ended = CostView._ended
    other = CostView(ws.parts.database, ws.parts.events, ws.money.ledger, ws.money.mark)
    calls: list[int] = []

    def interrupted(self: CostView, after: int, most: int) -> Any:
        calls.append(after)
        if len(calls) == 1:
            assert other.catch_up() == 1
        return ended(self, after, most)

    monkeypatch.setattr(CostView, "_ended", interrupted)
    assert ws.money.costs()["total"]["micro"] == 500


def test_another_log_is_read_anew(ws: affidavit.Workspace) -> None:
    record(ws, charge())
    ws.money.costs()
    before, _ = ws.money.ledger.folded()
    assert ws.money.ledger.fold(
        before, before, b"another leaf", [(("2026-01-01", *KEY), (1, 1, 1, 1, 1, 1, 1, 1))]
    )
    assert ws.money.costs()["total"]["micro"] == 500


def test_erasing_a_person_leaves_sums_without_a_name(ws: affidavit.Workspace) -> None:
    record(ws, charge())
    assert shown(ws, "person") == {"user:alice of acme": 500}
    tenant = ws.parts.tenant("acme")
    target = ErasureTarget("person", "user:alice", "")
    ws.erasing.erase(tenant, target, "operator:dpo", "request 17")
    assert shown(ws, "person") == {"no longer known": 500}
    ws.money.ledger.forget()
    assert ws.money.costs()["total"]["calls"] == 0  # the log says no more than that
    ws.verify()


@pytest.mark.parametrize(
    "wrong",
    [
        {"micro": -1},
        {"micro": 2**60},
        {"input": "7"},
        {"input": True},
        {"currency": None, "micro": 1, "flag": None, "task": None, "provider": None, "output": None},
    ],
)
def test_a_charge_that_says_nothing_sensible_is_named(ws: affidavit.Workspace, wrong: dict[str, Any]) -> None:
    run = Run(new_run_id(ws.parts.randomness), 1, "ask", "ab" * 32)
    run.start({"principal": "user:alice"})
    said = {**charge().as_json(), **wrong}
    if wrong.get("micro") == 2**60:
        said["micro"] = "1152921504606846976"
    run.step("model.answer", {}, {"charges": [said]})
    run.finish("answered", {"timings": {}})
    ws.parts.log.write(run.flush)
    with pytest.raises(LogDamagedError, match=run.id):
        ws.money.costs()


def test_a_real_question_has_costs(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path], tmp_path: Path
) -> None:
    root = write_folder(
        {"access.toml": 'allow = ["anyone"]', "leave.md": "# Leave\n\nWalrus leave is 20 days a year.\n"}
    )
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice"}\n')
    workspace.import_people(people)
    workspace.add_source("folder", root, "docs")
    workspace.sync()
    answer = workspace.ask("How many days is walrus leave?", "alice")
    rows = {row["stage"]: row for row in workspace.money.costs("stage")["rows"]}
    assert {"retrieval", "ingest", "guard", "permission"} <= set(rows)
    assert "other" not in rows
    assert rows["retrieval"]["seconds"] != "0.00"
    assert set(shown(workspace, "source", "seconds")) == {"docs"}
    assert answer.claims
