"""Compound files ([MS-CFB]), the container of Outlook's messages: streams by path, chains checked for cycles."""

from __future__ import annotations

import struct

from affidavit.domain.errors import ParseError

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_END = 0xFFFFFFFA
"""From here on a sector number means something else than a sector."""
_NONE = 0xFFFFFFFF
_MOST_ENTRIES = 100_000
_DAMAGED = "Open it in its own program and save it again."


class CompoundFile:
    """The streams of a compound file. Raises ParseError if it is damaged."""

    def __init__(self, data: bytes) -> None:
        try:
            self._open(data)
        except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
            raise ParseError("the compound file is damaged.", _DAMAGED) from error

    def _open(self, data: bytes) -> None:
        self._data = data
        shift, small_shift = struct.unpack_from("<HH", data, 30)
        if shift not in (9, 12) or small_shift != 6:
            raise ValueError("sector size")
        self._size = 1 << shift
        (directory,) = struct.unpack_from("<I", data, 48)
        self._cutoff, small_fat = struct.unpack_from("<II", data, 56)
        (more,) = struct.unpack_from("<I", data, 68)
        tables = [n for n in struct.unpack_from("<109I", data, 76) if n < _END]
        seen: set[int] = set()
        while more < _END and more not in seen:
            seen.add(more)
            numbers = self._numbers(self._sector(more))
            tables += [n for n in numbers[:-1] if n < _END]
            more = numbers[-1]
        self._fat = [n for table in tables for n in self._numbers(self._sector(table))]
        entries = self._chain(directory)
        self._entries = [entries[at : at + 128] for at in range(0, len(entries) - 127, 128)][:_MOST_ENTRIES]
        self._small_fat = self._numbers(self._chain(small_fat))
        self._small = b""
        self._places: dict[str, tuple[int, int]] = {}
        self._walk()

    def _walk(self) -> None:
        _, start, size, _, _, child = self._entry(0)
        self._small = self._chain(start)[:size]
        stack = [(child, "")]
        seen: set[int] = set()
        while stack:
            number, prefix = stack.pop()
            if number >= len(self._entries) or number in seen:
                continue
            seen.add(number)
            name, start, size, left, right, below = self._entry(number)
            stack += [(left, prefix), (right, prefix)]
            if self._entries[number][66] == 1:
                stack.append((below, f"{prefix}{name}/"))
            else:
                self._places[prefix + name] = (start, size)

    def _entry(self, number: int) -> tuple[str, int, int, int, int, int]:
        raw = self._entries[number]
        (length,) = struct.unpack_from("<H", raw, 64)
        left, right, child = struct.unpack_from("<III", raw, 68)
        start, size = struct.unpack_from("<II", raw, 116)
        return raw[: max(0, min(length, 64) - 2)].decode("utf-16-le"), start, size, left, right, child

    def names(self) -> list[str]:
        """Paths of all streams, storages separated by ``/``, in order."""
        return sorted(self._places)

    def read(self, name: str) -> bytes | None:
        """A stream's bytes, None if there is none of that name."""
        if name not in self._places:
            return None
        start, size = self._places[name]
        if size >= self._cutoff:
            return self._chain(start)[:size]
        out = bytearray()
        seen: set[int] = set()
        while start < len(self._small_fat) and start not in seen and len(out) < size:
            seen.add(start)
            out += self._small[start * 64 : start * 64 + 64]
            start = self._small_fat[start]
        return bytes(out[:size])

    def _sector(self, number: int) -> bytes:
        at = (number + 1) * self._size
        return self._data[at : at + self._size]

    def _numbers(self, data: bytes) -> list[int]:
        return list(struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4]))

    def _chain(self, start: int) -> bytes:
        out: list[bytes] = []
        seen: set[int] = set()
        while start < len(self._fat) and start not in seen:
            seen.add(start)
            out.append(self._sector(start))
            start = self._fat[start]
        return b"".join(out)
