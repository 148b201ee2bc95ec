"""What can be quoted: sentences, rows, cells of long rows and code paragraphs of a passage, as spans of the revision's text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from affidavit.ask.retrieve import Passage
from affidavit.text.analyze import terms
from affidavit.text.sentences import sentences

LONGEST = 1200
LONG_ROW = 300
"""Characters above which a row is quoted by its cells."""
_LEAD = re.compile(r"(?:[-*+•]|\d+[.)]|>)\s+(?:\[[ xX]\]\s+)?")
_HEADING = re.compile(r"#{1,6}\s|={3,}|-{3,}|\|?[\s:|-]+\|?$|```|<!--")
_LINE = re.compile(r"[^\r\n]+")
_CELL = re.compile(r"[^|\r\n]+")
_FIELD = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"|[^\t,;"\r\n][^\t,;\r\n]*')
_PARAGRAPH = re.compile(r"\S.*?(?=\n\s*\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Unit:
    """A quotable span. ``passage`` is an index into the passages; ``terms`` the distinct terms of the quote."""

    passage: int
    start: int
    end: int
    quote: str
    terms: frozenset[str]


def _spans(passage: Passage) -> Iterator[tuple[int, int]]:
    text, kind = passage.text, passage.view.kind
    if kind in ("row", "table"):
        for line in _LINE.finditer(text):
            yield from _cells(text, *line.span())
    elif kind == "code":
        yield from (m.span() for m in _PARAGRAPH.finditer(text))
    else:
        for start, end in sentences(text):
            yield from _without_headings(text, start, end)


def _cells(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A row, or its cells if it is long: between bars, or as fields of CSV without their quotes."""
    if end - start <= LONG_ROW:
        yield start, end
    elif "|" in text[start:end]:
        yield from (m.span() for m in _CELL.finditer(text, start, end))
    else:
        yield from (
            m.span("quoted" if m["quoted"] is not None else 0) for m in _FIELD.finditer(text, start, end)
        )


def _without_headings(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence that runs on from a heading line begins after it."""
    begin = start
    while _HEADING.match(text, begin, end):
        line = text.find("\n", begin, end)
        if line < 0:
            return
        rest = text[line + 1 : end]
        begin = end - len(rest.lstrip())
    yield begin, end


def units(index: int, passage: Passage) -> list[Unit]:
    """The quotable spans of ``passage``; headings, rules and fragments of under three words are left out."""
    found = []
    for start, end in _spans(passage):
        lead = _LEAD.match(passage.text, start, end)
        raw = passage.text[lead.end() if lead else start : end]
        quote = raw.strip()
        if not quote or len(quote) > LONGEST or _HEADING.match(quote) or len(quote.split()) < 3:
            continue
        first = passage.view.start + end - len(raw.lstrip())
        found.append(Unit(index, first, first + len(quote), quote, frozenset(terms(quote))))
    return found
