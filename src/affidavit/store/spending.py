"""What was spent, counted. No names. After a power failure the counters are at most some seconds behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from affidavit.store.database import Row
from affidavit.store.derived import DerivedFile

FILE = "money.db"
_SCHEMA = """
CREATE TABLE counters (
  budget INTEGER, who TEXT, period INTEGER, micro INTEGER NOT NULL, requests INTEGER NOT NULL, squares INTEGER NOT NULL,
  due INTEGER NOT NULL, told INTEGER NOT NULL, PRIMARY KEY (budget, who, period)) WITHOUT ROWID;
CREATE INDEX counters_due ON counters (budget, who, period) WHERE due > told;
CREATE TABLE reserved (
  token INTEGER, budget INTEGER, who TEXT, period INTEGER, micro INTEGER NOT NULL, lease INTEGER NOT NULL,
  PRIMARY KEY (token, budget)) WITHOUT ROWID;
CREATE INDEX reserved_by_counter ON reserved (budget, who, period);
CREATE TABLE costs (
  day TEXT, tenant INTEGER, who TEXT, stage TEXT, task TEXT, provider TEXT, model TEXT, release TEXT, source TEXT, currency TEXT,
  calls INTEGER NOT NULL, input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, micro INTEGER NOT NULL,
  estimated INTEGER NOT NULL, time INTEGER NOT NULL, squares INTEGER NOT NULL,
  PRIMARY KEY (day, tenant, who, stage, task, provider, model, release, source, currency)) WITHOUT ROWID;
"""
WARNED, SPENT = 1, 2
_MILLI = 1_000
_LARGEST = 2**62
_LARGEST_SQUARE = 10**12

Key: TypeAlias = tuple[str, int, str, str, str, str, str, str, str, str]
"""(day, tenant, who, stage, task, provider, model, release, source, currency); currency "" where no price was known."""
Amounts: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""(calls, input, cached, output, micro, estimated calls, microseconds, squares of the calls' costs)."""
KEYS = ("day", "tenant", "who", "stage", "task", "provider", "model", "release", "source", "currency")
AMOUNTS = ("calls", "input", "cached", "output", "micro", "estimated", "time", "squares")


@dataclass(frozen=True)
class Spent:
    """What a budget has seen in a period. ``squares``: the sum of each call's cost squared, in thousandths of a unit;
    ``reserved``: micro-units of calls that are under way."""

    micro: int = 0
    requests: int = 0
    squares: int = 0
    reserved: int = 0
    under_way: int = 0


@dataclass(frozen=True)
class Want:
    """What one call takes of one budget. ``amount`` and ``requests`` are the limits, -1 for none; ``period`` is its beginning."""

    budget: int
    who: str
    period: int
    amount: int
    requests: int
    micro: int


