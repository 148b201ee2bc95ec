"""Tenants, people, groups: every change is an event with a position, and no change touches a document."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affidavit.app.endings import end_all
from affidavit.app.wiring import Parts
from affidavit.domain.access import check_name, principal
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.errors import ManifestError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.roles import ACTIONS, GRANTABLE
from affidavit.events.log import Transaction
from affidavit.store.people import Tenant

_ALLOWED = (
    '{"id": "alice", "groups": ["finance"]} for a person, {"group": "finance", "groups": ["staff"]} for a group, '
    '{"service": "bot", "groups": []} for a service'
)
_KINDS = {"id": "user", "group": "group", "service": "service"}
_LONGEST_LINE = 1_000_000
_BATCH = 500
PROVIDER = "provider"
"""Who changed what a sign-in changed."""
REFUSED = "directory.refused"
"""A directory would have changed a group that comes with grants."""


@dataclass(frozen=True)
class Entry:
    """One line of a people file: a principal, the groups it is directly in, and facts kept beside it."""

    principal: str
    groups: frozenset[str]
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass
class ImportReport:
    """What an import changed."""

    tenant: str
    people: int = 0
    groups: int = 0
    unchanged: int = 0
    joined: int = 0
    left: int = 0
    removed: int = 0

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def read_people(path: Path) -> Iterator[Entry]:
    """Entries of a JSON Lines file. Raises ManifestError with file and line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 1):
                if line.strip():
                    yield _entry(line, f"{path}:{number}")
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error


