"""What changed between two texts, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_LITTLE = 0.35
"""Below this likeness two texts have nothing in common that is worth pointing at."""
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
    match = SequenceMatcher(None, old, new, autojunk=False)
    if match.ratio() < _LITTLE:
        return _one("gone", before), _one("new", after)
    for tag, a, b, c, d in match.get_opcodes():
        same = tag == "equal"
        left += _one("same" if same else "gone", "".join(old[a:b]))
        right += _one("same" if same else "new", "".join(new[c:d]))
    return left, right


def _one(kind: str, text: str) -> list[Stretch]:
    return [(kind, text)] if text else []
