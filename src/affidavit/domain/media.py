"""What kind of document a file is likely to be, by the end of its name."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import PurePosixPath

MEDIA_TYPES: Mapping[str, str] = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".rst": "text/plain",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".py": "text/x-python",
    ".pyi": "text/x-python",
    ".adoc": "text/asciidoc",
    ".asciidoc": "text/asciidoc",
    ".asc": "text/asciidoc",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".docm": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".pptm": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".epub": "application/epub+zip",
    ".rtf": "application/rtf",
    ".eml": "message/rfc822",
    ".msg": "application/vnd.ms-outlook",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".cjs": "text/javascript",
    ".jsx": "text/javascript",
    ".ts": "text/x-typescript",
    ".mts": "text/x-typescript",
    ".tsx": "text/x-tsx",
    ".go": "text/x-go",
    ".rs": "text/x-rust",
    ".java": "text/x-java",
    ".c": "text/x-c",
    ".h": "text/x-c",
    ".cc": "text/x-c++",
    ".cpp": "text/x-c++",
    ".cxx": "text/x-c++",
    ".hh": "text/x-c++",
    ".hpp": "text/x-c++",
    ".rb": "text/x-ruby",
    ".sh": "text/plain",
    ".bash": "text/plain",
    ".sql": "text/plain",
    ".toml": "text/plain",
    ".yaml": "text/plain",
    ".yml": "text/plain",
    ".ini": "text/plain",
    ".cfg": "text/plain",
    ".tex": "text/plain",
}


UNKNOWN = "application/octet-stream"
"""Of a file whose name says nothing: its content tells."""
NO_DOCUMENTS = frozenset(
    """.png .jpg .jpeg .gif .bmp .tif .tiff .webp .heic .avif .ico .svg .psd .ai .eps .mp3 .m4a .wav .flac .ogg .mp4 .m4v .mov
    .avi .mkv .webm .zip .gz .tgz .bz2 .xz .zst .7z .rar .tar .jar .war .whl .iso .dmg .img .exe .dll .so .dylib .o .a .class .pyc
    .wasm .bin .dat .db .sqlite .sqlite3 .parquet .npy .npz .pkl .pickle .onnx .gguf .safetensors .ttf .otf .woff .woff2 .lock
    .doc .xls .ppt .key .numbers .pages .p12 .pem .crt""".split()
)
"""Ends of names of files that are not worth being opened: pictures, sound, archives, programs, data, keys, old Office formats."""


def at_page(location: str, start: int, metadata: str) -> str:
    """``location`` of a PDF with the page (RFC 8118) that ``start``, an offset into its text, lies on; others as they are.

    ``metadata`` is the revision's, as JSON; a document's owner may have written it, so its shape is not believed.
    """
    if '"page_starts"' not in metadata or "#" in location:
        return location
    facts = json.loads(metadata)
    pages = facts.get("page_starts")
    starts = pages.get("starts") if isinstance(pages, dict) else None
    if facts.get("media_type") != "application/pdf" or not isinstance(starts, list):
        return location
    if not starts or not all(isinstance(at, int) for at in starts):
        return location
    return f"{location}#page={max(1, bisect_right(starts, start))}"


def is_own_text(media_type: str) -> bool:
    """Is a revision's text the file itself, so that its bytes need not be kept beside it?"""
    if media_type in ("application/json", "application/x-ndjson"):
        return True
    return media_type.startswith("text/") and media_type != "text/html"


def media_type_for(name: str) -> str | None:
    """The media type of a file by the end of its name, or None if that says nothing."""
    return MEDIA_TYPES.get(PurePosixPath(name.lower()).suffix)


def may_be_document(name: str) -> bool:
    """Is a file of this name worth being opened?"""
    return PurePosixPath(name.lower()).suffix not in NO_DOCUMENTS
