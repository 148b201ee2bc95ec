"""Changes to a SCIM resource, as RFC 7644 (3.5.2) says and as Entra ID and Okta send them. Works on plain values alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.errors import ProvisioningError

MOST = 1000
"""Operations in one request."""
_CORE = re.compile(r"urn:ietf:params:scim:schemas:core:2\.0:(?:User|Group):", re.IGNORECASE)
_PATH = re.compile(r'(\$?\w+)(?:\[(\w+) eq ("(?:[^"\\]|\\.)*"|true|false)\])?(?:\.(\w+))?', re.IGNORECASE)
_EQUAL = re.compile(r'([\w.:]+)\s+eq\s+("(?:[^"\\]|\\.)*"|true|false)', re.IGNORECASE)
_MEMBER = re.compile(r'(members|emails)\[value eq ("(?:[^"\\]|\\.)*")\]', re.IGNORECASE)
_LISTS = ("members", "emails")
_NOT_KEPT = frozenset(
    "nickName profileUrl password ims photos addresses phoneNumbers entitlements roles x509Certificates groups id schemas meta "
    "department manager organization division costCenter employeeNumber".lower().split()
)
"""Attributes of users that directories send and that nothing here depends on."""


def applied(old: Mapping[str, Any], operations: Any, kept: Sequence[str]) -> dict[str, Any]:
    """``old`` after every one of ``operations``. Raises ProvisioningError."""
    if not isinstance(operations, list) or not 0 < len(operations) <= MOST:
        raise ProvisioningError("invalidSyntax", "Operations is a list", f"of 1 to {MOST}")
    new = {
        k: list(v) if isinstance(v, list) else dict(v) if isinstance(v, dict) else v for k, v in old.items()
    }
    known = {
        name.lower(): name
        for name in (*kept, "active", "userName", "displayName", "members")
        if name in (*kept, *old)
    }
    for one in operations:
        _apply(new, one, known)
    return new


def _apply(new: dict[str, Any], one: Any, known: Mapping[str, str]) -> None:
    if not isinstance(one, Mapping) or not isinstance(one.get("op"), str):
        raise ProvisioningError("invalidSyntax", "an operation has an op", "add, replace or remove")
    op, path, value = one["op"].lower(), one.get("path"), one.get("value")
    if op not in ("add", "replace", "remove"):
        raise ProvisioningError("invalidSyntax", "there is no such op", "add, replace or remove")
    if path:
        _at(new, op, str(path), value, known)
    elif op == "remove":
        raise ProvisioningError("noTarget", "what is to be removed?", "say it with path")
    elif isinstance(value, Mapping):
        for name, said in value.items():
            _at(new, op, str(name), said, known)
    else:
        raise ProvisioningError("invalidValue", "without a path the value is an object", '{"active": false}')


def _at(new: dict[str, Any], op: str, path: str, value: Any, known: Mapping[str, str]) -> None:
    plain = _CORE.sub("", path, 1)
    if plain.lower().startswith("urn:"):
        return  # an extension's attribute: not kept
    match = _PATH.fullmatch(plain)
    name = known.get(match[1].lower()) if match else None
    if match is None or (name is None and match[1].lower() not in _NOT_KEPT):
        raise ProvisioningError(
            "invalidPath", f"there is no attribute {path[:100]!r}", "see /scim/v2/Schemas"
        )
    if name is None:
        return
    part, wanted, within = match[2], match[3], match[4]
    if name in _LISTS:
        where = Where(part, text(wanted)) if part and wanted else None
        new[name] = _in_list(list(new.get(name) or []), op, value, where, within)
    elif within:
        inner = dict(new.get(name) or {}) if isinstance(new.get(name) or {}, dict) else {}
        inner.pop(within, None) if op == "remove" else inner.update({within: value})
        new[name] = inner
    elif op == "remove":
        if name in ("userName", "displayName", "active"):
            _fixed(name, new)
        new.pop(name, None)
    else:
        new[name] = flag(value) if name == "active" else value


def _in_list(have: list[Any], op: str, value: Any, where: Where | None, within: str | None) -> list[Any]:
    if where is not None:
        return _where(have, op, value, where, within)
    if op == "remove":
        gone = None if value is None else {_value(one) for one in _listed(value)}
        return [] if gone is None else [one for one in have if _value(one) not in gone]
    said = _listed(value)
    if op == "replace":
        return said
    there = {_value(one) for one in have}
    return [*have, *(one for one in said if _value(one) not in there)]


def _where(have: list[Any], op: str, value: Any, where: Where, within: str | None) -> list[Any]:
    if op == "remove" and within is None:
        return [one for one in have if not where.fits(one)]
    if op == "remove":
        return [{k: v for k, v in one.items() if k != within} if where.fits(one) else one for one in have]
    if not any(map(where.fits, have)):
        have = [*have, *where.made()]
    change = {within: value} if within else value
    if not any(map(where.fits, have)):
        raise ProvisioningError("noTarget", "nothing in the list is so", "add it first")
    if not isinstance(change, Mapping):
        raise ProvisioningError("invalidValue", "an element of the list is an object", '{"value": …}')
    return [{**one, **change} if where.fits(one) else one for one in have]


@dataclass(frozen=True)
class Where:
    """The elements of a list of which ``part`` is ``value``."""

    part: str
    value: str

    def fits(self, one: Any) -> bool:
        return isinstance(one, Mapping) and str(one.get(self.part, "")).lower() == self.value.lower()

    def made(self) -> list[dict[str, str]]:
        """What stands for them where there is none: Entra ID sets the work address before there is one."""
        return [{self.part: self.value}] if self.part == "type" else []


def _listed(value: Any) -> list[Any]:
    said = value if isinstance(value, list) else [value]
    if not all(isinstance(one, Mapping) for one in said):
        raise ProvisioningError("invalidValue", "an element of the list is an object", '{"value": …}')
    return said


def _value(one: Any) -> str:
    return str(one.get("value", "")) if isinstance(one, Mapping) else ""


def _fixed(name: str, of: Mapping[str, Any]) -> None:
    if name == "displayName" and "userName" in of:
        return  # a user's is no more than a text
    raise ProvisioningError("mutability", f"{name} cannot be removed", "change it, or delete the resource")


def flag(value: Any) -> bool:
    """A truth value; Entra ID sends it as text. Raises ProvisioningError."""
    said = value.lower() if isinstance(value, str) else value
    if said in (True, "true"):
        return True
    if said in (False, "false"):
        return False
    raise ProvisioningError("invalidValue", "active is true or false", "write it without quotes")


def text(quoted: str) -> str:
    """A filter's literal."""
    return re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted.startswith('"') else quoted.lower()


def filtered(filter: str) -> list[tuple[str, str]]:
    """(attribute in small letters, value) of ``a eq "x" and b eq "y"``: what directories ask by. Raises ProvisioningError."""
    out, rest = [], _CORE.sub("", filter.strip())
    while rest:
        match = _MEMBER.match(rest) or _EQUAL.match(rest)
        if match is None:
            raise ProvisioningError(
                "invalidFilter", "this filter is not understood", 'attribute eq "value", joined by and'
            )
        out.append((match[1].lower(), text(match[2])))
        rest = rest[match.end() :].strip()
        if rest and rest[:4].lower() != "and ":
            raise ProvisioningError(
                "invalidFilter", "this filter is not understood", "conditions are joined by and"
            )
        rest = rest[4:].strip() if rest else ""
    return out
