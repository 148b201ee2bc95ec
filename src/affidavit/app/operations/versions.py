"""Versions of what is read (entity tags, RFC 9110, 8.8.3), and changes that are made only to the version that was looked at.

A tag is a digest of what the caller was given, so it says nothing that they were not told, and every change of it is another tag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from affidavit.app.operations.operation import Asked, Caller, Operation, Table, check, shown
from affidavit.app.workspace import Workspace
from affidavit.domain.canonical import sha256
from affidavit.domain.errors import AffidavitError, PreconditionError, UsageError

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"\s*{_TAG.pattern}(?:\s*,\s*{_TAG.pattern})*\s*")
_ANY = "*"


def tag(operation: Operation[Any], found: Any) -> str:
    """The entity tag of ``found``, which ``operation`` gave; a weak one where it holds what passes."""
    passing = operation.passing
    text = json.dumps(_still(found, passing) if passing else found, sort_keys=True, default=str)
    return f'{"W/" if passing else ""}"{sha256(text.encode())[:32]}"'


def _still(value: Any, passing: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {k: _still(v, passing) for k, v in value.items() if k not in passing}
    return [_still(v, passing) for v in value] if isinstance(value, list) else value


def same(header: str, tag: str, *, strong: bool = False) -> bool:
    """Whether ``header`` (If-None-Match, or ``strong`` If-Match) names ``tag`` or any (RFC 9110, 8.8.3.2 and 13.1)."""
    if header.strip() == _ANY:
        return True
    opaque = tag.removeprefix("W/")
    if (strong and tag != opaque) or not _LIST.fullmatch(header):
        return False
    return any(f'"{said}"' == opaque and not (strong and weak) for weak, said in _TAG.findall(header))


def only_if(
    ws: Workspace,
    caller: Caller,
    table: Table,
    operation: Operation[Any],
    asked: Asked,
    header: str | None,
) -> Callable[[], None] | None:
    """What raises PreconditionError unless what ``operation`` changes is, at that moment, what ``header`` (If-Match) names.

    None without a condition. Raises UsageError where there is nothing that could be matched: a condition is never ignored.
    """
    if header is None and not operation.guarded:
        return None
    if not operation.guards:
        raise UsageError(
            f"{operation.name} changes nothing that has a version",
            "leave If-Match out; the schema says where it can be",
        )
    read = table[operation.guards]
    said = {
        name: getattr(asked, name) for name in read.takes.model_fields if name in type(asked).model_fields
    }
    looked = read.takes.model_validate(said)

    def holds() -> None:
        if header is None:
            raise PreconditionError(
                f"{operation.name} replaces all of what others may have changed meanwhile",
                f"send If-Match with the ETag of what you looked at ({read.name}), or * whatever it is",
                required=True,
            )
        try:
            check(ws, caller, read.action)
            now = tag(read, shown(ws, caller, read, looked))
        except AffidavitError:  # there is none, or none that they may see, and then none matches
            now = ""
        if not now or not same(header, now, strong=True):
            raise PreconditionError(
                "it is no longer what you looked at", f"look at it again ({read.name}), then decide anew"
            )

    return holds
