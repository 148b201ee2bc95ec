"""Contracts and policies: one clause a part, with its number, the terms it defines and the clauses it refers to.

Clauses are found by their numbers, wherever a line, a paragraph or (in texts that lost their line ends) a wide gap lets
one stand. A number counts only as the first of a series or the next after one that counted, so that years, sums and the
numbers in a sentence do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from affidavit.domain.records import Block
from affidavit.ingest.chunk_cut import ITEMS, LINES, SENTENCES
from affidavit.ingest.chunk_parts import Fields, Part, value
from affidavit.ingest.parse.lines import trim

_PLACE = r"(?:(?<=\n)|(?<=[ \t\xa0]{2})|(?<=[.;:)\]”][ \xa0])|\A)[ \t\xa0]{0,20}"
_MARK = re.compile(
    _PLACE + r"(?:(?P<word>(?:ARTICLE|SECTION|CLAUSE|Article|Section|Clause|Item|ITEM)[ \t\xa0]+|§[ \t\xa0]*)"
    r"(?P<named>\d{1,3}(?:\.\d{1,3}){0,4}|[IVXL]{1,7}|[A-Z])[.:)]?(?=[ \t\xa0\n]|$)"
    r"|(?P<number>\d{1,3}(?:\.\d{1,3}){0,4})(?P<stop>[ \t]?[.)])?(?=[ \t\xa0\n])"
    r"|(?P<letter>[A-Z])\.(?=[ \t\xa0]))"
    r"[ \t\xa0]{0,20}\n?[ \t\xa0]{0,20}(?P<next>\S|$)"
    r"|(?<=[ \xa0])(?P<inner>\d{1,2}\.\d{1,3}(?:\.\d{1,3}){0,3})\.?[ \xa0]{1,20}(?=[A-Z\"“])"
)
_REFERRED = re.compile(
    r"(?:sections?|articles?|paragraphs?|clauses?|exhibits?|schedules?|and|or|to|through|under|in|of|with|no\.?|§|,|-|\()"
    r"[ \xa0]{0,20}\Z",
    re.IGNORECASE,
)
"""What stands before a number inside a sentence that is a reference, not the beginning of a clause."""
_CUES = re.compile(
    r"\b(?:shall|must|may not|hereby|herein|hereof|hereunder|thereof|parties|party|agreement|pursuant)\b",
    re.IGNORECASE,
)
_LEAST_CLAUSES = 5
_CUES_EVERY = 700
"""Characters a contract or policy has for each word of its kind at most."""
_WINDOW = 60_000
"""Characters in which those words are counted."""
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}

_DEFINED = re.compile(
    r"\([^()\"“”]{0,80}[\"“](?P<short>[A-Z][^\"“”\n]{0,60})[\"”][^()\"“”]{0,80}\)"
    r"|[\"“](?P<means>[A-Z][^\"“”\n]{0,60})[\"”][^.;\"“”]{0,60}?\b(?:means?|refers? to|has the meaning|have the meaning)\b"
)
_REFERS = re.compile(
    r"\b(?P<what>Sections?|Articles?|Clauses?|Paragraphs?|Schedules?|Exhibits?|Annex(?:es)?|Appendix|sections?|articles?"
    r"|clauses?|paragraphs?)[ \t\xa0\n]{1,3}(?P<which>\d{1,3}(?:\.\d{1,3}){0,4}|[IVXL]{1,7}\b|[A-Z]\b)"
    r"(?P<item>(?:\([A-Za-z\d]{1,4}\)){0,4})"
)


@dataclass
class _Series:
    """The numbers that counted so far, and the clause in force."""

    seen: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)
    top: int = 0
    above: str = ""

    def number(self, match: re.Match[str]) -> str:
        """The clause's number as it is cited ("4.2", "4(B)"), or "" if this is not the number of a clause."""
        if match["inner"]:
            before = match.string[max(0, match.start() - 12) : match.start()]
            return "" if _REFERRED.search(before) else self._counted("", match["inner"])
        if match["letter"]:
            return self._letter(match["letter"], match["next"])
        written = match["named"] or match["number"]
        style = (match["word"] or "").strip().lower()
        if not style and "." not in written and not match["stop"]:
            return ""  # a bare number, as of a page
        if match["next"].islower() or (not match["next"] and not style):
            return ""
        return self._counted(style, written)

    def _counted(self, style: str, written: str) -> str:
        if not self._next(style, _value(written)):
            return ""
        self.above = written
        self.seen = {known for known in self.seen if known[0] != "letter"}
        return written

    def _letter(self, letter: str, following: str) -> str:
        place = (ord(letter) - ord("A") + 1,)
        if not following.isupper() or not self._next("letter", place):
            return ""
        return f"{self.above}({letter})" if self.above else letter

    def _next(self, style: str, value: tuple[int, ...]) -> bool:
        """Whether ``value`` begins a series or follows one; one number may have been lost between."""
        *outer, last = value
        follows = any((style, (*outer, last - step)) in self.seen for step in (1, 2))
        # "3" may follow "2.9"
        follows = follows or (not outer and (style, (last - 1, 1)) in self.seen)
        if not follows and not (last <= 1 and self._inside(outer)):
            return False
        self.seen.add((style, value))
        if style != "letter":
            self.top = value[0]
        return True

    def _inside(self, outer: list[int]) -> bool:
        """Whether a series may begin below ``outer``: "4.1" does in clause 4 or after clause 3, "4.1.1" in 4.1."""
        if len(outer) > 1:
            return any(value == tuple(outer) for _, value in self.seen)
        return not outer or self.top <= outer[0] <= self.top + 2