def _entry(line: bytes, where: str) -> Entry:
    if len(line) > _LONGEST_LINE:
        raise ManifestError(
            f"{where}: the line is longer than {_LONGEST_LINE} bytes", f"one object a line: {_ALLOWED}"
        )
    try:
        value = json.loads(line.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not JSON: {error}", f"one object a line: {_ALLOWED}") from error
    keys = [key for key in _KINDS if isinstance(value, dict) and key in value]
    if len(keys) != 1:
        raise ManifestError(
            f"{where}: neither a person nor a group nor a service", f"one object a line: {_ALLOWED}"
        )
    kind = _KINDS[keys[0]]
    name, groups = value.pop(keys[0]), value.pop("groups", [])
    if (
        not isinstance(name, str)
        or not isinstance(groups, list)
        or not all(isinstance(g, str) for g in groups)
    ):
        raise ManifestError(
            f"{where}: a name is text and groups is a list of names", f"for example {_ALLOWED}"
        )
    try:
        who = principal(f"{kind}:{name}")
        memberships = frozenset(principal(f"group:{g}") for g in groups)
        canonical(value)
    except UsageError as error:
        raise ManifestError(f"{where}: {error.message}", error.hint) from error
    except (TypeError, ValueError) as error:
        raise ManifestError(
            f"{where}: a value cannot be kept exactly: {error}", "write it as text"
        ) from error
    return Entry(who, memberships, value)


class PeopleDesk:
    """Changes who there is and who is in what."""

    _by = ""
    """Who says so where nobody else does, as it goes on record."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._people = parts.people

    def ensure_tenant(self, name: str) -> Tenant:
        """The tenant ``name``, made if new."""
        check_name(name, "tenant name")
        with self._parts.database.read():
            found = self._people.tenant(name)
        return found or self._parts.log.write(lambda tx: self._add_tenant(name, tx))

    def _add_tenant(self, name: str, tx: Transaction) -> Tenant:
        found = self._people.tenant(name)  # another process may have been quicker
        if found is not None:
            return found
        id = self._people.next_tenant()
        position = tx.append(Event(EventKind.TENANT_CREATED, id, facts={"subject": id}, body={"name": name}))
        self._people.add_tenant(id, name, position)
        return Tenant(id, name)

    def load(
        self,
        tenant: Tenant,
        entries: Iterable[Entry],
        *,
        remove_missing: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> ImportReport:
        """Bring people in line with ``entries``; those not named stay unless ``remove_missing``."""
        report = ImportReport(tenant.name)
        wanted = _unique(entries)
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            self._parts.log.write(lambda tx, batch=batch: self._apply(tenant, batch, report, tx))  # type: ignore[misc]
            if progress is not None:
                progress(len(batch))
        if remove_missing:
            self._parts.log.write(lambda tx: self._remove_missing(tenant, wanted, report, tx))
        return report

    def _apply(self, tenant: Tenant, batch: list[Entry], report: ImportReport, tx: Transaction) -> None:
        for entry in batch:
            if entry.principal.startswith("group:"):
                report.groups += 1
            else:
                report.people += 1
            if not self._set(tenant, entry, report, tx):
                report.unchanged += 1

    def _set(self, tenant: Tenant, entry: Entry, report: ImportReport, tx: Transaction) -> bool:
        now = tx.next_position
        facts = self._people.facts(tenant.id, entry.principal, now)
        changed = facts is None or dict(facts) != entry.facts
        if changed:
            body: dict[str, Json] = {"principal": entry.principal, "facts": entry.facts}
            change = "added" if facts is None else "changed"
            position = tx.append(
                Event(
                    EventKind.PERSON_CHANGED,
                    tenant.id,
                    facts={"change": change},
                    body={**body, **_stated(self._by)},
                )
            )
            self._people.set_facts(tenant.id, entry.principal, entry.facts, position)
        moved = self._move(tenant, entry.principal, entry.groups, tx)
        report.joined += moved[0]
        report.left += moved[1]
        return changed or moved != (0, 0)

    def _move(
        self, tenant: Tenant, who: str, groups: frozenset[str], tx: Transaction, by: str = ""
    ) -> tuple[int, int]:
        have = self._people.groups_of(tenant.id, who, tx.next_position)
        joined, left = sorted(groups - have), sorted(have - groups)
        if joined or left:
            facts: dict[str, int | str] = {"joined": len(joined), "left": len(left)}
            body: Json = {"principal": who, "joined": joined, "left": left, **_stated(by or self._by)}
            position = tx.append(Event(EventKind.MEMBERSHIP_CHANGED, tenant.id, facts=facts, body=body))
            self._people.leave(tenant.id, who, left, position)
            self._people.join(tenant.id, who, joined, position)
        return len(joined), len(left)

    def _remove_missing(
        self, tenant: Tenant, entries: Sequence[Entry], report: ImportReport, tx: Transaction
    ) -> None:
        wanted = {e.principal for e in entries}
        named = {group for e in entries for group in e.groups}
        for who in self._people.principals(tenant.id, tx.next_position):
            if (
                who in named and who not in wanted
            ):  # a group that only lost its own line: it stays, in no other group
                self._move(tenant, who, frozenset(), tx)
            elif who not in wanted:
                self._remove(tenant, who, tx)
                report.removed += 1

    def _remove(self, tenant: Tenant, who: str, tx: Transaction) -> None:
        self._move(tenant, who, frozenset(), tx)
        if who.startswith("group:"):
            for member in sorted(self._people.members_of(tenant.id, who, tx.next_position)):
                have = self._people.groups_of(tenant.id, member, tx.next_position)
                self._move(tenant, member, frozenset(have - {who}), tx)
        end_all(self._parts.database, tx, tenant.id, who, {"principal": who, "by": "removal"})
        body: Json = {"principal": who, **_stated(self._by)}
        position = tx.append(
            Event(EventKind.PERSON_CHANGED, tenant.id, facts={"change": "removed"}, body=body)
        )
        self._people.remove(tenant.id, who, position)

    # -- one at a time

    def join(self, tenant: Tenant, who: str, group: str, by: str = "") -> None:
        """``who`` (user or group) becomes a member of ``group`` (a group's name). ``by``: who says so, if it is on record."""
        self._parts.log.write(
            lambda tx: self._change_one(tenant, principal(who), principal(f"group:{group}"), True, tx, by)
        )

    def leave(self, tenant: Tenant, who: str, group: str, by: str = "") -> None:
        """``who`` is no longer a member of ``group``."""
        self._parts.log.write(
            lambda tx: self._change_one(tenant, principal(who), principal(f"group:{group}"), False, tx, by)
        )

    def _change_one(self, tenant: Tenant, who: str, group: str, join: bool, tx: Transaction, by: str) -> None:
        if who.startswith("user:") and self._people.facts(tenant.id, who, tx.next_position) is None:
            raise UnknownNameError(
                f"there is no {who} in {tenant.name}", "import them first: affidavit people import FILE"
            )
        have = frozenset(self._people.groups_of(tenant.id, who, tx.next_position))
        if not join and group not in have and not self._people.heard_of(tenant.id, group, tx.next_position):
            raise UnknownNameError(
                f"there is no {group} in {tenant.name}", "`affidavit people list` shows who is known"
            )
        self._move(tenant, who, have | {group} if join else have - {group}, tx, by)

    def remove(self, tenant: Tenant, who: str) -> None:
        """``who`` leaves the tenant and every group."""
        principal(who)
        with self._parts.database.read():
            self._known(tenant, who)
        self._parts.log.write(lambda tx: self._remove(tenant, who, tx))

    def grant(self, tenant: Tenant, who: str, action: str, *, revoke: bool = False, by: str = "") -> None:
        """Allow ``who`` to do ``action`` (or no longer)."""
        principal(who)
        if action not in GRANTABLE:
            raise UsageError(f"there is no action {action!r} to grant", f"one of: {', '.join(GRANTABLE)}")
        self._parts.log.write(lambda tx: self._grant(tenant, who, action, revoke, tx, by))

    def _grant(self, tenant: Tenant, who: str, action: str, revoke: bool, tx: Transaction, by: str) -> None:
        has = who in self._people.grants(tenant.id, action, tx.next_position)
        if has != revoke:
            return
        facts: dict[str, int | str] = {"action": action, "change": "revoked" if revoke else "granted"}
        body: Json = {"principal": who, **_stated(by)}
        position = tx.append(Event(EventKind.GRANT_CHANGED, tenant.id, facts=facts, body=body))
        if revoke:
            self._people.revoke(tenant.id, action, who, position)
        else:
            self._people.grant(tenant.id, action, who, position)

    # -- by sign-in

    def arrive(
        self,
        tenant: Tenant,
        who: str,
        groups: frozenset[str],
        prefix: str,
        *,
        create: bool,
        role_groups: Collection[str] = (),
    ) -> None:
        """``who`` signed in with a provider that says they are in ``groups``, all of which begin with ``prefix``.

        Their other groups stay as they are; with "" for a prefix all do; and so do those that come with grants, unless
        ``role_groups`` names them: that the provider would have it otherwise goes on record. Whoever was removed once is not
        made again by signing in. Raises UnknownNameError.
        """
        principal(who)
        named = frozenset(f"group:{group}" for group in role_groups)

        def write(tx: Transaction) -> None:
            if self._people.facts(tenant.id, who, tx.next_position) is None:
                if not create or self._people.once(tenant.id, who):
                    raise UnknownNameError(
                        f"there is no {who} in {tenant.name}", "an administrator makes people known here"
                    )
                self._set(tenant, Entry(who, frozenset()), ImportReport(tenant.name), tx)
            if prefix:
                have = self._people.groups_of(tenant.id, who, tx.next_position)
                others = {g for g in have if not g.startswith(prefix)}
                wanted = others | groups
                ours = {
                    group
                    for group in (have ^ wanted) - named
                    if self._people.gives(tenant.id, group, tx.next_position)
                }
                self._move(tenant, who, frozenset((wanted - ours) | (have & ours)), tx, PROVIDER)
                if ours:
                    body: Json = {"by": PROVIDER, "principal": who, "groups": sorted(ours)}
                    facts: dict[str, int | str] = {"action": REFUSED}
                    tx.append(Event(EventKind.AUDIT_PERFORMED, tenant.id, facts=facts, body=body))

        self._parts.log.write(write)

    # -- looking

    def show(self, tenant: Tenant, who: str) -> dict[str, Any]:
        """What is known of ``who``: facts, groups direct and indirect, grants, members."""
        with self._parts.database.read():
            facts, head = self._known(tenant, who), self._parts.log.head()
            closure = self._people.closure(tenant.id, who, head)
            return {
                "tenant": tenant.name,
                "principal": who,
                "facts": facts,
                "groups": sorted(self._people.groups_of(tenant.id, who, head)),
                "all_groups": sorted(closure - {who}),
                "members": sorted(self._people.members_of(tenant.id, who, head)),
                "roles": sorted(self._people.roles_of(tenant.id, closure, head)),
                "may": [a for a in ACTIONS if closure & self._people.holders(tenant.id, a, head)],
            }

    def names(self, tenant: Tenant) -> list[str]:
        """Every known principal."""
        with self._parts.database.read():
            return self._people.principals(tenant.id, self._parts.log.head())

    def _known(self, tenant: Tenant, who: str) -> dict[str, Json]:
        head = self._parts.log.head()
        facts = self._people.facts(tenant.id, who, head)
        if facts is None and not self._people.members_of(tenant.id, who, head):
            raise UnknownNameError(
                f"there is no {who} in {tenant.name}", "`affidavit people list` shows who is known"
            )
        return dict(facts or {})


def _stated(by: str) -> dict[str, Json]:
    return {"by": by} if by else {}


def _unique(entries: Iterable[Entry]) -> list[Entry]:
    seen: dict[str, Entry] = {}
    for entry in entries:
        if entry.principal in seen:
            raise ManifestError(f"{entry.principal} stands in the file twice", "merge the two lines into one")
        seen[entry.principal] = entry
    return list(seen.values())
