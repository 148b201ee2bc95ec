"""What kind of document a file is, by the end of its name."""

from __future__ import annotations

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
}


def media_type_for(name: str) -> str | None:
    """The media type of a file by the end of its name, or None if no parser reads such files."""
    return MEDIA_TYPES.get(PurePosixPath(name.lower()).suffix)
