"""People and groups as a directory sees and changes them: SCIM 2.0 resources (RFC 7643) over the people of a tenant.

A user's ``userName`` is the name after ``user:``, a group's ``displayName`` the one after ``group:``; access rules name both, so
neither can be changed. Who is not ``active`` is removed: out of every group, every session and key ended.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affidavit.app.people import Entry, ImportReport, PeopleDesk
from affidavit.app.scimpatch import applied, flag
from affidavit.app.wiring import Parts
from affidavit.domain.access import principal
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.errors import ProvisioningError, UnknownNameError
from affidavit.events.log import Transaction
from affidavit.store.directory import CONDITIONS, Directory
from affidavit.store.people import Tenant

USER, GROUP = "User", "Group"
KINDS = {USER: "user:", GROUP: "group:"}
NAME = {USER: "userName", GROUP: "displayName"}
SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:"
_FACT = "scim"
"""The fact of a person under which the rest of the resource is kept."""
KEPT: Mapping[str, tuple[str, ...]] = {
    USER: (
        "externalId",
        "displayName",
        "name",
        "emails",
        "title",
        "userType",
        "locale",
        "preferredLanguage",
        "timezone",
    ),
    GROUP: ("externalId",),
}
_VALUES: Mapping[str, type[Any]] = {"name": dict, "emails": list}
LONGEST_MEMBERS = 50_000
LARGEST = 10_000
_DEEPEST = 8
Resource = dict[str, Any]


class ProvisionDesk(PeopleDesk):
    """Changes people and groups as a directory says; ``by`` is the directory, as it goes on record.

    ``check_gain`` is asked before somebody comes to be a person that may hold grants, ``check_group`` before anybody comes into
    a group or leaves it; what they raise undoes all of the change.
    """

    def __init__(
        self,
        parts: Parts,
        by: str,
        check_gain: Callable[[str], None] = lambda who: None,
        check_group: Callable[[str], None] = lambda group: None,
    ) -> None:
        super().__init__(parts)
        self._by = by
        self._check_gain = check_gain
        self._check_group = check_group

    # -- looking

    def get(self, tenant: Tenant, kind: str, id: str) -> Resource:
        """One resource. Raises UnknownNameError."""
        with self._parts.database.read():
            return self._resource(tenant, kind, _principal(kind, id), self._parts.log.head())

    def page(
        self,
        tenant: Tenant,
        kind: str,
        start: int,
        count: int,
        asked: Sequence[tuple[str, str]] = (),
        fits: Callable[[Resource], bool] = lambda _: True,
    ) -> tuple[list[Resource], int]:
        """``count`` resources from the ``start``-th on, counted from 1, and how many there are: the active ones, or those that
        are as was ``asked`` (attribute in small letters, value). Of one that is asked for by name or id, ``fits`` says whether
        it is as asked; all others the database finds.

        Raises ProvisioningError for what it cannot find by.
        """
        conditions = dict(asked)
        one = self._one(kind, conditions)
        if len(conditions) < len(asked):
            raise ProvisioningError("invalidFilter", "an attribute has one value", "ask for each by itself")
        with self._parts.database.read():
            head = self._parts.log.head()
            if one is not None:
                found = [r for w in one if (r := self._known_resource(tenant, kind, w, head)) and fits(r)]
                return found[start - 1 : start - 1 + count], len(found)
            names, total = Directory(self._parts.database).page(
                tenant.id, KINDS[kind], _findable(kind, conditions), head, start - 1, count
            )
            return [self._resource(tenant, kind, who, head) for who in names], total

    def _one(self, kind: str, asked: Mapping[str, str]) -> list[str] | None:
        """Who alone can be as ``asked``, as directories ask before each change; None where there can be many."""
        name = asked.get(NAME[kind].lower())
        if name is not None:
            return [KINDS[kind] + as_name(name)]
        if "id" in asked:
            return [w for w in (from_id(asked["id"]),) if w.startswith(KINDS[kind])]
        return None

    def _known_resource(self, tenant: Tenant, kind: str, who: str, at: int) -> Resource | None:
        try:
            return self._resource(tenant, kind, who, at)
        except UnknownNameError:
            return None

    def _resource(self, tenant: Tenant, kind: str, who: str, at: int) -> Resource:
        facts, active = self._facts(tenant, who, at), self._there(tenant, who, at)
        if facts is None or not (active or (kind == USER and _kept(facts).get("active") is False)):
            raise UnknownNameError(f"there is no such {kind}", "list them to see who there is")
        name = who.partition(":")[2]
        said = {k: v for k, v in _kept(facts).items() if k != "active"}
        out: Resource = {"schemas": [SCHEMA + kind], "id": to_id(who), NAME[kind]: name, **said}
        if kind == USER:
            groups = sorted(self._people.groups_of(tenant.id, who, at))
            return {**out, "active": active, "groups": [_reference(g) for g in groups]}
        members = sorted(self._people.members_of(tenant.id, who, at))
        return {**out, "members": [_reference(m) for m in members if m.startswith(("user:", "group:"))]}

    def _there(self, tenant: Tenant, who: str, at: int) -> bool:
        return self._people.facts(tenant.id, who, at) is not None or bool(
            self._people.members_of(tenant.id, who, at)
        )

    def _facts(self, tenant: Tenant, who: str, at: int) -> Mapping[str, Json] | None:
        """What is known of them, or was last; a group that only has members is known by nothing else."""
        now = self._people.facts(tenant.id, who, at)
        if now is None and self._people.members_of(tenant.id, who, at):
            return {}
        return self._people.last(tenant.id, who) if now is None else now

    # -- changing

    def create(self, tenant: Tenant, kind: str, said: Mapping[str, Any]) -> Resource:
        """A new one. Raises ProvisioningError, also if there is one of that name."""
        name = said.get(NAME[kind])
        if not isinstance(name, str) or not name:
            raise ProvisioningError(
                "invalidValue", f"{NAME[kind]} is required", "it is the name in access rules"
            )
        who = principal(KINDS[kind] + as_name(name))

        def write(tx: Transaction) -> Resource:
            if self._there(tenant, who, tx.next_position):
                raise ProvisioningError("uniqueness", f"there is such a {kind} already", "change that one")
            self._write(tenant, kind, who, said, tx)
            return self._resource(tenant, kind, who, tx.next_position)

        return self._parts.log.write(write)

    def replace(self, tenant: Tenant, kind: str, id: str, said: Mapping[str, Any]) -> Resource:
        """The one of that id, as ``said`` and nothing else. Raises UnknownNameError, ProvisioningError."""
        return self._changed(tenant, kind, id, lambda old: dict(said))

    def patch(self, tenant: Tenant, kind: str, id: str, operations: Any) -> Resource:
        """The one of that id, changed by RFC 7644's ``operations`` (3.5.2): all of them, or none. Raises as ``replace``."""
        return self._changed(tenant, kind, id, lambda old: applied(old, operations, KEPT[kind]))

    def delete(self, tenant: Tenant, kind: str, id: str) -> None:
        """Remove it. Raises UnknownNameError."""
        who = _principal(kind, id)

        def write(tx: Transaction) -> None:
            self._resource(tenant, kind, who, tx.next_position)
            if kind == GROUP:
                self._check_group(who)
            self._set(
                tenant, Entry(who, frozenset(), self._rest(tenant, who, tx)), ImportReport(tenant.name), tx
            )
            self._remove(tenant, who, tx)

        self._parts.log.write(write)

    def _changed(
        self, tenant: Tenant, kind: str, id: str, change: Callable[[Resource], Resource]
    ) -> Resource:
        who = _principal(kind, id)

        def write(tx: Transaction) -> Resource:
            new = change(self._resource(tenant, kind, who, tx.next_position))
            name = new.get(NAME[kind], who.partition(":")[2])
            if not isinstance(name, str) or as_name(name) != who.partition(":")[2]:
                raise ProvisioningError(
                    "mutability", f"{NAME[kind]} cannot be changed: access rules name it", "make a new one"
                )
            self._write(tenant, kind, who, new, tx)
            return self._resource(tenant, kind, who, tx.next_position)

        return self._parts.log.write(write)

    def _write(self, tenant: Tenant, kind: str, who: str, said: Mapping[str, Any], tx: Transaction) -> None:
        kept = {k: _checked(k, said[k]) for k in KEPT[kind] if said.get(k) is not None}
        active = kind == GROUP or flag(said.get("active", True))
        if not active:
            kept["active"] = False
        facts = {**self._rest(tenant, who, tx), **({_FACT: kept} if kept else {})}
        groups = frozenset(self._people.groups_of(tenant.id, who, tx.next_position))
        if active and not self._there(tenant, who, tx.next_position):
            (self._check_gain if kind == USER else self._check_group)(who)
        if active or self._facts(tenant, who, tx.next_position) != facts:
            self._set(tenant, Entry(who, groups, facts), ImportReport(tenant.name), tx)
        if not active and self._there(tenant, who, tx.next_position):
            self._remove(tenant, who, tx)
        if kind == GROUP and "members" in said:
            self._have(tenant, who, _members(said["members"]), tx)

    def _rest(self, tenant: Tenant, who: str, tx: Transaction) -> dict[str, Json]:
        """What is known of them from elsewhere."""
        return {k: v for k, v in (self._facts(tenant, who, tx.next_position) or {}).items() if k != _FACT}

    def _have(self, tenant: Tenant, group: str, wanted: frozenset[str], tx: Transaction) -> None:
        """Exactly ``wanted`` are in ``group``, and whatever services are."""
        have = self._people.members_of(tenant.id, group, tx.next_position)
        have = {m for m in have if not m.startswith("service:")}
        if wanted != have:
            self._check_group(group)
        for who in sorted(wanted - have):
            if not self._there(tenant, who, tx.next_position):
                raise ProvisioningError(
                    "invalidValue", "a member is nobody known here", "make them known first"
                )
            groups = self._people.groups_of(tenant.id, who, tx.next_position)
            self._move(tenant, who, frozenset(groups | {group}), tx)
        for who in sorted(have - wanted):
            groups = self._people.groups_of(tenant.id, who, tx.next_position)
            self._move(tenant, who, frozenset(groups - {group}), tx)


