"""What can be quoted: the sentences, rows and code paragraphs of a passage, as spans of the revision's text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from affidavit.ask.retrieve import Passage
from affidavit.text.analyze import terms
from affidavit.text.sentences import sentences

LONGEST = 1200
_LEAD = re.compile(r"(?:[-*+•]|\d+[.)]|>)\s+(?:\[[ xX]\]\s+)?")
_HEADING = re.compile(r"#{1,6}\s|={3,}|-{3,}|\|?[\s:|-]+\|?$|```|<!--")
_LINE = re.compile(r"[^\r\n]+")
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
        yield from (m.span() for m in _LINE.finditer(text))
    elif kind == "code":
        yield from (m.span() for m in _PARAGRAPH.finditer(text))
    else:
        for start, end in sentences(text):
            yield from _without_headings(text, start, end)


def _without_headings(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence that runs on from a heading line begins after it."""
    while _HEADING.match(text, start, end):
        line = text.find("\n", start, end)
        if line < 0:
            return
        start = line + 1
        while start < end and text[start].isspace():
            start += 1
    yield start, end


def units(index: int, passage: Passage) -> list[Unit]:
    """The quotable spans of ``passage``; headings, rules and fragments of under three words are left out."""
    found = []
    for start, end in _spans(passage):
        lead = _LEAD.match(passage.text, start, end)
        start = lead.end() if lead else start
        quote = passage.text[start:end]
        stripped = quote.strip()
        if not stripped or len(quote) > LONGEST or _HEADING.match(stripped) or len(stripped.split()) < 3:
            continue
        start += len(quote) - len(quote.lstrip())
        end = start + len(stripped)
        offset = passage.view.start
        found.append(Unit(index, offset + start, offset + end, stripped, frozenset(terms(stripped))))
    return found
