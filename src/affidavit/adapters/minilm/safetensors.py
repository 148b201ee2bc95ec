"""Reading float32 arrays out of a safetensors file: a JSON head that says where each array lies, then the arrays."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """Where an array lies in the file: its shape, and its offset and size in bytes."""

    shape: tuple[int, ...]
    offset: int
    size: int


def spans(path: Path) -> dict[str, Span]:
    """Every array of the file by name. The file is trusted: check its digest first."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))
    found = {}
    for name, entry in head.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            found[name] = Span(tuple(entry["shape"]), 8 + length + start, end - start)
    return found


class Tensors:
    """The arrays of one file; each is read when asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spans = spans(path)

    def read(self, name: str) -> NDArray[np.float32]:
        """The float32 array called ``name``. Raises KeyError."""
        span = self._spans[name]
        flat = np.fromfile(self._path, "<f4", span.size // 4, offset=span.offset)
        return flat.astype(np.float32, copy=False).reshape(span.shape)
