"""From a wish to what Cedar is told: the circumstances, and who and what there is. Pure.

Only what the schema declares is passed on, value by value: Cedar reads objects with certain keys as references to other
entities, and arguments are written by models.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.domain.access import ANYONE
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.decisions import Wish
from affidavit.domain.tools import Contract, Role
from affidavit.policy.schema import cedar_type

READ_ONLY, LIVE = "read-only", "live"
_TYPES = {"String": str, "Long": int, "Boolean": bool}
_ADDRESS = re.compile(r"(?:@|:[/\\]{2})\[?([^\s,;:/?#<>()\"'\[\]@\\]+)")
_LINK = re.compile(r"(?::[/\\]{2}|\b(?:https?|wss?|ftp):[/\\]*)([^\s/?#\\]+)", re.IGNORECASE)
_HOST = re.compile(r"\[?([^:<>\[\]]+)")
_AFTER = ".,;)(\"'"
_DROPPED = str.maketrans("", "", "\t\r\n")
_AMOUNT = re.compile(r"(?:\A|_|[^A-Za-z])(?:amounts?|AMOUNTS?)(?![a-z])|(?:\A|[^A-Z])Amounts?(?![a-z])")
_LARGEST = 2**63 - 1
_UNSEEN = object()

Entity = dict[str, Any]
Kinds = Mapping[str, Any]


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
        "outward": contract.outward,
    }
    return {"uid": {"type": "Tool", "id": contract.key}, "attrs": attributes, "parents": [_tenant(tenant)]}


def circumstances(tenant: str, context: Mapping[str, Any]) -> Entity:
    """Mode, time and approvals. Without a mode nothing may be changed; without a time it is never working hours."""
    time = context.get("time")
    seconds = -1 if time is None else int(time) // MICROSECONDS
    return {
        "mode": LIVE if context.get("mode") == LIVE else READ_ONLY,
        "time": seconds,
        "hour": -1 if time is None else seconds // 3600 % 24,
        "weekday": 0 if time is None else (seconds // 86_400 + 3) % 7 + 1,  # 1970 began on a Thursday
        "approved": _words(context.get("approved") or ()),
        "approvers": [
            {"__entity": uid(tenant, p)} for p in context.get("approvers") or () if p.startswith("user:")
        ],
    }


def _words(value: Any) -> list[str]:
    if not all(isinstance(word, str) for word in value):
        raise ValueError("a role is a word")
    return list(value)


def kinds(contract: Contract) -> Kinds:
    """What each argument of ``contract`` is to Cedar."""
    properties: Mapping[str, Any] = contract.parameters.get("properties") or {}  # type: ignore[assignment]
    return {
        name: None if name.startswith("__") or not isinstance(schema, Mapping) else cedar_type(schema)
        for name, schema in properties.items()
    }


def calling(tenant: str, context: Mapping[str, Any], contract: Contract, kinds: Kinds) -> Entity:
    """The circumstances of a call. Raises ValueError where arguments are not what the contract says."""
    given: Mapping[str, Any] = {n: v for n, v in (context.get("arguments") or {}).items() if v is not None}
    for name in given:
        if name not in kinds:
            raise ValueError(f"{contract.key} has no argument {name!r}")
    seen = {name: shown(kinds[name], value) for name, value in given.items()}
    # an amount that is written as text is none to a rule about amounts
    hidden = [name for name, value in seen.items() if value is _UNSEEN or _worded(name, given[name])]
    labels: Mapping[str, Any] = context.get("labels") or {}
    control = {n: v for n, v in given.items() if contract.role(n) is Role.CONTROL}
    amounts = [abs(a) for a in _amounts("", given)]
    return {
        **circumstances(tenant, context),
        "arguments": {name: value for name, value in seen.items() if value is not _UNSEEN},
        "origins": sorted({str(label["origin"]) for each in labels.values() for label in each}),
        "untrusted": sorted(n for n in control if not _trusted(labels.get(n))),
        "unseen": hidden,
        "domains": sorted({d for text in _texts(list(control.values())) for d in _domains(text)}),
        **({"amount": max(amounts)} if amounts else {}),
    }


def _domains(text: str) -> Iterator[str]:
    """As it stands; and as readers of links see it, who drop line ends and know wide letters."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    for form in {text, plain, plain.translate(_DROPPED)}:
        if "@" in form or ":" in form:
            for found in (*_ADDRESS.findall(form), *_hosts(form)):
                yield found.lower().strip(_AFTER)


def _hosts(text: str) -> Iterator[str]:
    """Of links, as far as any reader of links might take a host to go: a comma may be part of one."""
    for authority in _LINK.findall(text):
        host = _HOST.match(authority.rpartition("@")[2])
        if host is not None:
            yield host[1]


def _trusted(labels: Any) -> bool:
    return bool(labels) and all(label.get("trusted") is True for label in labels)


def shown(kind: Any, value: Any) -> Any:
    """``value`` as Cedar sees it, ``_UNSEEN`` if it cannot. Raises ValueError if it is not of its ``kind``."""
    if kind is None:
        return _UNSEEN
    declared = kind["type"]
    if declared in _TYPES:
        if type(value) is not _TYPES[declared]:
            raise ValueError(f"{type(value).__name__} where {declared} is declared")
        if type(value) is int and not -_LARGEST <= value <= _LARGEST:
            raise ValueError(f"{value} is beyond 64 bits")
        return value
    if declared == "Set":
        return [shown(kind["element"], item) for item in value]
    parts = kind["attributes"]
    inner = {n: shown(parts.get(n), v) for n, v in value.items() if v is not None}
    # a part that policy cannot see makes the whole unseen: a rule must not take the rest for all of it
    return _UNSEEN if _UNSEEN in inner.values() else inner


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(each)


def _worded(name: str, value: Any) -> bool:
    """Whether a text under a name such as ``amount`` holds a number, however deep."""
    if isinstance(value, dict):
        return any(_worded(str(key), each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return any(_worded(name, each) for each in value)
    return isinstance(value, str) and any(map(str.isnumeric, value)) and bool(_AMOUNT.search(name))


def _amounts(name: str, value: Any) -> Iterator[int]:
    """Every integer under a name such as ``amount`` or ``amount_minor``, however deep."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _amounts(str(key), each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _amounts(name, each)
    elif type(value) is int and _AMOUNT.search(name):
        yield value
