"""Sheets of cells: the tables that lie on them, apart from one another by empty rows and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from affidavit.domain.errors import ParseError
from affidavit.ingest.parse.compose import Composer

MOST_CELLS = 2_000_000
"""Of one file that hold something."""
LONGEST_CELL = 100_000
"""Characters of a cell that are read; a spreadsheet's own limit is 32,767."""

Cells = Mapping[int, Mapping[int, str]]
"""Row to column to text, both counted from 0; empty cells are not there."""


def write_sheet(composer: Composer, name: str, cells: Cells, *, hidden: bool = False) -> None:
    """Write a sheet under its name as a heading: each region as a table, a cell alone as a paragraph. A hidden sheet is
    kept apart, row by row."""
    if hidden:
        for row in sorted(cells):
            composer.apart("hidden", "row", " | ".join([name, *(cells[row][c] for c in sorted(cells[row]))]))
        return
    composer.close()
    composer.heading(1, name)
    for region in _regions(cells):
        if len(region) == 1 and len(region[0]) == 1:
            composer.block("paragraph", region[0][0])
        else:
            composer.table(region)


def _regions(cells: Cells) -> Iterator[list[list[str]]]:
    """Stretches of rows without an empty one between them, each cut at its empty columns."""
    rows: list[int] = []
    for row in sorted(r for r, columns in cells.items() if columns):
        if rows and row > rows[-1] + 1:
            yield from _columns(cells, rows)
            rows = []
        rows.append(row)
    if rows:
        yield from _columns(cells, rows)


def _columns(cells: Cells, rows: list[int]) -> Iterator[list[list[str]]]:
    used = sorted({column for row in rows for column in cells[row]})
    first = 0
    for at in range(1, len(used) + 1):
        if at == len(used) or used[at] > used[at - 1] + 1:
            span = used[first:at]
            inside = [[cells[row].get(column, "") for column in span] for row in rows]
            yield [row for row in inside if any(row)]
            first = at


class CellCount:
    """Counts what was read of a file's cells."""

    def __init__(self) -> None:
        self._count = 0

    def one(self) -> None:
        """One more. Raises ParseError over the limit."""
        self._count += 1
        if self._count > MOST_CELLS:
            raise ParseError(f"the sheets have more than {MOST_CELLS:,} cells.", "Split the file.")
