"""SQLite as we use it: one connection a thread, snapshots to read, short transactions to write.

The only place that opens the database or names its errors. WAL mode lets readers of any process go on while one
writes; ``synchronous=FULL`` makes a commit durable before it returns.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from affidavit.domain.errors import (
    AffidavitError,
    BusyError,
    DiskFullError,
    WorkspaceDamagedError,
    WorkspaceError,
    WorkspaceMissingError,
    WorkspaceVersionError,
)

SCHEMA_VERSION = 1
APPLICATION_ID = 0x41464644  # "AFFD"
BUSY_SECONDS = 20.0
_FETCHED = 256
_PAGES = 4096

Row = tuple[Any, ...]


def _explain(error: sqlite3.Error, path: Path) -> AffidavitError:
    text = str(error)
    code = getattr(error, "sqlite_errorname", "")
    if "FULL" in code or "disk is full" in text:
        return DiskFullError(
            f"the disk that holds {path} is full; nothing was lost, nothing was half written",
            "free some space and run the command again",
        )
    if "BUSY" in code or "LOCKED" in code:
        return BusyError(
            f"{path} is being written by another process for more than {BUSY_SECONDS:.0f} s",
            "wait for it, or look with `affidavit status` which command is running",
        )
    if "CORRUPT" in code or "NOTADB" in code:
        return WorkspaceDamagedError(
            f"{path} is damaged: {text}",
            "restore the workspace from a backup; `affidavit audit verify` says how far the log is sound",
        )
    if "READONLY" in code or "CANTOPEN" in code or "IOERR" in code or "PERM" in code:
        return WorkspaceError(f"{path} cannot be used: {text}", "check the folder's permissions and disk")
    return WorkspaceError(f"{path}: {text}", "this is a fault in affidavit; please report it")


def _lay_out(connection: sqlite3.Connection, schema: str) -> None:
    for statement in filter(str.strip, schema.split(";\n")):
        connection.execute(statement)


def sqlite_objects(schema: str) -> list[Row]:
    """(type, name, sql) of everything that ``schema`` makes, ordered by name."""
    connection = sqlite3.connect(":memory:")
    _lay_out(connection, schema)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return rows


class Database:
    """One SQLite file. Safe to share between threads; each gets its own connection."""

    def __init__(self, path: Path, *, journal: str = "WAL", synchronous: str = "FULL") -> None:
        self.path = path
        self._journal = journal
        self._synchronous = synchronous
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._guard = threading.Lock()

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._open()
            self._local.connection = connection
            self._local.depth = 0
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        for pragma in (
            f"journal_mode={self._journal}",
            f"synchronous={self._synchronous}",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-65536",
            "mmap_size=268435456",
        ):
            connection.execute(f"PRAGMA {pragma}")
        with self._guard:
            self._all.append(connection)
        return connection

    def close(self) -> None:
        """Close every thread's connection."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    def create(self, schema: str) -> bool:
        """Lay out an empty database in one transaction; False if that was done before."""
        with self._errors():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                if connection.execute("PRAGMA user_version").fetchone()[0]:
                    return False
                _lay_out(connection, schema)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        return True

    def check(self) -> None:
        """That the file is ours and of our version. Raises WorkspaceError and its kin."""
        if not self.path.is_file():
            raise WorkspaceMissingError(
                f"{self.path.parent} is not a workspace", f"make one with: affidavit init {self.path.parent}"
            )
        with self._errors():
            ours = self._connection.execute("PRAGMA application_id").fetchone()[0]
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and ours == 0:
            raise WorkspaceMissingError(
                f"{self.path.parent} is not a finished workspace",
                f"finish it with: affidavit init {self.path.parent}",
            )
        if ours != APPLICATION_ID:
            raise WorkspaceDamagedError(
                f"{self.path} is not an affidavit database", "restore it from a backup"
            )
        if version > SCHEMA_VERSION:
            raise WorkspaceVersionError(
                f"the workspace has version {version}, this affidavit reads up to {SCHEMA_VERSION}",
                "use the newer affidavit that made it",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(error, self.path) from error

    @contextmanager
    def read(self) -> Iterator[None]:
        """One consistent snapshot for everything read inside; nests."""
        with self._errors():
            connection = self._connection
            outermost = not connection.in_transaction
            if outermost:
                connection.execute("BEGIN")
            try:
                yield
            finally:
                if outermost and connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[None]:
        """One durable transaction: all of it or nothing. Does not nest."""
        with self._errors():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Part of a transaction that can fail alone."""
        self.run("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk may have rolled everything back already
                self.run("ROLLBACK TO part")
                self.run("RELEASE part")
            raise
        self.run("RELEASE part")

    def scrub(self) -> bool:
        """Rewrite the file and empty the write-ahead log, so that nothing deleted is left in either.

        False if another connection still reads an older state, so that the write-ahead log could not be emptied.
        """
        with self._errors():
            connection = self._connection
            connection.execute("PRAGMA temp_store=FILE")  # the copy may not fit into memory
            try:
                connection.execute("VACUUM")
            finally:
                connection.execute("PRAGMA temp_store=MEMORY")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def copy_to(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """A consistent copy of one moment into the new file ``path``, while others read and write.

        ``progress`` is told how many pages remain, of how many.
        """
        with self.read(), self._errors():
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment begins
            target = sqlite3.connect(path)
            try:
                self._connection.backup(
                    target,
                    pages=_PAGES,
                    progress=None if progress is None else lambda _, left, total: progress(left, total),
                )
                target.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            finally:
                target.close()

    def run(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Execute; the last inserted row's id."""
        with self._errors():
            return self._connection.execute(sql, parameters).lastrowid or 0

    def changed(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Execute; how many rows changed."""
        with self._errors():
            return self._connection.execute(sql, parameters).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute once for each of ``rows``."""
        with self._errors():
            self._connection.executemany(sql, rows)

    def all(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Every row."""
        with self._errors():
            return self._connection.execute(sql, parameters).fetchall()

    def each(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Rows one at a time, a few hundred of them in memory."""
        with self._errors():
            cursor = self._connection.execute(sql, parameters)
        while True:
            with self._errors():
                rows = cursor.fetchmany(_FETCHED)
            if not rows:
                return
            yield from rows

    def one(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row or None."""
        with self._errors():
            row: Row | None = self._connection.execute(sql, parameters).fetchone()
            return row

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first row's first column, or None without a row."""
        row = self.one(sql, parameters)
        return None if row is None else row[0]
