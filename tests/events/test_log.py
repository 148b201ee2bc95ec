"""Appending: durable before it returns, grouped, all or nothing, one writer at a time over processes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import affidavit
from affidavit.domain.errors import DiskFullError, LogDamagedError, WorkspaceError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.testing.clock import FixedClock

EVENT = Event(
    EventKind.RUN_STARTED, run="run-x", facts={"journey": "test", "release": "r"}, body={"name": "x"}
)


def test_positions_are_consecutive_and_a_failed_change_leaves_none(workspace: affidavit.Workspace) -> None:
    log = workspace.parts.log
    first = log.write(lambda tx: tx.append(EVENT))

    def fails(tx: Transaction) -> None:
        tx.append(EVENT)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        log.write(fails)
    assert log.write(lambda tx: tx.append(EVENT)) == first + 1
    assert workspace.verify()["events"] == first + 2


def test_threads_are_committed_together_and_one_bad_change_spoils_no_other(
    workspace: affidavit.Workspace,
) -> None:
    log = workspace.parts.log
    before = log.head()
    positions: list[int] = []
    errors: list[str] = []

    def work(n: int) -> None:
        for i in range(20):
            if (n + i) % 7 == 0:
                try:
                    log.write(lambda tx: [tx.append(EVENT), 1 // 0])
                except ZeroDivisionError as error:
                    errors.append(str(error))
            else:
                positions.append(log.write(lambda tx: tx.append(EVENT)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(positions) == list(range(before + 1, before + 1 + len(positions)))
    assert len(positions) + len(errors) == 160
    workspace.verify()


def test_time_never_runs_backwards(workspace: affidavit.Workspace, clock: FixedClock) -> None:
    log = workspace.parts.log
    log.write(lambda tx: tx.append(EVENT))
    clock.advance(-3_600_000_000)
    log.write(lambda tx: tx.append(EVENT))
    workspace.verify()
    times = [at for (at,) in workspace.parts.database.all("SELECT at FROM events ORDER BY position")]
    assert times == sorted(times)


def test_full_disk_is_named_and_nothing_is_half_written(workspace: affidavit.Workspace) -> None:
    db, log = workspace.parts.database, workspace.parts.log
    head = log.head()
    pages = db.value("PRAGMA page_count")
    db.value(f"PRAGMA max_page_count = {pages}")  # SQLite's own SQLITE_FULL, as on a full disk
    with pytest.raises(DiskFullError, match="full"):
        log.write(
            lambda tx: [
                tx.append(Event(EVENT.kind, run=EVENT.run, facts=EVENT.facts, body={"x": str(i) * 4000}))
                for i in range(99)
            ]
        )
    assert log.head() == head
    db.value("PRAGMA max_page_count = 1073741823")
    assert log.write(lambda tx: tx.append(EVENT)) == head + 1
    workspace.verify()


def test_without_its_key_nothing_is_recorded_and_nothing_answered(
    workspace: affidavit.Workspace, tmp_path: Path
) -> None:
    (tmp_path / "ws" / "keys" / "log.key").unlink()
    workspace.close()
    with affidavit.open(tmp_path / "ws") as again, pytest.raises(WorkspaceError, match="key"):
        again.parts.log.write(lambda tx: tx.append(EVENT))


def test_a_cut_off_log_is_not_written_to(workspace: affidavit.Workspace) -> None:
    log = workspace.parts.log
    log.write(lambda tx: tx.append(EVENT))
    workspace.parts.database.run("DELETE FROM events WHERE position = ?", (log.head(),))
    with pytest.raises(LogDamagedError, match="tree has"):
        log.write(lambda tx: tx.append(EVENT))


def test_checkpoints_are_kept_sparsely_and_the_newest_always(workspace: affidavit.Workspace) -> None:
    log, db = workspace.parts.log, workspace.parts.database
    for _ in range(600):
        log.write(lambda tx: tx.append(EVENT))
    sizes = [s for (s,) in db.all("SELECT size FROM checkpoints ORDER BY size")]
    assert sizes[-1] == log.head() + 1
    assert len(sizes) <= 4
    assert workspace.verify()["checkpoints"] == len(sizes)
