"""How questions went, counted by day: a file beside the catalog that can be lost, since it is worked out again from the log.

It holds no names and no texts. Commits here reach the disk with the next checkpoint only: what a power failure takes is counted
again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from affidavit.domain.errors import WorkspaceDamagedError
from affidavit.store.database import Database

FILE = "figures.db"
_SCHEMA = """
CREATE TABLE folded (id INTEGER PRIMARY KEY, position INTEGER NOT NULL, leaf BLOB NOT NULL);
CREATE TABLE figures (
  tenant INTEGER, day TEXT, name TEXT, count INTEGER NOT NULL, PRIMARY KEY (tenant, day, name)) WITHOUT ROWID;
"""

Key: TypeAlias = tuple[int, str, str]
"""(tenant, day, name of what is counted)."""


class Figures:
    """Counters. Safe to share between threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._guard = threading.Lock()
        self._opened: Database | None = None

    @property
    def _db(self) -> Database:
        with self._guard:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Database:
        database = Database(self._path, synchronous="NORMAL")
        try:
            database.create(_SCHEMA)
            database.value("SELECT count(*) FROM folded")
        except WorkspaceDamagedError as error:
            database.close()
            raise WorkspaceDamagedError(
                f"{self._path} is damaged: it only counts what the log says",
                f"stop what uses the workspace and delete {FILE}; it is made anew from the log",
            ) from error
        return database

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def folded(self) -> tuple[int, bytes]:
        """The last position that is counted, and its leaf; -1 for none."""
        row = self._db.one("SELECT position, leaf FROM folded WHERE id = 1")
        return (-1, b"") if row is None else (row[0], bytes(row[1]))

    def fold(self, before: int, position: int, leaf: bytes, counted: Iterable[tuple[Key, int]]) -> bool:
        """Add ``counted`` and move from ``before`` to ``position``, both or neither; False if another process moved it."""
        with self._db.write():
            if self.folded()[0] != before:
                return False
            self._db.many(
                "INSERT INTO figures VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [(*key, count) for key, count in counted],
            )
            self._db.run(
                "INSERT INTO folded VALUES (1, ?, ?) "
                "ON CONFLICT DO UPDATE SET position = excluded.position, leaf = excluded.leaf",
                (position, leaf),
            )
        return True

    def forget(self) -> None:
        """Empty it: the log is not the one it was made of."""
        with self._db.write():
            self._db.run("DELETE FROM figures")
            self._db.run("DELETE FROM folded")

    def of(self, tenant: int, since: str) -> list[tuple[str, str, int]]:
        """(day, name, count) of ``tenant`` from the day ``since`` on, in order."""
        rows = self._db.all(
            "SELECT day, name, count FROM figures WHERE tenant = ? AND day >= ? ORDER BY day, name",
            (tenant, since),
        )
        return [(row[0], row[1], row[2]) for row in rows]
