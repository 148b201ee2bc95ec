"""Word's styles and numbering: which paragraph is a heading, a list item, code or hidden, and the number it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from affidavit.ingest.parse.xml import Element

_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_CODE = re.compile(r"\bcode\b|source ?code|preformatted|macro text|plain text", re.IGNORECASE)
_QUOTE = re.compile(r"\bquote", re.IGNORECASE)
_LEVEL = re.compile(r"%([1-9])")
_ROMAN = (
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
    (10, "x"),
)
_ROMAN_SMALL = (*_ROMAN, (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_DEEPEST_STYLE = 20
_LEVELS = 9
_MOST_NUMBER = 100_000


@dataclass(frozen=True)
class Style:
    """What a paragraph or run style decides here; ``level`` is 1 to 9 for headings, else 0."""

    level: int = 0
    role: str = ""
    hidden: bool = False
    numbering: tuple[str, int] | None = None


class Styles:
    """The styles of a document by id."""

    def __init__(self, root: Element | None) -> None:
        self._nodes = {} if root is None else {s.get("w.styleId", ""): s for s in root.findall("w.style")}
        self._known: dict[str, Style] = {}

    def of(self, id: str) -> Style:
        """The style called ``id``, with what it inherits."""
        if id not in self._known:
            self._known[id] = self._resolved(id)
        return self._known[id]

    def _resolved(self, id: str) -> Style:
        level, role, hidden, number, depth = 0, "", False, "", -1
        for _ in range(_DEEPEST_STYLE):
            node = self._nodes.get(id)
            if node is None:
                break
            name = _value(node.find("w.name"))
            heading = _HEADING.fullmatch(name.strip())
            level = level or (int(heading[1]) if heading else 0) or outline(node.find("w.pPr"))
            role = role or _role(name)
            hidden = hidden or on(node.find("w.rPr/w.vanish"))
            number = number or _value(node.find("w.pPr/w.numPr/w.numId"))
            depth = depth if depth >= 0 else _int(_value(node.find("w.pPr/w.numPr/w.ilvl")), -1)
            id = _value(node.find("w.basedOn"))
        return Style(level, role, hidden, (number, max(depth, 0)) if number else None)


def _role(name: str) -> str:
    name = name.strip()
    if name.lower() == "title":
        return "title"
    if _CODE.search(name):
        return "code"
    return "quote" if _QUOTE.search(name) else ""


@dataclass(frozen=True)
class _Level:
    start: int
    format: str
    text: str


@dataclass
class _List:
    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """The numbers Word shows before paragraphs, counted along the document."""

    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, _List] = {}
        self._numbers: dict[str, str] = {}
        self._overrides: dict[str, dict[int, int]] = {}
        for node in root if root is not None else ():
            if node.tag == "w.abstractNum":
                levels = {_int(v.get("w.ilvl"), 0): _level(v) for v in node.findall("w.lvl")}
                self._lists[node.get("w.abstractNumId", "")] = _List(levels)
            elif node.tag == "w.num":
                self._number(node)

    def _number(self, node: Element) -> None:
        id = node.get("w.numId", "")
        self._numbers[id] = _value(node.find("w.abstractNumId"))
        starts = {
            _int(o.get("w.ilvl"), 0): _int(_value(o.find("w.startOverride")), 1)
            for o in node.findall("w.lvlOverride")
            if o.find("w.startOverride") is not None
        }
        if starts:
            self._overrides[id] = starts

    def label(self, number: str, depth: int) -> str:
        """What stands before the next paragraph of list ``number`` at ``depth``: ``1.2.``, ``(a)``, ``-`` or nothing."""
        list_ = self._lists.get(self._numbers.get(number, ""))
        if list_ is None or depth >= _LEVELS:
            return "-"
        for at, start in self._overrides.pop(number, {}).items():
            list_.counts[at] = start - 1
        level = list_.levels.get(depth, _Level(1, "bullet", ""))
        list_.counts[depth] = list_.counts.get(depth, level.start - 1) + 1
        for deeper in [d for d in list_.counts if d > depth]:
            del list_.counts[deeper]
        if level.format == "bullet":
            return "-"
        return _LEVEL.sub(lambda match: self._shown(list_, int(match[1]) - 1, depth), level.text).strip()

    def _shown(self, list_: _List, at: int, depth: int) -> str:
        level = list_.levels.get(at, _Level(1, "decimal", ""))
        count = list_.counts.setdefault(at, level.start) if at <= depth else level.start
        return _spelled(count, level.format)


def _level(node: Element) -> _Level:
    return _Level(
        _int(_value(node.find("w.start")), 1),
        _value(node.find("w.numFmt")) or "decimal",
        _value(node.find("w.lvlText")),
    )


def _spelled(count: int, format: str) -> str:
    if format == "none":
        return ""
    if not 1 <= count <= _MOST_NUMBER:
        return str(count)
    if format in ("lowerLetter", "upperLetter"):
        letters = chr(ord("a") + (count - 1) % 26) * min(1 + (count - 1) // 26, 9)
        return letters if format == "lowerLetter" else letters.upper()
    if format in ("lowerRoman", "upperRoman") and count < 4000:
        roman, rest = "", count
        for worth, digits in _ROMAN_SMALL:
            roman += digits * (rest // worth)
            rest %= worth
        return roman if format == "lowerRoman" else roman.upper()
    return f"{count:02}" if format == "decimalZero" else str(count)


def outline(properties: Element | None) -> int:
    """The heading level that paragraph properties state, 0 for body text."""
    written = "" if properties is None else _value(properties.find("w.outlineLvl"))
    level = _int(written, 9)
    return level + 1 if 0 <= level < 9 else 0


def on(node: Element | None) -> bool:
    """A Word switch: there, and not said to be off."""
    return node is not None and node.get("w.val", "1") not in ("0", "false", "off")


def _value(node: Element | None) -> str:
    return "" if node is None else node.get("w.val", "")


def _int(written: str | None, default: int) -> int:
    return int(written) if written and written.lstrip("-").isdecimal() and len(written) < 9 else default
