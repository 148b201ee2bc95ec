"""Tenants, people, groups and grants as rows with ``since`` and ``until``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from affidavit.domain.canonical import Json, canonical
from affidavit.domain.records import FOREVER
from affidavit.domain.roles import PREFIX, granting
from affidavit.store.database import Database

_OPEN = f"until = {FOREVER}"
_AT = "since <= ? AND until > ?"


@dataclass(frozen=True)
class Tenant:
    """An organisation: the outermost wall."""

    id: int
    name: str


class People:
    """Rows about who there is. Call inside a transaction; ``position`` is the event's that caused the change."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- tenants

    def tenants(self) -> list[Tenant]:
        return [Tenant(*row) for row in self._db.all("SELECT id, name FROM tenants ORDER BY id")]

    def tenant(self, name: str) -> Tenant | None:
        row = self._db.one("SELECT id, name FROM tenants WHERE name = ?", (name,))
        return None if row is None else Tenant(*row)

    def next_tenant(self) -> int:
        return int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM tenants"))

    def add_tenant(self, id: int, name: str, position: int) -> None:
        self._db.run("INSERT INTO tenants (id, name, since) VALUES (?, ?, ?)", (id, name, position))

    # -- people and groups

    def facts(self, tenant: int, principal: str, position: int) -> Mapping[str, Json] | None:
        """What is known of ``principal`` at ``position``; None if there is no such one."""
        text = self._db.value(
            f"SELECT facts FROM people WHERE tenant = ? AND principal = ? AND {_AT}",
            (tenant, principal, position, position),
        )
        return None if text is None else json.loads(text)

    def once(self, tenant: int, principal: str) -> bool:
        """Whether there ever was such a ``principal``."""
        sql = "SELECT 1 FROM people WHERE tenant = ? AND principal = ?"
        return self._db.value(sql, (tenant, principal)) is not None

    def removed_since(self, tenant: int, principal: str, position: int) -> bool:
        """Whether there was no such ``principal`` for a while after ``position``."""
        sql = (
            f"SELECT 1 FROM people p WHERE tenant = ? AND principal = ? AND until > ? AND until < {FOREVER} AND NOT EXISTS ("
            "SELECT 1 FROM people n WHERE n.tenant = p.tenant AND n.principal = p.principal AND n.since = p.until)"
        )
        return self._db.value(sql, (tenant, principal, position)) is not None

    def last(self, tenant: int, principal: str) -> Mapping[str, Json] | None:
        """What was known of ``principal`` last, also of one who was removed; None if there never was such a one."""
        text = self._db.value(
            "SELECT facts FROM people WHERE tenant = ? AND principal = ? ORDER BY since DESC LIMIT 1",
            (tenant, principal),
        )
        return None if text is None else json.loads(text)

    def principals(self, tenant: int, position: int) -> list[str]:
        rows = self._db.all(
            f"SELECT principal FROM people WHERE tenant = ? AND {_AT} ORDER BY principal",
            (tenant, position, position),
        )
        return [row[0] for row in rows]

    def set_facts(self, tenant: int, principal: str, facts: Mapping[str, Json], position: int) -> None:
        self.remove(tenant, principal, position)
        self._db.run(
            "INSERT INTO people (tenant, principal, facts, since, until) VALUES (?, ?, ?, ?, ?)",
            (tenant, principal, canonical(facts).decode(), position, FOREVER),
        )

    def remove(self, tenant: int, principal: str, position: int) -> None:
        self._db.run(
            f"UPDATE people SET until = ? WHERE tenant = ? AND principal = ? AND {_OPEN}",
            (position, tenant, principal),
        )

    def groups_of(self, tenant: int, member: str, position: int) -> set[str]:
        """The groups ``member`` is directly in."""
        rows = self._db.all(
            f"SELECT grp FROM memberships WHERE tenant = ? AND member = ? AND {_AT}",
            (tenant, member, position, position),
        )
        return {row[0] for row in rows}

    def members_of(self, tenant: int, group: str, position: int) -> set[str]:
        """Who is directly in ``group``."""
        rows = self._db.all(
            f"SELECT member FROM memberships WHERE tenant = ? AND grp = ? AND {_AT}",
            (tenant, group, position, position),
        )
        return {row[0] for row in rows}

    def groups(self, tenant: int, position: int) -> frozenset[str]:
        """Every group that somebody is in, or that is known."""
        rows = self._db.all(
            f"SELECT grp FROM memberships WHERE tenant = ? AND {_AT} UNION "
            f"SELECT principal FROM people WHERE tenant = ? AND principal LIKE 'group:%' AND {_AT}",
            (tenant, position, position, tenant, position, position),
        )
        return frozenset(row[0] for row in rows)

    def join(self, tenant: int, member: str, groups: Iterable[str], position: int) -> None:
        self._db.many(
            "INSERT INTO memberships (tenant, grp, member, since, until) VALUES (?, ?, ?, ?, ?)",
            [(tenant, group, member, position, FOREVER) for group in sorted(groups)],
        )

    def leave(self, tenant: int, member: str, groups: Iterable[str], position: int) -> None:
        self._db.many(
            f"UPDATE memberships SET until = ? WHERE tenant = ? AND grp = ? AND member = ? AND {_OPEN}",
            [(position, tenant, group, member) for group in sorted(groups)],
        )

    def closure(self, tenant: int, principal: str, position: int) -> frozenset[str]:
        """``principal`` and every group it is in, directly or through groups, at ``position``; cycles are fine."""
        rows = self._db.all(
            f"""WITH RECURSIVE mine (name) AS (
                  SELECT ? UNION
                  SELECT m.grp FROM memberships m JOIN mine ON m.member = mine.name
                  WHERE m.tenant = ? AND {_AT})
                SELECT name FROM mine""",
            (principal, tenant, position, position),
        )
        return frozenset(row[0] for row in rows)

    def version(self, position: int) -> tuple[int, ...]:
        """Changes whenever anything about people at ``position`` may have: the last events about them up to there, and the last
        erasure of all, which reaches back."""
        row = self._db.one(
            "SELECT (SELECT max(position) FROM events WHERE kind = 'person.changed' AND position <= ?), "
            "(SELECT max(position) FROM events WHERE kind = 'membership.changed' AND position <= ?), "
            "(SELECT max(position) FROM events WHERE kind = 'body.erased')",
            (position, position),
        )
        return tuple(-1 if at is None else at for at in row or ())

    # -- grants: who may do what besides reading documents

    def grants(self, tenant: int, action: str, position: int) -> frozenset[str]:
        """The principals that ``action`` itself, or the role ``role:NAME``, is granted to."""
        rows = self._db.all(
            f"SELECT principal FROM grants WHERE tenant = ? AND action = ? AND {_AT}",
            (tenant, action, position, position),
        )
        return frozenset(row[0] for row in rows)

    def holders(self, tenant: int, action: str, position: int) -> frozenset[str]:
        """The principals that may do ``action``, by a grant of it or of a role that includes it."""
        return frozenset().union(*(self.grants(tenant, grant, position) for grant in granting(action)))

    def heard_of(self, tenant: int, principal: str, position: int) -> bool:
        """Whether there is such a one, with facts, members or grants."""
        sql = f"SELECT 1 FROM grants WHERE tenant = ? AND principal = ? AND {_AT}"
        return (
            self.facts(tenant, principal, position) is not None
            or bool(self.members_of(tenant, principal, position))
            or self._db.value(sql, (tenant, principal, position, position)) is not None
        )

    def gives(self, tenant: int, principal: str, position: int) -> bool:
        """Whether being ``principal``, or in it, comes with a grant or a role."""
        rows = self._db.all(
            f"SELECT DISTINCT principal FROM grants WHERE tenant = ? AND {_AT}", (tenant, position, position)
        )
        holders = {row[0] for row in rows}
        return bool(holders and holders & self.closure(tenant, principal, position))

    def roles_of(self, tenant: int, principals: Set[str], position: int) -> frozenset[str]:
        """The roles that somebody holds who is all of ``principals``."""
        rows = self._db.all(
            f"SELECT action, principal FROM grants WHERE tenant = ? AND action LIKE '{PREFIX}%' AND {_AT}",
            (tenant, position, position),
        )
        return frozenset(action.removeprefix(PREFIX) for action, who in rows if who in principals)

    def grant(self, tenant: int, action: str, principal: str, position: int) -> None:
        self._db.run(
            "INSERT INTO grants (tenant, action, principal, since, until) VALUES (?, ?, ?, ?, ?)",
            (tenant, action, principal, position, FOREVER),
        )

    def revoke(self, tenant: int, action: str, principal: str, position: int) -> None:
        self._db.run(
            f"UPDATE grants SET until = ? WHERE tenant = ? AND action = ? AND principal = ? AND {_OPEN}",
            (position, tenant, action, principal),
        )
