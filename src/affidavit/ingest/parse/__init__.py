"""An item's bytes to its text and the blocks in it, by media type.

For text formats the revision's text *is* the file, so offsets point into what its author wrote; for HTML it is what we extract.
No parser recurses, executes, follows a link or reads another file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Parsed
from affidavit.ingest.parse.decode import decode
from affidavit.ingest.parse.html import parse_html
from affidavit.ingest.parse.markdown import parse_markdown
from affidavit.ingest.parse.plain import parse_plain
from affidavit.ingest.parse.python import parse_python
from affidavit.ingest.parse.table import parse_csv, parse_tsv

LONGEST_WORDS = 1_000
"""Characters of a title and of each heading above a block that are kept."""

Parser = Callable[[bytes, str], Parsed]
"""(content, name) to what it says. Raises ParseError."""


def _of_text(parser: Callable[[str, str], Parsed]) -> Parser:
    return lambda data, name: parser(decode(data), name)


PARSERS: Mapping[str, Parser] = {
    "text/markdown": _of_text(parse_markdown),
    "text/html": _of_text(parse_html),
    "text/plain": _of_text(parse_plain),
    "text/csv": _of_text(parse_csv),
    "text/tab-separated-values": _of_text(parse_tsv),
    "text/x-python": _of_text(parse_python),
}


def parse(data: bytes, media_type: str, name: str) -> Parsed:
    """Read ``data`` as ``media_type`` (parameters such as ``; charset=utf-8`` are ignored).

    ``name`` is the item's name; only the Python parser looks at it. The same arguments always give the same result. Raises
    ParseError, with a hint, if the content is not what it claims to be, is over a limit, or is of a type no parser reads.
    """
    parser = PARSERS.get(media_type.split(";", 1)[0].strip().lower())
    if parser is None:
        raise ParseError(
            f"no parser reads {media_type or 'an unnamed media type'}.",
            "Readable: " + ", ".join(PARSERS) + ".",
        )
    return _short(parser(data, name))


def _short(parsed: Parsed) -> Parsed:
    """``parsed`` with title and headings cut: every chunk carries a copy of them, so their cost is quadratic in the file."""
    cut: dict[tuple[str, ...], tuple[str, ...]] = {}
    blocks = []
    for block in parsed.blocks:
        if block.path not in cut:
            cut[block.path] = tuple(words[:LONGEST_WORDS] for words in block.path)
        blocks.append(block if cut[block.path] == block.path else replace(block, path=cut[block.path]))
    return replace(parsed, title=parsed.title[:LONGEST_WORDS], blocks=tuple(blocks))
