"""Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join('' if c is None else str(c) for c in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def pairs(title: str, found: dict[str, Any]) -> str:
    """``found`` as a table of names and values, under ``title``; "" for nothing."""
    if not found:
        return ""
    rows = [
        (name, json.dumps(value).replace("|", "/"))
        for part, value in found.items()
        for name, value in _flat(part, value)
    ]
    return f"{title}\n\n{table(('figure', 'value'), rows)}"


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and any(isinstance(v, dict) for v in value.values()):
        return [pair for key, inner in value.items() for pair in _flat(f"{name}: {key}", inner)]
    return [(name, value)]
