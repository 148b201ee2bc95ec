"""The list of runs: pages of it, whose it is, and that it says what the log does."""

from __future__ import annotations

import pytest

import affidavit
from affidavit.app.erasure import Target
from affidavit.app.people import Entry
from affidavit.app.runs import RunFilter
from affidavit.domain.errors import LogDamagedError, UnknownNameError
from affidavit.store.people import Tenant
from affidavit.store.runs import Runs, Wanted

ALICE, BOB = "user:alice", "user:bob"


@pytest.fixture
def tenant(workspace: affidavit.Workspace) -> Tenant:
    workspace.load_people([Entry(ALICE, frozenset(), {}), Entry(BOB, frozenset(), {})])
    for n in range(7):
        workspace.search(f"what is number {n}", BOB if n % 3 == 0 else ALICE)
    return workspace.parts.tenant("")


def test_pages_follow_one_another(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    everything = workspace.runs.newest(tenant, None, 100)
    assert [r["question"][-1] for r in everything] == list("6543210")
    found, before = [], 2**62
    while True:
        page = workspace.runs.page(tenant, None, 2, before=before)
        found += page.items
        if page.before is None:
            break
        before = page.before
    assert found == everything
    whole = workspace.runs.page(tenant, None, 7)
    assert (len(whole.items), whole.before) == (7, None)


def test_a_person_sees_their_own(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    assert [r["question"][-1] for r in workspace.runs.newest(tenant, BOB, 9)] == list("630")
    assert workspace.runs.page(tenant, BOB, 9, RunFilter(principal=ALICE)).items == []
    workspace.people.grant(tenant, BOB, "audit:read")
    assert len(workspace.runs.page(tenant, BOB, 9, RunFilter(principal=ALICE)).items) == 4


def test_filters(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    def asked(**wanted: object) -> str:
        page = workspace.runs.page(tenant, None, 9, RunFilter(**wanted))  # type: ignore[arg-type]
        return "".join(r["question"][-1] for r in page.items)

    assert asked(text="NUMBER 4") == "4"
    assert asked(journey="ask") == ""
    assert asked(journey="search", status="answered") == "6543210"
    assert asked(status="unfinished") == ""
    assert asked(until=1) == ""
    assert asked(since=1) == "6543210"


def test_a_row_forged_shows_nobody_elses_run(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    """Whoever holds the database can name themselves in the list: whose a run is, the log says."""
    workspace.parts.database.run("UPDATE runs SET who = ?", (BOB,))
    assert [r["question"][-1] for r in workspace.runs.newest(tenant, BOB, 9)] == list("630")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET who = 'user:bob' WHERE who = 'user:alice'",
        "UPDATE runs SET status = 'refused'",
        "UPDATE runs SET journey = 'ask'",
        "UPDATE runs SET tenant = 9",
        "UPDATE runs SET run = run || 'x'",
        "DELETE FROM runs WHERE position = (SELECT max(position) FROM runs)",
        "INSERT INTO runs SELECT 1, tenant, 'run-x', journey, who, status FROM runs LIMIT 1",
    ],
)
def test_verify_finds_a_list_that_lies(
    workspace: affidavit.Workspace, tenant: Tenant, statement: str
) -> None:
    workspace.verify()
    assert workspace.parts.database.changed(statement) > 0
    with pytest.raises(LogDamagedError, match="list of runs"):
        workspace.verify()


def test_an_erased_run_is_nobodys(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    run = workspace.runs.newest(tenant, BOB, 1)[0]["run"]
    workspace.erasing.erase(tenant, Target("run", run), "operator:test", "to try it")
    assert run not in [r["run"] for r in workspace.runs.newest(tenant, BOB, 9)]
    assert Runs(workspace.parts.database).of(run) == (tenant.id, "")
    workspace.erasing.erase(tenant, Target("person", ALICE), "operator:test", "to try it")
    assert not list(Runs(workspace.parts.database).newest(Wanted(tenant.id, ALICE)))
    workspace.verify()


def test_what_is_not_written_is_not_listed(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    before = Runs(workspace.parts.database).count()
    with pytest.raises(UnknownNameError):
        workspace.search("x", "user:mallory")
    assert Runs(workspace.parts.database).count() == before
