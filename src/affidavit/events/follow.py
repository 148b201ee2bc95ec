"""Following: the log from a position on, in batches, over processes, with bounded memory.

Only what is durable is seen: another connection sees a commit of SQLite's WAL once it is on disk (``synchronous=FULL``). Every
header is hashed again before it is handed over, so that a row changed by hand does not leave as if it had been recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.errors import LogDamagedError, WorkspaceDamagedError
from affidavit.domain.events import FACTS, EventKind, commit_body
from affidavit.events.merkle import leaf_hash
from affidavit.ports.follower import Handed
from affidavit.store.bodies import Bodies
from affidavit.store.database import Database, Row

MOST_BYTES = 4 * 2**20
"""A batch is closed once it holds so many bytes of headers and bodies."""
MOST_OF_A_RUN = 5_000
"""Of a run's story no more events than this are read."""
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0

_COLUMNS = "position, header, leaf, body"
_STORY = tuple(
    kind.value
    for kind in (
        EventKind.RUN_STARTED,
        EventKind.STEP_RECORDED,
        EventKind.DECISION_MADE,
        EventKind.CLAIM_RELEASED,
        EventKind.ANSWER_RELEASED,
        EventKind.RUN_FINISHED,
    )
)
_WORD = re.compile(r"[a-z][a-z0-9_.]{0,39}")
_LARGEST = 2**53 - 1


@dataclass(frozen=True)
class Slice:
    """A piece of the log: the events wanted, the last position looked at and its leaf."""

    events: tuple[Handed, ...]
    through: int
    leaf: bytes


class Tail:
    """Reads the log forward. ``tenant`` None follows everything; ``content`` adds the bodies."""

    def __init__(
        self, database: Database, bodies: Bodies, *, tenant: int | None = None, content: bool = False
    ) -> None:
        self._db = database
        self._bodies = bodies
        self._tenant = tenant
        self._content = content

    def head(self) -> int:
        """The last position, -1 while the log is empty."""
        return int(self._db.value("SELECT coalesce(max(position), -1) FROM events"))

    def leaf(self, position: int) -> bytes | None:
        """The leaf hash at ``position``, None where there is no event."""
        found = self._db.value("SELECT leaf FROM events WHERE position = ?", (position,))
        return None if found is None else bytes(found)

    def after(self, position: int, limit: int) -> Slice | None:
        """The next events after ``position``, at most ``limit`` looked at; None when there are none yet.

        Raises LogDamagedError where the log has a gap or a changed row.
        """
        sql = f"SELECT {_COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608
        through, leaf, size = position, b"", 0
        events: list[Handed] = []
        with self._db.read():
            for row in self._db.each(sql, (position, limit)):
                if row[0] != through + 1:
                    raise _damaged(through + 1, "is missing")
                event, taken = self._handed(row)
                through, leaf, size = row[0], row[2], size + taken
                if event is not None:
                    events.append(event)
                if size >= MOST_BYTES:
                    break
        return Slice(tuple(events), through, leaf) if leaf else None

    def story(self, run: str, after: int, upto: int) -> Sequence[Handed]:
        """The start, steps, decisions, answer and end of ``run`` with ``after`` < position <= ``upto``."""
        marks = ", ".join("?" * len(_STORY))
        # `run <> ''` lets SQLite use its partial index on runs, `+kind` keeps it from using the one on kinds
        sql = (
            f"SELECT {_COLUMNS} FROM events WHERE run = ? AND run <> '' AND position > ? AND position <= ? "  # noqa: S608
            f"AND +kind IN ({marks}) ORDER BY position LIMIT ?"
        )
        with self._db.read():
            rows = self._db.all(sql, (run, after, upto, *_STORY, MOST_OF_A_RUN))
            handed = [self._handed(row)[0] for row in rows]
        return [event for event in handed if event is not None]

    def _handed(self, row: Row) -> tuple[Handed | None, int]:
        """(the event or None if it is another tenant's, the bytes it took)."""
        position, header, leaf, body_id = row
        said = _header(position, header, leaf)
        if self._tenant is not None and said["tenant"] != self._tenant:
            return None, len(header)
        kind = said["kind"]
        data = b""
        if body_id is not None and (self._content or kind in _TELLING):
            data = self._body(position, body_id, said.get("body", ""))
        body = _json(position, data) if data else None
        event = Handed(
            position,
            kind,
            said["tenant"],
            said.get("run", ""),
            said["at"],
            said["facts"],
            header,
            leaf,
            _TELLING[kind](body) if kind in _TELLING and isinstance(body, dict) else {},
            body if self._content else None,
        )
        return event, len(header) + len(data)

    def _body(self, position: int, body_id: int, commitment: str) -> bytes:
        """The body's bytes, b"" if it is gone: whether it should be is for `audit verify` to say, not for a follower."""
        try:
            salt, data = self._bodies.opened(body_id)
        except WorkspaceDamagedError:
            return b""
        if commit_body(salt, data) != commitment:
            raise _damaged(position, "has another body than the one recorded")
        return data


def waits() -> Iterator[float]:
    """Seconds between two looks at a log in which nothing happens: soon at first, then once a second."""
    wait = FIRST_WAIT
    while True:
        yield wait
        wait = min(wait * 1.5, LONGEST_WAIT)


# -- whoever holds the log's key can sign an event that says nothing sensible: it stops here, by name


def _header(position: int, header: Any, leaf: Any) -> dict[str, Any]:
    """What the header says. Raises LogDamagedError unless it hashes to ``leaf`` and has the form that affidavit writes."""
    if not isinstance(header, bytes) or leaf_hash(header) != leaf:
        raise _damaged(position, "was changed: its header does not hash to its leaf")
    said = _json(position, header)
    if not isinstance(said, dict) or {k: type(said.get(k)) for k in _SHAPE} != _SHAPE:
        raise _damaged(position, "is not of the form that affidavit writes")
    facts, declared = said["facts"], _DECLARED.get(said["kind"], {})
    whole = all(type(v) in (int, str) for v in facts.values()) and type(said.get("run", "")) is str
    if not whole or not 0 <= said["at"] <= _LARGEST or {k: type(facts.get(k)) for k in declared} != declared:
        raise _damaged(position, "is not of the form that affidavit writes")
    return said


def _json(position: int, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(position, "is not of the form that affidavit writes") from error


_SHAPE = {"kind": str, "tenant": int, "at": int, "facts": dict}
_DECLARED = {kind.value: dict(facts) for kind, facts in FACTS.items()}


# -- what may leave of a body by default: numbers, and words of our own


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _finished(body: Mapping[str, Any]) -> dict[str, Any]:
    timings = body.get("timings")
    if not isinstance(timings, dict):
        return {}
    kept = {k: v for k, v in timings.items() if _word(k) and type(v) is int and 0 <= v <= _LARGEST}
    return {"timings": kept} if kept else {}


def _released(body: Mapping[str, Any]) -> dict[str, Any]:
    refusal, claims = body.get("refusal"), body.get("claims")
    words: dict[str, Any] = {"claims": len(claims)} if isinstance(claims, list) else {}
    reason = _word(refusal.get("reason")) if isinstance(refusal, dict) else ""
    return {**words, "reason": reason} if reason else words


_TELLING: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    EventKind.RUN_FINISHED.value: _finished,
    EventKind.ANSWER_RELEASED.value: _released,
}


def _damaged(position: int, what: str) -> LogDamagedError:
    return LogDamagedError(
        f"position {position} {what}", "run `affidavit audit verify`; nothing from there on was handed over"
    )
