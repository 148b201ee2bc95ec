"""Taking the copy: the original is only read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from affidavit.app.wiring import DATABASE, INDEX, KEY
from affidavit.domain.errors import DiskFullError, WorkspaceError, WorkspaceMissingError
from affidavit.store.copying import copy_database

_ROOM_TO_WORK = (
    64 * 2**20
)  # what a drill itself writes: documents of its own, a log that grows, an index rebuilt


def needed(folder: Path) -> int:
    """How many bytes a drill on the workspace in ``folder`` takes on disk. Raises WorkspaceMissingError."""
    if not (folder / DATABASE).is_file():
        raise WorkspaceMissingError(f"{folder} is not a workspace", f"make one with: affidavit init {folder}")
    database = sum(p.stat().st_size for p in folder.glob(f"{DATABASE}*"))
    index = sum(_size(p) for p in (folder / INDEX).glob("*"))
    return database + 2 * index + _ROOM_TO_WORK  # the index may be written anew beside the old one


def check_room(folder: Path, workdir: Path) -> int:
    """``needed``, if ``workdir`` has that much free. Raises DiskFullError."""
    size, free = needed(folder), shutil.disk_usage(workdir).free
    if free < size:
        raise DiskFullError(
            f"a drill needs {size / 1e6:.0f} MB and {workdir} has {free / 1e6:.0f} MB free",
            "name a folder with more room: --workdir DIR",
        )
    return size


def take_copy(folder: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy the workspace in ``folder`` into the new directory ``target``: its catalog and log at one moment, key and index."""
    target.mkdir(mode=0o700, parents=True)
    copy_database(folder / DATABASE, target / DATABASE, progress)
    (target / KEY).parent.mkdir(mode=0o700)
    try:
        shutil.copy2(folder / KEY, target / KEY)
    except OSError as error:
        raise WorkspaceError(
            f"the log's key {folder / KEY} cannot be read: {error.strerror}",
            "run the drill as the user who owns the workspace",
        ) from error
    (target / INDEX).mkdir()
    for path in (folder / INDEX).glob("*"):
        try:
            shutil.copy2(path, target / INDEX / path.name)
        except FileNotFoundError:
            continue  # replaced by a sync just now; the index is a cache and catches up


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
