"""What a file is, by its content; its name and what it claims to be decide only between kinds of text."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from affidavit.domain.errors import ParseError, UnsupportedError
from affidavit.domain.media import UNKNOWN, media_type_for
from affidavit.ingest.parse.archive import Archive
from affidavit.ingest.parse.cfb import MAGIC
from affidavit.ingest.parse.docx import DOCX
from affidavit.ingest.parse.epub import EPUB
from affidavit.ingest.parse.jsontext import JSON
from affidavit.ingest.parse.mail import EMAIL
from affidavit.ingest.parse.msg import MARK, MSG
from affidavit.ingest.parse.odf import ODF
from affidavit.ingest.parse.pdf import PDF
from affidavit.ingest.parse.pptx import PPTX
from affidavit.ingest.parse.rtf import RTF
from affidavit.ingest.parse.xlsx import XLSX

PLAIN = "text/plain"
_HEAD = 1_024
_BLANK = b"\xef\xbb\xbf \t\r\n\0"
"""What may stand before a PDF's mark."""
_ZIP = b"PK\x03\x04"
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,600}?-->\s*)*<(?:!doctype\s+html|html)[\s>]",
    re.I | re.S,
)
_HEADER = re.compile(
    rb"(?:^|\n)(?:From|To|Cc|Subject|Date|Received|Message-ID|MIME-Version|Return-Path|Content-Type|Delivered-To): ",
    re.I,
)
_FIRST_HEADER = re.compile(rb"(?:From |[A-Za-z][A-Za-z0-9-]{1,60}: )")
_PYTHON = re.compile(rb"#![^\n]*\bpython[\d.]*\b")
_OFFICE = {b"wordprocessingml": DOCX, b"presentationml": PPTX, b"spreadsheetml": XLSX}
_MAIN = re.compile(
    rb"(wordprocessingml|presentationml|spreadsheetml)\.[a-zA-Z]+\.main\+xml|"
    rb"(ms-word|ms-powerpoint|ms-excel)\.[a-zA-Z]+\.macroEnabled\.main\+xml"
)
_MACROS = {b"ms-word": DOCX, b"ms-powerpoint": PPTX, b"ms-excel": XLSX}
_OTHERS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7-zip archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"SQLite format 3": "a database",
    b"RIFF": "sound or video",
    b"ID3": "sound",
    b"OggS": "sound",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"%!PS": "PostScript",
}
_OLD = "an old Office file (.doc, .xls, .ppt), or one with a password"


def detect(data: bytes, declared: str, name: str) -> str:
    """The media type of ``data``, which is said to be ``declared`` and called ``name``.

    The same again if ``declared`` is what was found before. Raises UnsupportedError for content no parser reads,
    ParseError for a container that is damaged.
    """
    found = _binary(data, declared)
    if found is not None:
        return found
    if declared in (UNKNOWN, ""):
        declared = media_type_for(name) or UNKNOWN
    if (declared.startswith("text/") and declared != PLAIN) or declared in _TEXTS:
        return declared
    if not data and declared not in (UNKNOWN, PLAIN):
        raise ParseError("the file is empty.", "Save it again.")
    if _HTML.match(data[:_HEAD]):
        return "text/html"
    if declared == PLAIN:
        return PLAIN
    if b"\0" in data[:65_536] and not data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        if declared != UNKNOWN:
            return declared  # damaged beyond its mark: its parser says how
        raise _unsupported("the content is binary and of no known kind")
    return _text(data, declared)


_TEXTS = (JSON, "application/x-ndjson", EMAIL)


def _text(data: bytes, declared: str) -> str:
    """The kind of a text whose name says nothing."""
    head = data[:_HEAD]
    if _PYTHON.match(head):
        return "text/x-python"
    if _FIRST_HEADER.match(head) and len(_HEADER.findall(data[: 8 * _HEAD])) >= 3:
        return EMAIL
    if declared not in (UNKNOWN, PLAIN) and not _is_text(data):
        return declared
    return PLAIN


def _is_text(data: bytes) -> bool:
    """Does the beginning read as UTF-8 without control characters that no text holds?"""
    head = data[: 8 * _HEAD]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as fault:
        if fault.start < len(head) - 4:  # not a letter cut in two at the end
            return False
    return b"\0" not in head


def _binary(data: bytes, declared: str) -> str | None:
    """The kind of a file that begins with a mark. Raises UnsupportedError, ParseError."""
    if data.lstrip(_BLANK).startswith(b"%PDF-") or (declared == PDF and b"%PDF-" in data[:_HEAD]):
        return PDF
    if data.startswith(_ZIP):
        return _zip(Archive(data))
    if data.startswith(b"{\\rtf"):
        return RTF
    if data.startswith(MAGIC):
        if MARK.encode("utf-16-le") in data:
            return MSG
        raise _unsupported(_OLD)
    if data.startswith(b"%!PS") or not _is_text(data):
        for mark, what in _OTHERS.items():
            if data.startswith(mark):
                raise _unsupported(what)
    return None


def _zip(archive: Archive) -> str:
    kind = archive.read("mimetype") if "mimetype" in archive else None
    if kind is not None and kind.strip() == EPUB.encode():
        return EPUB
    if kind is not None and kind.startswith(ODF.encode()):
        return _open_document(kind.strip().decode("ascii", "replace"))
    types = archive.read("[Content_Types].xml")
    main = None if types is None else _MAIN.search(types)
    if main is not None:
        return _OFFICE[main[1]] if main[1] else _MACROS[main[2]]
    raise _unsupported("a zip archive")


def _open_document(kind: str) -> str:
    for known in ("text", "spreadsheet", "presentation"):
        if kind.removeprefix(ODF).startswith(known):
            return ODF + known
    raise _unsupported("an OpenDocument file of another kind")


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what}: files of this kind are not read.", "Save it as PDF, Office, HTML or text, or leave it out."
    )
