"""A supposed policy: who may read what, if the rules in a file held instead of those on the log.

The file is TOML, in the words of ``access.toml``::

    [[rule]]
    match = "acme-files/finance/**"        # SOURCE/NAME; * within a folder, ** through folders; the last match decides
    allow = ["group:finance"]              # any of these; or [["group:a", "group:b"], ["group:c"]]: one of each
    deny = ["user:mallory"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.app.plainfile import open_plain
from affidavit.domain.access import AccessRule
from affidavit.domain.errors import ManifestError

_EXAMPLE = 'write, for example: [[rule]] match = "docs/finance/**" allow = ["group:finance"]'
_LARGEST = 1_000_000


@dataclass(frozen=True)
class SupposedRule:
    """One rule of the file."""

    match: str
    matches: Callable[[str], bool]
    access: AccessRule


@dataclass(frozen=True)
class SupposedPolicy:
    """The rules of one file, in order."""

    rules: tuple[SupposedRule, ...]

    def rule_for(self, source: str, document: str) -> AccessRule | None:
        """What would govern the document, None where the file says nothing about it."""
        name = f"{source}/{document}"
        for rule in reversed(self.rules):
            if rule.matches(name):
                return rule.access
        return None


def read_policy(path: Path) -> SupposedPolicy:
    """The policy in ``path``. Raises ManifestError with the rule's number."""
    try:
        with open_plain(path) as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ManifestError(
                f"{path} is larger than {_LARGEST} bytes", "name groups instead of many people"
            )
        text = data.decode()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the name") from error
    except ValueError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}", _EXAMPLE) from error
    return parse_policy(text, str(path))


def parse_policy(text: str, name: str) -> SupposedPolicy:
    """The policy that ``text`` says; errors call it ``name``. Raises ManifestError with the rule's number."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{name} is not TOML: {error}", _EXAMPLE) from error
    rules = content.get("rule")
    if set(content) != {"rule"} or not isinstance(rules, list) or not rules:
        raise ManifestError(f"{name} holds no [[rule]], or something besides", _EXAMPLE)
    return SupposedPolicy(tuple(_rule(f"{name}, rule {n}", r) for n, r in enumerate(rules, 1)))


def _rule(where: str, table: Any) -> SupposedRule:
    if not isinstance(table, Mapping) or not {"match", "allow"} <= set(table) <= {"match", "allow", "deny"}:
        raise ManifestError(f"{where}: a rule has match, allow and, if wanted, deny", _EXAMPLE)
    match = table["match"]
    if not isinstance(match, str):
        raise ManifestError(f"{where}: match is not text", _EXAMPLE)
    layers = _layers(where, table["allow"])
    access = AccessRule.of(*layers, deny=_names(where, "deny", table.get("deny", [])))
    return SupposedRule(match, _matcher(match), access)


def _layers(where: str, allow: Any) -> list[list[str]]:
    if isinstance(allow, list) and allow and all(isinstance(a, list) for a in allow):
        return [_names(where, "allow", a) for a in allow]
    names = _names(where, "allow", allow)
    return [names] if names else []


def _names(where: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ManifestError(f"{where}: {key} is not a list of principals", _EXAMPLE)
    return value


_STARS = 2
"""With so few of them a search that fails tries at most the square of the name's length."""


def _matcher(match: str) -> Callable[[str], bool]:
    """Whether a name is what the glob ``match`` stands for, in time that no name and no glob can blow up."""
    pieces = [p for p in re.split(r"(\*\*|\*|\?)", match) if p]
    if sum(p in ("**", "*") for p in pieces) > _STARS:
        return lambda name: _walk(pieces, name)
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = re.compile("(?s:" + "".join(words.get(p, re.escape(p)) for p in pieces) + ")")
    return lambda name: pattern.fullmatch(name) is not None


def _walk(pieces: Iterable[str], name: str) -> bool:
    """Every place in the name that the pieces so far can end at, one bit a place."""
    whole = (1 << len(name) + 1) - 1
    within = sum(
        1 << n for n, c in enumerate(name) if c != "/"
    )  # places that a step over one letter may start from
    places = 1
    for piece in pieces:
        match piece:
            case "**":
                places = whole & -(places & -places)  # all from the first on
            case "*":
                before = 0
                while before != places:
                    before, places = places, places | (places & within) << 1
            case "?":
                places = (places & within) << 1
            case _:
                ends = (
                    n + len(piece) for n in range(len(name)) if places >> n & 1 and name.startswith(piece, n)
                )
                places = sum(1 << end for end in ends)
    return bool(places >> len(name) & 1)
