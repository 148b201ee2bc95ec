"""How questions went: what is counted is what is on the log, whenever it is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.app.people import Entry

Folder = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def asked(workspace: affidavit.Workspace, write_folder: Folder) -> affidavit.Workspace:
    """Two questions that are answered and one that is refused; a search."""
    folder = write_folder(
        {"access.toml": 'allow=["group:staff"]', "leave.md": "# Leave\n\nAnnual leave is 25 days a year."}
    )
    workspace.load_people(
        [Entry("user:alice", frozenset({"group:staff"}), {}), Entry("user:erin", frozenset(), {})], "acme"
    )
    workspace.add_source("folder", folder, "docs", "acme")
    workspace.sync()
    for _ in range(2):
        workspace.ask("How many days of annual leave?", "alice")
    workspace.ask("How many days of annual leave?", "erin")
    workspace.search("leave", "alice")
    return workspace


def test_answers_refusals_citations_and_durations_are_counted(asked: affidavit.Workspace) -> None:
    found = asked.figures.show(asked.parts.tenant("acme"), 7)
    assert (found["total"]["answered"], found["total"]["refused"]) == (2, 1)
    assert found["total"]["claims"] == found["total"]["cited"] >= 2
    assert found["total"]["timed"] == 3
    assert sum(bucket["count"] for bucket in found["latency"]) == 3
    assert 0 < found["total"]["p50"] <= found["total"]["p95"] <= found["total"]["p99"]
    assert [r["count"] for r in found["refusals"]] == [1]
    assert {j["journey"]: j["count"] for j in found["journeys"]} == {"ask": 3, "search": 1, "sync": 1}
    assert len(found["days"]) == 7
    assert found["days"][-1]["answered"] == 2


def test_another_tenant_sees_nothing_of_it(asked: affidavit.Workspace) -> None:
    other = asked.people.ensure_tenant("globex")
    found = asked.figures.show(other, 7)
    assert found["total"]["answered"] == 0
    assert (found["journeys"], found["latency"], found["total"]["p99"]) == ([], [], None)


def test_counting_in_parts_is_counting_at_once(asked: affidavit.Workspace) -> None:
    tenant = asked.parts.tenant("acme")
    assert [asked.figures.catch_up(1) for _ in range(5)] == [4, 3, 2, 1, 0]
    in_parts = asked.figures.show(tenant, 7)
    asked.figures.close()
    (asked.parts.folder / "figures.db").unlink()
    assert asked.figures.show(tenant, 7) == in_parts


def test_what_a_page_does_not_count_is_counted_behind_it(asked: affidavit.Workspace) -> None:
    tenant = asked.parts.tenant("acme")
    assert asked.figures.show(tenant, 7, most=1)["uncounted"] == 4
    asked.figures.chase.wait()
    assert asked.figures.show(tenant, 7, most=1)["uncounted"] == 0
    assert asked.figures.show(tenant, 7)["total"]["answered"] == 2


def test_a_log_that_was_set_back_is_counted_anew(asked: affidavit.Workspace) -> None:
    tenant = asked.parts.tenant("acme")
    before = asked.figures.show(tenant, 7)
    kept = asked.figures._kept
    kept.fold(kept.folded()[0], 3, b"of another log", [((tenant.id, before["until"], "ended:failed"), 9)])
    assert asked.figures.show(tenant, 7) == before


def test_costs_that_are_not_counted_yet_are_counted_behind_the_answer(asked: affidavit.Workspace) -> None:
    tenant, money = asked.parts.tenant("acme"), asked.money
    assert [money.view.step(2) for _ in range(3)] == [3, 1, 0]
    at_once = money.costs("stage", tenant=tenant)
    money.ledger.forget()
    assert money.view.step(1) == 4
    money.chase.begin()
    money.chase.wait()
    behind = money.costs("stage", tenant=tenant, wait=False)
    assert behind == {**at_once, "uncounted": 0}
