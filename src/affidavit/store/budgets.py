"""Budgets as declared: rows with ``since`` and ``until``, each accounted for by an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

WORKSPACE, EACH = 0, "*"
DAY, MONTH = "day", "month"
_OPEN = f"until = {FOREVER}"
_COLUMNS = "number, tenant, who, task, per, amount, requests, currency, since, until"


@dataclass(frozen=True)
class Budget:
    """``tenant`` 0: every tenant together. ``who``: a person's pseudonym, ``*`` each person for themself, "" all together.
    ``task`` "": every task. ``amount`` in micro-units of ``currency`` and ``requests`` for each ``per``, -1 for no limit."""

    number: int
    tenant: int
    who: str
    task: str
    per: str
    amount: int
    requests: int
    currency: str
    since: int
    until: int

    @property
    def scope(self) -> tuple[int, str, str, str]:
        """What it is for: there is one budget of a scope."""
        return self.tenant, self.who, self.task, self.per

    def applies(self, tenant: int, who: str, task: str) -> bool:
        """Whether a call for ``who`` of ``tenant`` counts; a call for nobody counts in no personal budget."""
        personal = self.who in ("", who) or (self.who == EACH and bool(who))
        return self.tenant in (WORKSPACE, tenant) and personal and self.task in ("", task)


class Budgets:
    """Call inside a transaction; ``position`` is that of the event that caused the change."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def live(self) -> list[Budget]:
        rows = self._db.all(f"SELECT {_COLUMNS} FROM budgets WHERE {_OPEN} ORDER BY number")
        return [Budget(*row) for row in rows]

    def applying(self, tenant: int, who: str, task: str) -> list[Budget]:
        """The budgets in which a call for ``who`` counts."""
        rows = self._db.all(
            f"SELECT {_COLUMNS} FROM budgets WHERE {_OPEN} AND tenant IN (?, ?) AND who IN (?, ?, ?) AND task IN (?, ?) "
            "ORDER BY number",
            (WORKSPACE, tenant, "", who, EACH, "", task),
        )
        return [budget for budget in map(_made, rows) if budget.applies(tenant, who, task)]

    def number(self, scope: Sequence[object]) -> int:
        """The number that the scope's budget has or once had, else a new one: what was counted is counted on."""
        found = self._db.value(
            "SELECT number FROM budgets WHERE tenant = ? AND who = ? AND task = ? AND per = ?", tuple(scope)
        )
        return int(found or self._db.value("SELECT coalesce(max(number), 0) + 1 FROM budgets"))

    def add(self, budget: Budget) -> None:
        """Put ``budget`` in the place of the one that has its number."""
        self.remove(budget.number, budget.since)
        self._db.run(
            f"INSERT INTO budgets ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            tuple(vars(budget).values()),
        )

    def remove(self, number: int, position: int) -> int:
        """How many ended: one or none."""
        return self._db.changed(
            f"UPDATE budgets SET until = ? WHERE number = ? AND {_OPEN}", (position, number)
        )

    def everything(self) -> list[Budget]:
        """Every row there ever was, in order."""
        rows = self._db.all(f"SELECT {_COLUMNS} FROM budgets ORDER BY number, since")
        return [Budget(*row) for row in rows]


def _made(row: Sequence[int | str]) -> Budget:
    return Budget(*row)  # type: ignore[arg-type]  # columns in the order of the fields
