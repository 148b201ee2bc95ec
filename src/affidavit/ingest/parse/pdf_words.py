"""What lies on a PDF's pages, read through PDFium: words with their boxes and sizes, annotations, whether there are pictures."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as c

from affidavit.domain.errors import ParseError

MOST_PAGES = 5_000
MOST_CHARACTERS = 400_000
"""Of one page: a page of a book has 3,000."""
_MOST_OBJECTS = 50_000
_PASSWORD = 4  # FPDF_ERR_PASSWORD
_INVISIBLE = 3
_WHITE = 250
"""From this value of red, green and blue on a letter cannot be told from the paper."""
_TINY = 1.0
"""Points; smaller letters cannot be read."""
_HYPHEN = "\x02\ufffe"
"""How PDFium marks a hyphen at the end of a line; it then leaves the line's end out."""
_WORD = re.compile(rf"[^\s\0{_HYPHEN}]+[{_HYPHEN}]?|[{_HYPHEN}]")
_TURNED = re.compile("[اآأإ]ل")
"""Lam-alef, a single glyph, comes out of PDFium with its letters in the wrong order."""
_SCRIPTS = re.compile("(?<=[A-Za-z0-9])(?=[\u0600-\u06ff])|(?<=[\u0600-\u06ff])(?=[A-Za-z0-9])")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_BOLD = 600
_HEAVY = re.compile(rb"bold|black|heavy|medi\b|-medi|cmbx|\bBd\b", re.IGNORECASE)
_NOTES = frozenset((1, 3, 8, 9, 10, 11, 12, 13, 14))  # Text, FreeText, the marks on text, Stamp, Caret
_WIDGET = 20
_SOFT = str.maketrans(dict.fromkeys(_HYPHEN, "\u00ad"))


@dataclass(frozen=True)
class Word:
    """A word where it stands: points from the left and from the top of the page. ``line`` counts as PDFium found lines."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    bold: bool
    line: int
    hidden: bool = False


@dataclass
class Sheet:
    """One page. ``pictures`` says that something else than text is on it; ``notes`` are annotations, ``fields`` filled in
    forms."""

    width: float
    height: float
    words: list[Word]
    pictures: bool
    notes: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)


class Pdf:
    """An open PDF. Raises ParseError if it is damaged, protected or has too many pages."""

    def __init__(self, data: bytes) -> None:
        try:
            self._document: Any = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            if getattr(error, "err_code", None) == _PASSWORD:
                raise ParseError(
                    "the file is protected by a password.", "Save it without a password."
                ) from error
            raise ParseError(f"the PDF is damaged: {error}.", "Open it and print it to a new PDF.") from error
        if len(self._document) > MOST_PAGES:
            raise ParseError(f"the PDF has more than {MOST_PAGES:,} pages.", "Split the file.")

    def close(self) -> None:
        self._document.close()

    def __len__(self) -> int:
        return len(self._document)

    @property
    def title(self) -> str:
        """The title among the document's properties."""
        return str(self._document.get_metadata_dict(skip_empty=True).get("Title", ""))

    @property
    def attachments(self) -> int:
        return int(self._document.count_attachments())

    def sheets(self) -> Iterator[Sheet | None]:
        """Every page; None for one that is damaged."""
        for number in range(len(self._document)):
            try:
                page = self._document[number]
            except pdfium.PdfiumError:
                yield None
                continue
            text = page.get_textpage()
            yield _sheet(page, text)
            text.close()
            page.close()


def _sheet(page: Any, text: Any) -> Sheet:
    left, bottom, right, top = page.get_bbox()
    count = text.count_chars()
    if count > MOST_CHARACTERS:
        raise ParseError(f"a page has more than {MOST_CHARACTERS:,} characters.", "Split the file.")
    words = list(_Reader(page, text, (left, bottom, right, top)).words(count))
    objects = c.FPDFPage_CountObjects(page.raw)
    sheet = Sheet(right - left, top - bottom, words, not words and objects > 0)
    _annotations(page, sheet)
    return sheet


