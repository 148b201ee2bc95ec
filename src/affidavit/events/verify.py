"""Check the whole log, or what came since it was last checked: positions, headers, leaves, bodies, tree, checkpoints.

One pass, in memory that does not grow with the bodies: a byte an event, to know which bodies are gone until an erasure on
record accounts for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.domain.canonical import canonical
from affidavit.domain.errors import LogDamagedError, WorkspaceDamagedError
from affidavit.domain.events import EventKind, commit_body
from affidavit.events.log import TILE_LEVELS
from affidavit.events.merkle import Frontier, leaf_hash, node_hash
from affidavit.events.note import open_note
from affidavit.store.bodies import ERASED, unpack
from affidavit.store.database import Database, Row

_SQL = (
    "SELECT e.position, e.kind, e.tenant, e.run, e.at, e.header, e.leaf, e.body, b.salt, b.codec, b.size, b.data "
    "FROM events e LEFT JOIN bodies b ON b.id = e.body WHERE e.position >= ? ORDER BY e.position"
)
_SHAPE = {"kind": str, "tenant": int, "at": int, "facts": dict}
_RUNS, _PEOPLE, _DOCUMENTS, _SAID = 1, 2, 3, 4
_ERASABLE: Mapping[str, int] = {
    EventKind.RUN_STARTED.value: _RUNS,
    EventKind.STEP_RECORDED.value: _RUNS,
    EventKind.DECISION_MADE.value: _RUNS,
    EventKind.CLAIM_RELEASED.value: _RUNS,
    EventKind.ANSWER_RELEASED.value: _RUNS,
    EventKind.RUN_FINISHED.value: _RUNS,
    EventKind.CALL_PROPOSED.value: _RUNS,
    EventKind.CALL_CHANGED.value: _RUNS,
    EventKind.PERSON_CHANGED.value: _PEOPLE,
    EventKind.MEMBERSHIP_CHANGED.value: _PEOPLE,
    EventKind.GRANT_CHANGED.value: _PEOPLE,
    EventKind.CREDENTIAL_CHANGED.value: _PEOPLE,
    EventKind.PROPOSAL_CHANGED.value: _PEOPLE,
    EventKind.DOCUMENT_INDEXED.value: _DOCUMENTS,
    EventKind.DOCUMENT_REMOVED.value: _DOCUMENTS,
    EventKind.FEEDBACK_GIVEN.value: _SAID,
}
_ALLOWED: Mapping[str, tuple[int, ...]] = {
    "run": (_RUNS, _SAID),
    "retention": (_RUNS,),
    "person": (_RUNS, _PEOPLE, _SAID),
    "document": (_RUNS, _DOCUMENTS),
}
"""What an erasure may take, by its cause: never what says who may do what, but with the person themselves."""


@dataclass(frozen=True)
class LogReport:
    """What was checked: so many events and bodies, under this root, signed so many times.

    ``events`` is the log's size, also when only its end was read; ``erased`` counts bodies that erasures account for.
    """

    events: int
    bodies: int
    erased: int
    checkpoints: int
    root: str
    frontier: str


@dataclass(frozen=True)
class Noted:
    """A checked event on its way to a fold. ``body`` is None where there is none or it was erased."""

    position: int
    kind: EventKind
    tenant: int
    facts: dict[str, Any]
    body: Any
    erased: bool


@dataclass(frozen=True)
class Fold:
    """Somebody who wants to be told of events of some kinds, in order, once each is checked."""

    kinds: frozenset[str]
    take: Callable[[Noted], None]


def _fault(position: int, what: str) -> LogDamagedError:
    return LogDamagedError(
        f"position {position}: {what}",
        "everything before this position is as it was recorded; nothing from it on can be relied on",
    )


def frontier_at(database: Database, size: int) -> Frontier:
    """The tree's frontier when it had ``size`` leaves, from stored nodes and at most 255 leaves.

    Raises LogDamagedError if they are not there. Call inside a snapshot.
    """
    hashes, at = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            hashes.append(_subtree(database, level, at >> level))
            at += 1 << level
    return Frontier(size, hashes)


def _subtree(database: Database, level: int, number: int) -> bytes:
    """The root of the perfect subtree ``number`` of ``level``."""
    base = level // TILE_LEVELS * TILE_LEVELS
    first, last = number << level - base, (number + 1 << level - base) - 1
    if base:
        rows = database.all(
            "SELECT hash FROM tree WHERE level = ? AND number BETWEEN ? AND ? ORDER BY number",
            (base, first, last),
        )
    else:
        rows = database.all(
            "SELECT leaf FROM events WHERE position BETWEEN ? AND ? ORDER BY position", (first, last)
        )
    nodes = [bytes(row[0]) for row in rows]
    if len(nodes) != last - first + 1:
        raise _fault(number << level, "the stored tree is not whole")
    while len(nodes) > 1:
        nodes = [node_hash(a, b) for a, b in zip(nodes[::2], nodes[1::2], strict=True)]
    return nodes[0]


class LogVerifier:
    """One pass over the log. Raises LogDamagedError at the first fault.

    With ``after`` (the frontier of an earlier pass) only what came later is read; that the old tree is still the
    beginning of this one is the caller's to check.
    """

    def __init__(
        self,
        database: Database,
        verifier: str,
        progress: Callable[[int], None] | None = None,
        *,
        fold: Fold | None = None,
        after: Frontier | None = None,
    ) -> None:
        self._db = database
        self._verifier = verifier
        self._progress = progress
        self._fold = fold
        self._frontier = after or Frontier()
        self._first = self._frontier.size
        self._nodes: dict[int, tuple[int, Any]] = {}
        self._gone = bytearray()
        self._body_count = self._erased_count = 0
        self._last_at = 0

    def run(self) -> LogReport:
        """Check everything. Call inside a snapshot."""
        notes: dict[int, str] = dict(
            self._db.each("SELECT size, note FROM checkpoints WHERE size > ? ORDER BY size", (self._first,))
        )
        frontier = self._frontier
        self._before()
        self._last_at = self._db.value("SELECT at FROM events WHERE position = ?", (self._first - 1,)) or 0
        for row in self._db.each(_SQL, (self._first,)):
            self._event(row, frontier.size)
            frontier.append(row[6], self._completed)
            if frontier.size in notes:
                self._checkpoint(notes[frontier.size], frontier)
            if self._progress is not None and frontier.size % 1000 == 0:
                self._progress(frontier.size)
        self._end(frontier, notes)
        return LogReport(
            frontier.size,
            self._body_count,
            self._erased_count,
            len(notes),
            frontier.root().hex(),
            frontier.as_text(),
        )

    def _before(self) -> None:
        """That nothing stands before the first position, where no pass comes by but a reader of a run or a kind does."""
        stray = self._db.value("SELECT min(position) FROM events WHERE position < 0")
        if stray is not None:
            raise _fault(int(stray), "there is an event before the first")
        if self._db.value("SELECT 1 FROM checkpoints WHERE size < 1") is not None:
            raise _fault(0, "there is a checkpoint of no events")

    def _event(self, row: Row, expected: int) -> None:
        position, kind, tenant, _, at, header, leaf, body, *stored = row
        if position != expected:
            raise _fault(expected, "the event is missing")
        if not isinstance(header, bytes) or leaf_hash(header) != leaf:
            raise _fault(position, "the header was changed: its leaf hash does not match")
        try:
            said = json.loads(header)
            exact = canonical(said) == header
        except (ValueError, TypeError, RecursionError):
            said, exact = None, False
        if not exact:
            raise _fault(position, "the header is not canonical JSON")
        if (
            not isinstance(said, dict)
            or (said.get("kind"), said.get("tenant"), said.get("run", ""), said.get("at")) != row[1:5]
            or {name: type(said.get(name)) for name in _SHAPE} != _SHAPE
        ):
            raise _fault(position, "the row's columns do not say what its header says")
        if at < self._last_at:
            raise _fault(position, "time runs backwards")
        self._last_at = at
        data = self._body(position, kind, said.get("body", ""), body, stored)
        if kind == EventKind.BODY_ERASED.value:
            self._erasure(position, said, data)
        if self._fold is not None and kind in self._fold.kinds:
            gone = data is None and body is not None
            parsed = None if data is None else json.loads(data)
            self._fold.take(Noted(position, EventKind(kind), tenant, said["facts"], parsed, gone))

    def _body(
        self, position: int, kind: str, commitment: str, body: int | None, stored: list[Any]
    ) -> bytes | None:
        """The body's bytes; None if there is none, or if it was erased, which is then noted."""
        if not commitment:
            if body is not None:
                raise _fault(position, "a body was attached that the header does not commit to")
            self._gone.append(0)
            return None
        if body is None:
            raise _fault(position, "the body is gone without an erasure on record")
        salt, codec, size, data = stored
        if salt is None:
            raise _fault(position, f"body {body} is missing")
        if codec == ERASED:
            if kind not in _ERASABLE or salt or data or size:
                raise _fault(position, "the body is gone without an erasure on record")
            self._gone.append(_ERASABLE[kind])
            return None
        try:
            plain = unpack(body, codec, size, data)
        except (WorkspaceDamagedError, TypeError) as error:
            raise _fault(position, f"body {body} is damaged: {error}") from error
        if type(salt) is not bytes or commit_body(salt, plain) != commitment:
            raise _fault(position, "the body was changed: its commitment does not match")
        self._gone.append(0)
        self._body_count += 1
        return plain

    # -- erasures

    def _erasure(self, position: int, header: dict[str, Any], data: bytes | None) -> None:
        """That everything it says is gone is gone, and was its to take."""
        try:
            cause, count = header["facts"]["cause"], header["facts"]["events"]
            ranges = [(int(a), int(b)) for a, b in json.loads(data or b"")["positions"]]
            allowed = _ALLOWED[cause]
        except (KeyError, TypeError, ValueError) as error:
            raise _fault(position, f"the erasure does not say what it took ({error!r})") from error
        for first, last in ranges:
            if not 0 <= first <= last < position:
                raise _fault(position, "the erasure names positions that are not before it")
            self._account(position, first, last, allowed)
        taken = sum(last - first + 1 for first, last in ranges)
        if taken != count:
            raise _fault(position, "the erasure's header counts other bodies than it names")
        self._erased_count += taken

    def _account(self, position: int, first: int, last: int, allowed: tuple[int, ...]) -> None:
        if first < self._first:  # checked when the log was checked up to there; are they empty now?
            old = min(last, self._first - 1)
            kinds = [kind for kind, group in _ERASABLE.items() if group in allowed]
            empty = self._db.value(
                "SELECT count(*) FROM events e JOIN bodies b ON b.id = e.body "
                "WHERE e.position BETWEEN ? AND ? AND b.codec = ? AND e.kind IN (SELECT value FROM json_each(?))",
                (first, old, ERASED, json.dumps(kinds)),
            )
            if empty != old - first + 1:
                raise _fault(
                    position, f"the erasure says that bodies from {first} to {old} are gone; not all are"
                )
            first = old + 1
        at, stop = first - self._first, last + 1 - self._first
        if self._gone[at:stop].translate(None, bytes(allowed)):
            raise _fault(
                position, f"the erasure names bodies from {first} to {last} that are there or not its to take"
            )
        self._gone[at:stop] = bytes(stop - at)

    # -- the tree

    def _completed(self, level: int, number: int, hash: bytes) -> None:
        """Stored nodes are read in order beside the events, a cursor a level."""
        if level % TILE_LEVELS:
            return
        if level not in self._nodes:
            nodes = self._db.each(
                "SELECT number, hash FROM tree WHERE level = ? AND number >= ? ORDER BY number",
                (level, number),
            )
            self._nodes[level] = (number, nodes)
        if next(self._nodes[level][1], None) != (number, hash):
            raise _fault(number << level, f"the stored tree is wrong at level {level}, node {number}")

    def _checkpoint(self, note: str, frontier: Frontier) -> None:
        checkpoint = open_note(note, self._verifier)
        if checkpoint.size != frontier.size or checkpoint.root != frontier.root():
            raise _fault(
                frontier.size - 1,
                f"the events up to here are not those that checkpoint {frontier.size} signed",
            )

    def _end(self, frontier: Frontier, notes: dict[int, str]) -> None:
        stray = self._db.one(
            f"SELECT level, number FROM tree WHERE level <= 0 OR level >= 64 OR level % {TILE_LEVELS} "  # noqa: S608
            "OR number < 0 OR number >= ? >> level ORDER BY level, number LIMIT 1",
            (frontier.size,),
        )
        if stray is not None:
            level, number = stray
            raise _fault(
                frontier.size, f"the tree holds a node beyond the last event (level {level}, node {number})"
            )
        beyond = [size for size in notes if size > frontier.size]
        if beyond:
            raise _fault(frontier.size, f"the log was cut off: a checkpoint signed {max(beyond)} events")
        if frontier.size > self._first and frontier.size not in notes:
            raise _fault(frontier.size - 1, "the last event is not covered by a signed checkpoint")
        stored = self._db.value("SELECT value FROM meta WHERE key = 'frontier'")
        if stored != (frontier.as_text() if frontier.size else None):
            raise _fault(frontier.size - 1, "the stored tree head is not that of the events")
        rest = self._gone.lstrip(b"\0")
        if rest:
            at = self._first + len(self._gone) - len(rest)
            raise _fault(at, "the body is gone without an erasure on record")
