"""The database: versions, damage, other processes, snapshots."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.errors import (
    BusyError,
    UsageError,
    WorkspaceDamagedError,
    WorkspaceError,
    WorkspaceMissingError,
    WorkspaceVersionError,
)
from affidavit.store import database as module


def test_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceMissingError) as caught:
        affidavit.open(tmp_path)
    assert "affidavit init" in caught.value.hint


def test_a_second_init_is_refused_and_harms_nothing(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already"):
        affidavit.init(tmp_path / "ws")
    workspace.verify()


def test_init_in_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(WorkspaceError, match="not empty"):
        affidavit.init(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("stop", ["key", "database", "schema"])
def test_an_init_that_was_cut_off_is_finished_by_the_next(tmp_path: Path, stop: str) -> None:
    folder = tmp_path / "ws"
    (folder / "keys").mkdir(parents=True)
    if stop == "key":
        (folder / "keys" / "log.key").write_bytes(b"short")
    if stop == "database":
        sqlite3.connect(folder / "affidavit.db").execute("PRAGMA journal_mode=WAL").connection.close()
    if stop == "schema":
        made = affidavit.init(tmp_path / "other", EmbedderSpec("none"))
        made.close()
        half = sqlite3.connect(tmp_path / "other" / "affidavit.db")
        for table in ("events", "bodies", "tree", "checkpoints", "meta", "channels", "releases"):
            half.execute("PRAGMA foreign_keys = OFF")
            half.execute(f"DELETE FROM {table}")
        half.commit()
        half.close()
        (tmp_path / "other" / "affidavit.db").rename(folder / "affidavit.db")
        with pytest.raises((WorkspaceError, UsageError)):
            affidavit.open(folder).parts.release()
    with affidavit.init(folder, EmbedderSpec("none")) as ws:
        assert ws.verify()["events"] == 2


def test_a_newer_workspace_is_named(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    workspace.parts.database.run(f"PRAGMA user_version = {module.SCHEMA_VERSION + 1}")
    workspace.close()
    with pytest.raises(WorkspaceVersionError, match="reads up to"):
        affidavit.open(tmp_path / "ws")


@pytest.mark.parametrize("how", ["garbage", "another program's", "torn"])
def test_a_damaged_database_is_named(workspace: affidavit.Workspace, tmp_path: Path, how: str) -> None:
    workspace.parts.database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    workspace.close()
    path = tmp_path / "ws" / "affidavit.db"
    if how == "garbage":
        path.write_bytes(b"not a database at all" * 1000)
    elif how == "another program's":
        path.unlink()
        other = sqlite3.connect(path)
        other.execute("PRAGMA application_id = 77")
        other.execute("CREATE TABLE t (x)")
        other.close()
    else:
        data = bytearray(path.read_bytes())
        data[4096 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4096)
        path.write_bytes(data)
    with pytest.raises(WorkspaceDamagedError) as caught, affidavit.open(tmp_path / "ws") as ws:
        ws.verify()
    assert "backup" in caught.value.hint


def test_a_writer_in_another_process_is_waited_for_then_named(
    workspace: affidavit.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sqlite3, sys
                c = sqlite3.connect(sys.argv[1], isolation_level=None)
                c.execute("BEGIN IMMEDIATE")
                print("holding", flush=True)
                sys.stdin.read()
            """),
            str(tmp_path / "ws" / "affidavit.db"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    holder.stdout.readline()
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    with affidavit.open(tmp_path / "ws") as impatient, pytest.raises(BusyError):
        impatient.ensure_tenant("acme")
    with affidavit.open(tmp_path / "ws") as reader:
        assert reader.status()["position"] == 1  # readers are not held up
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()
    with affidavit.open(tmp_path / "ws") as again:
        again.ensure_tenant("acme")


def test_a_snapshot_does_not_move(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    with workspace.parts.database.read():
        before = workspace.parts.log.head()
        with affidavit.open(tmp_path / "ws") as other:
            other.ensure_tenant("acme")
        assert workspace.parts.log.head() == before
    assert workspace.parts.log.head() > before
