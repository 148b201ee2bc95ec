"""What goes into a tool and comes out of it: JSON without surprises, held against the contract's schemas.

Nothing is coerced: ``5000.0`` and ``"5000"`` are no integers, a key that stands twice is refused, and so is what is too large
or too deep to be looked at. No schema is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from affidavit.domain.canonical import Json, canonical
from affidavit.domain.errors import ArgumentsError, UsageError

LARGEST = 1_000_000
"""Bytes of canonical JSON that a call's arguments, or its result, may have."""
DEEPEST = 32
_MONEY = "whole numbers only: an amount of money is counted in its smallest unit, for example 5000 cents"
_SHOWN = 200


def parse_arguments(text: str) -> dict[str, Json]:
    """The arguments in a JSON text. Raises ArgumentsError for anything that is not one object of exact values."""
    if len(text) > LARGEST:
        raise ArgumentsError(f"the arguments have more than {LARGEST} characters", "hand over less")
    try:
        value = json.loads(
            text, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_each_once
        )
    except (ValueError, RecursionError) as error:
        raise ArgumentsError(
            f"the arguments are not JSON: {str(error)[:_SHOWN]}", "for example '{\"id\": 7}'"
        ) from error
    if not isinstance(value, dict):
        raise ArgumentsError("the arguments are not one JSON object", "for example '{\"id\": 7}'")
    exact(value, "the arguments")
    return value


def _no_float(text: str) -> NoReturn:
    raise ArgumentsError(f"{text[:40]} is not a whole number", _MONEY)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ArgumentsError("a name stands twice in one object", "say each argument once")
    return found


def exact(value: object, what: str) -> bytes:
    """The canonical bytes of ``value``. Raises ArgumentsError where it has none, or is too large or too deep."""
    _shallow(value, what)
    try:
        data = canonical(value)  # type: ignore[arg-type]  # that is what is found out here
    except TypeError as error:
        if "float" in str(error):
            raise ArgumentsError(f"{what}: a number is not a whole number", _MONEY) from error
        raise ArgumentsError(
            f"{what}: {error}", "use text, whole numbers, true, false, null, lists and objects"
        ) from error
    except ValueError as error:
        raise ArgumentsError(
            f"{what}: {str(error)[:_SHOWN]}", "such a value cannot be kept exactly"
        ) from error
    if len(data) > LARGEST:
        raise ArgumentsError(f"{what}: {len(data)} bytes, more than {LARGEST}", "hand over less")
    return data


def _shallow(value: object, what: str) -> None:
    """By level, not by recursion: what is asked here is whether recursion is safe."""
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, (Mapping, list, tuple))
            for inner in (one.values() if isinstance(one, Mapping) else one)
        ]
        if not level:
            return
    raise ArgumentsError(f"{what}: nested deeper than {DEEPEST}", "hand over something flatter")


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not part of the contract, and nothing is fetched")


class Schema:
    """One JSON Schema (2020-12), compiled. Raises UsageError where it is none or points outside itself."""

    def __init__(self, schema: Mapping[str, Json], what: str) -> None:
        import jsonschema_rs  # noqa: PLC0415  # 12 ms that only calls need

        self._what = what
        try:
            self._validator = jsonschema_rs.Draft202012Validator(dict(schema), retriever=_fetch_nothing)
        except (
            jsonschema_rs.ValidationError,
            jsonschema_rs.ReferencingError,
            ValueError,
            TypeError,
        ) as error:
            raise UsageError(
                f"{what} has no usable schema: {str(error).splitlines()[0][:_SHOWN]}",
                "write a JSON Schema (2020-12) that refers to nothing outside itself",
            ) from error

    def check(self, value: Json) -> bytes:
        """The canonical bytes of ``value``. Raises ArgumentsError, naming the first place where it is not as promised."""
        data = exact(value, self._what)
        for error in self._validator.iter_errors(value):
            path = "/".join(map(str, error.instance_path))
            raise ArgumentsError(
                f"{self._what}{f', at {path}' if path else ''}: {error.message[:_SHOWN]}",
                "`affidavit tool show NAME` prints what is asked for",
            )
        return data
