"""The one filter language over document metadata, with its one reference meaning (``matches``).

A metadata field holds text, an integer, a boolean, or a list of those. A test on a list holds when it
holds for any element. Types never mix: ``"1"`` is not ``1`` and ``1`` is not ``true``. A field that is
absent passes no test (so ``not equals`` is true of it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, Union

from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError

Scalar: TypeAlias = str | int | bool
Metadata: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True)
class Equals:
    """The field equals the value."""

    field: str
    value: Scalar


@dataclass(frozen=True)
class AnyOf:
    """The field equals one of the values; none of no values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Range:
    """low <= field <= high, both inclusive, either may be open; text compares by code point."""

    field: str
    low: str | int | None = None
    high: str | int | None = None


@dataclass(frozen=True)
class Exists:
    """The field is present, not null and not an empty list."""

    field: str


@dataclass(frozen=True)
class And:
    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    part: Filter


Filter: TypeAlias = Union[Equals, AnyOf, Range, Exists, And, Or, Not]


def _elements(metadata: Metadata, field: str) -> list[Scalar]:
    value = metadata.get(field)
    items = value if isinstance(value, (list, tuple)) else [value]
    return [v for v in items if isinstance(v, (str, int, bool))]


def _same(a: Scalar, b: Scalar) -> bool:
    return type(a) is type(b) and a == b


def _within(value: Scalar, low: str | int | None, high: str | int | None) -> bool:
    return (low is None or _ordered(low, value)) and (high is None or _ordered(value, high))


def _ordered(a: Scalar, b: Scalar) -> bool:
    """a <= b, where the two can be compared."""
    if isinstance(a, str) and isinstance(b, str):
        return a <= b
    return type(a) is int and type(b) is int and a <= b


def matches(filter: Filter, metadata: Metadata) -> bool:
    """The reference meaning: whether ``metadata`` passes ``filter``."""
    match filter:
        case Equals(field, value):
            return any(_same(v, value) for v in _elements(metadata, field))
        case AnyOf(field, values):
            return any(_same(v, w) for v in _elements(metadata, field) for w in values)
        case Range(field, low, high):
            return any(_within(v, low, high) for v in _elements(metadata, field))
        case Exists(field):
            return bool(_elements(metadata, field))
        case And(parts):
            return all(matches(p, metadata) for p in parts)
        case Or(parts):
            return any(matches(p, metadata) for p in parts)
        case Not(part):
            return not matches(part, metadata)


_SHAPES = (
    '{"equals": [FIELD, VALUE]}, {"any_of": [FIELD, [VALUE, …]]}, {"range": [FIELD, LOW, HIGH]}, '
    '{"exists": FIELD}, {"and": […]}, {"or": […]}, {"not": …}'
)


def parse_filter(value: Json, depth: int = 0) -> Filter:
    """A filter from its JSON form. Raises UsageError, which shows the allowed forms."""
    if depth > 32:
        raise UsageError("the filter is nested more than 32 deep")
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, body),) = value.items()
        parsed = _parse_one(name, body, depth)
        if parsed is not None:
            return parsed
    raise UsageError(f"not a filter: {value!r}"[:200], f"a filter is one of {_SHAPES}")


def _parse_one(name: str, body: Json, depth: int) -> Filter | None:
    match name, body:
        case "equals", [str() as field, (str() | int() | bool()) as wanted]:
            return Equals(field, wanted)
        case "any_of", [str() as field, [*values]] if all(isinstance(v, (str, int, bool)) for v in values):
            return AnyOf(field, tuple(v for v in values if isinstance(v, (str, int, bool))))
        case "range", [str() as field, low, high] if all(
            b is None or isinstance(b, str) or type(b) is int for b in (low, high)
        ):
            return Range(
                field,
                low if isinstance(low, (str, int)) else None,
                high if isinstance(high, (str, int)) else None,
            )
        case "exists", str() as field:
            return Exists(field)
        case "and", [*parts]:
            return And(tuple(parse_filter(p, depth + 1) for p in parts))
        case "or", [*parts]:
            return Or(tuple(parse_filter(p, depth + 1) for p in parts))
        case "not", part:
            return Not(parse_filter(part, depth + 1))
    return None
