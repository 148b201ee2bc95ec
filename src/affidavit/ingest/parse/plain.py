"""Plain text: paragraphs between blank lines, and the few lines that are surely headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.lines import line_starts, paragraphs, trim

LONGEST_HEADING = 80
_UNDERLINE = re.compile(r"(=|-)\1{2,}")
_NUMBERED = re.compile(r"(?P<number>\d{1,3}(?:\.\d{1,3}){0,5})\.?[ \t]+[A-Z]")
_SENTENCE_END = (".", ",", ";", ":", "!", "?")


def parse_plain(text: str, name: str) -> Parsed:
    """``text`` is the file; every non-white-space character lies in a block. The title is a heading that opens the file.

    A heading is a short line underlined with ``===`` or ``---``, or a line alone between blank lines that is in capitals or
    numbered (``2.1 Scope``), if something follows it.
    """
    found = list(_pieces(text))
    blocks = []
    above: list[tuple[int, str]] = []
    for place, (start, end, level) in enumerate(found):
        if level and place + 1 < len(found):
            while above and above[-1][0] >= level:
                above.pop()
            path = tuple(words for _, words in above)
            blocks.append(Block("heading", start, end, path))
            above.append((level, _words(text[start:end])))
        else:
            blocks.append(Block("paragraph", start, end, tuple(words for _, words in above)))
    opens = bool(blocks) and blocks[0].kind == "heading"
    title = _words(text[blocks[0].start : blocks[0].end]) if opens else ""
    return Parsed(text, title, tuple(blocks), "text/plain", {})


def plain_blocks(text: str, start: int, end: int, path: tuple[str, ...] = ()) -> list[Block]:
    """The paragraphs of a stretch of text as blocks, without looking for headings."""
    return [Block("paragraph", a, b, path) for a, b in paragraphs(text, start, end)]


def _words(heading: str) -> str:
    """A heading's own words: its first line, white space collapsed (an underline is the second)."""
    return " ".join(re.split(r"[\r\n]", heading, maxsplit=1)[0].split())


def _pieces(text: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, heading level or 0) of each paragraph; an underlined heading is split off what follows it."""
    for start, end in paragraphs(text, 0, len(text)):
        underlined = _underlined(text, start, end)
        if underlined is None:
            yield start, end, _alone(text[start:end])
            continue
        cut, level = underlined
        head = trim(text, start, cut)
        rest = trim(text, cut, end)
        if head is not None:
            yield *head, level
        if rest is not None:
            yield *rest, 0


def _underlined(text: str, start: int, end: int) -> tuple[int, int] | None:
    """(where the underline ends, level) if the paragraph begins with an underlined line."""
    # The first two lines are enough, and a paragraph may be a megabyte long.
    window = text[start : min(end, start + 3 * LONGEST_HEADING)]
    starts = line_starts(window)
    if len(starts) < 3:
        return None
    first = window[: starts[1]].strip()
    second = window[starts[1] : starts[2]].strip()
    match = _UNDERLINE.fullmatch(second)
    if match is None or not any(map(str.isalnum, first)) or len(first) > LONGEST_HEADING:
        return None
    if not 0.5 <= len(second) / len(first) <= 2:
        return None
    return start + starts[2], 1 if match.group(1) == "=" else 2


def _alone(paragraph: str) -> int:
    """The level of a one-line paragraph that reads as a heading, or 0. Capitals are level 1, ``1`` 2, ``1.1`` 3, …"""
    if len(paragraph) > LONGEST_HEADING or "\n" in paragraph or "\r" in paragraph:
        return 0
    if paragraph.endswith(_SENTENCE_END):
        return 0
    numbered = _NUMBERED.match(paragraph)
    if numbered and len(paragraph.split()) <= 10:
        return 2 + numbered["number"].count(".")
    letters = sum(map(str.isalpha, paragraph))
    if paragraph.isupper() and letters >= 4 and letters * 2 > len(paragraph):
        return 1
    return 0
