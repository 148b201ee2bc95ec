"""The content store: compressed bodies, each with its own random salt and a salted commitment."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from affidavit.domain.clock import Randomness
from affidavit.domain.errors import ErasedError, WorkspaceDamagedError
from affidavit.domain.events import commit_body
from affidavit.store.database import Database

PLAIN, DEFLATED, ERASED = 0, 1, 2
SALT_BYTES = 16
_WORTH_COMPRESSING = 1000  # setting zlib up costs more than it saves below


class Bodies:
    """Puts and gets bodies; call inside a transaction."""

    def __init__(self, database: Database, randomness: Randomness) -> None:
        self._database = database
        self._randomness = randomness

    def put(self, data: bytes) -> tuple[int, str]:
        """Store ``data``; its id and its commitment."""
        salt = self._randomness.token(SALT_BYTES)
        codec, stored = PLAIN, data
        if len(data) >= _WORTH_COMPRESSING:
            packed = zlib.compress(data, 1)
            if len(packed) < len(data):
                codec, stored = DEFLATED, packed
        row = self._database.run(
            "INSERT INTO bodies (salt, codec, size, data) VALUES (?, ?, ?, ?)",
            (salt, codec, len(data), stored),
        )
        return row, commit_body(salt, data)

    def get(self, body: int) -> bytes:
        """The bytes of body ``body``. Raises ErasedError, and WorkspaceDamagedError if they cannot be had whole."""
        return self.opened(body)[1]

    def opened(self, body: int) -> tuple[bytes, bytes]:
        """(salt, bytes) of body ``body``. Raises as ``get`` does."""
        row = self._database.one("SELECT salt, codec, size, data FROM bodies WHERE id = ?", (body,))
        if row is None:
            raise WorkspaceDamagedError(f"body {body} is missing", "restore the workspace from a backup")
        if row[1] == ERASED:
            raise ErasedError(f"body {body} was erased", "`affidavit audit erasures` says by whom and why")
        return bytes(row[0]), unpack(body, *row[1:])

    def is_erased(self, body: int) -> bool:
        """Whether body ``body`` is an empty stone that marks where one was."""
        return bool(self._database.value("SELECT codec = ? FROM bodies WHERE id = ?", (ERASED, body)))

    def erase(self, bodies: Iterable[int]) -> int:
        """Take salt and bytes of ``bodies`` away; how many were there. The rows stay, empty: ids are never used twice."""
        sql = "UPDATE bodies SET salt = x'', codec = ?, size = 0, data = x'' WHERE id = ? AND codec <> ?"
        return sum(self._database.changed(sql, (ERASED, body, ERASED)) for body in bodies)


def unpack(body: int, codec: int, size: int, data: bytes) -> bytes:
    """The bytes of a stored body. Raises WorkspaceDamagedError if they are not what the row says."""
    if type(size) is not int or size < 0 or type(data) is not bytes:
        raise WorkspaceDamagedError(
            f"body {body} is not of the form it is kept in", "restore it from a backup"
        )
    try:
        # max_length: a damaged or forged row must not unpack to more than it says it holds
        plain = zlib.decompressobj().decompress(data, size + 1) if codec == DEFLATED else bytes(data)
    except zlib.error as error:
        raise WorkspaceDamagedError(f"body {body} is damaged: {error}", "restore it from a backup") from error
    if len(plain) != size:
        raise WorkspaceDamagedError(f"body {body} is not as long as recorded", "restore it from a backup")
    return plain