def _findable(kind: str, asked: Mapping[str, str]) -> dict[str, str]:
    """``asked`` as the database takes it. Raises ProvisioningError where it would have to look at everybody."""
    out = {}
    for name, value in asked.items():
        if name == "active":
            if not flag(value):
                raise ProvisioningError(
                    "invalidFilter", "who is not active is not listed", "ask for one of them by userName"
                )
            continue
        if name not in CONDITIONS:
            raise ProvisioningError(
                "invalidFilter", f"{name[:100]} cannot be asked for", f"one of: {', '.join(CONDITIONS)}"
            )
        out[name] = from_id(value) if name.startswith("members") else value
    return out


def as_name(text: str) -> str:
    """A name as sign-in has it too: an address is the same in small letters."""
    return text.lower() if "@" in text else text


def to_id(who: str) -> str:
    """The id of a principal: it can stand in an address, tells users from groups, and stays."""
    kind, _, name = who.partition(":")
    return f"{kind[0]}-{base64.urlsafe_b64encode(name.encode()).decode().rstrip('=')}"


def from_id(id: str) -> str:
    """The principal of that id, "" if there can be none."""
    kind = {"u-": KINDS[USER], "g-": KINDS[GROUP]}.get(id[:2], "")
    try:
        who = kind + base64.urlsafe_b64decode(id[2:] + "=" * (-len(id[2:]) % 4)).decode("utf-8")
    except ValueError:
        return ""
    return who if kind and to_id(who) == id else ""


