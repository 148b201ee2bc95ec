"""Drills begun from afar: one at a time, over all processes, and one that was cut off is known to be."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.alone import Alone
from affidavit.app.drillbook import BEGAN, DrillBook
from affidavit.app.noting import note
from affidavit.domain.errors import BusyError

BY = "operator:test"


@pytest.fixture
def waiting(workspace: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Drills that end when this is set."""
    over = threading.Event()
    workspace.ensure_tenant("acme")

    def run(self: DrillBook, tenant: Any, name: str, by: str, began: int) -> None:
        over.wait()

    monkeypatch.setattr(DrillBook, "_run", run)
    return over


def test_of_several_at_once_one_begins(workspace: affidavit.Workspace, waiting: threading.Event) -> None:
    tenant = workspace.parts.tenant("acme")
    books = [workspace.drill_book, DrillBook(workspace.parts, workspace.drills)]  # as another process would
    together = threading.Barrier(6)
    found: list[int | BusyError] = []

    def begin(n: int) -> None:
        together.wait()
        try:
            found.append(books[n % 2].begin(tenant, "kill", BY))
        except BusyError as error:
            found.append(error)

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(f, int) for f in found) == 1 and len(found) == 6
    assert [one["state"] for one in books[1].newest(tenant, 9)] == ["running"]
    waiting.set()
    for book in books:
        for thread in book.threads:
            thread.join()
    assert [one["state"] for one in books[0].newest(tenant, 9)] == ["lost"]  # it said nothing, and is over
    assert isinstance(books[1].begin(tenant, "kill", BY), int)


def test_of_two_without_an_end_the_older_was_cut_off(
    workspace: affidavit.Workspace, waiting: threading.Event
) -> None:
    tenant = workspace.parts.tenant("acme")
    note(workspace.parts, tenant, BEGAN, BY, {"drill": "kill"})
    assert [one["state"] for one in workspace.drill_book.newest(tenant, 9)] == ["lost"]
    newer = workspace.drill_book.begin(tenant, "kill", BY)
    assert [one["state"] for one in workspace.drill_book.newest(tenant, 9)] == ["running", "lost"]
    assert [one["state"] for one in workspace.drill_book.newest(tenant, 9, newer)] == ["lost"]
    waiting.set()


def test_another_organisations_drill_keeps_nobody(
    workspace: affidavit.Workspace, waiting: threading.Event
) -> None:
    for name in ("acme", "globex"):
        workspace.drill_book.begin(workspace.ensure_tenant(name), "kill", BY)
    waiting.set()


def test_a_lock_goes_with_whoever_holds_it(tmp_path: Path) -> None:
    one, other = Alone(tmp_path), Alone(tmp_path)
    assert not one.taken("x-1")
    held = one.take("x-1")
    assert held and other.take("x-1") is None and one.take("x-1") is None and other.taken("x-1")
    elsewhere = other.take("x-2")
    held.release()
    assert not other.taken("x-1")
    again = other.take("x-1")
    assert elsewhere and again
    for lock in (elsewhere, again):
        lock.release()
