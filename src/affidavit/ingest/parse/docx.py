"""Word documents (.docx, ECMA-376): paragraphs, numbered as Word shows them, tables, text boxes, foot- and endnotes.

Kept apart: comments, text marked as hidden (also white on white and in letters of one point), text whose deletion is tracked.
Left out: headers and footers of pages, pictures. Charts count by their numbers. A tracked insertion counts as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from affidavit.domain.records import Parsed
from affidavit.ingest.parse.chart import chart_rows, chart_title
from affidavit.ingest.parse.compose import Composer, squeezed
from affidavit.ingest.parse.docx_styles import Numbering, Styles, on, outline
from affidavit.ingest.parse.ooxml_math import formula
from affidavit.ingest.parse.opc import Package
from affidavit.ingest.parse.spans import LONGEST, MOST, span
from affidavit.ingest.parse.xml import Element

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_THROUGH = frozenset(
    "w.hyperlink w.smartTag w.sdt w.sdtContent w.ins w.moveTo w.fldSimple w.customXml w.dir w.bdo".split()
)
_PLAIN = {"w.tab": "\t", "w.br": "\n", "w.cr": "\n", "w.noBreakHyphen": "-", "w.ptab": "\t"}
_WHITE = "FFFFFF"
_SMALLEST = 2
"""Half points; smaller letters cannot be seen."""


@dataclass
class _Inline:
    """What a paragraph holds."""

    shown: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    boxes: list[Element] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)


def parse_docx(data: bytes, name: str) -> Parsed:
    """The document's text. The title is its first heading of level 1 (or the paragraph styled as title), else its property.

    Raises ParseError if it is damaged, protected or over a limit.
    """
    package = Package(data)
    part = package.main()
    reader = _Reader(package, part)
    root = package.xml(part)
    body = None if root is None else root.find("w.body")
    if body is not None:
        reader.blocks(body)
    reader.composer.close()
    reader.notes("footnotes", "w.footnote")
    reader.notes("endnotes", "w.endnote")
    reader.comments()
    return reader.composer.parsed(DOCX, reader.composer.first_heading or package.title())


class _Reader:
    def __init__(self, package: Package, part: str) -> None:
        self.composer = Composer()
        self._package = package
        self._part = part
        self._styles = Styles(package.related(part, "styles"))
        self._numbering = Numbering(package.related(part, "numbering"))
        self._code: list[str] = []
        self._in_table = False

    def blocks(self, parent: Element) -> None:
        """Paragraphs and tables of ``parent``, in order."""
        for node in _children(parent):
            if node.tag == "w.p":
                self._paragraph(node)
            elif node.tag == "w.tbl":
                self._end_code()
                self._table(node)
        self._end_code()

    def notes(self, kind: str, tag: str) -> None:
        """Foot- or endnotes, as numbered paragraphs."""
        root = self._package.related(self._part, kind)
        for node in root.findall(tag) if root is not None else ():
            if node.get("w.type") is None:
                self.composer.block("paragraph", f"[{node.get('w.id', '')}] {self._cell(node)}")

    def comments(self) -> None:
        """Readers' comments, with their authors, apart."""
        root = self._package.related(self._part, "comments")
        for node in root.findall("w.comment") if root is not None else ():
            author = node.get("w.author", "")
            words = self._cell(node)
            self.composer.apart("comment", "paragraph", f"{author}: {words}" if author and words else words)

    # -- paragraphs

    def _paragraph(self, node: Element) -> None:
        properties = node.find("w.pPr")
        style = self._styles.of(_of(properties, "w.pStyle"))
        inline = self._inline(node, style.hidden)
        text = "".join(inline.shown)
        if style.role == "code" and not self._in_table:
            self._code.append(text)
        else:
            self._end_code()
            self._shown(properties, text)
        self._aside(inline)
        for box in inline.boxes:
            self.blocks(box)
        for chart in inline.charts:
            self._chart(chart)

    def _chart(self, id: str) -> None:
        for relation in self._package.relations(self._part):
            root = self._package.xml(relation.target) if relation.id == id else None
            if root is not None:
                self.composer.block("paragraph", chart_title(root))
                self.composer.table(chart_rows(root))

    def _shown(self, properties: Element | None, text: str) -> None:
        id = _of(properties, "w.pStyle")
        style = self._styles.of(id)
        level = outline(properties) or style.level
        if not text.strip():
            return
        label, depth = self._label(properties)
        if style.role == "title":
            self.composer.heading(1, text)
        elif level:
            self.composer.heading(level, f"{label} {text}" if label not in ("", "-") else text)
        elif label:
            self.composer.block("list", "  " * depth + f"{label} {text.strip()}")
        else:
            self.composer.block("quote" if style.role == "quote" else "paragraph", text)

    def _label(self, properties: Element | None) -> tuple[str, int]:
        own = None if properties is None else properties.find("w.numPr")
        inherited = self._styles.of(_of(properties, "w.pStyle")).numbering
        number = _of(own, "w.numId") or (inherited[0] if inherited else "")
        depth = _of(own, "w.ilvl")
        at = int(depth) if depth.isdecimal() and len(depth) < 3 else inherited[1] if inherited else 0
        if not number or number == "0":
            return "", 0
        return self._numbering.label(number, at), min(at, 8)

    def _end_code(self) -> None:
        if self._code:
            self.composer.block("code", "\n".join(self._code))
            self._code = []

    def _aside(self, inline: _Inline) -> None:
        self.composer.apart("hidden", "paragraph", "".join(inline.hidden))
        self.composer.apart("deleted", "paragraph", "".join(inline.deleted))

    # -- runs

    def _inline(self, paragraph: Element, hidden: bool) -> _Inline:
        found = _Inline()
        shaded = paragraph.find("w.pPr/w.shd") is not None or self._in_table
        stack = [paragraph]
        while stack:
            node = stack.pop()
            if node.tag == "w.r":
                self._run(node, hidden, shaded, found)
            elif node.tag in ("m.oMath", "m.oMathPara"):
                found.shown.append(f" {formula(node)} ")
            elif node.tag in ("w.del", "w.moveFrom"):
                found.deleted.extend(t.text or "" for t in node.iter() if t.tag in ("w.delText", "w.t"))
            elif node is paragraph or node.tag in _THROUGH:
                stack.extend(reversed(node))
            elif node.tag == "mc.AlternateContent":
                self._boxes(node, found)
        return found

    def _run(self, run: Element, hidden: bool, shaded: bool, found: _Inline) -> None:
        properties = run.find("w.rPr")
        out = found.hidden if hidden or self._unseen(properties, shaded) else found.shown
        for node in run:
            if node.tag == "w.t":
                out.append(node.text or "")
            elif node.tag in _PLAIN:
                out.append(_PLAIN[node.tag])
            elif node.tag in ("w.footnoteReference", "w.endnoteReference"):
                out.append(f"[{node.get('w.id', '')}]")
            elif node.tag in ("w.drawing", "w.pict", "w.object", "mc.AlternateContent"):
                self._boxes(node, found)

    def _unseen(self, properties: Element | None, shaded: bool) -> bool:
        if properties is None:
            return False
        if on(properties.find("w.vanish")) or self._styles.of(_of(properties, "w.rStyle")).hidden:
            return True
        size = _of(properties, "w.sz")
        if size.isdecimal() and len(size) < 5 and int(size) <= _SMALLEST:
            return True
        behind = shaded or properties.find("w.shd") is not None or properties.find("w.highlight") is not None
        return not behind and _of(properties, "w.color").upper() == _WHITE

    @staticmethod
    def _boxes(node: Element, found: _Inline) -> None:
        """Text boxes in a drawing: once, though files hold them for new and for old programs."""
        stack = [node]
        while stack:
            at = stack.pop()
            if at.tag == "w.txbxContent":
                found.boxes.append(at)
            elif at.tag == "c.chart":
                found.charts.append(at.get("r.id", ""))
            elif at.tag == "mc.AlternateContent":
                chosen = at.find("mc.Choice")
                fallback = at.find("mc.Fallback")
                inside = chosen is not None and next(chosen.iter("w.txbxContent"), None) is not None
                pick = chosen if inside or fallback is None else fallback
                if pick is not None:
                    stack.append(pick)
            else:
                stack.extend(reversed(at))

    # -- tables

    def _table(self, table: Element) -> None:
        rows = [row for row in _children(table) if row.tag == "w.tr"]
        cells = [[cell for cell in _children(row) if cell.tag == "w.tc"] for row in rows]
        if sum(map(len, cells)) == 1:  # a frame around text
            self.blocks(next(row for row in cells if row)[0])
            return
        before, self._in_table = self._in_table, True
        written = []
        above: dict[int, str] = {}
        for row, across in zip(rows, cells, strict=True):
            words = self._row(across, above)
            if on(row.find("w.trPr/w.hidden")):
                self.composer.apart("hidden", "table", " | ".join(words))
            else:
                written.append(words)
        self._in_table = before
        self.composer.table(written)

    def _row(self, across: list[Element], above: dict[int, str]) -> list[str]:
        """A row's cells; what is merged says again in each place what it says in the first. ``above`` is by grid column."""
        words: list[str] = []
        for cell in across:
            properties = cell.find("w.tcPr")
            merged = None if properties is None else properties.find("w.vMerge")
            goes_on = merged is not None and merged.get("w.val", "continue") == "continue"
            text = above.get(len(words), "") if goes_on else self._cell(cell)
            again = text if len(text) <= LONGEST else ""
            above[len(words)] = again if merged is not None else ""
            words += [text, *[again] * (min(span(_of(properties, "w.gridSpan")), MOST) - 1)]
        return words

    def _cell(self, cell: Element) -> str:
        """Everything a cell (or note, or comment) shows, on one line."""
        words: list[str] = []
        for node in _children(cell):
            if node.tag == "w.p":
                style = self._styles.of(_of(node.find("w.pPr"), "w.pStyle"))
                inline = self._inline(node, style.hidden)
                text = squeezed("".join(inline.shown))
                label, _ = self._label(node.find("w.pPr")) if text else ("", 0)
                words.append(f"{label} {text}" if label else text)
                self._aside(inline)
                words.extend(self._cell(box) for box in inline.boxes)
            elif node.tag == "w.tbl":
                for row in _children(node):
                    words.extend(self._cell(inner) for inner in _children(row) if inner.tag == "w.tc")
        return " ".join(word for word in words if word)


def _children(node: Element) -> Iterator[Element]:
    """The children of ``node``, those of content controls and tracked insertions among them."""
    stack = list(reversed(node))
    while stack:
        child = stack.pop()
        if child.tag in _THROUGH:
            stack.extend(reversed(child))
        else:
            yield child


def _of(properties: Element | None, tag: str) -> str:
    """The value of a property, "" if it is not stated."""
    found = None if properties is None else properties.find(tag)
    return "" if found is None else found.get("w.val", "")
