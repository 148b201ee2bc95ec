"""Array types and the two small tools the whole engine rests on: an append-only directory and the k-th largest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Tf = NDArray[np.unsignedinteger[Any]]
Floats = NDArray[np.floating[Any]]

_BLOCK = 128


@dataclass(frozen=True, eq=False)
class Directory:
    """Dense ordinals for arbitrary ids, in order of arrival. Never forgets, so ordinals once given stay true.

    ``ids``: id by ordinal. ``keys``/``ordinals``: the same pairs, ascending by id.
    """

    ids: I64
    keys: I64
    ordinals: I32

    @classmethod
    def empty(cls) -> Directory:
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: I64) -> I32:
        """The ordinal of each of ``ids``; -1 where unknown."""
        if not len(self.keys):
            return np.full(len(ids), -1, np.int32)
        at = np.minimum(np.searchsorted(self.keys, ids), len(self.keys) - 1)
        return np.where(self.keys[at] == ids, self.ordinals[at], np.int32(-1))

    def extend(self, ids: I64) -> Directory:
        """This directory with those of ``ids`` it lacks."""
        unknown = self.find(ids) < 0
        if not unknown.any():
            return self
        new = np.unique(ids[unknown])
        where = np.searchsorted(self.keys, new)
        ordinals = np.arange(len(self), len(self) + len(new), dtype=np.int32)
        return Directory(
            np.concatenate((self.ids, new)),
            np.insert(self.keys, where, new),
            np.insert(self.ordinals, where, ordinals),
        )

    def members(self, ids: Iterable[int]) -> Bools:
        """By ordinal whether the id is one of ``ids``; one more element, False, at the end, so that ordinal -1 is no member."""
        out = np.zeros(len(self) + 1, np.bool_)
        found = self.find(np.fromiter(ids, np.int64))
        out[found[found >= 0]] = True
        return out


def floor_of(values: Sequence[Floats], k: int) -> float:
    """A number that at least ``k`` of all ``values`` reach, as large as cheaply possible; -inf if there are fewer.

    The k-th largest of the maxima of blocks: k blocks hold at least k such values. Exact where there are few values.
    """
    if sum(len(v) for v in values) <= 4 * _BLOCK * k:
        return kth_largest(np.concatenate(values) if values else np.empty(0), k)
    return kth_largest(np.concatenate([_maxima(v) for v in values]), k)


def kth_largest(values: Floats, k: int) -> float:
    """The k-th largest; -inf if there are fewer."""
    n = len(values)
    if n < k:
        return float("-inf")
    return float(np.partition(values, n - k)[n - k])


def _maxima(values: Floats) -> F64:
    """The maximum of each block of consecutive values; a short last block counts too."""
    whole = len(values) // _BLOCK * _BLOCK
    out: F64 = values[:whole].reshape(-1, _BLOCK).max(axis=1).astype(np.float64)
    return out if whole == len(values) else np.append(out, np.float64(values[whole:].max()))


def term_digest(term: str) -> tuple[int, int]:
    """What a term is filed under: 128 bits, as two unsigned halves. Index files hold no words in the clear."""
    raw = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")


def smallest_unsigned(largest: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest type that holds ``largest``."""
    if largest < 2**8:
        return np.uint8
    return np.uint16 if largest < 2**16 else np.uint32