def squared(cost: int) -> int:
    """``cost`` squared, in thousandths of a unit; of more than a thousand units as if it were that, so that sums fit."""
    return min((-(-cost // _MILLI)) ** 2, _LARGEST_SQUARE)


class Ledger(DerivedFile):
    """Counters, reservations and the cost view. Safe to share between threads and processes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, _SCHEMA, ["costs"])

    # -- counters

    def counted(self, budget: int, who: str, period: int, now: int) -> Spent | None:
        """What was counted and what is reserved at ``now``; None where nothing was counted yet."""
        with self.db.read():
            row = self.db.one(
                "SELECT micro, requests, squares FROM counters WHERE budget = ? AND who = ? AND period = ?",
                (budget, who, period),
            )
            return None if row is None else Spent(*row, *self._under_way(budget, who, period, now))

    def _under_way(self, budget: int, who: str, period: int, now: int) -> Row:
        sql = (
            "SELECT coalesce(sum(micro), 0), count(*) FROM reserved "
            "WHERE budget = ? AND who = ? AND period = ? AND lease > ?"
        )
        return self.db.one(sql, (budget, who, period, now)) or (0, 0)

    def seed(self, budget: int, who: str, period: int, spent: Spent) -> None:
        """Begin a counter, unless another process just did."""
        with self.db.write():
            self.db.run(
                "INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT DO NOTHING",
                (budget, who, period, spent.micro, spent.requests, spent.squares),
            )

    def recount(self, budget: int, who: str, period: int, spent: Spent) -> None:
        """Set a counter to what the log says, where that is more."""
        with self.db.write():
            self.db.run(
                "UPDATE counters SET micro = max(micro, ?), requests = max(requests, ?), squares = max(squares, ?) "
                "WHERE budget = ? AND who = ? AND period = ?",
                (spent.micro, spent.requests, spent.squares, budget, who, period),
            )

    def people(self, budget: int, period: int) -> list[str]:
        """For whom a budget of each person has counted."""
        rows = self.db.all("SELECT who FROM counters WHERE budget = ? AND period = ?", (budget, period))
        return [row[0] for row in rows]

    # -- reservations

    def reserve(self, token: int, wants: Sequence[Want], now: int, lease: int) -> tuple[Want, Spent] | None:
        """Set all of ``wants`` aside until ``lease``, or nothing: then the one that does not fit and what it has seen.

        One write transaction of SQLite: no other process reserves in between. What nobody settled in time is let go.
        """
        with self.db.write():
            self.db.run("DELETE FROM reserved WHERE lease <= ?", (now,))
            for want in wants:
                spent = self._now(want, now)
                if _too_much(want, spent):
                    self._due(want, SPENT)
                    return want, spent
            self.db.many(
                "INSERT INTO reserved VALUES (?, ?, ?, ?, ?, ?)",
                [(token, w.budget, w.who, w.period, w.micro, lease) for w in wants],
            )
        return None

    def _now(self, want: Want, now: int) -> Spent:
        at = want.budget, want.who, want.period
        row = self.db.one(
            "SELECT micro, requests, squares FROM counters WHERE budget = ? AND who = ? AND period = ?", at
        )
        return Spent(*(row or (0, 0, 0)), *self._under_way(*at, now))

    def _due(self, want: Want, level: int) -> None:
        self.db.run(
            "UPDATE counters SET due = max(due, ?) WHERE budget = ? AND who = ? AND period = ?",
            (level, want.budget, want.who, want.period),
        )

    def settle(self, token: int, wants: Iterable[Want], cost: int, percent: int) -> None:
        """Count a call that cost ``cost`` in place of what was set aside, also where that was let go meanwhile.

        From ``percent`` of the amount or of the requests on, a warning is due.
        """
        with self.db.write():
            self.db.run("DELETE FROM reserved WHERE token = ?", (token,))
            for want in wants:
                self.db.run(
                    "INSERT INTO counters VALUES (?, ?, ?, ?, 1, ?, 0, 0) ON CONFLICT DO UPDATE SET "
                    "micro = micro + excluded.micro, requests = requests + 1, squares = squares + excluded.squares",
                    (want.budget, want.who, want.period, cost, squared(cost)),
                )
                spent = self._now(want, _LARGEST)
                if near(want.amount, spent.micro, percent) or near(want.requests, spent.requests, percent):
                    self._due(want, WARNED)

    def release(self, token: int) -> None:
        """Nothing was spent."""
        with self.db.write():
            self.db.run("DELETE FROM reserved WHERE token = ?", (token,))

    def due(self) -> list[tuple[int, str, int, int]]:
        """(budget, who, period, level) of every warning that is not on record yet."""
        rows = self.db.all("SELECT budget, who, period, due FROM counters WHERE due > told")
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def told(self, budget: int, who: str, period: int, level: int) -> None:
        """A warning is on record."""
        with self.db.write():
            self.db.run(
                "UPDATE counters SET told = max(told, ?) WHERE budget = ? AND who = ? AND period = ?",
                (level, budget, who, period),
            )

    # -- the cost view

    def fold(self, before: int, position: int, leaf: bytes, lines: Iterable[tuple[Key, Amounts]]) -> bool:
        """Add ``lines`` and move from ``before`` to ``position``, both or neither; False if another process moved it."""
        keys = ", ".join("?" * len(KEYS + AMOUNTS))
        added = ", ".join(f"{name} = {name} + excluded.{name}" for name in AMOUNTS)
        return self.move(
            before,
            position,
            leaf,
            lambda: self.db.many(
                f"INSERT INTO costs VALUES ({keys}) ON CONFLICT DO UPDATE SET {added}",
                [(*key, *amounts) for key, amounts in lines],
            ),
        )

    def spent(
        self, days: tuple[str, str], tenant: int | None, who: str | None, task: str, currency: str
    ) -> Spent:
        """What the view says of the days from the first up to the last without it; None and "": of all. Embedding is not in
        it, since nothing is set aside for it."""
        where, values = "day >= ? AND day < ? AND provider <> '' AND stage <> 'embedding'", [*days]
        for column, value in (("tenant", tenant), ("who", who), ("task", task or None)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)  # type: ignore[arg-type]  # numbers and text
        row = self.db.one(
            f"SELECT coalesce(sum(CASE WHEN currency = ? THEN micro ELSE 0 END), 0), coalesce(sum(calls), 0), "
            f"coalesce(sum(CASE WHEN currency = ? THEN squares ELSE 0 END), 0) FROM costs WHERE {where}",
            (currency, currency, *values),
        )
        return Spent(*(row or (0, 0, 0)))

    def costs(self, by: Sequence[str], since: str, until: str, tenant: int | None) -> list[Row]:
        """Sums of ``AMOUNTS`` from day ``since`` to day ``until``, both in, by the columns ``by``."""
        columns = ", ".join(name for name in by if name in KEYS)
        sums = ", ".join(f"sum({name})" for name in AMOUNTS)
        where, values = "day >= ? AND day <= ?", [since, until]
        if tenant is not None:
            where += f" AND tenant = {int(tenant)}"
        return self.db.all(f"SELECT {columns}, {sums} FROM costs WHERE {where} GROUP BY {columns}", values)


def near(limit: int, spent: int, percent: int) -> bool:
    """Whether ``spent`` is ``percent`` of ``limit`` or more."""
    return limit >= 0 and spent * 100 >= limit * percent


def _too_much(want: Want, spent: Spent) -> bool:
    money = want.amount >= 0 and spent.micro + spent.reserved + want.micro > want.amount
    return money or (want.requests >= 0 and spent.requests + spent.under_way >= want.requests)
