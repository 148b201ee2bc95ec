"""What is promised of sources, as rows, and what the log says of how it was kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

EACH = 0
"""The source of an objective that holds for each of them."""
_OPEN = f"until = {FOREVER}"
_FACT = "json_extract(CAST(e.header AS TEXT), '$.facts.{}')"
_MARKS = "'document.indexed', 'document.removed', 'access.changed'"


@dataclass(frozen=True)
class Objective:
    """``share`` of what is counted, in ten-thousandths, over the last ``days``; ``within``: seconds, 0 for what takes none."""

    tenant: int
    level: str
    source: int
    within: int
    share: int
    days: int


@dataclass(frozen=True)
class SyncRun:
    """A sync: when it began; ``finished``: 0 for one that was cut off; ``body``: says of what; ``changed``: it brought some."""

    run: str
    started: int
    finished: int
    body: int
    changed: bool


@dataclass(frozen=True)
class Changes:
    """Changes that a sync brought: how many, how many later than allowed, and the worst delay in microseconds."""

    count: int
    late: int
    worst: int


class Levels:
    """Call inside a transaction or snapshot."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- objectives

    def objectives(self, tenant: int | None = None) -> list[Objective]:
        """Those that hold now, of one tenant or of all."""
        rows = self._db.all(
            "SELECT tenant, level, source, within, share, days FROM objectives "
            f"WHERE {_OPEN} AND (? IS NULL OR tenant = ?) ORDER BY tenant, level, source",
            (tenant, tenant),
        )
        return [Objective(*row) for row in rows]

    def set(self, objective: Objective, position: int) -> None:
        """Put ``objective`` in the place of the one of its level and source."""
        self.remove(objective.tenant, objective.level, objective.source, position)
        self._db.run(
            "INSERT INTO objectives (tenant, level, source, within, share, days, since, until) "
            f"VALUES (?, ?, ?, ?, ?, ?, ?, {FOREVER})",
            (*vars(objective).values(), position),
        )

    def remove(self, tenant: int, level: str, source: int, position: int) -> int:
        """How many ended: one or none."""
        return self._db.changed(
            f"UPDATE objectives SET until = ? WHERE tenant = ? AND level = ? AND source = ? AND {_OPEN}",
            (position, tenant, level, source),
        )

    # -- what the log says

    def found(self, tenant: int, level: str, source: int) -> str:
        """What was last put on record about a level: ``breached``, ``kept``, or "" for nothing."""
        rows = self._db.each(
            f"SELECT {_FACT.format('subject')}, {_FACT.format('source')}, {_FACT.format('change')} FROM events e "
            "WHERE e.kind = 'level.changed' AND e.tenant = ? ORDER BY e.position DESC",
            (tenant,),
        )
        for of, where, change in rows:
            if (of, where) == (level, source) and change in ("breached", "kept"):
                return str(change)
        return ""

    def syncs(self, tenant: int, begin: int) -> list[SyncRun]:
        """The tenant's syncs that began at ``begin`` or later, oldest first."""
        rows = self._db.all(
            "SELECT e.run, e.at, coalesce((SELECT f.at FROM events f WHERE f.run = e.run AND f.run <> '' "
            "AND f.kind = 'run.finished'), 0), e.body, EXISTS (SELECT 1 FROM events c WHERE c.run = e.run AND c.run <> '' "
            f"AND c.kind IN ({_MARKS})) FROM runs r JOIN events e ON e.position = r.position WHERE r.tenant = ? "
            "AND r.journey = 'sync' AND e.at >= ? ORDER BY r.position",
            (tenant, begin),
        )
        return [SyncRun(*row) for row in rows]

    def last_step(self, run: str) -> int:
        """The position of the last step of ``run``, -1 if it has none."""
        found = self._db.value(
            "SELECT position FROM events WHERE run = ? AND run <> '' AND kind = 'step.recorded' "
            "ORDER BY position DESC LIMIT 1",
            (run,),
        )
        return -1 if found is None else int(found)

    def changes(self, run: str, kind: str, floor: int, within: int) -> Changes:
        """What of ``kind`` the sync ``run`` brought. A change took from the source's own time of it until its event, or from
        ``floor`` where that time says nothing credible (none, before ``floor``, in the future). ``within``: microseconds."""
        row = self._db.one(
            f"""SELECT coalesce(sum(weight), 0), coalesce(sum(CASE WHEN lag > ? THEN weight ELSE 0 END), 0),
                       coalesce(max(lag), 0) FROM (
                  SELECT CASE e.kind WHEN 'access.changed' THEN {_FACT.format("documents")} ELSE 1 END AS weight,
                         max(0, e.at - CASE WHEN r.modified BETWEEN ? AND e.at THEN r.modified ELSE ? END) AS lag
                  FROM events e LEFT JOIN revisions r ON e.kind = 'document.indexed'
                    AND r.document = {_FACT.format("subject")} AND r.since = e.position
                  WHERE e.run = ? AND e.run <> '' AND e.kind = ?)""",
            (within, floor, floor, run, kind),
        )
        return Changes(*(row or (0, 0, 0)))

    def answers(self, tenant: int, begin: int, most: int) -> Sequence[int]:
        """The positions of the newest ``most`` answers given at ``begin`` or later."""
        rows = self._db.all(
            "SELECT e.position FROM events e WHERE e.kind = 'answer.released' AND e.tenant = ? AND e.at >= ? "
            f"AND {_FACT.format('status')} = 'answered' ORDER BY e.position DESC LIMIT ?",
            (tenant, begin, most),
        )
        return [row[0] for row in rows]

    def added(self, source: int) -> int:
        """When ``source`` was registered, in microseconds."""
        return int(
            self._db.value(
                "SELECT e.at FROM sources s JOIN events e ON e.position = s.since WHERE s.id = ?", (source,)
            )
        )
