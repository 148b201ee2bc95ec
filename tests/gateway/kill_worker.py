"""A worker process that others kill: its tools write into a SQLite file, which is the outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import affidavit
from affidavit.domain.clock import SystemClock
from affidavit.domain.decisions import Verdict
from affidavit.gateway.contracts import Callee, Context, Registry, tool
from affidavit.gateway.gateway import Gateway
from affidavit.gateway.ledger import Ledger
from affidavit.store.calls import Calls
from tests.gateway.world import Table

NAMES = ("pay", "put", "book", "mail")
GRACE = 700_000
"""Microseconds; with the tools' timeout of 300 ms a dead worker's call is taken over after a second."""


def outside(path: Path) -> sqlite3.Connection:
    """Requests as they came, and what was done once a key."""
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS requests (key TEXT, tool TEXT)")
    connection.execute("CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY)")
    return connection


def tools(path: Path) -> list[Callee]:
    """One of each kind that changes something."""

    def ask(name: str, key: str, once: bool) -> None:
        with closing(outside(path)) as there:
            there.execute("INSERT INTO requests VALUES (?, ?)", (key, name))
            there.execute(f"INSERT {'OR IGNORE ' if once else ''}INTO done VALUES (?)", (key,))

    @tool(effect="write", idempotency="by_key", attempts=100, timeout=300)
    def pay(n: int, context: Context) -> None:
        """Pay, once a key."""
        ask("pay", context.key, once=True)

    @tool(effect="write", idempotency="native", attempts=100, timeout=300)
    def put(n: int, context: Context) -> None:
        """Set a value."""
        ask("put", context.key, once=True)

    @tool(effect="write", idempotency="check_first", attempts=100, timeout=300)
    def book(n: int, context: Context) -> int:
        """Book; what was asked for twice would fail."""
        ask("book", context.key, once=False)
        return 1

    @book.checks
    def booked(context: Context) -> int | None:
        with closing(outside(path)) as there:
            return 1 if there.execute("SELECT 1 FROM done WHERE key = ?", (context.key,)).fetchone() else None

    @tool(effect="irreversible", idempotency="none", timeout=300)
    def mail(n: int, context: Context) -> None:
        """Send."""
        ask("mail", context.key, once=False)

    return [pay, put, book, mail]


def gateway(ws: affidavit.Workspace, path: Path) -> Gateway:
    """A gateway whose rules permit all of them."""
    parts = ws.parts
    table = Table({f"{name}@1": Verdict.PERMIT for name in NAMES})
    ledger = Ledger(Calls(parts.database), parts.events, table, table.person, parts.randomness, grace=GRACE)
    return Gateway(parts.database, parts.log, parts.events, ledger, Registry(tools(path)), SystemClock())


def work(folder: str, path: str) -> None:
    """Work until killed."""
    with affidavit.open(folder) as ws:
        gateway(ws, Path(path)).work(once=False, poll=0.01)
