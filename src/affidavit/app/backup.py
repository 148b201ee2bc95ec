"""Backups: a consistent copy while others work, and a restore that is verified before it is one.

Both are made in a folder beside their target whose name says that it is not done, and take the target's name in one step at the
end: what was cut off never passes for whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from affidavit.app.plainfile import open_plain
from affidavit.app.verify import Verifier
from affidavit.app.wiring import DATABASE, KEY, Parts, assemble
from affidavit.ask.asker import instant
from affidavit.domain.clock import Clock, Randomness, SystemRandomness
from affidavit.domain.errors import DiskFullError, LogDamagedError, UsageError, WorkspaceError
from affidavit.events.log import KEY_BYTES
from affidavit.store.catalog import Catalog
from affidavit.store.database import SCHEMA_VERSION, Database

MANIFEST = "backup.json"
_LARGEST_MANIFEST = 100_000
_TOLD = ("format", "at", "frontier", "public_key", "database_sha256")
_CHUNK = 1 << 20
Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""


def _quiet(what: str, done: int, total: int) -> None:
    """No progress."""


def backup(
    parts: Parts, target: Path, *, with_key: bool = False, progress: Progress = _quiet
) -> dict[str, Any]:
    """Copy the workspace's database, and with ``with_key`` the log's key, into the new folder ``target``.

    Raises UsageError when something is there, DiskFullError, WorkspaceError.
    """
    with _made(target, parts.randomness) as part:
        parts.database.copy_to(part / DATABASE, lambda left, total: progress("copying", total - left, total))
        copy = Database(part / DATABASE, journal="DELETE")
        frontier = Catalog(copy).setting("frontier") or "0:"
        note = copy.value("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
        copy.close()
        manifest = {
            "format": 1,
            "schema": SCHEMA_VERSION,
            "at": instant(parts.clock.now()),
            "events": int(frontier.partition(":")[0]),
            "frontier": frontier,
            "checkpoint": note,
            "public_key": parts.signer.verifier(),
            "database_sha256": _sha256(part / DATABASE, progress),
            "with_key": with_key,
        }
        if with_key:
            (part / KEY).parent.mkdir(mode=0o700)
            _copy(parts.folder / KEY, part / KEY)
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def restore(
    source: Path,
    target: Path,
    key: Path | None = None,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
    progress: Progress = _quiet,
) -> dict[str, Any]:
    """Make a workspace in the new or empty folder ``target`` out of a backup; verified whole before it takes that name.

    ``key`` is the log's key where the backup does not hold it. Raises UsageError, LogDamagedError, WorkspaceError.
    """
    manifest = _manifest(source)
    place = key or source / KEY
    if not place.is_file():
        raise UsageError(
            "the backup does not hold the log's key",
            "say where it is: --key FILE (keys/log.key of the workspace)",
        )
    secret = _secret(place)
    if _sha256(source / DATABASE, progress) != manifest["database_sha256"]:
        raise LogDamagedError(f"{source / DATABASE} is not the file that was backed up", "use another backup")
    with _made(target, randomness or SystemRandomness()) as part:
        _copy(source / DATABASE, part / DATABASE)
        (part / KEY).parent.mkdir(mode=0o700)
        _write(part / KEY, secret)
        parts = assemble(part, clock, randomness)
        try:
            report = _checked(parts, manifest, progress)
        finally:
            parts.database.close()
        _settle(part)
    return {**report, "backed_up_at": manifest["at"]}


def _checked(parts: Parts, manifest: dict[str, str], progress: Progress) -> dict[str, Any]:
    total = parts.log.head() + 1
    if parts.signer.verifier() != manifest["public_key"]:
        raise LogDamagedError(
            "the key is not that of this log", "use keys/log.key of the workspace that was backed up"
        )
    report = Verifier(parts, lambda done: progress("verifying", done, total)).run()
    if report["frontier"] != manifest["frontier"]:
        raise LogDamagedError("the backup's log is not the one that was backed up", "use another backup")
    progress("building the index", 0, 1)
    with parts.database.read():
        parts.index.persist(parts.feed())
    return report


def _settle(part: Path) -> None:
    """Leave one database file, with nothing of it in a write-ahead log."""
    for suffix in ("-wal", "-shm"):
        rest = part / f"{DATABASE}{suffix}"
        if rest.exists() and rest.stat().st_size and suffix == "-wal":
            raise WorkspaceError(f"{rest} was not emptied", "run it again")
        rest.unlink(missing_ok=True)


def _manifest(source: Path) -> dict[str, str]:
    hint = "give the folder that `affidavit backup` made"
    try:
        with open_plain(source / MANIFEST, follow=False) as file:
            said = json.loads(file.read(_LARGEST_MANIFEST))
        wanted = {name: str(said[name]) for name in _TOLD}
    except OSError as error:
        raise UsageError(f"{source} is not a backup: {error.strerror}", hint) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{source / MANIFEST} is not understood ({error!r})", hint) from error
    if wanted["format"] != "1":
        raise UsageError(
            f"{source / MANIFEST} has format {wanted['format']}, not 1", "use the affidavit that made it"
        )
    return wanted


# -- files


@contextlib.contextmanager
def _made(target: Path, randomness: Randomness) -> Iterator[Path]:
    """A folder to fill that takes the name ``target`` once it is whole and on disk; else it is removed."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already and not empty", "choose a new folder")
    part = target.with_name(f"{target.name}.part-{randomness.token(4).hex()}")
    try:
        part.mkdir(mode=0o700, parents=True)
        yield part
        for path in (*part.rglob("*"), part):
            _sync(path)
        part.rename(target)  # onto an empty folder too
        _sync(target.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(
                f"the disk that holds {target} is full", "free some space and run it again"
            ) from error
        raise WorkspaceError(
            f"{target} cannot be made: {error}", "check the path and its permissions"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(source: Path, target: Path) -> None:
    """A copy that its owner alone may read."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out, open_plain(source, follow=False) as into:
        shutil.copyfileobj(into, out, _CHUNK)


def _write(target: Path, data: bytes) -> None:
    """A file that its owner alone may read."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)


def _secret(place: Path) -> bytes:
    """The log's key in the file ``place``, which may be anything. Raises UsageError."""
    try:
        with open_plain(place) as file:
            secret = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}", "check the path") from error
    if len(secret) != KEY_BYTES:
        raise UsageError(f"{place} is not a log's key", "it is keys/log.key of the workspace")
    return secret


def _sha256(path: Path, progress: Progress) -> str:
    hash, done = hashlib.sha256(), 0
    try:
        with open_plain(path, follow=False) as file:
            total = os.fstat(file.fileno()).st_size
            while block := file.read(_CHUNK):
                hash.update(block)
                done += len(block)
                progress("reading", done, total)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "the backup is not whole; use another"
        ) from error
    return hash.hexdigest()
