"""Markdown: blocks by markdown-it's line numbers, offsets into the real file.

The text is the file itself. What a reader of the rendered page does not see is left out of the blocks, so that hidden text
is neither searched nor cited: front matter that was understood (it goes to the metadata), HTML comments that stand
on lines of their own, and link reference definitions. Everything else lies in a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from affidavit.domain.canonical import Json
from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.frontmatter import front_matter
from affidavit.ingest.parse.lines import line_starts, paragraphs, trim

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

MOST_CHARACTERS = 5_000_000
"""A longer file gets paragraphs only: block parsing costs up to 10 s a megabyte on hostile input."""

_KINDS = {
    "paragraph_open": "paragraph",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
    "blockquote_open": "quote",
}
LONGEST_HEADING = 1_000
"""Characters of a heading that are read for the path."""
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_MARKS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|~~)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_ANCHOR = re.compile(r"\s*\{[#.:][^{}]*\}\s*$|<a\s[^<>]*>\s*</a>|<!--.*?-->")
_ATX = re.compile(r"#{1,6}(?:[ \t]+|$)")
_ATX_CLOSE = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")


class Piece(NamedTuple):
    """A stretch of lines with a role; ``level`` is that of a heading, or 0."""

    kind: str
    first: int
    last: int
    level: int


@cache
def _reader() -> MarkdownIt:
    """CommonMark with tables, block structure only (inline parsing is most of the time and is not needed)."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  # 20 ms that a command which parses nothing need not wait
    from markdown_it.parser_block import ParserBlock  # noqa: PLC0415

    class OuterBlocks(ParserBlock):
        """Does not look inside quotes: a quote is one block here, and lazy lines under twenty ``>`` cost twenty passes."""

        def tokenize(self, state: StateBlock, startLine: int, endLine: int) -> None:  # noqa: N803 (markdown-it's names)
            if state.parentType == "blockquote":
                state.line = endLine
                return
            super().tokenize(state, startLine, endLine)

    reader = MarkdownIt("commonmark").enable("table")
    blocks = OuterBlocks()
    blocks.ruler = reader.block.ruler
    reader.block = blocks
    reader.core.ruler.enableOnly(["normalize", "block"])
    return reader


def parse_markdown(text: str, name: str) -> Parsed:
    """``text`` is the file. The title is the front matter's ``title``, else the first level-1 heading, else "".

    Metadata holds the front matter's values (strings and lists of strings).
    """
    head = front_matter(text)
    metadata: dict[str, Json] = dict(head.values) if head and head.values is not None else {}
    start = head.end if head else 0
    before: list[Block] = []
    if head and head.values is None:
        before = [Block("paragraph", a, b) for a, b in paragraphs(text, 0, start)]
    if len(text) - start > MOST_CHARACTERS:
        blocks, first_heading = [Block("paragraph", a, b) for a, b in paragraphs(text, start, len(text))], ""
    else:
        blocks, first_heading = _blocks(text, start)
    named = metadata.get("title")
    title = named if isinstance(named, str) and named else first_heading
    return Parsed(text, title, (*before, *blocks), "text/markdown", metadata)


def _blocks(text: str, start: int) -> tuple[list[Block], str]:
    """The blocks of ``text[start:]``, and the first level-1 heading's words."""
    starts = line_starts(text, start)
    env: dict[str, object] = {}
    tokens = _reader().parse(text[start:], env)
    pieces = list(_filled(list(_pieces(tokens)), _definitions(env), len(starts) - 1))
    blocks: list[Block] = []
    above: list[tuple[int, str]] = []
    title = ""
    for piece in pieces:
        path = tuple(words for _, words in above)
        for a, b in _visible(text, piece, starts):
            if piece.level:
                while above and above[-1][0] >= piece.level:
                    above.pop()
                path = tuple(words for _, words in above)
                words = heading_words(text[a:b])
                title = title or (words if piece.level == 1 else "")
                if words:
                    above.append((piece.level, words))
            blocks.append(Block("paragraph" if piece.kind == "html" else piece.kind, a, b, path))
    return blocks, title


def _pieces(tokens: Sequence[Token]) -> Iterator[Piece]:
    """The outermost blocks; of a list its outermost items."""
    for token in tokens:
        if token.map is None:
            continue
        first, last = token.map
        if token.type == "list_item_open" and token.level == 1:
            yield Piece("list", first, last, 0)
        elif token.level == 0 and token.type == "heading_open":
            yield Piece("heading", first, last, int(token.tag[1:]))
        elif token.level == 0 and token.type == "html_block":
            yield Piece("html", first, last, 0)
        elif token.level == 0 and token.type in _KINDS:
            yield Piece(_KINDS[token.type], first, last, 0)


def _definitions(env: dict[str, object]) -> list[tuple[int, int]]:
    """Line ranges of link reference definitions, in order."""
    found = []
    references = env.get("references")
    if isinstance(references, dict):
        found += [entry["map"] for entry in references.values()]
    duplicates = env.get("duplicate_refs")
    if isinstance(duplicates, list):
        found += [entry["map"] for entry in duplicates]
    return sorted((first, last) for first, last in found)


def _filled(pieces: list[Piece], definitions: list[tuple[int, int]], lines: int) -> Iterator[Piece]:
    """``pieces``, and what lies between them (rules, and whatever a future parser may leave out) as paragraphs."""
    at = 0
    later = 0
    for piece in [*pieces, Piece("end", lines, lines, 0)]:
        while later < len(definitions) and definitions[later][0] < piece.first:
            first, last = definitions[later]
            if at < first:
                yield Piece("paragraph", at, first, 0)
            at = max(at, last)
            later += 1
        if at < piece.first:
            yield Piece("paragraph", at, piece.first, 0)
        first = max(at, piece.first)
        if first < piece.last:
            yield piece._replace(first=first)
        at = max(at, piece.last)


def _visible(text: str, piece: Piece, starts: list[int]) -> Iterator[tuple[int, int]]:
    """The stretches of a piece that are shown: trimmed, without HTML comments if it is raw HTML."""
    at, end = starts[piece.first], starts[min(piece.last, len(starts) - 1)]
    if piece.kind == "html":
        for opened, closed in _comments(text, at, end):
            yield from _trimmed(text, at, opened)
            at = closed
    yield from _trimmed(text, at, end)


def _comments(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Each closed HTML comment. An unclosed one is text: it would swallow the rest of the page unseen."""
    opened = text.find("<!--", start, end)
    while opened >= 0:
        # ``<!-->`` and ``<!--->`` are whole comments
        closed = text.find("-->", opened + 2, end)
        if closed < 0:
            return
        yield opened, closed + 3
        opened = text.find("<!--", closed + 3, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    span = trim(text, start, end)
    if span is not None:
        yield span


def heading_words(source: str) -> str:
    """A heading as a person reads it: no marks, link targets, anchors or underline; white space collapsed."""
    first, *rest = source[:LONGEST_HEADING].splitlines() or [""]
    words = " ".join([first, *rest[:-1]])  # without the underline
    if _ATX.match(first):
        words = _ATX_CLOSE.sub("", _ATX.sub("", first, count=1))
    words = _ANCHOR.sub("", words)
    words = _LINK.sub(r"\1", words)
    for _ in range(2):  # bold inside italics
        words = _MARKS.sub(r"\2", words)
    return " ".join(words.replace("`", "").replace("\\", "").split())
