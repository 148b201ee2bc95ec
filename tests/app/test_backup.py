"""A backup is one moment whole; a restore is verified before it is one; what was cut off passes for nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.app.backup import MANIFEST, backup, restore
from affidavit.app.wiring import DATABASE, KEY
from affidavit.domain.errors import AffidavitError, LogDamagedError, UsageError
from affidavit.store.database import Database


@pytest.fixture
def ws(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path], tmp_path: Path
) -> affidavit.Workspace:
    root = write_folder(
        {"access.toml": 'allow = ["anyone"]', "leave.md": "# Leave\n\nWalrus leave is 20 days a year.\n"}
    )
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice"}\n')
    workspace.import_people(people)
    workspace.add_source("folder", root, "docs")
    workspace.sync()
    workspace.ask("How many days is walrus leave?", "alice")
    return workspace


def test_there_and_back(ws: affidavit.Workspace, tmp_path: Path) -> None:
    said = backup(ws.parts, tmp_path / "copy")
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == sorted([DATABASE, MANIFEST])
    report = restore(tmp_path / "copy", tmp_path / "new", ws.parts.folder / KEY)
    before = ws.verify()
    assert report["root"] == before["root"]
    assert said["events"] == report["events"] == before["events"]
    with affidavit.open(tmp_path / "new") as new:
        assert new.status()["index"]["rows"] == 1
        assert new.ask("How many days is walrus leave?", "alice").status.value == "answered"
        new.verify()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / KEY).stat().st_mode & 0o777 == 0o600


def test_with_the_key_it_needs_nothing_else(ws: affidavit.Workspace, tmp_path: Path) -> None:
    backup(ws.parts, tmp_path / "copy", with_key=True)
    (tmp_path / "new").mkdir()
    restore(tmp_path / "copy", tmp_path / "new")


def test_without_the_key_or_with_another_it_is_refused(ws: affidavit.Workspace, tmp_path: Path) -> None:
    backup(ws.parts, tmp_path / "copy")
    with pytest.raises(UsageError, match="key"):
        restore(tmp_path / "copy", tmp_path / "new")
    (tmp_path / "other.key").write_bytes(b"k" * 32)
    with pytest.raises(LogDamagedError, match="key"):
        restore(tmp_path / "copy", tmp_path / "new", tmp_path / "other.key")
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_over(ws: affidavit.Workspace, tmp_path: Path) -> None:
    backup(ws.parts, tmp_path / "copy", with_key=True)
    for target in (tmp_path / "copy", ws.parts.folder):
        with pytest.raises(UsageError):
            backup(ws.parts, target)
    for source, target in (
        ("copy", ws.parts.folder),
        ("docs", tmp_path / "new"),
        ("nothing", tmp_path / "new"),
    ):
        with pytest.raises(UsageError):
            restore(tmp_path / source, target)


def _flip(copy: Path) -> None:
    data = bytearray((copy / DATABASE).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / DATABASE).write_bytes(data)


def _cut(copy: Path) -> None:
    with (copy / DATABASE).open("r+b") as file:
        file.truncate((copy / DATABASE).stat().st_size - 4096)


def _forge(copy: Path) -> None:
    """Changed by hand, and the manifest's digest with it."""
    db = Database(copy / DATABASE, journal="DELETE")
    db.run('UPDATE people SET facts = \'{"boss":"yes"}\'')
    db.close()
    said = json.loads((copy / MANIFEST).read_text())
    said["database_sha256"] = hashlib.sha256((copy / DATABASE).read_bytes()).hexdigest()
    (copy / MANIFEST).write_text(json.dumps(said))


def _other_history(copy: Path) -> None:
    said = json.loads((copy / MANIFEST).read_text())
    said["frontier"] = said["frontier"][:-1] + ("0" if said["frontier"][-1] != "0" else "1")
    (copy / MANIFEST).write_text(json.dumps(said))


def _no_manifest(copy: Path) -> None:
    (copy / MANIFEST).unlink()


def _half_manifest(copy: Path) -> None:
    (copy / MANIFEST).write_text((copy / MANIFEST).read_text()[:40])


@pytest.mark.parametrize("harm", [_flip, _cut, _forge, _other_history, _no_manifest, _half_manifest])
def test_a_damaged_backup_is_not_restored(
    ws: affidavit.Workspace, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    backup(ws.parts, tmp_path / "copy", with_key=True)
    harm(tmp_path / "copy")
    with pytest.raises(AffidavitError):
        restore(tmp_path / "copy", tmp_path / "new")
    assert not list(tmp_path.glob("new*"))


def test_a_backup_is_one_moment_while_others_write(ws: affidavit.Workspace, tmp_path: Path) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            ws.ask("How many days is walrus leave?", "alice")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for n in range(3):
            backup(ws.parts, tmp_path / f"copy{n}", with_key=True)
    finally:
        done.set()
        thread.join()
    for n in range(3):
        restore(tmp_path / f"copy{n}", tmp_path / f"new{n}")


CODE = """
import os, pathlib, signal, sys, affidavit
from affidavit.app import backup
if sys.argv[4] == "last":  # dies in the last step, whatever the machine's attention is on
    pathlib.Path.rename = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
print("ready", flush=True)
if sys.argv[1] == "backup":
    with affidavit.open(sys.argv[2]) as ws:
        backup.backup(ws.parts, pathlib.Path(sys.argv[3]), with_key=True)
else:
    backup.restore(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_killed_passes_for_nothing(ws: affidavit.Workspace, tmp_path: Path) -> None:
    """Either the target is there and good, or it is not there."""
    backup(ws.parts, tmp_path / "good", with_key=True)
    killed = 0
    for n in range(30):
        target = tmp_path / f"target{n}"
        what, source = ("backup", ws.parts.folder) if n % 2 else ("restore", tmp_path / "good")
        when = "last" if n < 2 else "any"
        with subprocess.Popen(
            [sys.executable, "-c", CODE, what, str(source), str(target), when],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            if when == "any":
                time.sleep(0.004 * n)
                process.send_signal(signal.SIGKILL)
            process.wait()
        if not target.exists():
            killed += 1
        elif what == "restore":
            with affidavit.open(target) as new:
                new.verify()
        else:
            restore(target, tmp_path / f"again{n}")
        for rest in tmp_path.glob("target*"):
            shutil.rmtree(rest)
    assert killed >= 2
