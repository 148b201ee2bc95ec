"""What was asked for, counted by minute and day, in a file that all processes share. No names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from affidavit.domain.clock import MICROSECONDS
from affidavit.store.derived import SideFile

FILE = "limits.db"
DAY = 86_400 * MICROSECONDS
_SCHEMA = """
CREATE TABLE flows (key TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counts (day INTEGER, key TEXT, count INTEGER NOT NULL, PRIMARY KEY (day, key)) WITHOUT ROWID;
CREATE TABLE days (day INTEGER PRIMARY KEY);
"""
_TIDY = 1_000
"""After so many changes what is over is forgotten."""


@dataclass(frozen=True)
class Bound:
    """At most ``most`` of ``key`` in ``window`` microseconds: of a day they are counted from midnight UTC, of anything shorter
    they flow back as time goes by (a token bucket that holds ``most``)."""

    key: str
    most: int
    window: int

    @property
    def daily(self) -> bool:
        """Whether it is counted by the day."""
        return self.window == DAY


@dataclass(frozen=True)
class Level:
    """How many are left, and in how many seconds there are more."""

    left: int
    after: int


class Counting(SideFile):
    """Counters. Safe to share between threads and processes.

    ``said`` tells what is known from elsewhere of the day that begins at the given time, by key: what a lost file had counted.
    """

    def __init__(
        self, folder: Path, said: Callable[[int], Iterable[tuple[str, int]]] = lambda since: ()
    ) -> None:
        super().__init__(
            folder / FILE,
            _SCHEMA,
            "days",
            "what was asked for today",
            f"stop what uses the workspace and delete {FILE}; what the log knows of today is counted anew",
        )
        self._said = said
        self._turn = threading.Lock()
        self._day = -1
        self._changes = 0

    def take(self, bounds: Sequence[Bound], now: int) -> tuple[list[Level], int]:
        """One of each of ``bounds``, or none of any: what is left of each, and which of them does not allow it, -1 for none."""
        self._begin(now)
        # within the process they wait for a lock, which is given on at once: SQLite would have them sleep and try again
        with self._turn, self.db.write():
            states = [self._state(bound, now) for bound in bounds]
            full = next(
                (n for n, (b, used) in enumerate(zip(bounds, states, strict=True)) if _full(b, used, now)), -1
            )
            if full < 0:
                states = [_taken(b, used) for b, used in zip(bounds, states, strict=True)]
            for bound, state in zip(bounds, states, strict=True):
                # what a clock that was set back has cut off stays cut off
                if full < 0 or (not bound.daily and state == _latest(bound, now)):
                    self._put(bound, state, now)
            self._tidy(now)
        return [_level(b, used, now) for b, used in zip(bounds, states, strict=True)], full

    def levels(self, bounds: Sequence[Bound], now: int) -> list[Level]:
        """What is left of each; nothing is taken."""
        self._begin(now)
        with self.db.read():
            return [_level(bound, self._state(bound, now), now) for bound in bounds]

    def _state(self, bound: Bound, now: int) -> int:
        if bound.daily:
            sql, of = "SELECT count FROM counts WHERE day = ? AND key = ?", (now // DAY, bound.key)
            return int(self.db.value(sql, of) or 0)
        until = int(self.db.value("SELECT until FROM flows WHERE key = ?", (bound.key,)) or 0)
        return min(max(until, now), _latest(bound, now))

    def _put(self, bound: Bound, state: int, now: int) -> None:
        if bound.daily:
            self.db.run("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", (now // DAY, bound.key, state))
        else:
            self.db.run("INSERT OR REPLACE INTO flows VALUES (?, ?)", (bound.key, state))

    def _begin(self, now: int) -> None:
        """Count what is known of today already, once; yesterday is forgotten."""
        day = now // DAY
        if day == self._day:
            return
        said = [] if self.db.one("SELECT 1 FROM days WHERE day = ?", (day,)) else list(self._said(day * DAY))
        with self._turn, self.db.write():
            if self.db.one("SELECT 1 FROM days WHERE day = ?", (day,)) is None:
                self.db.many("INSERT OR IGNORE INTO counts VALUES (?, ?, ?)", [(day, *one) for one in said])
                self.db.run("INSERT INTO days VALUES (?)", (day,))
                for table in ("counts", "days"):
                    self.db.run(f"DELETE FROM {table} WHERE day < ?", (day,))
        self._day = day

    def _tidy(self, now: int) -> None:
        self._changes += 1
        if self._changes >= _TIDY:
            self._changes = 0
            self.db.run("DELETE FROM flows WHERE until <= ?", (now,))  # a full bucket is as good as none


def _each(bound: Bound) -> int:
    """Microseconds in which one more flows back."""
    return -(-bound.window // bound.most)


def _latest(bound: Bound, now: int) -> int:
    """When an empty bucket is full again. No state is later: a clock that was set back makes nobody wait for it."""
    return now + bound.most * _each(bound)


def _full(bound: Bound, state: int, now: int) -> bool:
    if bound.daily:
        return state >= bound.most
    return state - now > (bound.most - 1) * _each(bound)


def _taken(bound: Bound, state: int) -> int:
    return state + (1 if bound.daily else _each(bound))


def _level(bound: Bound, state: int, now: int) -> Level:
    if bound.daily:
        return Level(max(bound.most - state, 0), -(-(DAY - now % DAY) // MICROSECONDS))
    each = _each(bound)
    used = state - now
    left = max((bound.most * each - used) // each, 0)
    more = used - (bound.most - left - 1) * each
    return Level(left, -(-min(max(more, 0), each) // MICROSECONDS))
