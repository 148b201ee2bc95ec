"""One line of a JSON Lines file, understood: which field is what, and who may read it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NoReturn

from affidavit.adapters.listing import escaped, is_text_name
from affidavit.domain.access import ANYONE, NOBODY, AccessRule, principal
from affidavit.domain.canonical import Json, digest
from affidavit.domain.errors import UsageError
from affidavit.domain.media import media_type_for
from affidavit.domain.records import CLASSIFICATIONS, Governance
from affidavit.ports.connector import Item

# Where each field is looked for unless the mapping says otherwise; only one of the places may be filled.
_DEFAULT_PLACES: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "title": ("title",),
    "text": ("text",),
    "acl": ("metadata.acl", "acl"),
    "deny": ("metadata.deny", "deny"),
    "owner": ("metadata.owner", "owner"),
    "modified": ("metadata.modified", "modified"),
    "location": ("metadata.location", "location"),
    "media_type": ("metadata.media_type", "media_type"),
    "deprecated": ("metadata.deprecated", "deprecated"),
    # words that records use for much else: read only where the mapping says so
    "classification": (),
    "rank": (),
    "fresh_days": (),
}
_MAY_BE_CONSTANT = ("title", "owner", "media_type", "classification")
_MOST_RANK, _MOST_DAYS = 1000, 99_999
_LONGEST_ID = 4096
_LARGEST_INTEGER = 2**53 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
# A NUL or half of a surrogate pair can only come as an escape; this finds the few lines that need a closer look.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_MISSING = object()


class BadRecordError(Exception):
    """What is wrong with one record: ``code``, ``message``, ``hint``; ``name`` is its id if that much is known."""

    def __init__(self, code: str, message: str, hint: str = "", name: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.name = name

    @property
    def hides(self) -> bool:
        """Whether what is known under ``name`` must go; what repeats an id says nothing about the first of that id."""
        return bool(self.name) and self.code != "duplicate"


@dataclass(frozen=True)
class Record:
    """A line, understood. ``ruled``: it has an access field of its own."""

    item: Item
    text: str
    media_type: str
    ruled: bool


class RecordReader:
    """Reads records under one mapping; ``source`` is the file's path, for locations of records that name none.

    Raises UsageError for a mapping or ``allow`` that makes no sense.
    """

    def __init__(self, source: str, mapping: Mapping[str, str], allow: Sequence[str]) -> None:
        self._source = source
        self._places, self._constants = _read_mapping(mapping)
        self._allow = _read_allow(allow)
        access = self._places["acl"] + self._places["deny"]
        self._hidden = {path[1] for path in access if len(path) == 2 and path[0] == "metadata"}

    @property
    def has_default(self) -> bool:
        """Whether records without an access field may be read by somebody."""
        return bool(self._allow)

    def name(self, value: Mapping[str, object]) -> str:
        """The record's id. Raises BadRecordError."""
        found = self._find(value, "id")
        if found is _MISSING:
            raise BadRecordError(
                "bad_record", f"no {self.spoken('id')}", "each record needs an id of its own"
            )
        if not isinstance(found, str):
            raise BadRecordError("bad_record", f"the id must be text, not {_kind(found)}", "put it in quotes")
        if not 1 <= len(found) <= _LONGEST_ID:
            hint = f"1 to {_LONGEST_ID} are allowed"
            raise BadRecordError("bad_record", f"the id has {len(found)} characters", hint)
        if not is_text_name(found):
            raise BadRecordError("bad_name", f"the id {escaped(found)} holds control characters", "change it")
        return found

    def is_ruled(self, value: Mapping[str, object]) -> bool:
        """Whether the record has an access field of its own. Raises BadRecordError if it has two."""
        return self._find(value, "acl") is not _MISSING

    def record(self, value: Mapping[str, object], name: str, data: bytes) -> Record:
        """The record ``name``, which was parsed from ``data``. Raises BadRecordError."""
        if _SUSPICIOUS.search(data):
            _check_text(value)
        text = self._text(value, "text")
        if text is None:
            raise BadRecordError("bad_record", f"no {self.spoken('text')}", "each record needs its text")
        title = self._text(value, "title") or ""
        location = self._text(value, "location") or ""
        modified = self._modified(value)
        kind = self._media_type(value, name)
        metadata = self._metadata(value)
        item = Item(
            name,
            digest([title, text, kind, location, modified, metadata]),
            location or f"{self._source}#{name}",
            self._governance(value),
            modified,
            title,
            metadata,
        )
        return Record(item, text, kind, self.is_ruled(value))

    def _governance(self, value: Mapping[str, object]) -> Governance:
        classification = self._text(value, "classification") or Governance.classification
        if classification not in CLASSIFICATIONS:
            message = f"{classification[:40]!r} is not a classification"
            raise BadRecordError("bad_record", message, f"it is one of: {', '.join(CLASSIFICATIONS)}")
        return Governance(
            self._rule(value),
            self._text(value, "owner") or "",
            classification,
            self._number(value, "rank", _MOST_RANK, Governance.rank),
            self._number(value, "fresh_days", _MOST_DAYS, Governance.fresh_days),
            self._deprecated(value),
        )

    def _number(self, value: Mapping[str, object], field: str, most: int, absent: int) -> int:
        found = self._find(value, field)
        if found is _MISSING or found is None:
            return absent
        if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= most:
            message = f"{self.spoken(field)} must be a whole number from 1 to {most}"
            raise BadRecordError("bad_record", message)
        return found

    def _deprecated(self, value: Mapping[str, object]) -> bool:
        found = self._find(value, "deprecated")
        if found is _MISSING or found is None:
            return False
        if not isinstance(found, bool):
            message = f"{self.spoken('deprecated')} must be true or false, not {_kind(found)}"
            raise BadRecordError("bad_record", message, 'without quotes; or map deprecated to ""')
        return found

    def spoken(self, field: str) -> str:
        """Where ``field`` is looked for, in words."""
        return " or ".join(".".join(path) for path in self._places[field]) or f"{field} (mapped to nowhere)"

    def _find(self, value: Mapping[str, object], field: str) -> object:
        """What the record says about ``field``, or _MISSING. Raises BadRecordError if it says it in two places."""
        found = _MISSING
        for path in self._places[field]:
            one = value.get(path[0], _MISSING) if len(path) == 1 else _at(value, path)
            if one is _MISSING:
                continue
            if found is not _MISSING:
                message = f"has both {self.spoken(field).replace(' or ', ' and ')}"
                raise BadRecordError("bad_record", message, f"map {field} to one of them")
            found = one
        return found

    def _text(self, value: Mapping[str, object], field: str) -> str | None:
        if field in self._constants:
            return self._constants[field]
        found = self._find(value, field)
        if found is _MISSING or (found is None and field != "text"):
            return None
        if not isinstance(found, str):
            raise BadRecordError("bad_record", f"{self.spoken(field)} must be text, not {_kind(found)}")
        return found

    def _modified(self, value: Mapping[str, object]) -> int | None:
        written = self._text(value, "modified")
        if written is None:
            return None
        try:
            when = datetime.fromisoformat(written)
        except ValueError:
            when = datetime.min  # has no offset either
        if when.tzinfo is None:
            message = f"{self.spoken('modified')} is {written[:40]!r}, not a time with its offset"
            hint = 'write 2026-01-31T12:00:00+01:00, or map modified to "" so that it is not read'
            raise BadRecordError("bad_record", message, hint)
        return (when - _EPOCH) // timedelta(microseconds=1)

    def _media_type(self, value: Mapping[str, object], name: str) -> str:
        written = self._text(value, "media_type")
        if written is None:
            return media_type_for(name) or "text/plain"
        if not _MEDIA_TYPE.fullmatch(written):
            message = f"{written[:40]!r} is not a media type"
            raise BadRecordError("bad_record", message, "write text/markdown, for example")
        return written

    def _metadata(self, value: Mapping[str, object]) -> dict[str, Json]:
        """What may be filtered on: not who may read it, and nothing that has no exact form (fractions)."""
        found = value.get("metadata")
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise BadRecordError("bad_record", f"metadata must be an object, not {_kind(found)}")
        return {key: one for key, one in found.items() if key not in self._hidden and _is_filterable(one)}

    def _rule(self, value: Mapping[str, object]) -> AccessRule:
        acl, deny = self._find(value, "acl"), self._find(value, "deny")
        layers = (self._allow,) if acl is _MISSING else self._layers(acl)
        denied = () if deny is _MISSING else self._principals("deny", deny)
        try:
            return _interned(layers, denied)
        except UsageError as error:
            raise BadRecordError("bad_record", error.message, error.hint) from error

    def _layers(self, acl: object) -> tuple[tuple[str, ...], ...]:
        if isinstance(acl, list) and acl and all(isinstance(layer, list) for layer in acl):
            return tuple(self._principals("acl", layer) for layer in acl)
        return (self._principals("acl", acl),)

    def _principals(self, field: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            what = "one with other things in it" if isinstance(value, list) else _kind(value)
            message = f"{self.spoken(field)} must be a list of names, not {what}"
            raise BadRecordError("bad_record", message, 'write ["everyone"], for example')
        return tuple(value)


def parse(data: bytes) -> Mapping[str, object]:
    """The JSON object in ``data``. Raises BadRecordError."""
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"byte {error.start + 1} of the line is not UTF-8"
        raise BadRecordError("bad_record", message, "save the file as UTF-8") from error
    except RecursionError as error:
        raise BadRecordError("bad_record", "nested too deeply") from error
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at column {error.colno}"
        raise BadRecordError("bad_record", message, "write one JSON object per line") from error
    except ValueError as error:  # ours, and int() refusing a number of thousands of digits
        raise BadRecordError("bad_record", f"not JSON: {error}", "write one JSON object per line") from error
    if not isinstance(value, dict):
        raise BadRecordError("bad_record", f"{_kind(value)}, not an object", "write one JSON object per line")
    return value


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """JSON lets the last of two equal keys win; of two access fields that is one too many."""
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} comes twice")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_no_constant)


