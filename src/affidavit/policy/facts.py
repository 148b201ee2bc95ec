"""From a wish to what Cedar is told: the circumstances, and who and what there is. Pure.

Only what the schema declares is passed on, value by value: Cedar reads objects with certain keys as references to other
entities, and arguments are written by models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from affidavit.domain.access import ANYONE
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.decisions import Wish
from affidavit.domain.tools import Contract, Role
from affidavit.policy.schema import cedar_type

READ_ONLY, LIVE = "read-only", "live"
_TYPES = {"String": str, "Long": int, "Boolean": bool}
_DOMAIN = re.compile(r"(?:@|://(?:[^\s/@]*@)?)\[?([^\s,;:/?#<>()\"'\[\]@]+)")
_AMOUNT = re.compile(r"(?:\A|_)amount(?:\Z|_)")
_UNSEEN = object()

Entity = dict[str, Any]


def qualified(tenant: str, name: str) -> str:
    """A person's or group's id: two tenants' groups of one name are two."""
    return f"{tenant.replace('%', '%25').replace('/', '%2F')}/{name}"


def uid(tenant: str, principal: str) -> Entity:
    """``user:alice`` as ``User::"acme/alice"``. Raises ValueError for what is no principal."""
    kind, colon, name = principal.partition(":")
    if not colon or kind not in ("user", "service", "group"):
        raise ValueError(f"{principal!r} cannot act")
    return {"type": kind.capitalize(), "id": qualified(tenant, name)}


def people(tenant: str, wish: Wish) -> list[Entity]:
    """Who acts, with everything they are in: groups, roles, the tenant."""
    groups = [uid(tenant, p) for p in sorted(wish.principals) if p.startswith("group:")]
    parents = [*groups, *({"type": "Role", "id": role} for role in sorted(wish.roles)), _tenant(tenant)]
    known = wish.principal in wish.principals or ANYONE in wish.principals
    me = {
        "uid": uid(tenant, wish.principal),
        "attrs": {},
        "parents": parents if known else [],
        "tags": _tags(wish.context.get("person")),
    }
    return [me, *({"uid": parent, "attrs": {}, "parents": []} for parent in parents)]


def _tenant(name: str) -> Entity:
    return {"type": "Tenant", "id": name}


def _tags(person: Json) -> dict[str, str]:
    facts = person if isinstance(person, Mapping) else {}
    words = {name: value for name, value in facts.items() if isinstance(value, (str, int))}
    return {n: str(v).lower() if isinstance(v, bool) else str(v) for n, v in words.items()}


def tool(tenant: str, contract: Contract) -> Entity:
    """The resource of a call."""
    attributes = {
        "name": contract.name,
        "version": contract.version,
        "effect": contract.effect.value,
        "idempotency": contract.idempotency.value,
        "owner": contract.owner,
        "origin": contract.origin,
        "trusted": contract.trusted,
    }
    return {"uid": {"type": "Tool", "id": contract.key}, "attrs": attributes, "parents": [_tenant(tenant)]}


def circumstances(tenant: str, context: Mapping[str, Any]) -> Entity:
    """Mode, time and approvals. Without a mode nothing may be changed; without a time it is never working hours."""
    time = context.get("time")
    seconds = -1 if time is None else int(time) // MICROSECONDS
    moment = None if time is None else datetime.fromtimestamp(seconds, UTC)
    return {
        "mode": str(context.get("mode") or READ_ONLY),
        "time": seconds,
        "hour": -1 if moment is None else moment.hour,
        "weekday": 0 if moment is None else moment.isoweekday(),
        "approved": list(context.get("approved") or ()),
        "approvers": [
            {"__entity": uid(tenant, p)} for p in context.get("approvers") or () if p.startswith("user:")
        ],
    }


def calling(tenant: str, context: Mapping[str, Any], contract: Contract) -> Entity:
    """The circumstances of a call. Raises ValueError where arguments are not what the contract says."""
    given: Mapping[str, Any] = context.get("arguments") or {}
    properties: Mapping[str, Any] = contract.parameters.get("properties") or {}  # type: ignore[assignment]
    unknown = given.keys() - properties.keys()
    if unknown:
        raise ValueError(f"{contract.key} has no argument {min(unknown)!r}")
    seen = {name: shown(properties[name], value) for name, value in given.items() if value is not None}
    hidden = [name for name, value in seen.items() if value is _UNSEEN or name.startswith("__")]
    labels: Mapping[str, Any] = context.get("labels") or {}
    control = {n: v for n, v in given.items() if contract.role(n) is Role.CONTROL}
    amounts = [abs(a) for a in _amounts("", given)]
    return {
        **circumstances(tenant, context),
        "arguments": {name: value for name, value in seen.items() if name not in hidden},
        "origins": sorted({str(label["origin"]) for each in labels.values() for label in each}),
        "untrusted": sorted(n for n in control if not _trusted(labels.get(n))),
        "unseen": hidden,
        "domains": sorted({d.lower().rstrip(".") for text in _texts(control) for d in _DOMAIN.findall(text)}),
        **({"amount": max(amounts)} if amounts else {}),
    }


def _trusted(labels: Any) -> bool:
    return bool(labels) and all(label.get("trusted") is True for label in labels)


def shown(schema: Any, value: Any) -> Any:
    """``value`` as Cedar sees it, ``_UNSEEN`` if it cannot. Raises ValueError if it is not of its schema."""
    kind = cedar_type(schema) if isinstance(schema, Mapping) else None
    if kind is None:
        return _UNSEEN
    if kind["type"] in _TYPES:
        if type(value) is not _TYPES[kind["type"]]:
            raise ValueError(f"{type(value).__name__} where {kind['type']} is declared")
        return value
    if kind["type"] == "Set":
        return [shown(schema["items"], item) for item in value]
    properties = schema["properties"]
    inner = {
        n: shown(properties[n], v) for n, v in value.items() if n in kind["attributes"] and v is not None
    }
    # a part that policy cannot see makes the whole unseen: a rule must not take the rest for all of it
    whole = inner.keys() >= {n for n, v in value.items() if v is not None}
    return inner if whole and _UNSEEN not in inner.values() else _UNSEEN


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, Iterable):
        for each in value:
            yield from _texts(each)


def _amounts(name: str, value: Any) -> Iterator[int]:
    """Every integer under a name such as ``amount`` or ``amount_minor``, however deep."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _amounts(str(key), each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _amounts(name, each)
    elif type(value) is int and _AMOUNT.search(name):
        yield value
