"""``access.toml``: who may read a folder, written beside the documents.

::

    inherit = true                                  # false: nothing is taken from the folders above
    allow = ["group:staff"]                         # any of these; a list of lists is an AND of such sets
    deny = ["user:erin"]
    owner = "group:people"
    classification = "confidential"
    rank = 10                                       # 1 is the most authoritative, 1000 the least
    fresh_for = "180d"                              # or weeks: "26w"
    deprecated = true                               # answered from last, and said to be so

    [files."salary-bands.csv"]                      # the same keys for one file of this folder
    allow = [["group:finance"], ["group:managers"]]

A folder's sets are ANDed to those it inherits and its denials are united with theirs; the other keys override. So a
manifest further down can only narrow, unless it says ``inherit = false``. ``allow = []`` means nobody.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

from affidavit.domain.access import NOBODY, AccessRule, principal
from affidavit.domain.errors import ManifestError, UsageError
from affidavit.domain.records import CLASSIFICATIONS, Governance

MANIFEST = "access.toml"
MAX_MANIFEST = 256 * 1024
EXAMPLE = 'allow = ["group:staff"]'

_RULE_KEYS = ("inherit", "allow", "deny", "owner", "classification", "rank", "fresh_for", "deprecated")
_FOLDER_KEYS = (*_RULE_KEYS, "files")
_DAYS = {"d": 1, "w": 7}
_FRESH_FOR = re.compile(r"([1-9][0-9]{0,4})([dw])")

# tomllib takes time quadratic in the parts of one dotted key: 120 KB of "a.a.a." keep it busy for more than a minute.
_MAX_DOTS = 512


@dataclass(frozen=True)
class Rules:
    """One table as written; None (and an empty ``deny``) means that it does not say.

    ``allow = []`` is one layer that nobody is in.
    """

    inherit: bool = True
    allow: tuple[frozenset[str], ...] | None = None
    deny: frozenset[str] = frozenset()
    owner: str | None = None
    classification: str | None = None
    rank: int | None = None
    fresh_days: int | None = None
    deprecated: bool | None = None


@dataclass(frozen=True)
class Manifest:
    """A whole ``access.toml``; ``lines`` says on which line each file's table begins."""

    folder: Rules = field(default_factory=Rules)
    files: Mapping[str, Rules] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Effective:
    """What holds at a folder or file once everything above has been counted in.

    ``layers`` is None as long as nothing on the way allowed anyone. ``sealed``: a manifest at or above this place cannot
    be understood, so nobody may read, whatever the ones below say.
    """

    layers: tuple[frozenset[str], ...] | None = None
    deny: frozenset[str] = frozenset()
    owner: str = ""
    classification: str = Governance.classification
    rank: int = Governance.rank
    fresh_days: int = Governance.fresh_days
    deprecated: bool = Governance.deprecated
    sealed: bool = False

    def under(self, rules: Rules) -> Effective:
        """What holds one step further down, where ``rules`` are written."""
        above = self if rules.inherit else Effective(sealed=self.sealed)
        layers = above.layers if rules.allow is None else (above.layers or ()) + rules.allow
        return Effective(
            layers,
            above.deny | rules.deny,
            above.owner if rules.owner is None else rules.owner,
            above.classification if rules.classification is None else rules.classification,
            above.rank if rules.rank is None else rules.rank,
            above.fresh_days if rules.fresh_days is None else rules.fresh_days,
            above.deprecated if rules.deprecated is None else rules.deprecated,
            above.sealed,
        )

    @property
    def unruled(self) -> bool:
        """Whether nobody may read only because no rule was ever written."""
        return self.layers is None and not self.sealed

    @cached_property
    def governance(self) -> Governance:
        """The same as a record. Made once per folder, since all its files share it."""
        return Governance(
            self._rule(), self.owner, self.classification, self.rank, self.fresh_days, self.deprecated
        )

    def _rule(self) -> AccessRule:
        if self.sealed or not self.layers or frozenset() in self.layers:
            return NOBODY
        return AccessRule(self.layers, self.deny)


