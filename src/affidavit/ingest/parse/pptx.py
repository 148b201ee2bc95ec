"""Presentations (.pptx, ECMA-376): the text of each slide in reading order, tables, charts' data.

A slide is a page; its title is a heading. Kept apart: speaker notes, comments, slides that are not shown. Left out: numbers,
dates and footers of slides, pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from affidavit.domain.records import Parsed
from affidavit.ingest.parse.chart import chart_rows, chart_title
from affidavit.ingest.parse.compose import Composer, squeezed
from affidavit.ingest.parse.opc import Package
from affidavit.ingest.parse.spans import Merged, span
from affidavit.ingest.parse.xml import Element

PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "sldNum", "hdr")
_SAME_LINE = 100_000
"""EMU (0.28 cm) by which shapes in one line may differ in height."""


def parse_pptx(data: bytes, name: str) -> Parsed:
    """The presentation's text. The title is its property, else the first slide's. Raises ParseError."""
    package = Package(data)
    part = package.main()
    deck = _Deck(package)
    root = package.xml(part)
    targets = {relation.id: relation.target for relation in package.relations(part)}
    for entry in root.iter("p.sldId") if root is not None else ():
        target = targets.get(entry.get("r.id", ""))
        if target is not None:
            deck.slide(target)
    return deck.composer.parsed(PPTX, deck.composer.first_heading or package.title())


class _Deck:
    def __init__(self, package: Package) -> None:
        self.composer = Composer()
        self._package = package
        self._authors: dict[str, str] | None = None

    def slide(self, part: str) -> None:
        """Write one slide."""
        root = self._package.xml(part)
        if root is None:
            return
        self.composer.page()
        self.composer.close()
        tree = root.find("p.cSld/p.spTree")
        shapes = [] if tree is None else _in_reading_order(tree)
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        relations = {relation.id: relation for relation in self._package.relations(part)}
        shown = root.get("show", "1") not in ("0", "false")
        writer = _Shown(self.composer) if shown else _Hidden(self.composer)
        for shape in titles[:1]:
            writer.title(_shape_text(shape))
        for shape in shapes:
            if shape not in titles[:1] and _placeholder(shape) not in _FURNITURE:
                self._shape(shape, writer, {key: r.target for key, r in relations.items()})
        for relation in relations.values():
            if relation.kind == "notesSlide":
                self._notes(relation.target)
            elif relation.kind == "comments":
                self._comments(relation.target)

    def _shape(self, shape: Element, writer: _Shown, targets: dict[str, str]) -> None:
        table = next(shape.iter("a.tbl"), None)
        if table is not None:
            merged = Merged()
            writer.table([merged.row(_cells(row)) for row in table.findall("a.tr")])
            return
        for chart in shape.iter("c.chart"):
            root = self._package.xml(targets.get(chart.get("r.id", ""), ""))
            if root is not None:
                writer.block("paragraph", chart_title(root))
                writer.table(chart_rows(root))
        for body in shape.iter("p.txBody"):
            numbered = 0
            for paragraph in body.findall("a.p"):
                numbered = _paragraph(paragraph, _placeholder(shape), numbered, writer)
        for diagram in shape.iter("dgm.relIds"):
            root = self._package.xml(targets.get(diagram.get("r.dm", ""), ""))
            for text in root.iter("dgm.t") if root is not None else ():
                writer.block("list", f"- {_joined(text)}" if _joined(text) else "")

    def _notes(self, part: str) -> None:
        root = self._package.xml(part)
        for shape in root.iter("p.sp") if root is not None else ():
            if _placeholder(shape) == "body":
                self.composer.apart("note", "paragraph", _shape_text(shape))

    def _comments(self, part: str) -> None:
        root = self._package.xml(part)
        for node in root.iter() if root is not None else ():
            if node.tag in ("p.cm", "p188.cm", "p188.reply"):
                body = node.find("p188.txBody")
                words = (node.findtext("p.text") or "") if body is None else _joined(body)
                author = self._author(node.get("authorId", ""))
                self.composer.apart(
                    "comment", "paragraph", f"{author}: {words}" if author and words else words
                )

    def _author(self, id: str) -> str:
        if self._authors is None:
            self._authors = {}
            main = self._package.main()
            for relation in self._package.relations(main):
                root = self._package.xml(relation.target) if "uthors" in relation.kind else None
                for node in root if root is not None else ():
                    self._authors[node.get("id", "")] = node.get("name", "")
        return self._authors.get(id, "")


class _Shown:
    """Writes a slide that is shown."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer

    def title(self, text: str) -> None:
        self._composer.heading(1, text)

    def block(self, kind: str, text: str) -> None:
        self._composer.block(kind, text)

    def table(self, rows: list[list[str]]) -> None:
        self._composer.table(rows)


