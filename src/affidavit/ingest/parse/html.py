"""HTML: the text a reader of the page sees, built by us, with blocks that point into it.

Left out: scripts, styles, templates, ``<noscript>``, ``<nav>``, ``<head>``, graphics, comments, and whatever is hidden
(``hidden``, ``aria-hidden=true``, ``display:none`` and its like in a style attribute), which is how text is smuggled past
a reader. What a style sheet hides cannot be known here and is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.html_tokens import STRUCTURE, tame
from affidavit.ingest.parse.spans import Merged, span

MOST_TEXT = 20_000_000
"""Characters of extracted text."""

_LEFT_OUT = frozenset(
    """head nav x-annotation x-annotation-xml x-audio x-canvas x-datalist x-object x-rp x-video""".split()
)
_BLOCKS = (STRUCTURE - {"button"}) | {"x-option", "x-optgroup", "x-select", "x-legend", "x-search"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(("ul", "ol", "menu", "dir"))
_SPACES = re.compile(r"[ \t\n\f\r]+")
# ``<br>`` while white space is being collapsed; no page holds a NUL
_BREAK = "\0"
_BREAKS = re.compile(r" ?\0 ?")


def parse_html(text: str, name: str) -> Parsed:
    """The page's visible text. Blocks are separated by blank lines, list items and table rows by line ends.

    The title is ``<title>``, else the first level-1 heading, else "". Raises ParseError for a page too large, too deep or
    too tangled to be read safely.
    """
    page = tame(text)
    writer = Writer()
    root = LexborHTMLParser(page.source).body
    if root is not None:
        layout = _layout_tables(root)
        for node, entering in _walk(root):
            if entering:
                writer.enter(node, layout)
            else:
                writer.leave(node.tag or "")
    writer.flush()
    writer.end_group()
    return Parsed(
        "".join(writer.parts), page.title or writer.first_heading, tuple(writer.blocks), "text/html", {}
    )


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Every shown node below ``root``, entering (True) and leaving (False) elements; on a stack of our own."""
    stack: list[tuple[LexborNode, bool]] = [(root, True)]
    while stack:
        node, entering = stack.pop()
        if not entering:
            yield node, False
            continue
        if node is not root and node.next is not None:
            stack.append((node.next, True))
        if node.is_text_node:
            yield node, True
        elif node.is_element_node and node.tag not in _LEFT_OUT and "hidden" not in node.attributes:
            yield node, True
            stack.append((node, False))
            if node.first_child is not None:
                stack.append((node.first_child, True))


def _layout_tables(root: LexborNode) -> set[int]:
    """Ids of tables that arrange a page rather than data: they hold headings or tables of their own."""
    layout: set[int] = set()
    tables: list[int] = []
    for node, entering in _walk(root):
        tag = node.tag
        if tag == "table" and not entering:
            tables.pop()
        elif entering and (tag == "table" or tag in _HEADINGS):
            layout.update(tables[-1:])
            if tag == "table":
                tables.append(node.mem_id)
    return layout


