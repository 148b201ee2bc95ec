"""From words on a page to lines, table rows, columns and paragraphs. Geometry only; units are points."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from statistics import median

from affidavit.ingest.parse.pdf_words import Sheet, Word

_GAP = 1.0
"""Letter sizes between two words from which they stand in different cells."""
_ALIGNED = 0.8
"""Letter sizes by which the edges of one column may differ."""
_MARGIN = 0.09
"""Share of the page's height, above and below, in which running headers and footers stand."""
_PROSE = 25
"""Characters from which a piece of a line reads as prose, not as a cell."""
_BULLET = re.compile(r"[•◦▪●○■□‣⁃–—\-*☐☑☒✓][\s\u00a0]|[•●▪◦■]|[•◦▪●]$")
_NUMBER = re.compile(
    r"(?:\(?[0-9]{1,3}[.)]|\(?[a-zA-Z][.)]|\([ivx]{1,5}\)|[0-9]{1,2}(?:\.[0-9]{1,2}){1,4}\.?)\s"
)
_DIGITS = re.compile(r"\d+")


@dataclass
class Line:
    """A line of a page: its pieces are further apart than words are. Never changed."""

    pieces: list[list[Word]]

    @cached_property
    def words(self) -> list[Word]:
        return [word for piece in self.pieces for word in piece]

    @cached_property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @cached_property
    def cells(self) -> list[str]:
        return [" ".join(word.text for word in piece) for piece in self.pieces]

    @cached_property
    def left(self) -> float:
        return min(word.left for word in self.words)

    @cached_property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @cached_property
    def top(self) -> float:
        return min(word.top for word in self.words)

    @cached_property
    def bottom(self) -> float:
        return max(word.bottom for word in self.words)

    @cached_property
    def size(self) -> float:
        """The size of most of its letters."""
        sizes: dict[float, int] = {}
        for word in self.words:
            sizes[word.size] = sizes.get(word.size, 0) + len(word.text)
        return max(sizes, key=lambda size: sizes[size])

    @cached_property
    def bold(self) -> bool:
        return all(word.bold for word in self.words)


@dataclass
class Part:
    """A paragraph, list item or table of a page. ``rows`` only for tables."""

    kind: str
    lines: list[Line]
    rows: list[list[str]] | None = None


def page_lines(sheet: Sheet) -> list[Line]:
    """The page's lines in reading order: as they were written, but pieces on one height form a line, and two columns that
    were written across are read one after the other."""
    shown = (word for word in sheet.words if not word.hidden)
    runs = (list(words) for _, words in groupby(shown, lambda word: word.line))
    return _columns(_joined([_line(words) for run in runs for words in _level(run)]))


def _level(words: list[Word]) -> Iterator[list[Word]]:
    """A run of words cut where the next one stands lower or higher."""
    line = [words[0]]
    for word in words[1:]:
        last = line[-1]
        overlap = min(last.bottom, word.bottom) - max(last.top, word.top)
        if overlap < 0.3 * min(last.bottom - last.top, word.bottom - word.top):
            yield line
            line = []
        line.append(word)
    yield line


def _line(words: list[Word]) -> Line:
    pieces: list[list[Word]] = [[words[0]]]
    for word in words[1:]:
        before = pieces[-1][-1]
        gap = max(word.left - before.right, before.left - word.right)  # either way of writing
        if gap > _GAP * max(word.size, before.size, 1):
            pieces.append([word])
        else:
            pieces[-1].append(word)
    return Line(pieces)


def _joined(lines: list[Line]) -> list[Line]:
    """Lines written one after the other that stand on one height, left to right, as one line of several pieces."""
    out: list[Line] = []
    for line in lines:
        last = out[-1] if out else None
        if last is not None and _same_height(last, line) and line.left > last.right:
            if line.left - last.right <= _GAP * max(line.size, last.size, 1):
                middle = last.pieces[-1] + line.pieces[0]
                out[-1] = Line([*last.pieces[:-1], middle, *line.pieces[1:]])
            else:
                out[-1] = Line([*last.pieces, *line.pieces])
        else:
            out.append(line)
    return out


def _same_height(one: Line, other: Line) -> bool:
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap > 0.5 * min(one.bottom - one.top, other.bottom - other.top)


def _columns(lines: list[Line]) -> list[Line]:
    """``lines`` with runs that were written across two columns of prose taken apart."""
    out: list[Line] = []
    run: list[Line] = []
    for line in lines:
        if (
            len(line.pieces) == 2
            and min(map(len, line.cells)) >= _PROSE
            and (not run or _gutter([*run, line]))
        ):
            run.append(line)
        else:
            out += _apart(run)
            run = []
            out.append(line)
    return out + _apart(run)


def _gutter(run: Sequence[Line]) -> bool:
    left_ends = max(_extent(line.pieces[0])[1] for line in run)
    right_starts = min(_extent(line.pieces[1])[0] for line in run)
    return left_ends < right_starts


def _apart(run: list[Line]) -> list[Line]:
    if len(run) < 4:
        return run
    return [Line([line.pieces[side]]) for side in (0, 1) for line in run]


