"""OpenDocument text, sheets and presentations (.odt, .ods, .odp; OASIS OpenDocument 1.3).

Kept apart: annotations, speaker notes, hidden sections, paragraphs, rows, columns, sheets and slides, deletions that are
tracked. Left out: headers and footers of pages, pictures. Formulas count by their last values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Parsed
from affidavit.ingest.parse.archive import Archive
from affidavit.ingest.parse.compose import Composer, squeezed
from affidavit.ingest.parse.grid import LONGEST_CELL, CellCount, write_sheet
from affidavit.ingest.parse.xml import Element, read_xml

ODF = "application/vnd.oasis.opendocument."
_MOST_REPEATED = 1_000
"""Times a repeated row or cell that holds something is read; programs repeat what is empty a million times."""
_SPACES = {"text.tab": "\t", "text.line-break": "\n"}
_ASIDE = frozenset(
    ("office.annotation", "text.note", "draw.frame", "draw.custom-shape", "draw.g", "text.tracked-changes")
)
_GROUPS = frozenset(
    (
        "text.section",
        "text.index-body",
        "text.table-of-content",
        "text.alphabetical-index",
        "draw.g",
        "text.bibliography",
        "text.illustration-index",
        "text.index-title",
        "text.numbered-paragraph",
    )
)


def parse_odf(data: bytes, name: str) -> Parsed:
    """The document's text. The title is its first heading of level 1, else its property. Raises ParseError."""
    archive = Archive(data)
    content = archive.read("content.xml")
    if content is None:
        raise ParseError(
            "the container holds no content.xml.", "Open it in its own program and save it again."
        )
    root = read_xml(content, "content.xml")
    reader = _Reader(root)
    body = root.find("office.body")
    kind = "text"
    for part in body if body is not None else ():
        if part.tag == "office.spreadsheet":
            kind = "spreadsheet"
            reader.sheets(part)
        elif part.tag == "office.presentation":
            kind = "presentation"
            reader.slides(part)
        else:
            reader.blocks(part)
    reader.footnotes()
    return reader.composer.parsed(ODF + kind, reader.composer.first_heading or _title(archive))


def _title(archive: Archive) -> str:
    data = archive.read("meta.xml")
    return (
        ""
        if data is None
        else next((node.text or "" for node in read_xml(data, "meta.xml").iter("dc.title")), "")
    )