class _Hidden(_Shown):
    """Writes a slide that is not shown."""

    def title(self, text: str) -> None:
        self.block("paragraph", text)

    def block(self, kind: str, text: str) -> None:
        self._composer.apart("hidden", "paragraph", text)

    def table(self, rows: list[list[str]]) -> None:
        self.block("table", "\n".join(" | ".join(map(squeezed, row)) for row in rows))


def _in_reading_order(tree: Element) -> list[Element]:
    """The shapes of a slide, groups opened, from top to bottom and left to right; those without a place keep theirs."""
    placed = [(shape, _place(shape)) for shape in _shapes(tree)]
    last = (0, 0)
    keys = []
    for number, (shape, place) in enumerate(placed):
        last = place or last
        keys.append((last[1] // _SAME_LINE, last[0], number, shape))
    return [shape for *_, shape in sorted(keys, key=lambda key: key[:3])]


def _shapes(tree: Element) -> Iterator[Element]:
    stack = list(reversed(tree))
    while stack:
        node = stack.pop()
        hidden = node.find("*/p.cNvPr[@hidden='1']") is not None
        if node.tag in ("p.sp", "p.graphicFrame", "p.cxnSp") and not hidden:
            yield node
        elif node.tag in ("p.grpSp", "mc.AlternateContent", "mc.Choice") and not hidden:
            stack.extend(reversed(node))


def _place(shape: Element) -> tuple[int, int] | None:
    offset = next((node for node in shape.iter("a.off")), None)
    if offset is None:
        return None
    x, y = offset.get("x", ""), offset.get("y", "")
    number = re.compile(r"-?\d{1,15}")
    return (int(x), int(y)) if number.fullmatch(x) and number.fullmatch(y) else None


def _placeholder(shape: Element) -> str:
    """The kind of placeholder a shape is, "" if it is none."""
    node = shape.find("p.nvSpPr/p.nvPr/p.ph")
    return "" if node is None else node.get("type", "content")


def _paragraph(paragraph: Element, placeholder: str, numbered: int, writer: _Shown) -> int:
    """Write a paragraph; how many numbered ones came before the next."""
    text = _joined(paragraph, "\n")
    properties = paragraph.find("a.pPr")
    if not text.strip():
        return numbered
    level = 0 if properties is None else int(properties.get("lvl", "0")[:1] or 0)
    counted = properties is not None and properties.find("a.buAutoNum") is not None
    bullet = properties is not None and (properties.find("a.buChar") is not None)
    plain = properties is not None and properties.find("a.buNone") is not None
    if counted:
        writer.block("list", "  " * level + f"{numbered + 1}. {text.strip()}")
        return numbered + 1
    if bullet or (placeholder in ("content", "body", "obj") and not plain):
        writer.block("list", "  " * level + f"- {text.strip()}")
    else:
        writer.block("paragraph", text)
    return 0


def _cells(row: Element) -> list[tuple[str, int, int]]:
    """Cells with their spans; those that another one covers are left out."""
    return [
        (_joined(cell), span(cell.get("gridSpan")), span(cell.get("rowSpan")))
        for cell in row.findall("a.tc")
        if cell.get("hMerge", "0") in ("0", "false") and cell.get("vMerge", "0") in ("0", "false")
    ]


def _shape_text(shape: Element) -> str:
    return " ".join(_joined(p) for p in shape.iter("a.p")).strip()


def _joined(node: Element, line: str = " ") -> str:
    """The text below ``node``; paragraphs and line breaks become ``line``."""
    out: list[str] = []
    for at in node.iter():
        if at.tag == "a.t":
            out.append(at.text or "")
        elif at.tag == "a.tab":
            out.append("\t")
        elif at.tag == "a.br" or (at.tag == "a.p" and out):
            out.append(line)
    return "".join(out).strip()