def parse_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in ``data``; ``where`` is its path, for messages.

    Raises ManifestError, whose message begins with ``where:line:``, for anything it does not fully understand: a rule that
    is half understood might let somebody in.
    """
    text = _decoded(data, where)
    document = _parsed(text, where)
    return _Reading(where, text, document).manifest()


def _decoded(data: bytes, where: str) -> str:
    if len(data) > MAX_MANIFEST:
        raise ManifestError(
            f"{where}: larger than {MAX_MANIFEST // 1024} KB", "name groups instead of many people"
        )
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(f"{where}:{line}: not UTF-8 text", "save the file as UTF-8") from error
    for number, line_text in enumerate(text.split("\n"), 1):
        if line_text.count(".") > _MAX_DOTS:
            raise ManifestError(
                f"{where}:{number}: more than {_MAX_DOTS} dots", "break the line into several"
            )
    return text


def _parsed(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ManifestError(f"{where}:1: nested too deeply", f"write, for example: {EXAMPLE}") from error
    except ValueError as error:  # TOMLDecodeError, and int() refusing a number of thousands of digits
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = place.groups() if place else (str(text.rstrip("\n").count("\n") + 1), "1")
        reason = re.sub(r" \(at [^)]*\)$", "", str(error))
        raise ManifestError(
            f"{where}:{line}:{column}: not TOML: {reason}", f"write, for example: {EXAMPLE}"
        ) from error


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


class _Reading:
    """Turns one parsed document into a Manifest, failing with the line at the first thing it does not understand."""

    def __init__(self, where: str, text: str, document: dict[str, object]) -> None:
        self._where = where
        self._text = text
        self._document = document

    def manifest(self) -> Manifest:
        self._known_keys((), self._document, _FOLDER_KEYS)
        files = self._document.get("files", {})
        if not isinstance(files, dict):
            self._fail(("files",), "files must be tables", 'write [files."name.md"] on a line of its own')
        return Manifest(
            self._rules((), self._document),
            {name: self._file_rules(name, table) for name, table in files.items()},
            {name: self._line(("files", name)) for name in files},
        )

    def _file_rules(self, name: str, table: object) -> Rules:
        path = ("files", name)
        if "/" in name:
            self._fail(
                path,
                f"files.{_show(name)} is not a file of this very folder",
                f"put its rules into the {MANIFEST} of the folder it is in",
            )
        if not isinstance(table, dict):
            self._fail(
                path, f"files.{_show(name)} must be a table", 'write [files."name.md"] on a line of its own'
            )
        self._known_keys(path, table, _RULE_KEYS)
        return self._rules(path, table)

    def _known_keys(self, path: tuple[str, ...], table: Mapping[str, object], known: tuple[str, ...]) -> None:
        for key, value in table.items():
            if key in known:
                continue
            if path and isinstance(value, dict):
                dotted = f"{path[1]}.{key}"
                self._fail((*path, key), f"no quotes around {_show(dotted)}", f'write [files."{dotted}"]')
            close = difflib.get_close_matches(key.lower(), known, 1)
            guess = f'did you mean "{close[0]}"? ' if close else ""
            self._fail((*path, key), f"unknown key {_show(key)}", f"{guess}known are: {', '.join(known)}")

    def _rules(self, path: tuple[str, ...], table: Mapping[str, object]) -> Rules:
        rules = Rules(
            inherit=self._boolean((*path, "inherit"), table.get("inherit", True)),
            allow=self._allow(path, table),
            deny=frozenset(self._principals((*path, "deny"), table.get("deny", []))),
            owner=self._owner(path, table),
            classification=self._classification(path, table),
            rank=self._rank(path, table),
            fresh_days=self._fresh_days(path, table),
            deprecated=self._deprecated(path, table),
        )
        both = sorted(frozenset().union(*(rules.allow or ())) & rules.deny)
        if both:
            lines = (
                f"allow (line {self._line((*path, 'allow'))}) and deny (line {self._line((*path, 'deny'))})"
            )
            self._fail((*path, "deny"), f"{both[0]} is in both {lines}", "take it out of one of them")
        return rules

    def _boolean(self, path: tuple[str, ...], value: object) -> bool:
        if not isinstance(value, bool):
            self._fail(path, f"{path[-1]} is true or false, not {_show(value)}", "without quotes")
        return value

    def _deprecated(self, path: tuple[str, ...], table: Mapping[str, object]) -> bool | None:
        path = (*path, "deprecated")
        return self._boolean(path, table["deprecated"]) if "deprecated" in table else None

    def _allow(self, path: tuple[str, ...], table: Mapping[str, object]) -> tuple[frozenset[str], ...] | None:
        if "allow" not in table:
            return None
        path = (*path, "allow")
        value = table["allow"]
        if isinstance(value, list) and value and all(isinstance(layer, list) for layer in value):
            return tuple(frozenset(self._principals(path, layer)) for layer in value)
        return (frozenset(self._principals(path, value)),)

    def _principals(self, path: tuple[str, ...], value: object) -> list[str]:
        key = path[-1]
        if not isinstance(value, list):
            self._fail(path, f"{key} must be a list, not {_show(value)}", f'write {key} = ["group:staff"]')
        return [self._principal(path, one) for one in value]

    def _principal(self, path: tuple[str, ...], value: object) -> str:
        if not isinstance(value, str):
            self._fail(
                path,
                f"{path[-1]}: {_show(value)} is not a principal",
                "write user:NAME or group:NAME in quotes",
            )
        try:
            return principal(value)
        except UsageError as error:
            self._fail(path, f"{path[-1]}: {error.message}", error.hint)

    def _owner(self, path: tuple[str, ...], table: Mapping[str, object]) -> str | None:
        return self._principal((*path, "owner"), table["owner"]) if "owner" in table else None

    def _classification(self, path: tuple[str, ...], table: Mapping[str, object]) -> str | None:
        if "classification" not in table:
            return None
        value = table["classification"]
        if not isinstance(value, str) or value not in CLASSIFICATIONS:
            close = difflib.get_close_matches(str(value).lower(), CLASSIFICATIONS, 1)
            guess = f'did you mean "{close[0]}"? ' if close else ""
            hint = f"{guess}it is one of: {', '.join(CLASSIFICATIONS)}"
            self._fail((*path, "classification"), f"{_show(value)} is not a classification", hint)
        return value

    def _rank(self, path: tuple[str, ...], table: Mapping[str, object]) -> int | None:
        value = table.get("rank")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1000:
            self._fail((*path, "rank"), f"rank must be a whole number from 1 to 1000, not {_show(value)}")
        return value

    def _fresh_days(self, path: tuple[str, ...], table: Mapping[str, object]) -> int | None:
        value = table.get("fresh_for")
        if value is None:
            return None
        match = _FRESH_FOR.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            hint = 'write days or weeks in quotes: "180d" or "26w"'
            self._fail((*path, "fresh_for"), f"fresh_for is a length of time, not {_show(value)}", hint)
        return int(match[1]) * _DAYS[match[2]]

    def _line(self, path: tuple[str, ...]) -> int:
        """The line where ``path`` is written, or the nearest table or key above it."""
        for length in range(len(path), 0, -1):
            line = self._lines.get(path[:length])
            if line is not None:
                return line
        return 1

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        return _key_lines(self._text, self._document)

    def _fail(self, path: tuple[str, ...], message: str, hint: str = "") -> NoReturn:
        raise ManifestError(f"{self._where}:{self._line(path)}: {message}", hint)


_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER = re.compile(r"\s*(\[.+\])\s*(?:#.*)?$")


def _key_lines(text: str, document: Mapping[str, object]) -> dict[tuple[str, ...], int]:
    """The line of each key and table header: tomllib gives line numbers for syntax errors only.

    A scan by line, so a look-alike inside a multi-line string or array is dropped when the document has no such path.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if key is not None:
            path = (*table, *_path_of(key[1] + " = 0"))
        elif header is not None:
            path = _path_of(header[1])
            table = path if path and isinstance(_at(document, path), dict) else table
        else:
            continue
        if _at(document, path) is not None:
            found.setdefault(path, number)
    return found


def _path_of(snippet: str) -> tuple[str, ...]:
    """The keys that a header or ``key = 0`` on its own leads through; empty if it is not TOML."""
    try:
        value: object = tomllib.loads(snippet)
    except ValueError:
        return ()
    path = []
    while isinstance(value, dict) and value:
        ((key, value),) = value.items()
        path.append(key)
    return tuple(path)


def _at(document: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    return document
