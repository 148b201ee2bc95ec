"""A ticket tracker in SQLite that knows nothing of keys, only of a reference that callers may set: so it is asked first."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, TypedDict

from affidavit import Case, Context, Limits, ToolError, tool

Number = Annotated[int, Limits(least=1, most=2**53 - 1)]
Status = Literal["open", "waiting", "closed"]
_place: dict[str, Path] = {}


class Moved(TypedDict):
    ticket: int
    was: Status


def configure(settings: dict[str, str]) -> None:
    """``tracker`` is a file beside tools.toml."""
    _place["tracker"] = Path(settings["folder"]) / settings.get("tracker", "tickets.db")


def _tracker() -> sqlite3.Connection:
    there = sqlite3.connect(_place["tracker"], timeout=3, isolation_level=None)
    there.execute(
        "CREATE TABLE IF NOT EXISTS tickets (ticket INTEGER PRIMARY KEY, reference TEXT, title TEXT, body TEXT, status TEXT)"
    )
    return there


@tool(effect="read", owner="support", trusts={"ticket": "ticket"}, kinds={"ticket": "ticket"})
def ticket(ticket: Number) -> dict[str, str]:
    """Look a ticket up: its title, text and status."""
    with closing(_tracker()) as tracker:
        found = tracker.execute("SELECT title, body, status FROM tickets WHERE ticket = ?", (ticket,)).fetchone()
    if found is None:
        raise ToolError(f"there is no ticket {ticket}")
    return dict(zip(("title", "body", "status"), found, strict=True))


@tool(effect="write", idempotency="check_first", owner="support", data=["title", "body"], attempts=3, undo="withdraw_ticket@1")
def open_ticket(
    title: Annotated[str, Limits(least=1, most=120)], body: Annotated[str, Limits(most=5_000)], context: Context
) -> dict[str, int]:
    """Open a ticket for the support team."""
    with closing(_tracker()) as tracker:
        row = tracker.execute(
            "INSERT INTO tickets (reference, title, body, status) VALUES (?, ?, ?, 'open')", (context.key, title, body)
        )
        return {"ticket": int(row.lastrowid or 0)}


@open_ticket.checks
def opened(context: Context) -> dict[str, int] | None:
    with closing(_tracker()) as tracker:
        found = tracker.execute("SELECT ticket FROM tickets WHERE reference = ?", (context.key,)).fetchone()
    return {"ticket": found[0]} if found else None


@tool(effect="write", idempotency="native", owner="support", kinds={"ticket": "ticket"})
def withdraw_ticket(ticket: Number) -> None:
    """Remove a ticket that should not have been opened. One that is gone already stays gone."""
    with closing(_tracker()) as tracker:
        tracker.execute("DELETE FROM tickets WHERE ticket = ? AND reference <> ''", (ticket,))


@tool(effect="write", idempotency="native", owner="support", attempts=3, undo="put_back@1", kinds={"ticket": "ticket"})
def move_ticket(ticket: Number, status: Status) -> Moved:
    """Set the status of a ticket. Returns the one it had."""
    with closing(_tracker()) as tracker:
        tracker.execute("BEGIN IMMEDIATE")
        found = tracker.execute("SELECT status FROM tickets WHERE ticket = ?", (ticket,)).fetchone()
        if found is None:
            tracker.execute("ROLLBACK")
            raise ToolError(f"there is no ticket {ticket}")
        tracker.execute("UPDATE tickets SET status = ? WHERE ticket = ?", (status, ticket))
        tracker.execute("COMMIT")
    return {"ticket": ticket, "was": found[0]}


@tool(effect="write", idempotency="native", owner="support", attempts=3, kinds={"ticket": "ticket"})
def put_back(ticket: Number, was: Status) -> None:
    """Give a ticket the status that it had before it was moved."""
    with closing(_tracker()) as tracker:
        if not tracker.execute("UPDATE tickets SET status = ? WHERE ticket = ?", (was, ticket)).rowcount:
            raise ToolError(f"there is no ticket {ticket}")


# -- on trial: affidavit tool test tickets.py


@contextmanager
def sandbox() -> Iterator[object]:
    with TemporaryDirectory() as folder:
        configure({"folder": folder})
        with closing(_tracker()) as tracker:
            tracker.execute("INSERT INTO tickets VALUES (1, 'r', 'Printer', 'It is on fire', 'open')")
        yield _tickets


def _tickets() -> list[tuple[int, str, str, str]]:
    with closing(_tracker()) as tracker:
        return tracker.execute("SELECT ticket, title, body, status FROM tickets ORDER BY ticket").fetchall()


cases = [
    Case(ticket, {"ticket": 1}, result={"title": "Printer", "body": "It is on fire", "status": "open"}),
    Case(open_ticket, {"title": "Scanner", "body": "It is cold"}),
    Case(withdraw_ticket, {"ticket": 1}),
    Case(move_ticket, {"ticket": 1, "status": "closed"}, result={"ticket": 1, "was": "open"}),
    Case(move_ticket, {"ticket": 9, "status": "closed"}, refused=True),
    Case(put_back, {"ticket": 1, "was": "waiting"}),
]
