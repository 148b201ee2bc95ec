"""Which actions take two people, and what waits for the second, as rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from affidavit.domain.canonical import canonical
from affidavit.domain.records import FOREVER
from affidavit.store.database import Database, Row

_OPEN = f"until = {FOREVER}"
_COLUMNS = "id, tenant, operation, principal, speaker, scopes, proof, asked, expires, state, since, until"
MADE = "made"
LEFT = ["", "", None, "", "", 0]
"""What is left in a row of an erased person's: principal, speaker, scopes, proof, asked, expires."""


@dataclass(frozen=True)
class Proposal:
    """``principal`` asked for ``operation`` with ``asked`` (JSON), by what is good for ``scopes``; ``speaker`` is the service
    that spoke for them, ``proof`` the id of the credential that they asked by, if it was one. It can be confirmed until
    ``expires`` (microseconds)."""

    id: str
    tenant: int
    operation: str
    principal: str
    speaker: str
    scopes: frozenset[str] | None
    proof: str
    asked: str
    expires: int
    state: str
    since: int
    until: int = FOREVER


class Proposals:
    """Reads outside a transaction too; each call sees what was committed last."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- what takes two

    def required(self, tenant: int) -> frozenset[str]:
        """The actions that take two people."""
        found = self._db.value(f"SELECT actions FROM four_eyes WHERE tenant = ? AND {_OPEN}", (tenant,))
        return frozenset(json.loads(found or "[]"))

    def require(self, tenant: int, actions: list[str], by: str, position: int) -> None:
        self._db.run(f"UPDATE four_eyes SET until = ? WHERE tenant = ? AND {_OPEN}", (position, tenant))
        self._db.run(
            "INSERT INTO four_eyes (tenant, actions, stated_by, since, until) VALUES (?, ?, ?, ?, ?)",
            (tenant, canonical(actions).decode(), by, position, FOREVER),
        )

    # -- what waits

    def get(self, id: str) -> Proposal | None:
        row = self._db.one(f"SELECT {_COLUMNS} FROM proposals WHERE id = ?", (id,))
        return None if row is None else _proposal(row)

    def waiting(self, tenant: int, now: int) -> list[Proposal]:
        """Those that can be confirmed, oldest first."""
        rows = self._db.all(
            f"SELECT {_COLUMNS} FROM proposals WHERE tenant = ? AND {_OPEN} AND expires > ? ORDER BY since",
            (tenant, now),
        )
        return [_proposal(row) for row in rows]

    def in_state(self, tenant: int, state: str, now: int) -> list[Proposal]:
        """Those in ``state`` that have not expired, oldest first."""
        rows = self._db.all(
            f"SELECT {_COLUMNS} FROM proposals WHERE tenant = ? AND state = ? AND expires > ? ORDER BY since",
            (tenant, state, now),
        )
        return [_proposal(row) for row in rows]

    def add(self, made: Proposal) -> None:
        scopes = None if made.scopes is None else sorted(made.scopes)
        self._db.run(
            f"INSERT INTO proposals ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                made.id,
                made.tenant,
                made.operation,
                made.principal,
                made.speaker,
                canonical(scopes).decode(),
                made.proof,
                made.asked,
                made.expires,
                made.state,
                made.since,
                made.until,
            ),
        )

    def resolve(self, id: str, state: str, position: int) -> None:
        self._db.run("UPDATE proposals SET state = ?, until = ? WHERE id = ?", (state, position, id))

    def empty(self, tenant: int, principal: str) -> int:
        """Take everything out of the rows of ``principal`` but what was to be done, its times and its end; how many."""
        return self._db.changed(
            "UPDATE proposals SET principal = '', speaker = '', scopes = 'null', proof = '', asked = '', expires = 0 "
            "WHERE tenant = ? AND principal = ?",
            (tenant, principal),
        )


def _proposal(row: Row) -> Proposal:
    id, tenant, operation, principal, speaker, scopes, proof, asked, *rest = row
    limits = json.loads(scopes)
    given = None if limits is None else frozenset(limits)
    return Proposal(id, tenant, operation, principal, speaker, given, proof, asked, *rest)
