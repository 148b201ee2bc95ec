"""Workbooks (.xlsx, .xlsm, ECMA-376): each sheet's tables as they are shown, text boxes; formulas by their last values.

Kept apart: comments, hidden sheets, rows and columns. Macros are never looked at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime, timedelta

from affidavit.domain.records import Parsed
from affidavit.ingest.parse.chart import chart_rows, chart_title
from affidavit.ingest.parse.compose import Composer, squeezed
from affidavit.ingest.parse.grid import LONGEST_CELL, CellCount, write_sheet
from affidavit.ingest.parse.opc import Package
from affidavit.ingest.parse.spans import LONGEST, MOST
from affidavit.ingest.parse.xml import Element

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PLACE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})")
_AREA = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6}):([A-Z]{1,3})([1-9]\d{0,6})")
_UNSPOKEN = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.')
"""Parts of a number format that are no codes."""
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_PERCENT_FORMATS = {9: 0, 10: 2}
_LAST_DAY = 2_958_466
"""9999-12-31 in days of the 1900 system."""
_THREADED = "[Threaded comment]"
_SECONDS = 86_400


def parse_xlsx(data: bytes, name: str) -> Parsed:
    """The workbook's text, a heading a sheet. The title is its property. Raises ParseError."""
    package = Package(data)
    part = package.main()
    root = package.xml(part)
    book = _Book(package, part, root)
    targets = {relation.id: relation.target for relation in package.relations(part)}
    for sheet in root.iter("x.sheet") if root is not None else ():
        target = targets.get(sheet.get("r.id", ""))
        if target is not None:
            book.sheet(target, sheet.get("name", ""), sheet.get("state", "visible") != "visible")
    return book.composer.parsed(XLSX, package.title())


class _Book:
    def __init__(self, package: Package, part: str, root: Element | None) -> None:
        self.composer = Composer()
        self._package = package
        strings = package.related(part, "sharedStrings")
        self._strings = [] if strings is None else [_rich(node) for node in strings.findall("x.si")]
        self._formats = _formats(package.related(part, "styles"))
        properties = None if root is None else root.find("x.workbookPr")
        late = properties is not None and properties.get("date1904", "0") in ("1", "true")
        self._epoch = datetime(1904, 1, 1) if late else datetime(1899, 12, 30)  # a sheet has no time zone
        self._people = _people(package, part)
        self._count = CellCount()

    def sheet(self, part: str, name: str, hidden: bool) -> None:
        """Write one sheet."""
        root = self._package.xml(part)
        if root is None:
            return
        columns = _hidden_columns(root)
        shown: dict[int, dict[int, str]] = defaultdict(dict)
        unseen: dict[int, dict[int, str]] = defaultdict(dict)
        for row in root.iter("x.row"):
            away = row.get("hidden", "0") in ("1", "true")
            for cell in row.findall("x.c"):
                place = _PLACE.fullmatch(cell.get("r", ""))
                text = self._text(cell)[:LONGEST_CELL]
                if place is not None and text:
                    self._count.one()
                    column = _column(place[1])
                    target = unseen if away or _within(column, columns) else shown
                    target[int(place[2]) - 1][column] = text
        _merge(root, shown)
        write_sheet(self.composer, name, shown, hidden=hidden)
        write_sheet(self.composer, name, unseen, hidden=True)
        self._beside(part, name, hidden, root.tag == "x.chartsheet")

    def _beside(self, part: str, name: str, hidden: bool, chart: bool) -> None:
        """Text boxes and comments of a sheet."""
        relations = self._package.relations(part)
        threaded = any(relation.kind == "threadedComment" for relation in relations)
        for relation in relations:
            root = self._package.xml(relation.target) if relation.kind in _BESIDE else None
            if root is None:
                continue
            if relation.kind == "drawing":
                self._boxes(root, hidden)
                self._charts(relation.target, chart, hidden)
            else:
                self._comments(root, name, threaded)

    def _boxes(self, root: Element, hidden: bool) -> None:
        for body in (node for node in root.iter() if node.tag == "txBody" or node.tag.endswith(".txBody")):
            for paragraph in body.iter("a.p"):
                text = "".join(t.text or "" for t in paragraph.iter("a.t"))
                if hidden:
                    self.composer.apart("hidden", "paragraph", text)
                else:
                    self.composer.block("paragraph", text)

    def _charts(self, part: str, whole: bool, hidden: bool) -> None:
        """Titles of charts; their numbers only on a sheet that is nothing else, for they stand in cells already."""
        for relation in self._package.relations(part):
            root = self._package.xml(relation.target) if relation.kind == "chart" and not hidden else None
            if root is not None:
                self.composer.block("paragraph", chart_title(root))
                if whole:
                    self.composer.table(chart_rows(root))

    def _comments(self, root: Element, name: str, threaded: bool) -> None:
        authors = [node.text or "" for node in root.iter("x.author")]
        for node in root.iter():
            if node.tag == "x.comment":
                words = squeezed(_rich(node.find("x.text")))
                index = node.get("authorId", "")
                author = authors[int(index)] if index.isdecimal() and int(index) < len(authors) else ""
                if words.startswith(_THREADED) and threaded:
                    continue
            elif node.tag == "x18.threadedComment":
                words = squeezed(node.findtext("x18.text") or "")
                author = self._people.get(node.get("personId", ""), "")
            else:
                continue
            said = f"{author}: {words}" if author and not author.startswith("tc={") else words
            self.composer.apart("comment", "paragraph", f"{name}!{node.get('ref', '')} {said}")

    def _text(self, cell: Element) -> str:
        kind = cell.get("t", "n")
        value = cell.findtext("x.v") or ""
        if kind == "s":
            return self._strings[int(value)] if value.isdecimal() and int(value) < len(self._strings) else ""
        if kind == "inlineStr":
            return _rich(cell.find("x.is"))
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        if kind != "n" or not value:
            return value.strip()
        style = cell.get("s", "0")
        format = self._formats[int(style)] if style.isdecimal() and int(style) < len(self._formats) else ""
        return self._number(value, format)

    def _number(self, value: str, format: str | int) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        if format == "date" and 0 <= number < _LAST_DAY:
            return self._moment(number)
        if isinstance(format, int):
            return f"{number * 100:.{format}f}%"
        return f"{number:.15g}" if "e" not in f"{number:.15g}" else value

    def _moment(self, days: float) -> str:
        seconds = round(days * _SECONDS)
        at = self._epoch + timedelta(seconds=seconds)
        if days < 1:
            return f"{at:%H:%M:%S}"
        return f"{at:%Y-%m-%d}" if seconds % _SECONDS == 0 else f"{at:%Y-%m-%d %H:%M:%S}"