def _value(written: str) -> tuple[int, ...]:
    """A number as integers; a Roman one or a letter as one; () for what is none."""
    if written[0].isdigit():
        return tuple(int(part) for part in written.split("."))
    if set(written) <= set(_ROMAN):
        digits = [_ROMAN[letter] for letter in written]
        return (sum(-d if d < max(digits[n:]) else d for n, d in enumerate(digits)),)
    return (ord(written) - ord("A") + 1,)


def clauses(text: str, blocks: Sequence[Block]) -> list[tuple[int, str]]:
    """(where it begins, number) of every clause, in order; [] unless the text is a contract, a policy or the like."""
    words = text[:_WINDOW]
    if len(_CUES.findall(words)) * _CUES_EVERY < len(words):
        return []
    series = _Series()
    found = []
    for block in blocks:
        if block.kind not in ("paragraph", "heading"):
            continue
        for match in _MARK.finditer(text[block.start : block.end]):
            number = series.number(match)
            if number:
                at = match.start() + len(match.group()) - len(match.group().lstrip())
                found.append((block.start + at, number))
    return found if len(found) >= _LEAST_CLAUSES else []


def clause_parts(text: str, blocks: Sequence[Block], marks: Sequence[tuple[int, str]]) -> Iterator[Part]:
    """The blocks, cut where a clause begins. What follows a clause's first block belongs to it until the next begins.

    The clauses under one number ("4.1" and "4.2", "4(A)") are a group.
    """
    left = list(reversed(marks))
    number, group = "", 0
    cutters = (ITEMS, SENTENCES, LINES)
    for block in blocks:
        at = block.start
        begins = False
        while left and left[-1][0] < block.end:
            place, called = left.pop()
            span = trim(text, at, place)
            if span is not None:
                yield Part(block.kind, *span, block.path, _clause(number), begins, group, cutters)
            group += _outermost(called) != _outermost(number)
            at, number, begins = place, called, True
        span = trim(text, at, block.end)
        if span is not None:
            yield Part(block.kind, *span, block.path, _clause(number), begins, group, cutters)


def _outermost(number: str) -> str:
    return re.split(r"[.(]", number, maxsplit=1)[0]


def _clause(number: str) -> Fields:
    return (("clause", number),) if number else ()


def clause_details(piece: str) -> Iterator[tuple[str, str]]:
    """The terms that a stretch of a contract defines, and the places it refers to, as fields ``defines`` and ``refers``."""
    for match in _DEFINED.finditer(piece):
        yield "defines", value(match["short"] or match["means"])
    for match in _REFERS.finditer(piece):
        what = match["what"].capitalize()
        yield "refers", f"{what.rstrip('s')} {match['which']}{match['item']}"
