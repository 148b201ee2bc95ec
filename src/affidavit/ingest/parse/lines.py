"""Lines, paragraphs and white space of a text, as character offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator

# The line ends that markdown-it and Python's tokenizer know. ``str.splitlines`` also splits at \x0b, \x0c, \x85, U+2028, …
_NEWLINE = re.compile(r"\r\n?|\n")


def line_starts(text: str, start: int = 0) -> list[int]:
    """Where each line of ``text[start:]`` begins, and at last ``len(text)``: line ``i`` is ``[out[i], out[i + 1])``.

    Text that ends with a line end has no empty last line: the two last entries would be equal.
    """
    starts = [start]
    starts.extend(match.end() for match in _NEWLINE.finditer(text, start))
    if starts[-1] != len(text) or len(starts) == 1:
        starts.append(len(text))
    return starts


def trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """``text[start:end]`` without the white space around it, or None if there is nothing else."""
    piece = text[start:end]
    stripped = piece.lstrip()
    if not stripped:
        return None
    left = start + len(piece) - len(stripped)
    return left, left + len(stripped.rstrip())


def paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of non-blank lines in ``text[start:end]``, without the white space around it."""
    first = -1
    last = -1
    at = start
    while at < end:
        newline = _NEWLINE.search(text, at, end)
        stop = newline.end() if newline else end
        if text[at:stop].isspace():
            if first >= 0:
                yield from _one(text, first, last)
            first = -1
        else:
            first = at if first < 0 else first
            last = stop
        at = stop
    if first >= 0:
        yield from _one(text, first, last)


def _one(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    span = trim(text, start, end)
    if span is not None:
        yield span