def _read_mapping(
    mapping: Mapping[str, str],
) -> tuple[dict[str, tuple[tuple[str, ...], ...]], dict[str, str]]:
    """(field → the paths it may be at, field → constant). Raises UsageError."""
    places = {field: tuple(tuple(p.split(".")) for p in paths) for field, paths in _DEFAULT_PLACES.items()}
    constants = {}
    for field, where in mapping.items():
        _check_mapping(field, where)
        places[field] = ()
        if where.startswith("="):
            constants[field] = where[1:]
        elif where:
            places[field] = (tuple(where.split(".")),)
    return places, constants


def _check_mapping(field: str, where: str) -> None:
    if field not in _DEFAULT_PLACES:
        close = difflib.get_close_matches(field, _DEFAULT_PLACES, 1)
        guess = f"did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"there is no field {field!r} to map", f"{guess}fields are: {', '.join(_DEFAULT_PLACES)}"
        )
    if where == "" and field in ("id", "text"):
        raise UsageError(f"every record needs its {field}", f"say where it is: {field}=PATH")
    if where.startswith("=") and field not in _MAY_BE_CONSTANT:
        hint = f"these may: {', '.join(_MAY_BE_CONSTANT)}; for access there is allow"
        raise UsageError(f"{field} cannot be a constant", hint)
    if field == "classification" and where.startswith("=") and where[1:] not in CLASSIFICATIONS:
        raise UsageError(f"{where[1:]!r} is not a classification", f"one of: {', '.join(CLASSIFICATIONS)}")
    if field == "media_type" and where.startswith("=") and not _MEDIA_TYPE.fullmatch(where[1:]):
        raise UsageError(f"{where[1:]!r} is not a media type", "write =text/markdown, for example")


