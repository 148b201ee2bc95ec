"""What proves who asks over the network, as rows: only a digest of each secret is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database, Row

_OPEN = f"until = {FOREVER}"
_COLUMNS = "id, tenant, kind, principal, name, digest, scopes, acts_for, expires, since, until, seen, made_by"

EMPTIED = ["", "", "", [], [], 0, ""]
"""What is left in a row of an erased person's: principal, name, digest, scopes, acts_for, expires, made_by."""


class CredentialKind(str, Enum):
    """``key`` for a program, ``session`` for a browser, ``link`` to begin a session with, once; ``look`` to see as
    another person sees; ``bound``: which account of the sign-in provider's somebody is, no secret at all."""

    KEY = "key"
    SESSION = "session"
    LINK = "link"
    LOOK = "look"
    BOUND = "bound"


@dataclass(frozen=True)
class Credential:
    """Whoever holds the secret of ``digest`` is ``principal`` until ``expires`` (microseconds) or until it is taken back.

    ``scopes`` are the actions it is good for, None for all that the principal may do; ``acts_for`` the principals (people,
    or groups of people) that a service may speak for with it. ``seen`` is when a session was last used, in microseconds and
    not to the minute. ``made_by`` is the id of the key by which it was asked for, "" where no key was used.
    """

    id: str
    tenant: int
    kind: CredentialKind
    principal: str
    name: str
    digest: str
    scopes: frozenset[str] | None
    acts_for: frozenset[str]
    expires: int
    since: int
    until: int = FOREVER
    seen: int = 0
    made_by: str = ""

    @property
    def standing(self) -> bool:
        """Whether nobody took it back; it may have expired all the same."""
        return self.until == FOREVER


PASSING = (CredentialKind.SESSION, CredentialKind.LINK, CredentialKind.LOOK)
"""What is good for hours, and of which there are many."""


class Credentials:
    """Reads outside a transaction too; each call sees what was committed last."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, id: str) -> Credential | None:
        """The credential ``id``, also one that was taken back."""
        row = self._db.one(f"SELECT {_COLUMNS} FROM credentials WHERE id = ?", (id,))
        return None if row is None else _credential(row)

    def of(self, tenant: int, kind: CredentialKind, principal: str = "") -> list[Credential]:
        """Those that stand, oldest first; of ``principal``, or of everybody."""
        rows = self._db.all(
            f"SELECT {_COLUMNS} FROM credentials WHERE tenant = ? AND kind = ? AND {_OPEN} "
            "AND ? IN ('', principal) ORDER BY since",
            (tenant, kind.value, principal),
        )
        return [_credential(row) for row in rows]

    def bound(self, tenant: int, digest: str) -> Credential | None:
        """The one that stands and says that somebody is the account of ``digest``."""
        row = self._db.one(
            f"SELECT {_COLUMNS} FROM credentials WHERE tenant = ? AND kind = 'bound' AND digest = ? AND {_OPEN}",
            (tenant, digest),
        )
        return None if row is None else _credential(row)

    def long_over(self, tenant: int, before: int, most: int) -> list[str]:
        """The ids of up to ``most`` that pass by themselves and expired before ``before`` (microseconds)."""
        kinds = ", ".join(f"'{kind.value}'" for kind in PASSING)
        rows = self._db.all(
            f"SELECT id FROM credentials WHERE expires BETWEEN 1 AND ? AND tenant = ? AND kind IN ({kinds}) "
            "ORDER BY expires LIMIT ?",
            (before - 1, tenant, most),
        )
        return [row[0] for row in rows]

    def sweep(self, ids: list[str]) -> None:
        """Their rows are not kept any longer."""
        self._db.many("DELETE FROM credentials WHERE id = ?", [(id,) for id in ids])

    def made_with(self, id: str) -> list[Credential]:
        """Those that stand and were made by the key ``id``, or by one that was, and so on; oldest first."""
        rows = self._db.all(
            f"WITH RECURSIVE chain (id) AS (SELECT id FROM credentials WHERE made_by = ? UNION "
            f"SELECT c.id FROM credentials c JOIN chain ON c.made_by = chain.id) "
            f"SELECT {_COLUMNS} FROM credentials WHERE id IN chain AND {_OPEN} ORDER BY since",
            (id,),
        )
        return [_credential(row) for row in rows]

    def add(self, made: Credential) -> None:
        scopes = None if made.scopes is None else sorted(made.scopes)
        self._db.run(
            f"INSERT INTO credentials ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                made.id,
                made.tenant,
                made.kind.value,
                made.principal,
                made.name,
                made.digest,
                json.dumps(scopes),
                json.dumps(sorted(made.acts_for)),
                made.expires,
                made.since,
                made.until,
                made.seen,
                made.made_by,
            ),
        )

    def end(self, id: str, position: int) -> bool:
        """Take it back; False if somebody did before."""
        return (
            self._db.value(
                f"UPDATE credentials SET until = ? WHERE id = ? AND {_OPEN} RETURNING id", (position, id)
            )
            is not None
        )

    def shorten(self, id: str, expires: int) -> None:
        """It is good until ``expires`` and no longer."""
        self._db.run("UPDATE credentials SET expires = ? WHERE id = ?", (expires, id))

    def see(self, id: str, now: int) -> None:
        """It was used at ``now``. Not on record: it says how long a browser was left alone, and nothing of what was done."""
        self._db.run("UPDATE credentials SET seen = ? WHERE id = ?", (now, id))

    def empty(self, tenant: int, principal: str) -> int:
        """Take everything out of the rows of ``principal`` but their ids, kinds and times; how many."""
        return self._db.changed(
            "UPDATE credentials SET principal = '', name = '', digest = '', scopes = '[]', acts_for = '[]', expires = 0, "
            "seen = 0, made_by = '' WHERE tenant = ? AND principal = ?",
            (tenant, principal),
        )


def _credential(row: Row) -> Credential:
    id, tenant, kind, principal, name, digest, scopes, acts_for, expires, since, until, *rest = row
    limits = json.loads(scopes)
    return Credential(
        id,
        tenant,
        CredentialKind(kind),
        principal,
        name,
        digest,
        None if limits is None else frozenset(limits),
        frozenset(json.loads(acts_for)),
        expires,
        since,
        until,
        *rest,
    )
