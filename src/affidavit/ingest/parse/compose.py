"""Text and blocks written side by side, for formats whose file is not itself the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from affidavit.domain.canonical import Json
from affidavit.domain.errors import ParseError
from affidavit.domain.records import Block, Notice, Parsed

MOST_TEXT = 20_000_000
"""Characters of extracted text."""
MOST_ROWS = 500_000
_SMALL_TABLE = 700
"""Characters up to which a table is one block; the rows of a longer one are blocks, under its header."""
_SPACES = re.compile(r"\s+")
_UNFIT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Control characters and halves of pairs: no text, and no database takes them."""


class Composer:
    """Writes a document from its beginning to its end. What stands apart (comments, notes, hidden text) is written behind
    everything else, so that no slice of the document's own words runs through it."""

    def __init__(self) -> None:
        self.first_heading = ""
        self.notices: list[Notice] = []
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._size = 0
        self._apart_size = 0
        self._rows = 0
        self._above: list[tuple[int, str]] = []
        self._apart: list[tuple[str, str, str, tuple[str, ...]]] = []
        self._last = ""
        self._pages: list[int] = []

    @property
    def path(self) -> tuple[str, ...]:
        """The headings above what is written next."""
        return tuple(words for _, words in self._above)

    def heading(self, level: int, text: str) -> None:
        """A heading of ``level`` (1 is the highest)."""
        words = squeezed(text)
        if not words:
            return
        while self._above and self._above[-1][0] >= level:
            self._above.pop()
        self._write("heading", words, self.path)
        self._above.append((level, words))
        if level == 1 and not self.first_heading:
            self.first_heading = words

    def block(self, kind: str, text: str) -> None:
        """A paragraph, list item, quote or piece of code; its white space is the caller's."""
        self._write(kind, clean(text), self.path)

    def table(self, rows: Iterable[Sequence[str]], caption: str = "") -> None:
        """A table, one line a row, cells joined with `` | ``. The rows of a long one carry its first row in their path."""
        lines = [line for line in (row_line(row) for row in rows) if line]
        if not lines:
            return
        if sum(map(len, lines)) <= _SMALL_TABLE:
            self._write("table", "\n".join(lines), (*self.path, caption) if caption else self.path)
            return
        base = (*self.path, caption) if caption else self.path
        for n, line in enumerate(lines):
            self._rows += 1
            if self._rows > MOST_ROWS:
                raise ParseError(f"the tables have more than {MOST_ROWS:,} rows.", "Split the file.")
            self._write("row", line, (*base, lines[0]) if n else base, tight=n > 0)

    def include(self, other: Parsed) -> None:
        """All of another document's blocks, under what stands above now."""
        base = len(self._above)
        for block in other.blocks:
            text = other.text[block.start : block.end]
            if block.flag:
                self.apart(block.flag, block.kind, text)
            elif block.kind == "heading":
                self.heading(base + len(block.path) + 1, text)
            else:
                self.block(block.kind, text)
        self.notices.extend(other.notices)

    def apart(self, flag: str, kind: str, text: str) -> None:
        """Something that is not part of what the document says to its readers; see ``FLAGS``."""
        words = clean(text).strip()
        if words:
            self._apart_size += len(words)
            self._check()
            self._apart.append((flag, kind, words, self.path))

    def page(self) -> None:
        """A page (slide) begins with what is written next."""
        self._pages.append(-1)

    def close(self, level: int = 1) -> None:
        """No heading of ``level`` or below it stands above what is written next."""
        while self._above and self._above[-1][0] >= level:
            self._above.pop()

    def parsed(self, media_type: str, title: str = "", metadata: Mapping[str, Json] | None = None) -> Parsed:
        """The document. Metadata gets ``pages`` (how many, if it has pages), ``page_starts`` and ``apart`` (how many blocks
        of each flag)."""
        own = self._size
        for flag, kind, words, path in self._apart:
            self._write(kind, words, path, flag=flag)
        facts: dict[str, Json] = dict(metadata or {})
        if self._pages:
            facts["pages"] = len(self._pages)
            facts["page_starts"] = {"starts": [own if at < 0 else at for at in self._pages]}
        if self._apart:
            counted: Json = dict(sorted(Counter(flag for flag, *_ in self._apart).items()))
            facts["apart"] = counted
        named = squeezed(title) or self.first_heading
        return Parsed(
            "".join(self._parts), named, tuple(self._blocks), media_type, facts, tuple(self.notices)
        )

    def _write(
        self, kind: str, text: str, path: tuple[str, ...], *, tight: bool = False, flag: str = ""
    ) -> None:
        text = text.rstrip() if kind in ("code", "list") else text.strip()
        lead = len(text) - len(text.lstrip()) if kind != "code" else len(text) - len(text.lstrip("\r\n"))
        if not text.strip():
            return
        if self._parts:
            tight = tight or (kind == self._last == "list")
            self._put("\n" if tight else "\n\n")
        self._last = kind + flag
        for n in range(len(self._pages) - 1, -1, -1):
            if self._pages[n] >= 0:
                break
            self._pages[n] = self._size
        self._put(text[:lead] if kind == "list" else "")
        start = self._size
        self._put(text[lead:])
        self._blocks.append(Block(kind, start, self._size, path, flag))

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        self._check()

    def _check(self) -> None:
        if self._size + self._apart_size > MOST_TEXT:
            raise ParseError(
                f"the document holds more than {MOST_TEXT:,} characters of text.", "Split the document."
            )


def clean(text: str) -> str:
    """``text`` without what no text may hold."""
    return _UNFIT.sub("", text)


def squeezed(text: str) -> str:
    """``text`` on one line, white space collapsed."""
    return _SPACES.sub(" ", clean(text)).strip()


def row_line(cells: Sequence[str]) -> str:
    """A row as one line, "" if every cell is empty; empty cells at its end are left out."""
    words = [squeezed(cell) for cell in cells]
    while words and not words[-1]:
        words.pop()
    return " | ".join(words)
