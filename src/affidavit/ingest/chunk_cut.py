"""Where a part that is longer than the limit is cut: between items, sentences, rows, lines; then words; at last anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from affidavit.ingest.chunk_parts import Cutter
from affidavit.ingest.parse.lines import line_starts, paragraphs, trim
from affidavit.text.sentences import sentences

Costs = Callable[[str], int]

_WINDOW = 2_000
"""Characters in which sentences are looked for at a time: a block may be a megabyte."""
_WORDS = re.compile(r"\S+")
_STOPS = re.compile(r"\.\s")
_SHORTEST_SENTENCE = 12
"""Mean characters below which text with full stops is a list of initials and abbreviations, which take long to tell apart."""
_ITEM = re.compile(
    r"(?:(?<=\n)|(?<=[;:.,][ \t\xa0])|(?<=[ \t\xa0]{2}))[ \t\xa0]{0,20}(?=\((?:[a-z]{1,4}|[A-Z]|\d{1,2})\)[ \t\xa0])"
)
_BULLET = re.compile(r"(?<=\n)[ \t]{0,40}(?=(?:[-*+•]|\d{1,3}[.)])[ \t])")


def _at(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    places = [start, *(start + m.end() for m in pattern.finditer(text[start:end])), end]
    for a, b in pairwise(places):
        span = trim(text, a, b)
        if span is not None:
            yield span


def _items(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return _at(_ITEM, text, start, end)


def _bullets(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return _at(_BULLET, text, start, end)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for a, b in pairwise(line_starts(text[start:end])):
        span = trim(text, start + a, start + b)
        if span is not None:
            yield span


def _paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return paragraphs(text, start, end)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = end
        if end - start > _WINDOW:
            window = text[start : start + _WINDOW]
            cut = max(window.rfind("\n"), window.rfind(". ") + 1)
            stop = start + (cut if cut > _WINDOW // 2 else max(window.rfind(" "), 0) or _WINDOW)
        if len(_STOPS.findall(text, start, stop)) * _SHORTEST_SENTENCE > stop - start:
            yield start, stop
        else:
            yield from sentences(text, start, stop)
        start = stop


ITEMS: Cutter = _items
"""Before ``(a)``, ``(ii)``, ``(3)`` where an item of a clause begins."""
BULLETS: Cutter = _bullets
"""Before the items inside an item of a list."""
LINES: Cutter = _lines
PARAGRAPHS: Cutter = _paragraphs
SENTENCES: Cutter = _sentences


def cut(
    text: str, start: int, end: int, cutters: tuple[Cutter, ...], costs: Costs, most: int
) -> Iterator[tuple[int, int, int, bool]]:
    """(start, end, cost, begins inside a word) of parts of a stretch, each within ``most``, as coarse as ``cutters`` allow."""
    stack = [(start, end, 0)]
    while stack:
        first, last, level = stack.pop()
        cost = costs(text[first:last])
        if cost <= most:
            yield first, last, cost, False
        elif level < len(cutters):
            parts = [(a, b, level + 1) for a, b in cutters[level](text, first, last)]
            stack.extend(reversed(parts))
        else:
            yield from _words(text, first, last, most, costs)


def runs(text: str, start: int, end: int, most: int, costs: Costs) -> Iterator[tuple[int, int, int]]:
    """(start, end, cost) of runs of whole words within ``most``; a word that is longer is a run of its own."""
    first = last = -1
    total = 0
    for word in _WORDS.finditer(text, start, end):
        cost = costs(word.group())
        if first >= 0 and total + cost > most:
            yield first, last, total
            first, total = -1, 0
        first = word.start() if first < 0 else first
        last = word.end()
        total += cost
    if first >= 0:
        yield first, last, total


def _words(text: str, start: int, end: int, most: int, costs: Costs) -> Iterator[tuple[int, int, int, bool]]:
    for a, b, cost in runs(text, start, end, most, costs):
        if cost <= most:
            yield a, b, cost, False
        else:
            yield from _characters(text, a, b, most, costs)


def _characters(
    text: str, start: int, end: int, most: int, costs: Costs
) -> Iterator[tuple[int, int, int, bool]]:
    """A single word over the limit, in equal parts. No character costs more than three tokens."""
    step = max(1, most // 300)
    for a in range(start, end, step):
        b = min(a + step, end)
        yield a, b, costs(text[a:b]), a > start
