"""A copy of a workspace's database without changing one byte of the original."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from affidavit.domain.errors import BusyError, WorkspaceError, WorkspaceMissingError

_PAGES = 4096  # copied between two reports of progress
_TRIES = 5


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy the database ``source``, as it stands at one moment, into the new file ``target``.

    Others may go on reading and writing it. ``progress`` is told pages left and pages in all. Raises WorkspaceMissingError,
    WorkspaceError, and BusyError when it is opened by others again and again while it is copied.
    """
    if not source.is_file():
        raise WorkspaceMissingError(
            f"{source.parent} is not a workspace", f"make one with: affidavit init {source.parent}"
        )
    for _ in range(_TRIES):
        # A database at rest is opened `immutable`: a plain reader would leave -wal and -shm files beside it. One that is in
        # use has these files already, and its readers' locks are respected.
        in_use = _in_use(source)
        before = _stamp(source)
        _copy(source, target, progress, immutable=not in_use)
        if in_use or (not _in_use(source) and _stamp(source) == before):
            return
        target.unlink()  # somebody began to write meanwhile: what was copied may be torn
    raise BusyError(f"{source} is opened and closed by others all the time", "try again when it is quieter")


def _in_use(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _copy(
    source: Path, target: Path, progress: Callable[[int, int], None] | None, *, immutable: bool
) -> None:
    uri = f"file:{quote(str(source.absolute()))}?mode=ro{'&immutable=1' if immutable else ''}"
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        reading, writing = sqlite3.connect(uri, uri=True), sqlite3.connect(target)
        try:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()  # holds the moment: one snapshot
            tell = None if progress is None else lambda _, left, total: progress(left, total)
            reading.backup(writing, pages=_PAGES, progress=tell, sleep=0)
        finally:
            reading.close()
            writing.close()
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"{source} cannot be copied: {error}", "check its permissions and the disk"
        ) from error