class _Reader:
    """Reads one page's words."""

    def __init__(self, page: Any, text: Any, box: tuple[float, float, float, float]) -> None:
        self._page = page
        self._text = text.raw
        self._box = box
        self._rect = c.FS_RECTF()
        self._colours = [ctypes.c_uint() for _ in range(4)]
        self._backdrops: list[tuple[float, float, float, float]] | None = None
        self._scanned: bool | None = None
        self._font = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()
        self._bold: dict[bytes, bool] = {}

    def words(self, count: int) -> Iterator[Word]:
        letters = self._letters(count)
        line = 0
        at = 0
        for match in _WORD.finditer(letters):
            line += letters.count("\n", at, match.start())
            at = match.end()
            for text, start, end in self._split(match.group(), match.start()):
                word = self._word(text.translate(_SOFT), start, end - 1, line)
                if word is not None:
                    yield word
            if match.group()[-1] in _HYPHEN:
                line += 1

    def _split(self, text: str, start: int) -> Iterator[tuple[str, int, int]]:
        """A word as it is meant: scripts apart, lam-alef in order, a sign of a symbol font as a bullet."""
        if text.isascii():
            yield text, start, start + len(text)
            return
        if len(text) == 1 and _PRIVATE.match(text):
            text = "•"
        for match in _TURNED.finditer(text):
            at = start + match.start()
            if self._char(at) == self._char(at + 1):
                text = text[: match.start()] + match.group()[::-1] + text[match.end() :]
        begin = 0
        for end in (*(m.start() for m in _SCRIPTS.finditer(text)), len(text)):
            yield text[begin:end], start + begin, start + end
            begin = end

    def _letters(self, count: int) -> str:
        """One character for each that PDFium counts, so that places in the string are its indexes."""
        buffer = (ctypes.c_ushort * (count + 1))()
        got = c.FPDFText_GetText(self._text, 0, count, buffer)
        letters = bytes(buffer)[: 2 * max(got - 1, 0)].decode("utf-16-le", "surrogatepass")
        if len(letters) == count:
            return letters
        return "".join(chr(c.FPDFText_GetUnicode(self._text, i) or 32) for i in range(count))

    def _word(self, text: str, first: int, last: int, line: int) -> Word | None:
        start, end = self._char(first), self._char(last)
        if start is None or end is None:
            return None
        x0, y0, x1, y1 = self._box
        left, right = min(start[0], end[0]), max(start[1], end[1])
        low, high = min(start[2], end[2]), max(start[3], end[3])
        size = c.FPDFText_GetFontSize(self._text, first)
        tall = high - low
        if not 0.3 * size < tall < 3 * size:  # the text is scaled by a matrix: its height on paper counts
            size = tall
        outside = right < x0 or left > x1 or high < y0 or low > y1
        hidden = outside or tall < _TINY or self._unseen(first, (left + right) / 2, (low + high) / 2)
        return Word(
            text, left - x0, y1 - high, right - x0, y1 - low, round(size, 1), self._heavy(first), line, hidden
        )

    def _char(self, index: int) -> tuple[float, float, float, float] | None:
        """Left, right, bottom and top of the letter's cell: the same height for all letters of a font."""
        rect = self._rect
        done = c.FPDFText_GetLooseCharBox(self._text, index, ctypes.byref(rect))
        return (rect.left, rect.right, rect.bottom, rect.top) if done else None

    def _heavy(self, index: int) -> bool:
        """Is the letter bold, by the weight or else the name of its font?"""
        if c.FPDFText_GetFontWeight(self._text, index) >= _BOLD:
            return True
        size = c.FPDFText_GetFontInfo(self._text, index, self._font, len(self._font), self._flags)
        name = self._font.raw[: min(size, len(self._font))]
        if name not in self._bold:
            self._bold[name] = bool(_HEAVY.search(name))
        return self._bold[name]

    def _unseen(self, index: int, x: float, y: float) -> bool:
        """Is the letter white on paper, or drawn invisibly on a page that is no scan?"""
        colours = self._colours
        known = c.FPDFText_GetFillColor(self._text, index, *(ctypes.byref(colour) for colour in colours))
        if known and min(colour.value for colour in colours[:3]) >= _WHITE:
            return not any(a <= x <= b and lo <= y <= hi for a, lo, b, hi in self._behind())
        written = c.FPDFText_GetTextObject(self._text, index)
        if written and c.FPDFTextObj_GetTextRenderMode(written) == _INVISIBLE:
            return not self._is_scan()
        return False

    def _behind(self) -> list[tuple[float, float, float, float]]:
        """Where on the page lie pictures and painted areas."""
        if self._backdrops is None:
            self._backdrops = [box for _, box in self._objects()]
        return self._backdrops

    def _is_scan(self) -> bool:
        """Invisible letters over a picture are what a program recognised in it."""
        if self._scanned is None:
            self._scanned = any(kind == c.FPDF_PAGEOBJ_IMAGE for kind, _ in self._objects())
        return self._scanned

    def _objects(self) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
        sides = [ctypes.c_float() for _ in range(4)]
        page = self._page.raw
        for number in range(min(c.FPDFPage_CountObjects(page), _MOST_OBJECTS)):
            object_ = c.FPDFPage_GetObject(page, number)
            kind = c.FPDFPageObj_GetType(object_)
            if kind != c.FPDF_PAGEOBJ_TEXT and c.FPDFPageObj_GetBounds(
                object_, *(ctypes.byref(s) for s in sides)
            ):
                yield kind, (sides[0].value, sides[1].value, sides[2].value, sides[3].value)


def _annotations(page: Any, sheet: Sheet) -> None:
    for number in range(min(c.FPDFPage_GetAnnotCount(page.raw), 10_000)):
        annotation = c.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        kind = c.FPDFAnnot_GetSubtype(annotation)
        if kind in _NOTES:
            author, words = _string(annotation, b"T"), _string(annotation, b"Contents")
            sheet.notes.append(f"{author}: {words}" if author and words else words)
        elif kind == _WIDGET:
            value = _string(annotation, b"V")
            label = _string(annotation, b"TU") or _string(annotation, b"T")
            if value:
                sheet.fields.append(f"{label}: {value}" if label else value)
        c.FPDFPage_CloseAnnot(annotation)


def _string(annotation: Any, key: bytes) -> str:
    size = c.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    if not 2 < size < 200_000:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    c.FPDFAnnot_GetStringValue(annotation, key, buffer, size)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0").strip()
