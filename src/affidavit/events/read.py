"""The read side of the log: events with their bodies. Checkers and followers use only this."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.errors import ErasedError, LogDamagedError
from affidavit.domain.events import EventKind, commit_body
from affidavit.domain.records import FOREVER
from affidavit.store.bodies import ERASED, Bodies, unpack
from affidavit.store.database import Database

_COLUMNS = "position, kind, tenant, run, at, header, body"


@dataclass(frozen=True)
class Recorded:
    """One event as it stands in the log. ``body_id`` is None when it has no body."""

    position: int
    kind: EventKind
    tenant: int
    run: str
    at: int
    facts: dict[str, Any]
    body_id: int | None
    commitment: str


class ErasedBody(dict[str, Any]):
    """Stands for a body that was erased: ``{"erased": true}``, and every part of it that is asked for is empty."""

    def __init__(self, **said: bool) -> None:
        super().__init__(**said)

    def __missing__(self, key: str) -> ErasedBody:
        return ErasedBody()


class Reader:
    """Reads events; call inside a snapshot when several reads must agree."""

    def __init__(self, database: Database, bodies: Bodies) -> None:
        self._db = database
        self._bodies = bodies

    def of_run(self, run: str) -> list[Recorded]:
        """A run's events in order; none if there is no such run."""
        # the second condition lets SQLite use the index, which leaves out events without a run
        sql = f"SELECT {_COLUMNS} FROM events WHERE run = ? AND run <> '' ORDER BY position"  # noqa: S608
        rows = self._db.all(sql, (run,))
        return [_recorded(row) for row in rows]

    def event(self, position: int) -> Recorded:
        """The event at ``position``. Raises LogDamagedError if there is none."""
        row = self._db.one(f"SELECT {_COLUMNS} FROM events WHERE position = ?", (position,))  # noqa: S608
        if row is None:
            raise LogDamagedError(
                f"position {position}: the event is missing",
                "run `affidavit audit verify`; restore the workspace from a backup",
            )
        return _recorded(row)

    def of_kind(
        self,
        kind: EventKind,
        *,
        newest_first: bool = False,
        tenants: Sequence[int] = (),
        before: int = FOREVER,
    ) -> Iterator[Recorded]:
        """Events of one kind, oldest first unless told otherwise, below position ``before``; stop taking them when there are
        enough. ``tenants`` are those of which they are, () for all."""
        order = "DESC" if newest_first else "ASC"
        of = "AND tenant IN (SELECT value FROM json_each(?)) " if tenants else ""
        sql = f"SELECT {_COLUMNS} FROM events WHERE kind = ? AND position < ? {of}ORDER BY position {order}"  # noqa: S608
        more = (json.dumps(list(tenants)),) if tenants else ()
        for row in self._db.each(sql, (kind.value, before, *more)):
            yield _recorded(row)

    def at(self, position: int) -> int:
        """When ``position`` was written, in microseconds; 0 before the first."""
        return int(self._db.value("SELECT coalesce(max(at), 0) FROM events WHERE position <= ?", (position,)))

    def finished(self, tenant: int) -> Iterator[tuple[str, str]]:
        """(run, journey) of the tenant's finished runs, oldest first."""
        ended = {e.run for e in self.of_kind(EventKind.RUN_FINISHED) if e.tenant == tenant}
        for event in self.of_kind(EventKind.RUN_STARTED):
            if event.run in ended:
                yield event.run, event.facts["journey"]

    def told(self, positions: Sequence[int]) -> list[tuple[Recorded, Any]]:
        """The events at ``positions`` with their bodies, in that order, at a fraction of the cost of one after the other. Raises
        LogDamagedError if one is missing or its body is not the one that was recorded."""
        found = {
            row[0]: row
            for row in self._db.all(
                "SELECT e.position, e.kind, e.tenant, e.run, e.at, e.header, e.body, b.salt, b.codec, b.size, b.data "
                "FROM json_each(?) wanted JOIN events e ON e.position = wanted.value LEFT JOIN bodies b ON b.id = e.body",
                (json.dumps(list(positions)),),
            )
        }
        out = []
        for position in positions:
            if position not in found:
                self.event(position)  # says so
            *event, salt, codec, size, data = found[position]
            recorded = _recorded(tuple(event))
            out.append((recorded, self._told(recorded, salt, codec, size, data)))
        return out

    def _told(self, event: Recorded, salt: Any, codec: int | None, size: Any, data: Any) -> Any:
        if event.body_id is None or codec is None or codec == ERASED:
            return self.body(event)
        return _checked(event, bytes(salt), unpack(event.body_id, codec, size, data))

    def body(self, event: Recorded) -> Any:
        """The event's body as JSON, None without one, an ``ErasedBody`` where it was erased.

        Raises LogDamagedError if it is not the one that was recorded.
        """
        if event.body_id is None:
            return None
        try:
            salt, data = self._bodies.opened(event.body_id)
        except ErasedError:
            return ErasedBody(erased=True)
        return _checked(event, salt, data)


def _checked(event: Recorded, salt: bytes, data: bytes) -> Any:
    """``data`` as JSON, if it is what the event commits to."""
    if commit_body(salt, data) != event.commitment:
        raise LogDamagedError(
            f"position {event.position}: the body was changed: its commitment does not match",
            "run `affidavit audit verify`; restore the workspace from a backup",
        )
    return json.loads(data)


def _recorded(row: tuple[Any, ...]) -> Recorded:
    position, kind, tenant, run, at, header, body = row
    said = json.loads(header)
    return Recorded(position, EventKind(kind), tenant, run, at, said["facts"], body, said.get("body", ""))
