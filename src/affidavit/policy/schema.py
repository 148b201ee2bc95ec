"""The Cedar schema: what a rule may speak of. Made from the contracts of the tools, never written by hand. Pure.

Each version of a tool is an action of its own, so each has its own argument types; ``tool:call``, ``tool:read``, ``tool:write``,
``tool:irreversible`` and the tool's name are groups of such actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from affidavit.domain.tools import CALL, Contract, Effect

PEOPLE = ("User", "Service")
_TEXT = {"type": "String"}
_NUMBER = {"type": "Long"}
_WORDS = {"type": "Set", "element": _TEXT}
_SCALARS: Mapping[str, Mapping[str, Any]] = {
    "string": _TEXT,
    "integer": _NUMBER,
    "boolean": {"type": "Boolean"},
}

CIRCUMSTANCES: Mapping[str, Any] = {
    "mode": _TEXT,
    "time": _NUMBER,
    "hour": _NUMBER,
    "weekday": _NUMBER,
    "approved": _WORDS,
    "approvers": {"type": "Set", "element": {"type": "Entity", "name": "User"}},
}
"""What every rule may ask about: the mode; seconds since 1970, hour (0–23) and weekday (1 is Monday) in UTC; who said yes."""

CALLING: Mapping[str, Any] = {
    **CIRCUMSTANCES,
    "origins": _WORDS,
    "untrusted": _WORDS,
    "unseen": _WORDS,
    "domains": _WORDS,
    "amount": {**_NUMBER, "required": False},
}
"""What a rule about tools may ask too: where the arguments came from; control arguments that nobody trusted vouches for;
arguments of a kind that policy cannot see; the domains that control arguments name; the largest amount, in minor units."""

_TOOL = {
    "name": _TEXT,
    "version": _NUMBER,
    "effect": _TEXT,
    "idempotency": _TEXT,
    "owner": _TEXT,
    "origin": _TEXT,
    "trusted": {"type": "Boolean"},
    "outward": {"type": "Boolean"},
}


def cedar_type(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a value of a JSON Schema is to Cedar; None for what it cannot see (fractions, unions, lists of lists)."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [k for k in kind if k != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    if isinstance(kind, str) and kind in _SCALARS:
        return dict(_SCALARS[kind])
    if kind == "array":
        items = schema.get("items")
        element: Any = items.get("type") if isinstance(items, Mapping) else None
        known = isinstance(element, str) and element in _SCALARS
        return {"type": "Set", "element": dict(_SCALARS[element])} if known else None
    return record(schema) if kind == "object" and schema.get("properties") else None


def record(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object of a JSON Schema. Every attribute is optional: a rule asks ``has`` first."""
    properties = schema.get("properties") or {}
    seen = {
        name: {**kind, "required": False}
        for name, value in properties.items()
        if not name.startswith("__") and isinstance(value, Mapping) and (kind := cedar_type(value))
    }
    return {"type": "Record", "attributes": seen}


def cedar_schema(contracts: Iterable[Contract], actions: Iterable[str]) -> dict[str, Any]:
    """The schema as Cedar's JSON. ``actions`` are those that are no tools (``audit:read``): their resource is the tenant."""
    groups = [CALL, *(f"tool:{effect.value}" for effect in Effect)]
    known: dict[str, Any] = {name: {"memberOf": [{"id": CALL}]} if name != CALL else {} for name in groups}
    for effect in Effect:  # so that a rule about a group is sound where no tool is in it yet
        known[f"{effect.value}@0"] = _action(effect, "", {"type": "Record", "attributes": {}})
    for contract in contracts:
        known[contract.name] = {}
        known[contract.key] = _action(contract.effect, contract.name, record(contract.parameters))
    for name in actions:
        known[name] = {"appliesTo": _applies("Tenant", CIRCUMSTANCES)}
    member = {"memberOfTypes": ["Group", "Role", "Tenant"], "tags": _TEXT}
    types = {
        "Tenant": {},
        "Role": {},
        "Group": {},
        **dict.fromkeys(PEOPLE, member),
        "Tool": {"memberOfTypes": ["Tenant"], "shape": {"type": "Record", "attributes": _TOOL}},
    }
    return {"": {"entityTypes": types, "actions": known}}


def _action(effect: Effect, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    groups = [{"id": f"tool:{effect.value}"}, *([{"id": name}] if name else [])]
    return {"memberOf": groups, "appliesTo": _applies("Tool", {**CALLING, "arguments": arguments})}


def _applies(resource: str, context: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "principalTypes": list(PEOPLE),
        "resourceTypes": [resource],
        "context": {"type": "Record", "attributes": dict(context)},
    }
