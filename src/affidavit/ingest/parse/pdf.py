"""PDF (ISO 32000), read through PDFium: paragraphs, headings by size, lists, tables by their columns, page by page.

Lines that run along in the margins of pages are dropped. Kept apart: annotations, letters nobody sees (white on paper, off the
page, under one point, invisible on a page without a picture). The text a program recognised in a scan counts as text; a page that
holds pictures and no text is a notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from affidavit.domain.records import Notice, Parsed
from affidavit.ingest.parse.compose import Composer, squeezed
from affidavit.ingest.parse.pdf_layout import Line, Part, margin_mark, page_lines, parts, running
from affidavit.ingest.parse.pdf_words import Pdf, Sheet

PDF = "application/pdf"
_LARGER = 1.12
"""Times the body's letters from which on a line is a heading."""
_LONGEST_HEADING = 200
_LONGEST_BOLD = 100
_DEEPEST = 5
_SOFT = "\u00ad"


def parse_pdf(data: bytes, name: str) -> Parsed:
    """The PDF's text. The title is its property, else its first heading. Raises ParseError."""
    with closing(Pdf(data)) as pdf:
        sheets = list(pdf.sheets())
        title, attachments = pdf.title, pdf.attachments
    return _Document(sheets).parsed(title, attachments)


class _Document:
    def __init__(self, sheets: Sequence[Sheet | None]) -> None:
        self._sheets = sheets
        self._pages = [(sheet, page_lines(sheet)) for sheet in sheets if sheet is not None]
        self._running = running(self._pages)
        self._body, self._levels = _sizes(self._pages)
        self._vocabulary = _vocabulary(self._pages)
        self._open: Part | None = None
        self.composer = Composer()

    def parsed(self, title: str, attachments: int) -> Parsed:
        """All pages, written."""
        pages = iter(self._pages)
        for sheet in self._sheets:
            if sheet is None:
                self._flush()
                self.composer.page()
            else:
                self._page(*next(pages))
        self._flush()
        self._notices(attachments)
        return self.composer.parsed(PDF, title if _says_something(title) else "", {})

    def _page(self, sheet: Sheet, lines: list[Line]) -> None:
        shown = [line for line in lines if margin_mark(sheet, line) not in self._running]
        for number, part in enumerate(parts(shown)):
            if number == 0 and self._continues(part):
                self._extend(part)
                self._flush()
                self.composer.page()
                continue
            if number == 0:
                self._flush()
                self.composer.page()
            self._flush()
            self._open = part
        if not shown:
            self._flush()
            self.composer.page()
        for words in sheet.fields:
            self._flush()
            self.composer.block("paragraph", words)
        self.composer.apart("hidden", "paragraph", " ".join(w.text for w in sheet.words if w.hidden))
        for note in sheet.notes:
            self.composer.apart("comment", "paragraph", note)

    def _continues(self, part: Part) -> bool:
        """Does the first part of a page go on with the last one of the page before?"""
        last = self._open
        if (
            last is None
            or last.kind == "table"
            or part.kind != "paragraph"
            or self._level(part)
            or self._level(last)
        ):
            return False
        return (
            not last.lines[-1].text.rstrip().endswith((".", "!", "?", ":"))
            and part.lines[0].text[:1].islower()
        )

    def _extend(self, part: Part) -> None:
        if self._open is not None:
            self._open.lines.extend(part.lines)

    def _flush(self) -> None:
        part, self._open = self._open, None
        if part is None:
            return
        level = self._level(part)
        if part.rows is not None:
            self.composer.table(part.rows)
        elif level:
            self.composer.heading(level, self._prose(part.lines))
        else:
            self.composer.block(part.kind, self._prose(part.lines))

    def _level(self, part: Part) -> int:
        """The level of a heading, 0 for body text: by size, then bold lines that stand alone."""
        if part.rows is not None:
            return 0
        text = " ".join(line.text for line in part.lines)
        letters = sum(map(str.isalpha, text))
        size = part.lines[0].size
        if letters < 2 or len(text) > _LONGEST_HEADING or text.rstrip().endswith((",", ";")):
            return 0
        if size in self._levels:
            return self._levels[size]
        alone = len(part.lines) <= 2 and len(text) <= _LONGEST_BOLD and not text.rstrip().endswith((".", ":"))
        bold = part.kind == "paragraph" or text[:1].isdigit()
        if alone and bold and all(line.bold for line in part.lines) and size >= 0.95 * self._body:
            return min(len(set(self._levels.values())) + 1, _DEEPEST + 1)
        return 0

    def _prose(self, lines: list[Line]) -> str:
        """Lines as one, words cut at a line's end put together again."""
        words: list[str] = []
        for line in lines:
            for number, word in enumerate(line.words):
                if number == 0 and words and words[-1].endswith(("-", _SOFT)) and len(words[-1]) > 2:
                    words[-1] = self._whole(words[-1][:-1], word.text)
                else:
                    words.append(word.text)
        return " ".join(words).replace(_SOFT, "-")

    def _whole(self, head: str, tail: str) -> str:
        if not tail[:1].islower() or head[-1:].isdigit():
            return f"{head}-{tail}"
        if (head + tail).casefold().strip(".,;:()") in self._vocabulary:
            return head + tail
        kept = f"{head}-{tail}".casefold().strip(".,;:()") in self._vocabulary or "-" in head
        return f"{head}-{tail}" if kept else head + tail

    def _notices(self, attachments: int) -> None:
        total = len(self._sheets)
        empty = [n for n, sheet in enumerate(self._sheets, 1) if sheet is not None and sheet.pictures]
        if empty:
            which = "the only page" if total == 1 else f"{len(empty)} of {total} pages ({_spelled(empty)})"
            message = f"no text on {which}: pictures or scans"
            self.composer.notices.append(
                Notice("no_text", message, "recognise the text (OCR) and sync again")
            )
        damaged = [n for n, sheet in enumerate(self._sheets, 1) if sheet is None]
        if damaged:
            message = f"pages that are damaged and were not read: {_spelled(damaged)}"
            self.composer.notices.append(Notice("part_unread", message, "print the file to a new PDF"))
        if attachments:
            message = f"files attached to the PDF that were not read: {attachments}"
            self.composer.notices.append(
                Notice("attachments", message, "put them beside it as files of their own")
            )


