"""Sentences of a text as character spans; a sentence is what the extractive answerer quotes."""

from __future__ import annotations

import itertools
import re

# An end of sentence: . ! ? (with closing quotes or brackets) before white space and something that can begin a sentence;
# the CJK full stops need no space; a blank line, a list item or a table row ends one too.
_END = re.compile(
    r"""(?<=[.!?])["'”’)\]]*\s+(?=["'“‘(\[*_`#A-Z0-9À-ÖØ-Þ\u0400-\u042f])"""
    r"""|(?<=[。！？])"""
    r"""|\n\s*\n"""
    r"""|\n(?=\s*(?:[-*+•]|\d+[.)])\s)"""
    r"""|\n(?=\s*[|#>])""",
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?i:e\.g|i\.e|etc|vs|cf|approx|nos?|dr|mrs?|ms|prof|st|inc|ltd|co|corp|jr|sr|fig|sec|art|al)\.|\b[A-Z]\."
    r"|(?:^|\n)\s*\d+[.)])$"
)
_LONGEST_ABBREVIATION = 16  # characters looked at before a stop: bounded, so that hostile text costs no more


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """(start, end) of each sentence of ``text[start:end]``, offsets into ``text``, without white space around."""
    stop = len(text) if end is None else end
    cuts = [start]
    for match in _END.finditer(text, start, stop):
        cut = match.end()
        if "\n" not in match.group() and _ends_in_abbreviation(text, cuts[-1], match.start()):
            continue
        cuts.append(cut)
    cuts.append(stop)
    spans = []
    for a, b in itertools.pairwise(cuts):
        piece = text[a:b]
        left = len(piece) - len(piece.lstrip())
        right = len(piece.rstrip())
        if right > left:
            spans.append((a + left, a + right))
    return spans


def _ends_in_abbreviation(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - _LONGEST_ABBREVIATION) : stop + 1].rstrip()
    return _ABBREVIATION.search(before) is not None
