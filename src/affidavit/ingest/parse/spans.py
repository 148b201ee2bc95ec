"""Merged cells: what one says holds for every row and column it covers, so that each row can be read by itself."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 200
"""Characters up to which a merged cell is said again; a longer one stands once."""
MOST = 100
"""Columns or rows it is said again for at most."""


class Merged:
    """Lays out the rows of one table, from the first to the last."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, int]] = {}

    def row(self, cells: Sequence[tuple[str, int, int]]) -> list[str]:
        """A row of (text, columns, rows it spans), with what reaches into it from above."""
        out: list[str] = []
        following: dict[int, tuple[str, int]] = {}
        waiting = list(reversed(cells))
        while waiting or any(column >= len(out) for column in self._open):
            column = len(out)
            if column in self._open:
                text, rows = self._open[column]
                out.append(text)
                if rows > 1:
                    following[column] = (text, rows - 1)
                continue
            if not waiting:
                out.append("")
                continue
            text, columns, rows = waiting.pop()
            again = text if len(text) <= LONGEST else ""
            for n in range(max(1, min(columns, MOST))):
                out.append(again if n else text)
                if rows > 1:
                    following[column + n] = (again, min(rows, MOST) - 1)
        self._open = following
        return out


def span(written: str | None) -> int:
    """A span as files write it; 1 for anything else."""
    return int(written) if written and written.isdecimal() and 0 < len(written) < 6 and int(written) else 1
