"""Check the whole log: positions, headers, leaves, bodies, tree, checkpoints; name the first fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from affidavit.domain.canonical import canonical
from affidavit.domain.errors import LogDamagedError, WorkspaceDamagedError
from affidavit.domain.events import commit_body
from affidavit.events.log import TILE_LEVELS
from affidavit.events.merkle import Frontier, leaf_hash
from affidavit.events.note import open_note
from affidavit.store.bodies import Bodies
from affidavit.store.database import Database, Row

_COLUMNS = ("kind", "tenant", "run", "at")


@dataclass(frozen=True)
class LogReport:
    """What was checked: so many events and bodies, under this root, signed so many times."""

    events: int
    bodies: int
    checkpoints: int
    root: str


def _fault(position: int, what: str) -> LogDamagedError:
    return LogDamagedError(
        f"position {position}: {what}",
        "everything before this position is as it was recorded; nothing from it on can be relied on",
    )


class LogVerifier:
    """One pass over the log. Raises LogDamagedError at the first fault."""

    def __init__(
        self, database: Database, bodies: Bodies, verifier: str, progress: Callable[[int], None] | None = None
    ) -> None:
        self._db = database
        self._bodies = bodies
        self._verifier = verifier
        self._progress = progress
        self._tree: dict[tuple[int, int], bytes] = {}
        self._body_count = 0
        self._last_at = 0

    def run(self) -> LogReport:
        """Check everything. Call inside a snapshot."""
        self._tree = {(level, number): hash for level, number, hash in self._db.each("SELECT * FROM tree")}
        notes: dict[int, str] = dict(self._db.each("SELECT size, note FROM checkpoints ORDER BY size"))
        frontier = Frontier()
        rows = self._db.each(
            "SELECT position, kind, tenant, run, at, header, leaf, body FROM events ORDER BY position"
        )
        for row in rows:
            self._event(row, frontier.size)
            frontier.append(row[6], self._completed)
            if frontier.size in notes:
                self._checkpoint(notes[frontier.size], frontier)
            if self._progress is not None and frontier.size % 1000 == 0:
                self._progress(frontier.size)
        self._end(frontier, notes)
        return LogReport(frontier.size, self._body_count, len(notes), frontier.root().hex())

    def _event(self, row: Row, expected: int) -> None:
        position, kind, tenant, run, at, header, leaf, body = row
        if position != expected:
            raise _fault(expected, "the event is missing")
        if not isinstance(header, bytes) or leaf_hash(header) != leaf:
            raise _fault(position, "the header was changed: its leaf hash does not match")
        try:
            said = json.loads(header)
            exact = canonical(said) == header
        except (ValueError, TypeError):
            said, exact = None, False
        if not exact:
            raise _fault(position, "the header is not canonical JSON")
        if not isinstance(said, dict) or [said.get(k, "") for k in _COLUMNS] != [kind, tenant, run, at]:
            raise _fault(position, "the row's columns do not say what its header says")
        if at < self._last_at:
            raise _fault(position, "time runs backwards")
        self._last_at = at
        self._body(position, said.get("body", ""), body)

    def _body(self, position: int, commitment: str, body: int | None) -> None:
        if not commitment:
            if body is not None:
                raise _fault(position, "a body was attached that the header does not commit to")
            return
        if body is None:
            raise _fault(position, "the body is gone without an erasure on record")
        try:
            salt, data = self._bodies.opened(body)
        except WorkspaceDamagedError as error:
            raise _fault(position, error.message) from error
        if commit_body(salt, data) != commitment:
            raise _fault(position, "the body was changed: its commitment does not match")
        self._body_count += 1

    def _completed(self, level: int, number: int, hash: bytes) -> None:
        if level % TILE_LEVELS == 0 and self._tree.pop((level, number), None) != hash:
            raise _fault(number << level, f"the stored tree is wrong at level {level}, node {number}")

    def _checkpoint(self, note: str, frontier: Frontier) -> None:
        checkpoint = open_note(note, self._verifier)
        if checkpoint.size != frontier.size or checkpoint.root != frontier.root():
            raise _fault(
                frontier.size - 1,
                f"the events up to here are not those that checkpoint {frontier.size} signed",
            )

    def _end(self, frontier: Frontier, notes: dict[int, str]) -> None:
        if self._tree:
            level, number = min(self._tree)
            raise _fault(
                frontier.size, f"the tree holds a node beyond the last event (level {level}, node {number})"
            )
        beyond = [size for size in notes if size > frontier.size]
        if beyond:
            raise _fault(frontier.size, f"the log was cut off: a checkpoint signed {max(beyond)} events")
        if frontier.size and frontier.size not in notes:
            raise _fault(frontier.size - 1, "the last event is not covered by a signed checkpoint")
        stored = self._db.value("SELECT value FROM meta WHERE key = 'frontier'")
        if stored != (frontier.as_text() if frontier.size else None):
            raise _fault(frontier.size - 1, "the stored tree head is not that of the events")