def _principal(kind: str, id: str) -> str:
    who = from_id(id)
    if not who.startswith(KINDS[kind]):
        raise UnknownNameError(f"there is no such {kind}", "list them to see who there is")
    return who


def _kept(facts: Mapping[str, Json]) -> Mapping[str, Any]:
    said = facts.get(_FACT)
    return said if isinstance(said, Mapping) else {}


def _reference(who: str) -> Resource:
    kind = GROUP if who.startswith("group:") else USER
    id = to_id(who)
    return {"value": id, "display": who.partition(":")[2], "type": kind, "$ref": f"/scim/v2/{kind}s/{id}"}


def _members(said: Any) -> frozenset[str]:
    """The principals that a list of members refers to."""
    if not isinstance(said, list) or len(said) > LONGEST_MEMBERS:
        raise ProvisioningError("invalidValue", "members is a list", 'write [{"value": ID}]')
    found = [from_id(str(one.get("value"))) if isinstance(one, Mapping) else "" for one in said]
    if not all(found):
        raise ProvisioningError("invalidValue", "a member is nobody known here", "make them known first")
    return frozenset(found)


def _flat(value: Any, levels: int) -> bool:
    """Whether ``value`` has at most so many levels: what is kept is read at every depth of our own calls."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_flat(one, levels - 1) for one in inner)
    return True


def _checked(name: str, value: Any) -> Json:
    """A value that can be kept exactly, of its kind, and not too large. Raises ProvisioningError."""
    kind: type[Any] = _VALUES.get(name, str)
    if not _flat(value, _DEEPEST):
        raise ProvisioningError("invalidValue", f"{name} is nested too deeply", f"{_DEEPEST} levels at most")
    try:
        size = len(canonical(value))
    except (TypeError, ValueError) as error:
        raise ProvisioningError(
            "invalidValue", f"{name} cannot be kept: {error}", "write it as text"
        ) from error
    if not isinstance(value, kind) or size > LARGEST:
        raise ProvisioningError(
            "invalidValue", f"{name} is not what it should be", f"{LARGEST} bytes at most"
        )
    found: Json = value
    return found