_BESIDE = ("drawing", "comments", "threadedComment")


def _formats(styles: Element | None) -> list[str | int]:
    """Of each cell style: ``date``, the decimals of a percentage, or "" for a plain number."""
    if styles is None:
        return []
    codes = {node.get("numFmtId", ""): node.get("formatCode", "") for node in styles.iter("x.numFmt")}
    found = styles.find("x.cellXfs")
    return [_format(xf.get("numFmtId", "0"), codes) for xf in (found if found is not None else ())]


def _format(id: str, codes: dict[str, str]) -> str | int:
    if id in codes:
        code = _UNSPOKEN.sub("", codes[id].split(";")[0]).lower()
        if re.search(r"[ymdhs]", code) and "general" not in code:
            return "date"
        return len(code.partition(".")[2].rstrip("%")) if "%" in code else ""
    number = int(id) if id.isdecimal() and len(id) < 6 else 0
    return "date" if number in _DATE_FORMATS else _PERCENT_FORMATS.get(number, "")


def _people(package: Package, part: str) -> dict[str, str]:
    """Names of those who comment, by id."""
    root = package.related(part, "person")
    return {} if root is None else {p.get("id", ""): p.get("displayName", "") for p in root}


def _rich(node: Element | None) -> str:
    """A string with its runs; how it is pronounced is left out."""
    if node is None:
        return ""
    parts = [node.findtext("x.t") or ""]
    parts += [run.findtext("x.t") or "" for run in node.findall("x.r")]
    return "".join(parts)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _merge(root: Element, cells: dict[int, dict[int, str]]) -> None:
    """Say again in every place of a merged cell what it says in its first."""
    for node in root.iter("x.mergeCell"):
        place = _AREA.fullmatch(node.get("ref", ""))
        if place is None:
            continue
        left, top, right, bottom = _column(place[1]), int(place[2]) - 1, _column(place[3]), int(place[4]) - 1
        text = cells.get(top, {}).get(left, "")
        if text and len(text) <= LONGEST and right - left < MOST and bottom - top < MOST:
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    cells[row].setdefault(column, text)


def _hidden_columns(root: Element) -> list[tuple[int, int]]:
    found = []
    for node in root.iter("x.col"):
        low, high = node.get("min", ""), node.get("max", "")
        if node.get("hidden", "0") in ("1", "true") and low.isdecimal() and high.isdecimal():
            found.append((int(low) - 1, int(high) - 1))
    return found


def _within(column: int, spans: list[tuple[int, int]]) -> bool:
    return any(low <= column <= high for low, high in spans)