class _Reader:
    def __init__(self, root: Element) -> None:
        self.composer = Composer()
        self._hidden = {
            style.get("style.name", "")
            for style in root.iter("style.style")
            for node in style
            if node.get("text.display") == "none"
            or node.get("table.display") == "false"
            or node.get("presentation.visibility") == "hidden"
        }
        self._named = {
            style.get("style.name", ""): style.get("style.parent-style-name", "")
            for style in root.iter("style.style")
        }
        self._numbered = {
            (style.get("style.name", ""), level.get("text.level", ""))
            for style in root.iter("text.list-style")
            for level in style.findall("text.list-level-style-number")
            if level.get("style.num-format")
        }
        self._notes: list[str] = []
        self._count = CellCount()

    # -- text

    def blocks(self, parent: Element, depth: int = 0) -> None:
        """Headings, paragraphs, lists and tables of ``parent``, in order."""
        for node in parent:
            if node.tag == "text.h":
                level = node.get("text.outline-level", "1")
                self._line(node, int(level) if level.isdecimal() and len(level) < 3 else 1)
            elif node.tag == "text.p":
                self._line(node, 0)
            elif node.tag == "text.list":
                self._list(node, depth)
            elif node.tag == "table.table":
                self.composer.table([list(row) for row in self._rows(node)])
            elif node.tag == "text.tracked-changes":
                self._deleted(node)
            elif node.tag in _GROUPS:
                if node.get("text.display") == "none":
                    self.composer.apart("hidden", "paragraph", self._all(node))
                else:
                    self.blocks(node, depth)
            elif node.tag in ("draw.frame", "draw.custom-shape", "draw.text-box"):
                self.blocks(node, depth)

    def footnotes(self) -> None:
        """Foot- and endnotes, behind the text."""
        self.composer.close()
        for note in self._notes:
            self.composer.block("paragraph", note)

    def _line(self, node: Element, level: int) -> None:
        text = self._inline(node)
        style = node.get("text.style-name", "")
        parent = self._named.get(style) or style
        if style in self._hidden:
            self.composer.apart("hidden", "paragraph", text)
        elif level:
            self.composer.heading(level, text)
        elif parent == "Title":
            self.composer.heading(1, text)
        elif parent.startswith(("Preformatted", "Source_20_")):
            self.composer.block("code", text)
        else:
            self.composer.block("quote" if parent == "Quotations" else "paragraph", text)
        for frame in node.iter():
            if frame.tag == "draw.text-box" or (frame.tag == "draw.custom-shape" and frame is not node):
                self.blocks(frame)

    def _list(self, node: Element, depth: int, style: str = "") -> None:
        style = node.get("text.style-name", style)
        number = 0
        for item in node:
            if item.tag not in ("text.list-item", "text.list-header"):
                continue
            number += 1
            mark = f"{number}. " if (style, str(depth + 1)) in self._numbered else "- "
            for child in item:
                if child.tag == "text.list":
                    self._list(child, min(depth + 1, 9), style)
                elif child.tag == "text.h":
                    self.blocks(item, depth)
                    break
                elif child.tag == "text.p":
                    words = self._inline(child).strip()
                    if words:
                        self.composer.block("list", "  " * depth + mark + words)
                        mark = " " * len(mark)
                    for box in child.iter("draw.text-box"):
                        self.blocks(box)

    def _inline(self, node: Element) -> str:
        """The text of a paragraph; notes, annotations and frames in it go where they belong."""
        out = [node.text or ""]
        for child in node:
            tag = child.tag
            if tag == "text.s":
                count = child.get("text.c", "1")
                out.append(" " * min(int(count) if count.isdecimal() and len(count) < 4 else 1, 100))
            elif tag in _SPACES:
                out.append(_SPACES[tag])
            elif tag == "office.annotation":
                self._annotation(child)
            elif tag == "text.note":
                mark = squeezed(child.findtext("text.note-citation") or "")
                body = child.find("text.note-body")
                out.append(f"[{mark}]")
                self._notes.append(f"[{mark}] {'' if body is None else self._all(body)}")
            elif tag == "text.hidden-text":
                self.composer.apart("hidden", "paragraph", child.get("text.string-value", ""))
            elif tag not in _ASIDE:
                words = self._inline(child)
                if child.get("text.style-name", "") in self._hidden:
                    self.composer.apart("hidden", "paragraph", words)
                else:
                    out.append(words)
            out.append(child.tail or "")
        return "".join(out)

    def _all(self, node: Element) -> str:
        """Everything below ``node`` on one line."""
        words = [squeezed(self._inline(p)) for p in node.iter() if p.tag in ("text.p", "text.h")]
        return " ".join(word for word in words if word)

    def _annotation(self, node: Element) -> None:
        author = squeezed(node.findtext("dc.creator") or "")
        words = self._all(node)
        self.composer.apart("comment", "paragraph", f"{author}: {words}" if author and words else words)

    def _deleted(self, node: Element) -> None:
        for deletion in node.iter("text.deletion"):
            self.composer.apart("deleted", "paragraph", self._all(deletion))

    # -- tables

    def _rows(self, table: Element) -> Iterator[list[str]]:
        for row in (node for node in table.iter("table.table-row")):
            cells: list[str] = []
            for cell in row:
                if cell.tag in ("table.table-cell", "table.covered-table-cell"):
                    text = self._all(cell)
                    cells += [text] * (min(_repeated(cell, "columns"), _MOST_REPEATED) if text else 1)
            yield cells

    # -- sheets

    def sheets(self, body: Element) -> None:
        """Every sheet under its name."""
        for table in body.findall("table.table"):
            shown: dict[int, dict[int, str]] = defaultdict(dict)
            unseen: dict[int, dict[int, str]] = defaultdict(dict)
            away = self._hidden_columns(table)
            at = 0
            for row in table.iter("table.table-row"):
                cells = self._cells(row)
                hidden_row = row.get("table.visibility", "visible") != "visible"
                repeated = _repeated(row, "rows")
                for number in range(at, at + (min(repeated, _MOST_REPEATED) if cells else 0)):
                    for column, text in cells.items():
                        self._count.one()
                        target = unseen if hidden_row or column in away else shown
                        target[number][column] = text
                at += repeated
            name = table.get("table.name", "")
            write_sheet(self.composer, name, shown, hidden=table.get("table.style-name", "") in self._hidden)
            write_sheet(self.composer, name, unseen, hidden=True)
            for shapes in table.findall("table.shapes"):
                self.blocks(shapes)

    def _cells(self, row: Element) -> dict[int, str]:
        cells: dict[int, str] = {}
        column = 0
        for cell in row:
            if cell.tag not in ("table.table-cell", "table.covered-table-cell"):
                continue
            repeated = _repeated(cell, "columns")
            for annotation in cell.findall("office.annotation"):
                self._annotation(annotation)
            text = " ".join(self._inline(p) for p in cell.findall("text.p"))[:LONGEST_CELL].strip()
            if text:
                cells.update(dict.fromkeys(range(column, column + min(repeated, _MOST_REPEATED)), text))
            column += repeated
        return cells

    def _hidden_columns(self, table: Element) -> set[int]:
        found: set[int] = set()
        at = 0
        for column in table.iter("table.table-column"):
            repeated = _repeated(column, "columns")
            if column.get("table.visibility", "visible") != "visible":
                found.update(range(at, at + min(repeated, 16_384)))
            at += repeated
        return found

    # -- slides

    def slides(self, body: Element) -> None:
        """Every slide as a page, its title as a heading, its notes apart."""
        for page in body.findall("draw.page"):
            self.composer.page()
            self.composer.close()
            if page.get("draw.style-name", "") in self._hidden:
                self.composer.apart("hidden", "paragraph", self._all(page))
                continue
            frames = [node for node in page if node.tag != "presentation.notes"]
            titles = [node for node in frames if node.get("presentation.class") == "title"]
            for title in titles[:1]:
                self.composer.heading(1, self._all(title))
            for frame in frames:
                if frame.tag == "office.annotation":
                    self._annotation(frame)
                elif frame not in titles[:1] and frame.get("presentation.class") not in _FURNITURE:
                    self._frame(frame)
            for notes in page.findall("presentation.notes"):
                self.composer.apart("note", "paragraph", self._all(notes))

    def _frame(self, frame: Element) -> None:
        if frame.tag == "draw.g":
            for child in frame:
                self._frame(child)
        else:
            self.blocks(frame)


_FURNITURE = ("page-number", "date-time", "footer", "header")


def _repeated(node: Element, what: str) -> int:
    written = node.get(f"table.number-{what}-repeated", "1")
    return max(1, int(written)) if written.isdecimal() and len(written) < 9 else 1
