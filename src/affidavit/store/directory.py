"""People and groups as a directory asks for them: found and counted by the database, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping

from affidavit.store.database import Database

_AT = "since <= ? AND until > ?"
_PLAIN = "json_extract(p.facts, '$.scim.{0}') = ?"
_EMAIL = (
    "EXISTS (SELECT 1 FROM json_each(p.facts, '$.scim.emails') e WHERE json_extract(e.value, '$.value') = ?)"
)
_MEMBER = f"p.principal IN (SELECT grp FROM memberships WHERE member = ? AND tenant = ? AND {_AT})"
CONDITIONS: Mapping[str, str] = {
    **{name.lower(): _PLAIN.format(name) for name in ("externalId", "displayName", "title", "userType")},
    **dict.fromkeys(("emails", "emails.value"), _EMAIL),
    **dict.fromkeys(("members", "members.value"), _MEMBER),
}
"""What can be asked for, in small letters, as a condition on a row ``p`` of people."""


class Directory:
    """Reads rows of people. Call inside a snapshot."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def page(
        self, tenant: int, prefix: str, asked: Mapping[str, str], at: int, skip: int, most: int
    ) -> tuple[list[str], int]:
        """Up to ``most`` principals that begin with ``prefix``, in order, without the first ``skip``, of those who are as
        ``asked`` (names of ``CONDITIONS``) at position ``at``; and how many these are."""
        past = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        wheres = ["p.tenant = ?", "p.principal >= ?", "p.principal < ?", _AT]
        values: list[object] = [tenant, prefix, past, at, at]
        for name, value in asked.items():
            wheres.append(CONDITIONS[name])
            values += [value, tenant, at, at] if CONDITIONS[name] == _MEMBER else [value]
        where = " AND ".join(wheres)
        total = self._db.value(f"SELECT count(*) FROM people p WHERE {where}", values)
        rows = self._db.all(
            f"SELECT p.principal FROM people p WHERE {where} ORDER BY p.principal LIMIT ? OFFSET ?",
            [*values, most, skip],
        )
        return [row[0] for row in rows], int(total)
