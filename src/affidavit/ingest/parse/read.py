"""An item's bytes to its text and the blocks in it, by what the bytes are.

For text formats the revision's text *is* the file, so offsets point into what its author wrote; for the others it is what we
extract. No parser executes anything, follows a link or reads another file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from affidavit.domain.errors import UnsupportedError
from affidavit.domain.media import UNKNOWN
from affidavit.domain.records import Parsed
from affidavit.ingest.parse import LONGEST_WORDS
from affidavit.ingest.parse.asciidoc import ASCIIDOC, parse_asciidoc
from affidavit.ingest.parse.code import LANGUAGES, parse_code
from affidavit.ingest.parse.decode import decode
from affidavit.ingest.parse.detect import detect
from affidavit.ingest.parse.docx import DOCX, parse_docx
from affidavit.ingest.parse.epub import EPUB, parse_epub
from affidavit.ingest.parse.html import parse_html
from affidavit.ingest.parse.jsontext import JSON, JSON_LINES, parse_json, parse_json_lines
from affidavit.ingest.parse.mail import EMAIL, parse_mail
from affidavit.ingest.parse.markdown import parse_markdown
from affidavit.ingest.parse.msg import MSG, parse_msg
from affidavit.ingest.parse.odf import ODF, parse_odf
from affidavit.ingest.parse.pdf import PDF, parse_pdf
from affidavit.ingest.parse.plain import parse_plain
from affidavit.ingest.parse.pptx import PPTX, parse_pptx
from affidavit.ingest.parse.python import parse_python
from affidavit.ingest.parse.rtf import RTF, parse_rtf
from affidavit.ingest.parse.table import parse_csv, parse_tsv
from affidavit.ingest.parse.xlsx import XLSX, parse_xlsx

Parser = Callable[[bytes, str], Parsed]
"""(content, name) to what it says. Raises ParseError."""


def _of_text(parser: Callable[[str, str], Parsed]) -> Parser:
    return lambda data, name: parser(decode(data), name)


TEXTS: Mapping[str, Parser] = {
    "text/markdown": _of_text(parse_markdown),
    "text/plain": _of_text(parse_plain),
    "text/csv": _of_text(parse_csv),
    "text/tab-separated-values": _of_text(parse_tsv),
    "text/x-python": _of_text(parse_python),
    ASCIIDOC: _of_text(parse_asciidoc),
    JSON: _of_text(parse_json),
    JSON_LINES: _of_text(parse_json_lines),
    **{kind: _of_text(partial(parse_code, media_type=kind)) for kind in LANGUAGES},
}
"""Formats whose text is the file itself."""

_EXTRACTED: Mapping[str, Parser] = {
    "text/html": _of_text(parse_html),
    PDF: parse_pdf,
    DOCX: parse_docx,
    PPTX: parse_pptx,
    XLSX: parse_xlsx,
    ODF + "text": parse_odf,
    ODF + "spreadsheet": parse_odf,
    ODF + "presentation": parse_odf,
    EPUB: parse_epub,
    RTF: parse_rtf,
}
PARSERS: Mapping[str, Parser] = {
    **TEXTS,
    **_EXTRACTED,
    EMAIL: lambda data, name: parse_mail(data, name, _attached(0), 0),
    MSG: lambda data, name: parse_msg(data, name, _attached(0), 0),
}


def parse(data: bytes, media_type: str, name: str) -> Parsed:
    """Read ``data``, which is said to be ``media_type`` (parameters such as ``; charset=utf-8`` are ignored) and is called
    ``name``; see ``detect`` for what these decide.

    The same arguments always give the same result, and so does the media type that was found. Raises ParseError, with a hint,
    if the content is damaged, is over a limit, or is of a type no parser reads.
    """
    return _short(_parser(data, media_type, name)(data, name))


def _parser(data: bytes, media_type: str, name: str) -> Parser:
    declared = media_type.split(";", 1)[0].strip().lower()
    if declared not in PARSERS and declared != UNKNOWN:
        raise UnsupportedError(
            f"no parser reads {media_type or 'an unnamed media type'}.",
            "Readable: " + ", ".join(PARSERS) + ".",
        )
    return PARSERS[detect(data, declared, name)]


def _attached(depth: int) -> Callable[[bytes, str, str], Parsed]:
    """What reads the attachments of a message that lies ``depth`` messages deep."""

    def read(data: bytes, media_type: str, name: str) -> Parsed:
        declared = media_type.split(";", 1)[0].strip().lower()
        kind = detect(data, declared if declared in PARSERS else UNKNOWN, name)
        if kind == EMAIL:
            return parse_mail(data, name, _attached(depth + 1), depth + 1)
        if kind == MSG:
            return parse_msg(data, name, _attached(depth + 1), depth + 1)
        return PARSERS[kind](data, name)

    return read


def _short(parsed: Parsed) -> Parsed:
    """``parsed`` with title and headings cut: every chunk carries a copy of them, so their cost is quadratic in the file."""
    cut: dict[tuple[str, ...], tuple[str, ...]] = {}
    blocks = []
    for block in parsed.blocks:
        if block.path not in cut:
            cut[block.path] = tuple(words[:LONGEST_WORDS] for words in block.path)
        blocks.append(block if cut[block.path] == block.path else replace(block, path=cut[block.path]))
    return replace(parsed, title=parsed.title[:LONGEST_WORDS], blocks=tuple(blocks))
