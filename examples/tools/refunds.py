"""A refund ledger in SQLite: whole cents, one row a refund, taken back by a row that says so. Each row knows its key."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypedDict

from affidavit import Case, Context, Limits, ToolError, tool

_place: dict[str, Path] = {}


class Refund(TypedDict):
    refund: int
    order: int
    cents: int


def configure(settings: dict[str, str]) -> None:
    """``ledger`` is a file beside tools.toml."""
    _place["ledger"] = Path(settings["folder"]) / settings.get("ledger", "refunds.db")


def _ledger() -> sqlite3.Connection:
    there = sqlite3.connect(_place["ledger"], timeout=3, isolation_level=None)
    there.execute(
        "CREATE TABLE IF NOT EXISTS rows (refund INTEGER PRIMARY KEY, key TEXT UNIQUE, customer_order INTEGER, cents INTEGER, "
        "reason TEXT, takes_back INTEGER UNIQUE)"
    )
    return there


@tool(effect="read", owner="finance")
def refunded(order: int) -> int:
    """How many cents were given back for an order."""
    with closing(_ledger()) as ledger:
        (cents,) = ledger.execute("SELECT sum(cents) FROM rows WHERE customer_order = ?", (order,)).fetchone()
    return cents or 0


@tool(
    effect="write",
    idempotency="by_key",
    owner="finance",
    data=["reason"],
    undo="take_back@1",
    attempts=3,
    timeout=5_000,
    rate=(30, 60),
)
def refund(
    order: Annotated[int, Limits(least=1, most=999_999_999)],
    cents: Annotated[int, Limits(least=1, most=500_00)],
    reason: Annotated[str, Limits(most=500)],
    context: Context,
) -> Refund:
    """Give a customer money back for an order. The amount is in cents, at most 500 euros."""
    with closing(_ledger()) as ledger:
        # one statement does it and remembers the key: there is nothing between the two where a process could die
        ledger.execute(
            "INSERT OR IGNORE INTO rows (key, customer_order, cents, reason) VALUES (?, ?, ?, ?)",
            (context.key, order, cents, reason),
        )
        (row,) = ledger.execute("SELECT refund FROM rows WHERE key = ?", (context.key,)).fetchone()
    return {"refund": row, "order": order, "cents": cents}


@tool(effect="write", idempotency="by_key", owner="finance", attempts=3, timeout=5_000)
def take_back(refund: Annotated[int, Limits(least=1, most=2**53 - 1)], context: Context) -> int:
    """Take a refund back. Returns the cents that it was about."""
    with closing(_ledger()) as ledger:
        ledger.execute("BEGIN IMMEDIATE")
        found = ledger.execute("SELECT customer_order, cents FROM rows WHERE refund = ? AND cents > 0", (refund,)).fetchone()
        before = ledger.execute("SELECT key FROM rows WHERE takes_back = ?", (refund,)).fetchone()
        if found is None or before not in (None, (context.key,)):
            ledger.execute("ROLLBACK")
            raise ToolError(f"there is no refund {refund} to take back", "look it up: tool call refunded")
        ledger.execute(
            "INSERT OR IGNORE INTO rows (key, customer_order, cents, reason, takes_back) VALUES (?, ?, ?, 'taken back', ?)",
            (context.key, found[0], -found[1], refund),
        )
        ledger.execute("COMMIT")
    return int(found[1])


# -- on trial: affidavit tool test refunds.py


@contextmanager
def sandbox() -> Iterator[object]:
    with TemporaryDirectory() as folder:
        configure({"folder": folder})
        with closing(_ledger()) as ledger:
            ledger.execute("INSERT INTO rows VALUES (1, 'earlier', 6, 100, 'broken', NULL)")
        yield _balances


def _balances() -> list[tuple[int, int]]:
    with closing(_ledger()) as ledger:
        found = ledger.execute("SELECT customer_order, sum(cents) FROM rows GROUP BY 1 HAVING sum(cents) <> 0 ORDER BY 1")
        return found.fetchall()


cases = [
    Case(refunded, {"order": 6}, result=100),
    Case(refund, {"order": 7, "cents": 500, "reason": "arrived broken"}),
    Case(refund, {"order": 7, "cents": 500_01, "reason": "too much"}, refused=True),
    Case(take_back, {"refund": 1}, result=100),
    Case(take_back, {"refund": 99}, refused=True),
]