def running(sheets: Sequence[tuple[Sheet, list[Line]]]) -> set[tuple[int, str]]:
    """(half of the page, text with digits masked) of the lines that stand in the margins of many pages."""
    counts: Counter[tuple[int, str]] = Counter()
    for sheet, lines in sheets:
        counts.update({mark for line in lines if (mark := margin_mark(sheet, line)) is not None})
    least = max(2, len(sheets) // 3) if len(sheets) < 9 else 3
    return {mark for mark, count in counts.items() if count >= least and len(sheets) > 1}


def margin_mark(sheet: Sheet, line: Line) -> tuple[int, str] | None:
    """What tells a line in a page's margin from others; None for lines elsewhere."""
    if line.bottom < _MARGIN * sheet.height:
        return 0, _DIGITS.sub("#", line.text)
    if line.top > (1 - _MARGIN) * sheet.height:
        return 1, _DIGITS.sub("#", line.text)
    return None


def parts(lines: list[Line]) -> Iterator[Part]:
    """Tables, list items and paragraphs of a page, in order."""
    step = _spacing(lines)
    at = 0
    while at < len(lines):
        end = _table_end(lines, at)
        if end > at:
            yield Part("table", lines[at:end], _grid(lines[at:end]))
            at = end
            continue
        end = at + 1
        while (
            end < len(lines)
            and _table_end(lines, end) == end
            and not _breaks(lines[at:end], lines[end], step)
        ):
            end += 1
        yield Part("list" if is_item(lines[at].text) else "paragraph", lines[at:end])
        at = end


def is_item(text: str) -> bool:
    """Does a line begin an item of a list?"""
    return bool(_BULLET.match(text) or _NUMBER.match(text))


def _spacing(lines: list[Line]) -> float:
    """The usual distance from line to line, in letter sizes."""
    steps = [(b.top - a.top) / max(a.size, 1) for a, b in pairwise(lines) if 0 < b.top - a.top < 3 * a.size]
    return median(steps) if steps else 1.2


def _breaks(part: list[Line], line: Line, step: float) -> bool:
    """Does a new paragraph begin with ``line``?"""
    last = part[-1]
    size = max(last.size, 1)
    if is_item(line.text) or abs(line.size - last.size) > 0.12 * size or line.bold != last.bold:
        return True
    fall = (line.top - last.top) / size
    if fall < -1 or line.left > last.right:  # another column
        return last.text.rstrip().endswith((".", "!", "?", ":"))
    if fall > max(1.25 * step, step + 0.35):
        return True
    indented = line.left - last.left > size and len(part) > 1
    ended = last.right < max(one.right for one in [*part, line]) - 6 * size
    return (indented or ended) and last.text.rstrip().endswith((".", "!", "?", ":"))


def _table_end(lines: list[Line], start: int) -> int:
    """Where the table that begins at ``start`` ends; ``start`` if none does."""
    end = start
    while (
        end < len(lines)
        and len(lines[end].pieces) > 1
        and (end == start or _aligned(lines[end - 1], lines[end]))
    ):
        end += 1
    rows = lines[start:end]
    return end if len(rows) >= 2 else start


def _aligned(one: Line, other: Line) -> bool:
    """Do two lines share at least two columns' edges, and lie close?"""
    reach = _ALIGNED * max(one.size, other.size, 1)
    if not -1 <= other.top - one.bottom <= 3 * max(one.size, 1):
        return False
    shared = sum(
        any(
            abs(a - left) <= reach or abs(b - right) <= reach or abs(a + b - left - right) <= 2 * reach
            for left, right in map(_extent, other.pieces)
        )
        for a, b in map(_extent, one.pieces)
    )
    return shared >= 2 and _share_a_gap(one, other)


def _share_a_gap(one: Line, other: Line) -> bool:
    """Is there a strip between pieces that runs through both lines?"""
    return any(
        min(right, after) - max(left, before) > 0.3 * max(one.size, 1)
        for left, right in _gaps(one)
        for before, after in _gaps(other)
    )


def _gaps(line: Line) -> list[tuple[float, float]]:
    spans = sorted(map(_extent, line.pieces))
    return [(a[1], b[0]) for a, b in pairwise(spans)]


def _grid(lines: list[Line]) -> list[list[str]]:
    """The rows with every piece in its column: columns are what the pieces, laid over one another, cover."""
    spans: list[list[float]] = []
    for left, right in sorted(_extent(piece) for line in lines for piece in line.pieces):
        if spans and left < spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], right)
        else:
            spans.append([left, right])
    rows = []
    for line in lines:
        row = [""] * len(spans)
        for piece, cell in zip(line.pieces, line.cells, strict=True):
            column = next(n for n, (a, b) in enumerate(spans) if a <= _extent(piece)[0] <= b)
            row[column] = f"{row[column]} {cell}".strip()
        rows.append(row)
    return rows


def _extent(piece: Sequence[Word]) -> tuple[float, float]:
    """Where a piece begins and ends, from left to right."""
    return min(word.left for word in piece), max(word.right for word in piece)