class Writer:
    """Writes text and blocks while the tree is walked."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.blocks: list[Block] = []
        self.first_heading = ""
        self._size = 0
        self._inline: list[str] = []
        self._above: list[tuple[int, str]] = []
        self._group: tuple[str, int] | None = None  # kind and start of the block being written
        self._tight = False  # was the last thing an item of the list we are in?
        self._lists = 0
        self._items = 0
        self._bullet = ""  # what the next line begins with, if it begins an item
        self._numbers: list[
            int | None
        ] = []  # of each open list: the next item's number, None without numbers
        self._quotes = 0
        self._pre = 0
        self._row: list[tuple[str, int, int]] | None = None
        self._merged = Merged()
        self._spans = (1, 1)  # columns and rows of the open cell
        self._in_cell = False
        self._tables: list[bool] = []  # is it for layout?

    def enter(self, node: LexborNode, layout: set[int]) -> None:
        """A text node, or the beginning of an element."""
        tag = node.tag
        if node.is_text_node:
            self._inline.append(node.text_content or "")
        elif tag == "br":
            self._inline.append("\n" if self._pre and not self._in_cell else _BREAK)
        elif tag == "button":
            self._inline.append(" ")
        elif tag in _BLOCKS:
            self._boundary()
            if tag == "table":
                self._tables.append(node.mem_id in layout)
            self._open(tag, node.attributes)

    def leave(self, tag: str) -> None:
        """The end of an element."""
        if tag == "button":
            self._inline.append(" ")
        elif tag in _HEADINGS and not self._in_cell and not self._items:
            self._heading(_HEADINGS[tag])
        elif tag in _BLOCKS:
            self._close(tag)

    def _data(self) -> bool:
        """Are we in a table of data?"""
        return bool(self._tables) and not self._tables[-1]

    def _boundary(self) -> None:
        """A block begins or ends: a new line, but only a space inside a cell."""
        if self._in_cell:
            self._inline.append(" ")
        else:
            self.flush()

    def _open(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        if tag in _LISTS and not self._in_cell:
            self._tight = self._tight and self._lists > 0
            self._lists += 1
            self._numbers.append(span(attributes.get("start")) if tag == "ol" else None)
        elif tag == "li" and not self._in_cell:
            self._items += 1
            self._bullet = self._mark(attributes.get("value"))
        elif tag == "blockquote":
            self._quotes += 1
        elif tag == "pre":
            self._pre += 1
        elif tag == "tr" and self._data():
            self._row = []
        elif tag in ("td", "th") and self._data():
            self._in_cell = True
            self._spans = span(attributes.get("colspan")), span(attributes.get("rowspan"))
        elif tag == "table":
            self._merged = Merged()

    def _close(self, tag: str) -> None:
        if tag in ("td", "th") and self._data():
            self._cell()
            return
        self._boundary()
        if tag in _LISTS and not self._in_cell:
            self._lists -= 1
            self._numbers.pop()
        elif tag == "li" and not self._in_cell:
            self._item()
        elif tag == "blockquote":
            self._quotes -= 1
        elif tag == "pre":
            self._pre -= 1
        elif tag == "tr" and self._data():
            self._end_row()
        elif tag == "table":
            self._tables.pop()
            if not self._items:
                self.end_group()

    def _mark(self, value: str | None) -> str:
        """What stands before the next item of the list: a number if the list has them."""
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            return "- "
        number = span(value) if value else number
        self._numbers[-1] = number + 1
        return f"{number}. "

    def _item(self) -> None:
        self._items -= 1
        self._bullet = ""
        if self._items == 0:
            self.end_group()
            self._tight = True

    def _cell(self) -> None:
        words = self._words().replace("\n", " ")
        self._in_cell = False
        if self._row is not None:
            self._row.append((words, *self._spans))

    def _end_row(self) -> None:
        row, self._row = self._row, None
        if row is None:
            return
        cells = self._merged.row(row)
        if any(words for words, _, _ in row):
            self._line("table", " | ".join(cells), ends=False)

    def _words(self) -> str:
        """What was collected since the last block boundary, white space collapsed."""
        words = _SPACES.sub(" ", "".join(self._inline))
        self._inline = []
        return _BREAKS.sub("\n", words).strip()

    def _heading(self, level: int) -> None:
        words = self._words()
        if not words:
            return
        while self._above and self._above[-1][0] >= level:
            self._above.pop()
        self._line("heading", words)
        words = " ".join(words.split())
        self._above.append((level, words))
        if level == 1 and not self.first_heading:
            self.first_heading = words

    def flush(self) -> None:
        """Write what was collected as a paragraph (or code, or quote)."""
        if self._pre:
            code = "".join(self._inline).strip("\r\n").rstrip()
            self._inline = []
            self._line("code", code.replace(_BREAK, "\n"))
        elif self._inline:
            self._line("quote" if self._quotes else "paragraph", self._words())

    def _line(self, kind: str, text: str, *, ends: bool = True) -> None:
        """One or more lines of a block; ``ends`` says that the block ends with them."""
        if not text or text.isspace():
            return
        if self._items:
            kind, ends = "list", False
            text = ("  " * (max(self._lists, 1) - 1) + (self._bullet or "  ")) + text
            self._bullet = ""
        if self._group is not None and self._group[0] != kind:
            self.end_group()
        if self._group is None:
            self._write("" if not self.parts else "\n" if self._tight and kind == "list" else "\n\n")
            self._group = (kind, self._size)
        else:
            self._write("\n")
        self._tight = False
        self._write(text)
        if ends:
            self.end_group()

    def _write(self, text: str) -> None:
        self.parts.append(text)
        self._size += len(text)
        if self._size > MOST_TEXT:
            raise ParseError(f"the page holds more than {MOST_TEXT:,} characters of text.", "Split the page.")

    def end_group(self) -> None:
        """The block being written is complete."""
        if self._group is not None:
            kind, start = self._group
            self.blocks.append(Block(kind, start, self._size, tuple(words for _, words in self._above)))
            self._group = None
