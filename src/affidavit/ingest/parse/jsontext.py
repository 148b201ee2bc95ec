"""JSON and JSON lines: records as rows, their keys as headings, offsets into the real file."""

from __future__ import annotations

import json
import re
from itertools import pairwise

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.lines import line_starts, trim
from affidavit.ingest.parse.plain import plain_blocks

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
_WHOLE = 1_200
"""Characters up to which a value is one block."""
_DEEPEST = 12
"""Levels of large values that are opened."""
MOST_BLOCKS = 500_000
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _NotJsonError(Exception):
    """What is wrong with it."""


def parse_json(text: str, name: str) -> Parsed:
    """``text`` is the file; every scalar lies in a block, and the brackets and commas between blocks in none.

    A value of moderate size is a ``row``; a larger one is opened, its key a heading of the path. The title is the value of
    ``title`` or ``name`` at the top. What is not JSON (comments in it, nested too deeply) becomes paragraphs, with
    ``syntax_error`` in the metadata. Raises ParseError for too many values.
    """
    try:
        value, start, end = _value(text, _space(text, 0))
        if _space(text, end) != len(text):
            raise _NotJsonError(f"something follows the value at character {end}")  # noqa: TRY301
        blocks = _opened(text, start, end)
    except _NotJsonError as error:
        return _plain(text, JSON, str(error))
    title = next(
        (value[k] for k in ("title", "name") if isinstance(value, dict) and isinstance(value.get(k), str)), ""
    )
    return Parsed(text, " ".join(title.split()), blocks, JSON, {})


def parse_json_lines(text: str, name: str) -> Parsed:
    """``text`` is the file; every line that is not blank is a ``row``. If one is not JSON the file becomes paragraphs, with
    ``syntax_error`` in the metadata."""
    blocks = []
    for number, (first, last) in enumerate(pairwise(line_starts(text)), 1):
        span = trim(text, first, last)
        if span is None:
            continue
        try:
            _, _, end = _value(text, span[0])
        except _NotJsonError as error:
            return _plain(text, JSON_LINES, f"line {number}: {error}")
        if end != span[1]:
            return _plain(text, JSON_LINES, f"line {number}: more than one value")
        blocks.append(Block("row", *span))
    return Parsed(text, "", tuple(blocks), JSON_LINES, {"rows": len(blocks)})


def _plain(text: str, media_type: str, fault: str) -> Parsed:
    return Parsed(text, "", tuple(plain_blocks(text, 0, len(text))), media_type, {"syntax_error": fault})


def _opened(text: str, start: int, end: int) -> tuple[Block, ...]:
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
    return tuple(blocks)


def _value(text: str, at: int) -> tuple[object, int, int]:
    """The value at ``at`` with its span."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise _NotJsonError(str(error)) from error
    except (RecursionError, ValueError) as error:
        raise _NotJsonError("nested too deeply, or a number too long") from error
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
