"""One file of named arrays: magic, header length, header (JSON), then raw little-endian arrays, each at a multiple of 64 bytes.

Readers map the file. Nothing in it is ever executed or unpickled.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affidavit.adapters.embedded.merge import Array, ArraySpec
from affidavit.domain.errors import IndexDamagedError

MAGIC = b"AFFIDX1\n"
_ALIGN = 64
_PIECE = 4 * 2**20
_TYPES = ("|i1", "|u1", "|b1", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4")


@dataclass(frozen=True)
class FileEntry:
    """A written file: its name in the folder, size in bytes and CRC-32."""

    name: str
    size: int
    crc32: int

    def as_json(self) -> dict[str, str | int]:
        return {"name": self.name, "size": self.size, "crc32": self.crc32}


def write(folder: Path, kind: str, specs: Sequence[ArraySpec]) -> FileEntry:
    """Write the arrays to a new file of ``folder`` named after its content, and make it durable. Raises OSError."""
    header, offsets = _layout(specs)
    temporary = folder / f"{kind}.tmp"
    crc = size = 0
    with temporary.open("wb") as out:
        for piece in _pieces(header, specs, offsets):
            out.write(piece)
            crc = zlib.crc32(piece, crc)
            size += len(piece)
        out.flush()
        os.fsync(out.fileno())
    name = f"{kind}-{crc:08x}-{size:x}.affidx"
    temporary.replace(folder / name)
    return FileEntry(name, size, crc)


def _layout(specs: Sequence[ArraySpec]) -> tuple[bytes, list[int]]:
    """The head of the file, padded, and where each array begins after it."""
    described, offsets, at = [], [], 0
    for spec in specs:
        dtype = spec.dtype.newbyteorder("<").str
        described.append({"name": spec.name, "dtype": dtype, "shape": list(spec.shape)})
        offsets.append(at)
        at = _aligned(at + spec.dtype.itemsize * int(np.prod(spec.shape, dtype=np.int64)))
    text = json.dumps({"arrays": described}, separators=(",", ":")).encode("ascii")
    head = MAGIC + len(text).to_bytes(8, "little") + text
    return head.ljust(_aligned(len(head)), b"\0"), [len(head.ljust(_aligned(len(head)))) + o for o in offsets]


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _pieces(
    header: bytes, specs: Sequence[ArraySpec], offsets: Sequence[int]
) -> Iterable[memoryview | bytes]:
    yield header
    at = len(header)
    for spec, offset in zip(specs, offsets, strict=True):
        yield b"\0" * (offset - at)
        at = offset
        for block in spec.blocks():
            little = np.ascontiguousarray(block, spec.dtype.newbyteorder("<"))
            if little.size:
                yield little.data.cast("B")
                at += little.nbytes


def read(folder: Path, entry: FileEntry, check: bool) -> dict[str, Array]:
    """Map the file's arrays, read only. ``check``: compare the CRC-32 of the whole file first.

    Raises IndexDamagedError if it is not the file that was written, OSError if it cannot be read.
    """
    with (folder / entry.name).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry.size:
            raise IndexDamagedError(f"{entry.name} has {size} bytes, not {entry.size}")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if check and _crc(data) != entry.crc32:
        raise IndexDamagedError(f"{entry.name} was changed: its checksum differs")
    try:
        return _arrays(data)
    except (ValueError, KeyError, TypeError) as wrong:
        raise IndexDamagedError(f"{entry.name} has a broken header: {wrong}") from wrong


def _crc(data: mmap.mmap) -> int:
    crc = 0
    with memoryview(data) as view:
        for first in range(0, len(view), _PIECE):
            crc = zlib.crc32(view[first : first + _PIECE], crc)
    return crc


def _arrays(data: mmap.mmap) -> dict[str, Array]:
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin like an index file")
    begin = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : begin], "little")
    if not 0 < length <= len(data) - begin:
        raise ValueError("its header is longer than the file")
    at = _aligned(begin + length)
    out: dict[str, Array] = {}
    for described in json.loads(data[begin : begin + length])["arrays"]:
        array, at = _array(data, at, described)
        out[str(described["name"])] = array
    return out


def _array(data: mmap.mmap, at: int, described: dict[str, Any]) -> tuple[Array, int]:
    dtype, shape = described["dtype"], [int(n) for n in described["shape"]]
    if dtype not in _TYPES or any(n < 0 for n in shape):
        raise ValueError(f"no such array type: {dtype!r}, {shape}"[:80])
    count = 1
    for n in shape:
        count *= n
    end = at + count * np.dtype(dtype).itemsize
    if end > len(data):
        raise ValueError("an array ends behind the file")
    array = np.frombuffer(data, dtype, count, at) if count else np.empty(0, dtype)
    return array.reshape(shape), _aligned(end)