def _read_allow(allow: Sequence[str]) -> tuple[str, ...]:
    if isinstance(allow, str):
        raise UsageError("allow is a list of principals, not text", f"write [{allow!r}]")
    return tuple(principal(one) for one in allow)


@lru_cache(maxsize=4096)
def _interned(layers: tuple[tuple[str, ...], ...], deny: tuple[str, ...]) -> AccessRule:
    """The rule of these names; most records share one of a few. Raises UsageError."""
    named = [[_as_principal(name) for name in layer] for layer in layers]
    denied = [_as_principal(name) for name in deny]
    return AccessRule.of(*named, deny=denied) if all(named) else NOBODY


def _as_principal(name: str) -> str:
    return principal(name if name == ANYONE or ":" in name else f"group:{name}")


def _at(value: Mapping[str, object], path: tuple[str, ...]) -> object:
    found: object = value
    for key in path:
        if not isinstance(found, dict) or key not in found:
            return _MISSING
        found = found[key]
    return found


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _is_filterable(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_scalar(one) for one in value)
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, bool)) or (isinstance(value, int) and abs(value) <= _LARGEST_INTEGER)


def _check_text(value: object) -> None:
    """Raises BadRecordError if any text in ``value`` holds a NUL or half a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value or re.search("[\ud800-\udfff]", value):
            raise BadRecordError("bad_record", "holds a NUL or half a surrogate pair", "take it out")
    elif isinstance(value, list):
        for one in value:
            _check_text(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_text(key)
            _check_text(one)
