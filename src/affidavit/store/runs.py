"""The list of runs, kept with the events that begin and end them: a page of it costs the same however many runs there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

_COLUMNS = "position, run, journey, who, status"


@dataclass(frozen=True)
class RunRow:
    """One run. ``position`` is that of ``run.started``; ``who`` the principal that its body names, "" for none and where that
    was erased; ``status`` as ``run.finished`` says, "" while there is no end."""

    position: int
    run: str
    journey: str
    who: str
    status: str


@dataclass(frozen=True)
class Wanted:
    """Which runs: below position ``before``, from ``since`` on. ``who`` and ``status`` None are any."""

    tenant: int
    who: str | None = None
    journey: str = ""
    status: str | None = None
    since: int = 0
    before: int = FOREVER


class Runs:
    """Call inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, position: int, tenant: int, run: str, journey: str, who: str) -> None:
        self._db.run(
            "INSERT INTO runs (position, tenant, run, journey, who, status) VALUES (?, ?, ?, ?, ?, '')",
            (position, tenant, run, journey, who),
        )

    def end(self, run: str, status: str) -> None:
        self._db.run("UPDATE runs SET status = ? WHERE run = ?", (status, run))

    def forget(self, positions: Iterable[int]) -> None:
        """Whose the runs at ``positions`` were is erased with the bodies that said so."""
        self._db.run(
            "UPDATE runs SET who = '' WHERE position IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(positions)),),
        )

    def newest(self, wanted: Wanted) -> Iterator[RunRow]:
        """Newest first; stop taking them when there are enough."""
        where = ["tenant = ?", "position < ?", "position >= ?"]
        values: list[object] = [wanted.tenant, wanted.before, wanted.since]
        for column, value in (("who", wanted.who), ("status", wanted.status)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if wanted.journey:
            where.append("journey = ?")
            values.append(wanted.journey)
        sql = f"SELECT {_COLUMNS} FROM runs WHERE {' AND '.join(where)} ORDER BY position DESC"
        for row in self._db.each(sql, values):
            yield RunRow(*row)

    def of(self, run: str) -> tuple[int, str] | None:
        """(tenant, who) of ``run``; None if there is none."""
        row = self._db.one("SELECT tenant, who FROM runs WHERE run = ?", (run,))
        return None if row is None else (row[0], row[1])

    def counted(self, since: int) -> list[tuple[int, str, str, int]]:
        """(tenant, who, journey, how many) of the runs that began at position ``since`` or later."""
        rows = self._db.all(
            "SELECT tenant, who, journey, count(*) FROM runs WHERE position >= ? GROUP BY tenant, who, journey",
            (since,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    # -- what `audit verify` compares with the log

    def at(self, position: int) -> tuple[int, str, str] | None:
        """(tenant, journey, who) of the run that begins at ``position``."""
        row = self._db.one("SELECT tenant, journey, who FROM runs WHERE position = ?", (position,))
        return None if row is None else (row[0], row[1], row[2])

    def count(self) -> int:
        return int(self._db.value("SELECT count(*) FROM runs"))

    def unlike_the_log(self) -> int | None:
        """The position of a row that is of another run than the event there, or stands otherwise than the run's end says."""
        found = self._db.value(
            """SELECT r.position FROM runs r
               LEFT JOIN events s ON s.position = r.position AND s.kind = 'run.started' AND s.run = r.run
               LEFT JOIN events f ON f.run = r.run AND f.run <> '' AND f.kind = 'run.finished'
               WHERE s.position IS NULL
                  OR r.status <> coalesce(json_extract(CAST(f.header AS TEXT), '$.facts.status'), '') LIMIT 1"""
        )
        return None if found is None else int(found)
