"""Work that goes on behind requests: one at a time, stopped where it can be gone on with, and known to be lost when it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.patience import LONG, soon
from tests.server_world import FILES

import affidavit
from affidavit.app.noting import note
from affidavit.app.sources import SourceDesk
from affidavit.app.works import BEGAN, WorkDesk
from affidavit.domain.errors import (
    AccessDeniedError,
    InProgressError,
    OverloadedError,
    SourceError,
    StoppedError,
    UnknownNameError,
)
from affidavit.domain.records import FOREVER
from affidavit.ingest.sync import SyncReport
from affidavit.store.people import Tenant
from affidavit.store.shapes import Source

Write = Callable[[dict[str, str | bytes]], Path]
BY = "user:dave"


class Gate:
    """Syncs wait at their first page until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Semaphore(0)
        real = SourceDesk.sync

        def sync(
            desk: SourceDesk, source: Source, progress: Callable[[SyncReport], None], run: str = ""
        ) -> SyncReport:
            def step(report: SyncReport) -> None:
                self.reached.release()
                assert self.open.wait(LONG)
                progress(report)

            return real(desk, source, step, run)

        monkeypatch.setattr(SourceDesk, "sync", sync)


@pytest.fixture
def tenant(workspace: affidavit.Workspace, write_folder: Write) -> Tenant:
    found = workspace.ensure_tenant("acme")
    place = write_folder(FILES)
    for name in ("a", "b", "c"):
        workspace.add_source("folder", place, name, "acme")
    return found


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, workspace: affidavit.Workspace) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()
    workspace.works.close()


def begin(desk: WorkDesk, tenant: Tenant, name: str, n: int = 0) -> int:
    return desk.sync(tenant, name, BY, f"run-{name * 15}{'abcdef'[n]}")


def test_it_is_done_and_told(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    work = begin(workspace.works, tenant, "a")
    workspace.works.wait()
    told = workspace.works.show(tenant, work)
    assert (told["state"], told["source"], told["by"], told["ended"]) == ("done", "a", BY, True)
    assert told["counts"]["added"] == 1
    assert [item["kind"] for item in told["items"]] == ["work.began", "work.ended"]
    assert workspace.parts.events.of_run(told["run"])
    workspace.verify()


def test_of_several_at_once_one_begins_over_all_processes(
    workspace: affidavit.Workspace, tenant: Tenant, gate: Gate
) -> None:
    desks = [workspace.works, WorkDesk(workspace.parts, workspace.sources)]
    together = threading.Barrier(6)
    found: list[int | InProgressError | OverloadedError] = []

    def one(n: int) -> None:
        together.wait()
        try:
            found.append(begin(desks[n % 2], tenant, "a", n))
        except (InProgressError, OverloadedError) as error:
            found.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(f, int) for f in found) == 1 and len(found) == 6
    source = workspace.sources.get(tenant, "a").id
    assert all(desk.syncing(source) for desk in desks)
    assert [one["state"] for one in desks[1].newest(tenant, 9, FOREVER)] == ["running"]
    gate.open.set()
    for desk in desks:
        desk.close()
    assert not workspace.works.syncing(source)


def test_an_organisation_has_so_many_threads_and_no_more(
    workspace: affidavit.Workspace, tenant: Tenant, gate: Gate
) -> None:
    for name in ("a", "b"):
        begin(workspace.works, tenant, name)
    with pytest.raises(OverloadedError) as caught:
        begin(workspace.works, tenant, "c")
    assert caught.value.by_caller
    gate.open.set()
    soon(lambda: not workspace.works._works)
    begin(workspace.works, tenant, "c")


def test_told_to_stop_it_stops_between_pages_and_says_so(
    workspace: affidavit.Workspace, tenant: Tenant, gate: Gate
) -> None:
    work = begin(workspace.works, tenant, "a")
    assert gate.reached.acquire(timeout=LONG)
    closing = threading.Thread(target=workspace.works.close)
    closing.start()
    soon(lambda: all(one.stop.is_set() for one in workspace.works._works))
    gate.open.set()
    closing.join()
    told = workspace.works.show(tenant, work)
    assert (told["state"], told["code"]) == ("failed", "stopped")
    assert "begin it again" in told["hint"]
    again = begin(workspace.works, tenant, "a", 1)
    soon(lambda: not workspace.works._works)
    assert workspace.works.show(tenant, again)["state"] == "done"
    workspace.verify()


def test_what_was_cut_off_is_lost_and_can_be_begun_again(
    workspace: affidavit.Workspace, tenant: Tenant, gate: Gate
) -> None:
    source = workspace.sources.get(tenant, "a").id
    what = {"kind": "sync", "source": "a", "run": "run-aaaaaaaaaaaaaaaa", "lock": f"sync-{source}"}
    cut = note(workspace.parts, tenant, BEGAN, BY, what)
    assert workspace.works.show(tenant, cut)["state"] == "lost"
    again = begin(workspace.works, tenant, "a", 1)
    found = {one["work"]: one["state"] for one in workspace.works.newest(tenant, 9, FOREVER)}
    assert found == {again: "running", cut: "lost"}
    assert workspace.works.show(tenant, cut)["state"] == "lost"


def test_what_cannot_be_begun_is_refused_and_leaves_nothing(
    workspace: affidavit.Workspace, tenant: Tenant
) -> None:
    head = workspace.parts.log.head()
    with pytest.raises(UnknownNameError):
        begin(workspace.works, tenant, "z")
    assert workspace.parts.log.head() == head
    workspace.controls.kill(tenant, "source:a", "operator:test", "it is wrong")
    with pytest.raises(StoppedError):
        begin(workspace.works, tenant, "a")
    assert not workspace.works._works
    with pytest.raises(AccessDeniedError):
        workspace.works.show(tenant, 0)


def test_what_fails_says_how(
    workspace: affidavit.Workspace, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(*args: object) -> SyncReport:
        raise SourceError("it is out of reach", "look at the network")

    monkeypatch.setattr(SourceDesk, "sync", sync)
    work = begin(workspace.works, tenant, "a")
    workspace.works.wait()
    told = workspace.works.show(tenant, work)
    assert (told["state"], told["code"], told["hint"]) == ("failed", "source", "look at the network")


def test_of_another_organisation_there_is_none(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    work = begin(workspace.works, tenant, "a")
    workspace.works.wait()
    other = workspace.ensure_tenant("globex")
    assert workspace.works.newest(other, 9, FOREVER) == []
    with pytest.raises(AccessDeniedError):
        workspace.works.show(other, work)
