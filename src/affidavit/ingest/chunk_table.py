"""Tables: rows stay whole, and what names their columns goes with those that stand below it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from affidavit.domain.records import Block
from affidavit.ingest.chunk_cut import LINES, SENTENCES
from affidavit.ingest.chunk_parts import Part, value
from affidavit.ingest.parse.lines import line_starts, trim

_RULE = re.compile(r"[\s|:+=-]+")
_EDGES = " \t|"


def table_parts(text: str, block: Block) -> Iterator[Part]:
    """The rows of a table, one line each; from the second on with the field ``columns``, the first row's words.

    Those are what is searched and embedded with a chunk that does not hold the first row itself.
    """
    starts = line_starts(text[block.start : block.end])
    columns = ""
    for first, last in pairwise(starts):
        span = trim(text, block.start + first, block.start + last)
        if span is None:
            continue
        line = text[span[0] : span[1]]
        fields = (("columns", columns),) if columns else ()
        yield Part(block.kind, *span, block.path, fields, cutters=(SENTENCES,))
        if not columns and not _RULE.fullmatch(line):
            columns = value(line.strip(_EDGES))


def row_part(block: Block) -> Part:
    """A row that is a block: the parser has put the names of its columns into its path."""
    return Part(block.kind, block.start, block.end, block.path, cutters=(LINES, SENTENCES))
