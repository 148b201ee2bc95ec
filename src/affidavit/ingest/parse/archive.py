"""Zip files that cannot inflate into more than was agreed on."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

from affidavit.domain.errors import ParseError

MOST_MEMBERS = 20_000
MOST_INFLATED = 256 * 1024 * 1024
"""Bytes that all members read from one file may have together."""
LARGEST = 128 * 1024 * 1024
"""Bytes of one member."""
_PIECE = 1024 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = "Open it in its own program, save it again and sync again."


class Archive:
    """A zip file's members, read on demand. Nothing is written anywhere; names are only ever compared."""

    def __init__(self, data: bytes) -> None:
        """Raises ParseError if ``data`` is no zip file or has too many members."""
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
            raise ParseError(f"the zip container is damaged: {error}.", _DAMAGED) from error
        self._members = {info.filename: info for info in self._zip.infolist()}
        self._left = MOST_INFLATED
        if len(self._members) > MOST_MEMBERS:
            raise ParseError(f"the zip container has more than {MOST_MEMBERS:,} members.", "Split the file.")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> Iterator[str]:
        """Names of all members in the order of the container."""
        return iter(self._members)

    def read(self, name: str) -> bytes | None:
        """A member's bytes, None if there is none of that name. Raises ParseError if it is damaged or too large."""
        info = self._members.get(name)
        if info is None:
            return None
        if info.flag_bits & 1:
            raise ParseError("the file is protected by a password.", "Save it without a password.")
        if info.compress_type not in _METHODS:
            raise ParseError(f"{name!r} is compressed in a way that is not read.", _DAMAGED)
        allowed = min(LARGEST, self._left)
        pieces: list[bytes] = []
        size = 0
        try:
            with self._zip.open(info) as member:
                while piece := member.read(_PIECE):
                    size += len(piece)
                    if size > allowed:
                        raise ParseError(
                            f"the container inflates to more than {allowed // 2**20} MB.",
                            "Split it; if nobody made it that large on purpose, it is an attack.",
                        )
                    pieces.append(piece)
        except (
            zipfile.BadZipFile,
            zlib.error,
            ValueError,
            NotImplementedError,
            RuntimeError,
            OSError,
            EOFError,
        ) as error:
            raise ParseError(f"{name!r} in the zip container is damaged: {error}.", _DAMAGED) from error
        self._left -= size
        return b"".join(pieces)
