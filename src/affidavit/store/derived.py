"""Files beside the catalog that can be lost: what they count is worked out again from the log.

Commits here reach the disk with the next checkpoint only (``synchronous=NORMAL``): they survive the death of a process, and after
a power failure they are at most some seconds behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from affidavit.domain.errors import WorkspaceDamagedError
from affidavit.store.database import Database

_FOLDED = """
CREATE TABLE folded (id INTEGER PRIMARY KEY, position INTEGER NOT NULL, leaf BLOB NOT NULL);
"""


class SideFile:
    """Tables of ``schema`` in a file of their own. ``table`` is one of them, without which the
    file is another's; ``holds`` says what it counts, ``remedy`` what to do once it is damaged.

    Opened when it is first needed. Safe to share between threads and processes.
    """

    def __init__(self, path: Path, schema: str, table: str, holds: str, remedy: str) -> None:
        self._path, self._schema, self._table = path, schema, table
        self._told = f"{path} is damaged: it only counts {holds}", remedy
        self._guard = threading.Lock()
        self._opened: Database | None = None

    @property
    def db(self) -> Database:
        """The open file. Raises WorkspaceDamagedError where it cannot be used."""
        with self._guard:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Database:
        database = Database(self._path, synchronous="NORMAL")
        try:
            database.create(self._schema)
            database.value(f"SELECT count(*) FROM {self._table}")
        except WorkspaceDamagedError as error:
            database.close()
            raise WorkspaceDamagedError(*self._told) from error
        return database

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None


class DerivedFile(SideFile):
    """What the log says, worked out up to a position; ``views`` are the tables that follow it."""

    def __init__(self, path: Path, schema: str, views: Sequence[str]) -> None:
        remedy = f"stop what uses the workspace and delete {path.name}; it is made anew from the log"
        super().__init__(path, _FOLDED + schema, "folded", "what the log says", remedy)
        self._views = tuple(views)

    def folded(self) -> tuple[int, bytes]:
        """The last position that the views hold, and its leaf; -1 for none."""
        row = self.db.one("SELECT position, leaf FROM folded WHERE id = 1")
        return (-1, b"") if row is None else (row[0], bytes(row[1]))

    def move(self, before: int, position: int, leaf: bytes, add: Callable[[], None]) -> bool:
        """Do ``add`` and move from ``before`` to ``position``, both or neither; False if another process moved it."""
        with self.db.write():
            if self.folded()[0] != before:
                return False
            add()
            self.db.run(
                "INSERT INTO folded VALUES (1, ?, ?) "
                "ON CONFLICT DO UPDATE SET position = excluded.position, leaf = excluded.leaf",
                (position, leaf),
            )
        return True

    def forget(self) -> None:
        """Empty the views: the log is not the one they were made of."""
        with self.db.write():
            for view in (*self._views, "folded"):
                self.db.run(f"DELETE FROM {view}")
