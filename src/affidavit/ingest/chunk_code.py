"""Source code: a symbol (function, method, class head) is a part, with its name, its signature and the file it is in."""

from __future__ import annotations

from affidavit.domain.records import Block, Parsed
from affidavit.ingest.chunk_cut import LINES, PARAGRAPHS
from affidavit.ingest.chunk_parts import Fields, Part, value

_LONGEST_SIGNATURE = 10
"""Lines."""
_NOT_YET = ("#", "//", "/*", "*", "@", '"""', "<")
"""What a line above a signature begins with: comments, decorators, attributes."""


def is_source(parsed: Parsed) -> bool:
    """Whether this is a file of source code (in a page, code is an example)."""
    return bool(parsed.blocks) and all(b.kind == "code" and b.path for b in parsed.blocks if not b.flag)


def code_part(text: str, block: Block, name: str) -> Part:
    """A block of a source file called ``name``. Deeper than the file itself, it is a symbol."""
    fields: Fields = (("file", value(name)),) if name else ()
    symbol = len(block.path) > 1
    if symbol:
        fields += (("symbol", value(block.path[-1])), ("signature", _signature(text, block)))
    return Part(block.kind, block.start, block.end, block.path, fields, symbol, 0, (PARAGRAPHS, LINES))


def _signature(text: str, block: Block) -> str:
    """From the line with the symbol's name to where its body begins, on one line; "" if it has none."""
    own = block.path[-1].rpartition(".")[2]
    lines: list[str] = []
    for line in text[block.start : block.end].split("\n", 60)[:60]:
        words = line.strip()
        if not lines and (own not in words or words.startswith(_NOT_YET)):
            continue
        lines.append(words)
        if words.endswith((":", "{", ";", ")")) or len(lines) == _LONGEST_SIGNATURE:
            break
    return value(" ".join(lines).rstrip(":{ "))
