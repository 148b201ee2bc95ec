"""What changed between two texts, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_MOST = 6_000

Stretch = tuple[str, str]
"""(``same``, ``gone`` or ``new``, the words)."""


def compared(before: str, after: str) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches of ``before`` (same, gone) and of ``after`` (same, new). Very long texts are compared as wholes."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if before == after:
        return _one("same", before), _one("same", after)
    if len(old) + len(new) > _MOST:
        return _one("gone", before), _one("new", after)
    left: list[Stretch] = []
    right: list[Stretch] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        same = tag == "equal"
        left += _one("same" if same else "gone", "".join(old[a:b]))
        right += _one("same" if same else "new", "".join(new[c:d]))
    return left, right


def _one(kind: str, text: str) -> list[Stretch]:
    return [(kind, text)] if text else []
