"""What requests with an idempotency key were answered, as rows: a day's memory, which is not on the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from affidavit.store.database import Database

_COLUMNS = "tenant, caller, key, request, run, owner, state, answer, at"
_MINE = "tenant = ? AND caller = ? AND key = ?"


class ReplyState(str, Enum):
    """``begun``: ``owner`` is at it; ``done``: ``answer`` is what was given; ``unknown``: it broke off, nobody knows where."""

    BEGUN = "begun"
    DONE = "done"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reply:
    """``caller``, ``key`` and ``request`` are digests. ``run``: the request's id; ``owner``: the process that answers it;
    ``answer``: JSON, "" where none is kept; ``at``: when it began, in microseconds."""

    tenant: int
    caller: str
    key: str
    request: str
    run: str
    owner: str
    state: ReplyState
    answer: str
    at: int


class Replies:
    """Each method but ``get`` belongs inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, tenant: int, caller: str, key: str) -> Reply | None:
        """What is known of ``key``."""
        row = self._db.one(f"SELECT {_COLUMNS} FROM replies WHERE {_MINE}", (tenant, caller, key))
        if row is None:
            return None
        number, who, name, request, run, owner, state, answer, at = row
        return Reply(number, who, name, request, run, owner, ReplyState(state), answer, at)

    def put(self, reply: Reply) -> None:
        """Remember it, in place of what was known."""
        marks = ", ".join("?" * 9)
        self._db.run(
            f"INSERT OR REPLACE INTO replies ({_COLUMNS}) VALUES ({marks})",
            (*list(vars(reply).values())[:6], reply.state.value, reply.answer, reply.at),
        )

    def settle(self, reply: Reply, state: ReplyState, answer: str = "") -> None:
        """How it came out; nothing where an erasure has emptied the table meanwhile."""
        self._db.run(
            f"UPDATE replies SET state = ?, answer = ? WHERE {_MINE} AND run = ?",
            (state.value, answer, reply.tenant, reply.caller, reply.key, reply.run),
        )

    def forget(self, reply: Reply) -> None:
        """As if it had not been asked."""
        self._db.run(
            f"DELETE FROM replies WHERE {_MINE} AND run = ?",
            (reply.tenant, reply.caller, reply.key, reply.run),
        )

    def trim(self, before: int, caller: tuple[int, str] | None = None, most: int = 0) -> None:
        """Forget what is older than ``before``, and of ``caller`` all but the ``most`` newest."""
        self._db.run("DELETE FROM replies WHERE at < ?", (before,))
        if caller is not None:
            self._db.run(
                "DELETE FROM replies WHERE tenant = ? AND caller = ? AND key NOT IN "
                "(SELECT key FROM replies WHERE tenant = ? AND caller = ? ORDER BY at DESC LIMIT ?)",
                (*caller, *caller, most),
            )

    def empty(self) -> None:
        """Forget everything: what was given may hold what is being erased."""
        self._db.run("DELETE FROM replies")
