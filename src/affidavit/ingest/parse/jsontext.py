"""JSON and JSON lines: records as rows, their keys as headings, offsets into the real file."""

from __future__ import annotations

import json
import re
from itertools import pairwise

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.lines import line_starts, trim

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
_WHOLE = 1_200
"""Characters up to which a value is one block."""
_DEEPEST = 12
"""Levels of large values that are opened."""
MOST_BLOCKS = 500_000
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_BROKEN = "Check it with a JSON validator."


def parse_json(text: str, name: str) -> Parsed:
    """``text`` is the file; every scalar lies in a block, and the brackets and commas between blocks in none.

    A value of moderate size is a ``row``; a larger one is opened, its key (or number) a heading of the path. The title is the
    value of ``title`` or ``name`` at the top. Raises ParseError if it is not JSON or nested too deeply.
    """
    value, start, end = _value(text, _space(text, 0))
    if _space(text, end) != len(text):
        raise ParseError(f"not JSON: something follows the value at character {end}.", _BROKEN)
    blocks: list[Block] = []
    stack: list[tuple[int, int, tuple[str, ...]]] = [(start, end, ())]
    while stack:
        first, last, path = stack.pop()
        inside = _members(text, first) if last - first > _WHOLE and len(path) < _DEEPEST else None
        if inside is None:
            blocks.append(Block("row", first, last, path))
        else:
            stack.extend((a, b, (*path, key) if key else path) for a, b, key in reversed(inside))
        if len(blocks) > MOST_BLOCKS:
            raise ParseError(f"the file holds more than {MOST_BLOCKS:,} values.", "Split the file.")
    title = next(
        (value[k] for k in ("title", "name") if isinstance(value, dict) and isinstance(value.get(k), str)), ""
    )
    return Parsed(text, " ".join(title.split()), tuple(blocks), JSON, {})


def parse_json_lines(text: str, name: str) -> Parsed:
    """``text`` is the file; every line that is not blank is a ``row``. Raises ParseError for a line that is not JSON."""
    starts = line_starts(text)
    blocks = []
    for number, (first, last) in enumerate(pairwise(starts), 1):
        span = trim(text, first, last)
        if span is not None:
            _, _, end = _value(text, span[0])
            if end != span[1]:
                raise ParseError(f"line {number} is not one JSON value.", _BROKEN)
            blocks.append(Block("row", *span))
    return Parsed(text, "", tuple(blocks), JSON_LINES, {"rows": len(blocks)})


def _value(text: str, at: int) -> tuple[object, int, int]:
    """The value at ``at`` with its span."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise ParseError(f"not JSON: {error}.", _BROKEN) from error
    except (RecursionError, ValueError) as error:
        raise ParseError(
            "not JSON that can be read: nested too deeply, or a number too long.", _BROKEN
        ) from error
    return value, at, end


def _members(text: str, start: int) -> list[tuple[int, int, str]] | None:
    """(start, end, key) of what an object or array holds, keys in the span; None for a scalar or an empty one."""
    if text[start] not in "{[":
        return None
    named = text[start] == "{"
    found = []
    at = _space(text, start + 1)
    while text[at] not in "}]":
        first, key = at, ""
        if named:
            written, _, at = _value(text, at)
            key = str(written)
            at = _space(text, _space(text, at) + 1)  # over the colon
            opened = at
        else:
            opened = at
        _, _, at = _value(text, at)
        large = at - opened > _WHOLE and text[opened] in "{["
        found.append((opened if large else first, at, key if large else ""))
        at = _space(text, at)
        if text[at] == ",":
            at = _space(text, at + 1)
    return found or None


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()
