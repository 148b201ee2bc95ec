"""Whether a claim is made of whole sentences of what it cites, and of nothing else.

A rule that compares words cannot tell every change of meaning: who does what to whom, a condition left out, two halves joined.
A whole sentence says what its author said, so under this rule a model chooses and never words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from affidavit.ask.units import Unit

_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^()\s]*\)")
_MARKUP = re.compile(r"[*_`]+|\\(?=[^\w\s])|^\s*(?:#{1,6}|>|[-+•]|\d+[.)])\s+", re.MULTILINE)
_END = " .;:,"
_MOST = 12  # sentences in a claim: more is an answer by itself


def plain(text: str) -> str:
    """``text`` without marks of emphasis, links and list items, with single spaces, without what ends a sentence."""
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", text)).split()).rstrip(_END)


def whole_sentences(claim: str, units: Iterable[Unit]) -> list[Unit]:
    """The units that ``claim`` consists of, in its order; none if anything else stands in it, or is missing.

    ``units``: the quotable spans of what is cited. Marks, white space and the stops between sentences may differ, nothing else.
    """
    known: dict[str, Unit] = {}
    for unit in units:
        known.setdefault(plain(unit.quote), unit)
    return _parts(plain(claim), sorted(known, key=len, reverse=True), known, _MOST, set())


def _parts(
    rest: str, texts: list[str], known: dict[str, Unit], left: int, dead: set[tuple[int, int]]
) -> list[Unit]:
    """Longest first, so that a sentence which begins another is not taken for it; goes back where that leads nowhere.

    ``dead``: what led nowhere before, by how much was left. Sentences that begin each other would be tried in every order.
    """
    if (len(rest), left) in dead:
        return []
    for text in texts:
        if rest == text:
            return [known[text]]
        after = rest[len(text) :]
        if left > 1 and text and rest.startswith(text) and after[:1] in _END and after.lstrip(_END):
            found = _parts(after.lstrip(_END), texts, known, left - 1, dead)
            if found:
                return [known[text], *found]
    dead.add((len(rest), left))
    return []
