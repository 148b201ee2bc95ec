"""AsciiDoc: blocks by its line-based grammar, offsets into the real file.

The text is the file itself. Comments, attribute entries and the lines that only configure a block lie in no block; nothing is
included, substituted or executed.
"""

from __future__ import annotations

import re

from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.lines import line_starts, trim

ASCIIDOC = "text/asciidoc"
_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*)")
_FENCE = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|--|```\w*|[|,:!]={3,})[ \t]*")
_ATTRIBUTE = re.compile(r":!?\w[\w-]*!?:(?:[ \t].*)?")
_OPTIONS = re.compile(r"\[[^\]]*\][ \t]*")
_TITLE = re.compile(r"\.[^ .\t].*")
_ITEM = re.compile(r"[ \t]*(?:\*{1,5}|-|\.{1,5}|\d+\.|[a-zA-Z]\.|<\d+>)[ \t]+\S|.*\S::(?:[ \t]|$)")
_KINDS = {"-": "code", ".": "code", "_": "quote", "+": "code", "`": "code"}
_TRANSPARENT = ("=", "*")
"""Fences around blocks of every kind: examples, admonitions, sidebars."""


def parse_asciidoc(text: str, name: str) -> Parsed:
    """``text`` is the file. The title is its heading of level 0, else its first one."""
    reader = _Reader(text)
    reader.read()
    title = reader.title
    return Parsed(text, title, tuple(reader.blocks), ASCIIDOC, {})


class _Reader:
    def __init__(self, text: str) -> None:
        self.blocks: list[Block] = []
        self.title = ""
        self._text = text
        self._starts = line_starts(text)
        self._above: list[tuple[int, str]] = []
        self._first = -1  # line where the open paragraph or item begins
        self._kind = "paragraph"

    def read(self) -> None:
        at, last = 0, len(self._starts) - 1
        while at < last:
            at = self._line(at, self._words(at))
        self._flush(last)

    def _words(self, line: int) -> str:
        return self._text[self._starts[line] : self._starts[line + 1]].rstrip()

    def _line(self, at: int, line: str) -> int:
        """Read what begins in line ``at``; the line after it."""
        heading = _HEADING.fullmatch(line)
        fence = _FENCE.fullmatch(line)
        if not line or (line.startswith("//") and not fence):
            self._flush(at)
        elif fence:
            self._flush(at)
            return self._fenced(at, line.rstrip())
        elif heading and self._first < 0:
            self._heading(at, len(heading[1]), heading[2])
        elif self._first < 0 and (_ATTRIBUTE.fullmatch(line) or _OPTIONS.fullmatch(line)):
            pass
        elif _ITEM.match(line):
            self._flush(at)
            self._first, self._kind = at, "list"
        elif self._first < 0:
            self._first, self._kind = at, "paragraph"
            if _TITLE.fullmatch(line):
                self._flush(at + 1)
        return at + 1

    def _fenced(self, at: int, fence: str) -> int:
        """A delimited block; one that is never closed goes to the end of the file."""
        mark = fence[0]
        if mark in _TRANSPARENT:
            return at + 1
        end = at + 1
        closing = "```" if mark == "`" else fence
        while end < len(self._starts) - 1 and self._words(end) != closing:
            end += 1
        if mark != "/":
            kind = (
                "table"
                if fence.endswith("===")
                else "paragraph"
                if fence == "--"
                else _KINDS.get(mark, "paragraph")
            )
            self._block(kind, at + 1, end)
        return min(end + 1, len(self._starts) - 1)

    def _heading(self, at: int, level: int, words: str) -> None:
        while self._above and self._above[-1][0] >= level:
            self._above.pop()
        self._block("heading", at, at + 1)
        self._above.append((level, words))
        self.title = self.title or words

    def _flush(self, end: int) -> None:
        if self._first >= 0:
            self._block(self._kind, self._first, end)
            self._first = -1

    def _block(self, kind: str, first: int, end: int) -> None:
        if first < end:
            span = trim(self._text, self._starts[first], self._starts[end])
            if span is not None:
                self.blocks.append(Block(kind, *span, tuple(words for _, words in self._above)))
