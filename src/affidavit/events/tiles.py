"""The log as a folder of files that standard tools read: https://c2sp.org/tlog-tiles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.events.evidence import Evidence, Head
from affidavit.events.log import TILE_LEVELS
from affidavit.events.note import open_note
from affidavit.events.prove import TILE, extends

CHECKPOINT = "checkpoint"
_LONGEST_ENTRY = 0xFFFF


def tile_path(kind: str, number: int, width: int = TILE) -> str:
    """``tile/KIND/N[.p/W]``; KIND is a level, or ``entries``."""
    parts = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        parts.insert(0, f"x{number % 1000:03}")
    return f"tile/{kind}/{'/'.join(parts)}" + ("" if width == TILE else f".p/{width}")


class TileWriter:
    """Writes the tiles, entry bundles and checkpoint of one log below ``folder``; call inside a snapshot.

    The checkpoint goes last and every file appears whole, so the folder can be served, and the writing killed, at any time.
    """

    def __init__(
        self,
        evidence: Evidence,
        folder: Path,
        verifier: str,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._evidence = evidence
        self._folder = folder
        self._verifier = verifier
        self._progress = progress
        self.written = 0

    def run(self) -> Head:
        """Bring the folder up to date. Raises UsageError or LogDamagedError if it holds another log."""
        head = self._evidence.newest()
        before = self._before(head)
        level = 0
        while before < head.size and head.size >> level * TILE_LEVELS:
            self._level(level, before, head.size)
            level += 1
        self._write(CHECKPOINT, head.note.encode())
        return head

    def _before(self, head: Head) -> int:
        """The size that was written last time: everything up to it is there."""
        path = self._folder / CHECKPOINT
        if not path.exists():
            # tiles without a checkpoint are a first writing that was cut off
            if self._folder.exists() and any(p.name != "tile" for p in self._folder.glob("[!.]*")):
                raise UsageError(f"{self._folder} is not empty", "choose a new directory for the tiles")
            return 0
        old = open_note(path.read_text(encoding="utf-8"), self._verifier)
        if old.size > head.size or not extends(
            old, head.checkpoint, self._evidence.tree.consistency(old.size, head.size)
        ):
            raise LogDamagedError(
                f"the {old.size} events written to {self._folder} are not the beginning of this log of {head.size}",
                "keep that folder: it is evidence. Either the log was rewritten, or a backup was restored",
            )
        return old.size

    def _level(self, level: int, before: int, size: int) -> None:
        count = size >> level * TILE_LEVELS
        for number in range((before >> level * TILE_LEVELS) // TILE, -(-count // TILE)):
            start = number * TILE
            stop = min(count, start + TILE)
            row = self._evidence.tree.row(level * TILE_LEVELS, start, stop)
            self._tile(str(level), number, b"".join(row), stop - start)
            if level == 0:
                self._tile("entries", number, self._entries(start, stop), stop - start)
                self._progress(stop)

    def _tile(self, kind: str, number: int, data: bytes, width: int) -> None:
        self._write(tile_path(kind, number, width), data)
        if width == TILE:  # the partial ones have had their time
            shutil.rmtree(self._folder / f"{tile_path(kind, number)}.p", ignore_errors=True)

    def _entries(self, start: int, stop: int) -> bytes:
        out = bytearray()
        for entry in self._evidence.between(start, stop):
            if len(entry.header) > _LONGEST_ENTRY:
                raise LogDamagedError(
                    f"position {entry.position}: the header is too long", "run `affidavit audit verify`"
                )
            out += len(entry.header).to_bytes(2, "big") + entry.header
        return bytes(out)

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        self.written += 1
