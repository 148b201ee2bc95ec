"""Principals and access rules.

A rule is an AND of any-of sets of principals ("layers") plus a deny set. Allow-lists cannot say "in the
space, and in every restricted ancestor, and on the page"; layers can. No layer at all means nobody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from affidavit.domain.canonical import Json, digest
from affidavit.domain.errors import UsageError

ANYONE = "anyone"
"""Every known person of the tenant; a stranger is not ``anyone``."""

KINDS = ("user", "group", "service")
LONGEST_NAME = 256
_RENAME = "use letters, digits and punctuation that can be seen, as a keyboard makes them"


def check_name(name: str, what: str = "name") -> str:
    """``name`` if it may name a tenant, principal or source.

    Exact code points are compared, so a name must be in Unicode normal form C, without control
    characters and without white space at its ends: two names that look alike must not be two.
    Raises UsageError.
    """
    if not name or len(name) > LONGEST_NAME:
        raise UsageError(f"a {what} has 1 to {LONGEST_NAME} characters, this one has {len(name)}", _RENAME)
    if name != name.strip():
        raise UsageError(f"{what} {name!r} begins or ends with white space", _RENAME)
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        raise UsageError(f"{what} {name!r} holds a control or invisible character", _RENAME)
    if unicodedata.normalize("NFC", name) != name:
        raise UsageError(f"{what} {name!r} is not in Unicode normal form C", _RENAME)
    return name


def principal(text: str) -> str:
    """``text`` if it is a well-formed principal: ``user:alice``, ``group:finance``, ``service:bot``, ``anyone``.

    Raises UsageError otherwise.
    """
    if text == ANYONE:
        return text
    kind, colon, name = text.partition(":")
    if not colon or kind not in KINDS:
        raise UsageError(
            f"{text!r} is not a principal",
            "write user:NAME, group:NAME, service:NAME or anyone",
        )
    check_name(name, f"{kind} name")
    return text


def named(who: str) -> str:
    """``who`` as a principal: a bare name is a user's. Not checked."""
    return who if ":" in who else f"user:{who}"


@dataclass(frozen=True)
class Verdict:
    """One check of one rule: permitted or not, and what decided, in words an auditor can use."""

    permit: bool
    reason: str


@dataclass(frozen=True)
class AccessRule:
    """AND of any-of sets (``layers``), minus ``deny``. Empty means nobody.

    Equal rules are equal values: layers are deduplicated, ordered, and a layer that another one implies
    is dropped.
    """

    layers: tuple[frozenset[str], ...] = ()
    deny: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unique = set(self.layers)
        needed = [a for a in unique if not any(b < a for b in unique)]
        ordered = tuple(sorted(needed, key=sorted))
        object.__setattr__(self, "layers", ordered)

    @classmethod
    def of(cls, *layers: Iterable[str], deny: Iterable[str] = ()) -> AccessRule:
        """Build a rule from any iterables of principals; each is checked. Raises UsageError."""
        return cls(
            tuple(frozenset(principal(p) for p in layer) for layer in layers),
            frozenset(principal(p) for p in deny),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Iterable[Iterable[str]]]) -> AccessRule:
        """The inverse of ``as_json``."""
        deny = [str(p) for p in value.get("deny", ())]
        return cls(tuple(frozenset(layer) for layer in value["allow"]), frozenset(deny))

    def as_json(self) -> dict[str, Json]:
        """``{"allow": [[…], …], "deny": […]}``, everything sorted."""
        return {"allow": [sorted(layer) for layer in self.layers], "deny": sorted(self.deny)}

    @cached_property
    def digest(self) -> str:
        """Content address of the rule; identical rules share one row in the catalog."""
        return digest(self.as_json())

    def permits(self, principals: Set[str]) -> bool:
        """Whether somebody who is all of ``principals`` at once may read."""
        return (
            bool(self.layers)
            and all(not layer.isdisjoint(principals) for layer in self.layers)
            and self.deny.isdisjoint(principals)
        )

    def verdict(self, principals: Set[str]) -> Verdict:
        """``permits`` with the reason: the deciding deny entry, the unmet layer, or what let them in."""
        if not self.layers:
            return Verdict(False, "no rule allows anyone")
        denied = sorted(self.deny & principals)
        if denied:
            return Verdict(False, f"deny {denied[0]}")
        met = []
        for layer in self.layers:
            found = sorted(layer & principals)
            if not found:
                wanted = ", ".join(sorted(layer)) or "nobody"
                return Verdict(False, f"not in any of: {wanted}")
            met.append(found[0])
        return Verdict(True, "allow " + " and ".join(met))

    def within(self, other: AccessRule) -> bool:
        """Whether everybody this rule lets in is let in by ``other`` too, as far as the layers show it."""
        if not self.layers:
            return True
        return (
            bool(other.layers)
            and self.deny >= other.deny
            and all(any(mine <= layer for mine in self.layers) for layer in other.layers)
        )

    def meet(self, other: AccessRule) -> AccessRule:
        """The rule that lets in exactly those whom both let in."""
        if not self.layers or not other.layers:
            return NOBODY
        return AccessRule(self.layers + other.layers, self.deny | other.deny)


NOBODY = AccessRule()
