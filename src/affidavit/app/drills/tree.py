"""A real folder source, brought into the laboratory: its files are copied, and the copy of the workspace reads those."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.domain.errors import DiskFullError, UsageError

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace


def bring_in(ws: Workspace, room: Path, tenant: str, source: str) -> Path:
    """Copy what the folder source ``source`` reads, and let the workspace (a copy) read that under the same name.

    Raises UsageError for a source of another kind or a folder that is gone, DiskFullError before it copies too much.
    """
    owner = ws.parts.tenant(tenant)
    found = ws.sources.get(owner, source)
    origin = Path(found.location)
    if found.kind != "folder" or not origin.is_dir():
        raise UsageError(
            f"source {source!r} is not a folder that is here",
            "steps that change files need a folder source that can be read",
        )
    folder = room / "sources" / f"{owner.name}-{source}"
    size, free = sum(p.stat().st_size for p in _files(origin)), shutil.disk_usage(room).free
    if size > free:
        raise DiskFullError(
            f"{origin} has {size / 1e6:.0f} MB and {free / 1e6:.0f} MB are free",
            "name a folder with more room: --workdir DIR",
        )
    folder.mkdir(parents=True)
    for path in _files(origin):
        target = folder / path.relative_to(origin)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    ws.sources.remove(owner, source)
    ws.add_source("folder", folder, source, owner.name)
    ws.sync(source, owner.name)
    return folder


def _files(folder: Path) -> list[Path]:
    """Regular files: a link could lead back to the real source, a pipe would block."""
    found = []
    for where, _, names in os.walk(folder):  # does not follow links to folders
        for name in names:
            path = Path(where) / name
            if stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return found


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of ``folder``. Raises UsageError for one that would be elsewhere."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{name!r} is not inside the source", "write the path as citations show it")
    return path
