"""Canonical bytes and digests: the same value always gives the same bytes.

A subset of RFC 8785 (JSON Canonicalization Scheme): keys sorted, no white space, UTF-8, and no
floating-point numbers at all, because two programs need not print the same float alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

Json: TypeAlias = Union[None, bool, int, str, Sequence["Json"], Mapping[str, "Json"]]

_LARGEST = 2**53 - 1


def canonical(value: Json) -> bytes:
    """Canonical JSON of ``value``.

    Raises TypeError for floats and anything else JSON has no exact form for, ValueError for integers
    beyond 2^53 - 1 and for text that is not valid Unicode.
    """
    _check(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def _check(value: object) -> None:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]  # mypy does not narrow by type()
            raise ValueError(f"integer {value} is beyond 2^53 - 1")
    elif isinstance(value, (list, tuple)):
        for item in value:
            if type(item) is not str:
                _check(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key must be text, not {type(key).__name__}")
            if type(item) is not str:
                _check(item)
    elif not isinstance(value, str):
        raise TypeError(f"{kind.__name__} has no canonical form")


def sha256(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Json) -> str:
    """SHA-256 of the canonical form of ``value``."""
    return sha256(canonical(value))


def text_digest(text: str) -> str:
    """SHA-256 of the UTF-8 form of ``text``."""
    return sha256(text.encode("utf-8"))
