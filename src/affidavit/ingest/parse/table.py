"""Delimited tables (CSV, TSV): one block a record, with exact offsets, quoted line ends included."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Block, Parsed

DELIMITERS = (",", ";", "\t", "|")
MOST_ROWS = 500_000
MOST_COLUMNS = 10_000
LONGEST_FIELD = 1_000_000
"""In characters."""
_SNIFFED_ROWS = 20
_SNIFFED_CHARACTERS = 65_536
_SPLIT = "Split the file, or export it as several."


@dataclass(frozen=True)
class Record:
    """A record of the file: where it lies (without its line end), and its cells with quotes undone."""

    start: int
    end: int
    cells: tuple[str, ...]


def parse_csv(text: str, name: str) -> Parsed:
    """A comma-separated file (or ``;``, tab, ``|``: found out from the first rows). See ``_parse``."""
    return _parse(text, "text/csv", sniff(text))


def parse_tsv(text: str, name: str) -> Parsed:
    """A tab-separated file (or, if it holds no tab at all, what ``parse_csv`` reads). See ``_parse``."""
    return _parse(text, "text/tab-separated-values", "\t" if "\t" in text else sniff(text))


def _parse(text: str, media_type: str, delimiter: str) -> Parsed:
    """``text`` is the file; each record that is not blank is a ``row`` block.

    The first record is the header: it is a block too, and the path of each later row is its cells joined with `` | ``.
    Metadata: ``rows`` (header not counted), ``columns`` of the header, ``ragged_rows`` (rows with more or fewer cells).
    Raises ParseError over the limits of this module.
    """
    header: Record | None = None
    path: tuple[str, ...] = ()
    blocks: list[Block] = []
    ragged = 0
    for record in records(text, delimiter):
        if not text[record.start : record.end].strip():
            continue
        if header is None:
            header = record
        else:
            ragged += len(record.cells) != len(header.cells)
        blocks.append(Block("row", record.start, record.end, path))
        if len(blocks) > MOST_ROWS:
            raise ParseError(f"the table has more than {MOST_ROWS:,} rows.", _SPLIT)
        if len(blocks) == 1:
            words = " | ".join(" ".join(cell.split()) for cell in record.cells)
            path = (words,) if words.strip(" |") else ()
    columns = len(header.cells) if header else 0
    rows = max(0, len(blocks) - 1)
    return Parsed(
        text, "", tuple(blocks), media_type, {"rows": rows, "columns": columns, "ragged_rows": ragged}
    )


@cache
def _field(delimiter: str) -> re.Pattern[str]:
    """One field and what ends it. A quote is only special where a field begins; a doubled one stands for itself; what
    follows a closing quote belongs to the field, as in Python's csv module."""
    d = re.escape(delimiter)
    return re.compile(
        rf'(?:"(?P<quoted>(?:[^"]++|"")*+)(?P<close>"?))?+(?P<rest>[^{d}\r\n]*+)(?P<stop>{d}|\r\n?|\n|\Z)'
    )


def records(text: str, delimiter: str) -> Iterator[Record]:
    """Every record of ``text``, in order. Raises ParseError for a field or a record over the limits."""
    field = _field(delimiter)
    at = start = 0
    cells: list[str] = []
    while at < len(text) or cells:
        match = field.match(text, at)
        if match is None:  # cannot happen: \Z ends the last field
            raise ParseError(f"the table cannot be read at character {at}.", _SPLIT)
        quoted, rest, stop = match["quoted"], match["rest"], match["stop"]
        if match.end("rest") - at > LONGEST_FIELD:
            raise _too_long(text, at, quoted is not None and not match["close"])
        cells.append(rest if quoted is None else quoted.replace('""', '"') + rest)
        if len(cells) > MOST_COLUMNS:
            raise ParseError(f"a row has more than {MOST_COLUMNS:,} columns (character {start}).", _SPLIT)
        at = match.end()
        if stop == delimiter:
            continue
        yield Record(start, match.end("rest"), tuple(cells))
        cells = []
        start = at


def _too_long(text: str, at: int, unclosed: bool) -> ParseError:
    line = text.count("\n", 0, at) + 1
    if unclosed:
        return ParseError(
            f"the quote opened in line {line} is never closed.", "Close it, or double it to mean a quote."
        )
    return ParseError(f"a field is longer than {LONGEST_FIELD:,} characters (line {line}).", _SPLIT)


def sniff(text: str) -> str:
    """The delimiter that cuts the first rows into most alike ones; a comma if none cuts them at all."""
    sample = text[:_SNIFFED_CHARACTERS]
    best, best_score = DELIMITERS[0], (0.0, 0)
    for delimiter in DELIMITERS:
        counts = Counter(len(r.cells) for r in islice(_lenient(sample, delimiter), _SNIFFED_ROWS))
        cut = Counter({columns: rows for columns, rows in counts.items() if columns > 1})
        if not cut:
            continue
        columns, rows = max(cut.items(), key=lambda item: (item[1], item[0]))
        score = (rows / counts.total(), columns)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _lenient(sample: str, delimiter: str) -> Iterator[Record]:
    """The sample's records up to the first that is over a limit; the real reading will name that fault."""
    try:
        for record in records(sample, delimiter):
            if record.start != record.end:
                yield record
    except ParseError:
        return