def _sizes(pages: Sequence[tuple[Sheet, list[Line]]]) -> tuple[float, dict[float, int]]:
    """The size of the body's letters, and the heading level of each larger size."""
    letters: Counter[float] = Counter()
    for sheet, _ in pages:
        for word in sheet.words:
            letters[word.size] += len(word.text)
    if not letters:
        return 0.0, {}
    body = letters.most_common(1)[0][0]
    larger = sorted((size for size in letters if size >= _LARGER * body), reverse=True)
    levels: dict[float, int] = {}
    level, last = 0, 0.0
    for size in larger:
        if level == 0 or size < 0.93 * last:
            level, last = min(level + 1, _DEEPEST), size
        levels[size] = level
    return body, levels


def _vocabulary(pages: Sequence[tuple[Sheet, list[Line]]]) -> frozenset[str]:
    """The document's own words, in lower case, without what is cut at a line's end."""
    return frozenset(
        word.text.casefold().strip(".,;:()") for _, lines in pages for line in lines for word in line.words
    )


def _says_something(title: str) -> bool:
    """Is a title more than the name some program gave the file?"""
    words = squeezed(title)
    return (
        len(words) > 2
        and not words.lower().endswith((".doc", ".docx", ".pdf", ".indd", ".tex", ".qxd"))
        and (not words.lower().startswith(("microsoft word", "untitled", "powerpoint")))
    )


def _spelled(numbers: Sequence[int]) -> str:
    """``1-3, 7``; at most twenty stretches."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:20]]
    return ", ".join(shown) + (", …" if len(runs) > 20 else "")
