"""JSON Schemas out of a Python function's annotations.

Known are ``int``, ``str``, ``bool``, ``None``, ``list``, ``dict[str, …]``, ``Literal``, ``Enum`` of texts or numbers, unions,
dataclasses, ``TypedDict``, and ``Annotated`` with ``Limits``. Floats are refused: no two programs need agree about them.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError

_PLAIN: Mapping[Any, str] = {int: "integer", str: "string", bool: "boolean", type(None): "null"}
_DEEPEST = 16
_HINT = "known are int, str, bool, None, list[…], dict[str, …], Literal, Enum, unions, dataclasses, TypedDict and Annotated"


@dataclasses.dataclass(frozen=True)
class Limits:
    """What ``Annotated[int, Limits(least=1, most=500_00)]`` adds: bounds of a number, or of a length (text, list, object).
    ``pattern`` is a regular expression somewhere in a text; ``says`` tells a model what the value is."""

    least: int | None = None
    most: int | None = None
    pattern: str = ""
    says: str = ""


_BOUNDS: Mapping[str, tuple[str, str]] = {
    "integer": ("minimum", "maximum"),
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}


def schema_of(kind: Any, where: str, depth: int = 0) -> dict[str, Json]:
    """The JSON Schema of values of ``kind``. ``where`` names it in errors. Raises UsageError for what has none."""
    if depth > _DEEPEST:
        raise UsageError(f"{where}: the type refers to itself", "say it flatter, or hand over text")
    if kind is float or kind is complex:
        raise UsageError(
            f"{where} is a float", "use int: money is counted in its smallest unit, a share in per mille"
        )
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _limited(schema_of(inner[0], where, depth + 1), inner[1:], where)
    if origin is Literal:
        return {"enum": [_word(value, where) for value in inner]}
    if origin in (Union, types.UnionType):
        return _any_of([schema_of(one, where, depth + 1) for one in inner])
    if origin is list and inner:
        return {"type": "array", "items": schema_of(inner[0], where, depth + 1)}
    if origin is dict and inner and inner[0] is str:
        return {"type": "object", "additionalProperties": schema_of(inner[1], where, depth + 1)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [_word(member.value, where) for member in kind]}
    if is_typeddict(kind) or (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return _record(kind, where, depth)
    raise UsageError(f"{where}: {kind!r} has no JSON Schema", _HINT)


def _word(value: object, where: str) -> Json:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise UsageError(f"{where}: {value!r} cannot be chosen from", "text, whole numbers, true, false and None")


def _any_of(found: list[dict[str, Json]]) -> dict[str, Json]:
    if all(set(one) == {"type"} for one in found):
        return {"type": [one["type"] for one in found]}
    return {"anyOf": list(found)}


def _limited(schema: dict[str, Json], notes: tuple[Any, ...], where: str) -> dict[str, Json]:
    out = dict(schema)
    for note in notes:
        if not isinstance(note, Limits):
            continue
        if note.least is not None or note.most is not None:
            low, high = _bounds(schema, where)
            out.update({k: v for k, v in ((low, note.least), (high, note.most)) if v is not None})
        if note.pattern:
            out["pattern"] = note.pattern
        if note.says:
            out["description"] = note.says
    return out


def _bounds(schema: Mapping[str, Json], where: str) -> tuple[str, str]:
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _BOUNDS:
        raise UsageError(
            f"{where}: no limits go with {kind}", "limits go with numbers, text, lists and objects"
        )
    return _BOUNDS[kind]


def _record(kind: Any, where: str, depth: int) -> dict[str, Json]:
    """An object with exactly the fields of a dataclass or TypedDict."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        needed = sorted(kind.__required_keys__)
    else:
        missing = dataclasses.MISSING
        fields = dataclasses.fields(kind)
        needed = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    properties: dict[str, Json] = {
        name: schema_of(hint, f"{where}.{name}", depth + 1) for name, hint in hints.items()
    }
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def made(kind: Any, value: Any) -> Any:
    """``value``, which fits the schema of ``kind``, as the function expects it: enum members and dataclasses made of JSON."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return made(inner[0], value)
    if origin in (Union, types.UnionType):
        return _of_union(inner, value)
    if origin is list:
        return [made(inner[0], one) for one in value]
    if origin is dict:
        return {name: made(inner[1], one) for name, one in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    record = isinstance(kind, type) and dataclasses.is_dataclass(kind)
    if record or is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        fields = {name: made(hints[name], one) for name, one in value.items()}
        return kind(**fields) if record else fields
    return value


def _of_union(kinds: tuple[Any, ...], value: Any) -> Any:
    """The first of a union's types that can be made of ``value``, by the shape alone."""
    for kind in kinds:
        if value is not None and _fits(kind, value):
            return made(kind, value)
    return value


def _fits(kind: Any, value: Any) -> bool:
    inner = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if isinstance(inner, type) and issubclass(inner, Enum):
        return value in {member.value for member in inner}
    if is_typeddict(inner) or (isinstance(inner, type) and dataclasses.is_dataclass(inner)):
        return isinstance(value, dict) and set(value) <= set(get_type_hints(inner))
    if get_origin(inner) is Literal:
        return value in get_args(inner)
    plain = get_origin(inner) or inner
    return isinstance(plain, type) and type(value) is plain


def as_json(value: Any) -> Any:
    """A result as JSON: dataclasses and enum members by their content."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    return value
