"""A segment: an immutable set of chunk rows as arrays, in memory or mapped from a file.

Rows are ordered by tenant, then by the access rule that held when the segment was made, then by document, so that what
one person may read lies mostly together. Nothing here says what is in scope; ``until`` and access are kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from affidavit.adapters.embedded.arrays import F32, I8, I32, I64, U32, U64, Bools, Tf
from affidavit.adapters.embedded.metadata import MetadataTable

LARGEST_CODE = 127
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Segment:
    """n rows, t tenants, T terms, P postings, D dimensions (0 if no row has a vector).

    ``starts[i]:starts[i + 1]`` are the rows of ``tenants[i]``. ``length``: terms in the row's text. ``meta``: entry of the
    metadata table. Terms are filed by digest, ascending by (``term_high``, ``term_low``); postings of term i are
    ``post_start[i]:post_start[i + 1]``, ascending by row. A row's vector is ``vectors[row]``; ``scale * codes`` is it in int8,
    ``error`` an upper bound of the norm of the difference, ``checksum`` the 32-bit sum of its words, ``has`` whether it has one;
    ``norms`` holds one number, an upper bound of all vectors' norms.
    """

    tenants: I64
    starts: I64
    chunk: I64
    document: I64
    tie: I64
    since: I64
    length: I32
    meta: I32
    meta_offsets: I64
    meta_blob: NDArray[np.uint8]
    term_high: U64
    term_low: U64
    post_start: I64
    post_row: I32
    post_tf: Tf
    has: Bools
    codes: I8
    scale: F32
    error: F32
    checksum: U32
    norms: F32
    vectors: F32
    metadata: MetadataTable = field(init=False)
    newest: int = field(init=False)
    complete: bool = field(init=False)
    _by_chunk: list[I64] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", MetadataTable(self.meta_offsets, self.meta_blob))
        object.__setattr__(self, "newest", int(self.since.max(initial=-1)))
        object.__setattr__(self, "complete", bool(self.has.all()))

    @property
    def rows(self) -> int:
        return len(self.chunk)

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])

    def tenant_range(self, tenant: int) -> tuple[int, int]:
        """First row and end of the tenant's rows."""
        i = int(np.searchsorted(self.tenants, tenant))
        if i == len(self.tenants) or self.tenants[i] != tenant:
            return 0, 0
        return int(self.starts[i]), int(self.starts[i + 1])

    def postings(self, digest: tuple[int, int]) -> tuple[int, int]:
        """Where the term's postings begin and end; (0, 0) if it does not occur."""
        high, low = digest
        i = int(np.searchsorted(self.term_high, np.uint64(high)))
        while i < len(self.term_high) and int(self.term_high[i]) == high:
            if int(self.term_low[i]) == low:
                return int(self.post_start[i]), int(self.post_start[i + 1])
            i += 1
        return 0, 0

    def find(self, chunks: I64) -> tuple[I64, Bools]:
        """Rows of those of ``chunks`` that are here, and which are."""
        if not self._by_chunk:
            self._by_chunk.append(np.argsort(self.chunk))
        order = self._by_chunk[0]
        at = np.minimum(np.searchsorted(self.chunk, chunks, sorter=order), self.rows - 1)
        rows = order[at]
        here = self.chunk[rows] == chunks
        return rows[here], here


FILE_FIELDS = tuple(f.name for f in fields(Segment) if f.init and f.name != "vectors")
"""The arrays of the rows file; ``vectors`` has a file of its own."""


@dataclass(frozen=True, eq=False)
class Part:
    """A segment within a state: what may change about it without touching it.

    ``ordinal``: each row's document in the state's directory. ``ended``: rows that are no longer true, ascending, and
    ``until`` when. ``name``: the file it is mapped from, or "".
    """

    segment: Segment
    ordinal: I32
    ended: I64
    until: I64
    name: str = ""

    def with_ended(self, chunks: I64, until: I64) -> Part:
        """This part after ``chunks`` ended at ``until``; those that are not here are ignored."""
        rows, here = self.segment.find(chunks)
        if not len(rows):
            return self
        ended, last = np.unique(np.concatenate((rows, self.ended)), return_index=True)
        return replace(self, ended=ended, until=np.concatenate((until[here], self.until))[last])


@dataclass(frozen=True, eq=False)
class Quantised:
    """int8 codes of vectors with what is needed to bound the error of a dot product."""

    codes: I8
    scale: F32
    error: F32


def quantise(vectors: F32) -> Quantised:
    """Symmetric int8 with one scale per row. ``error`` is rounded up, so it is a true bound."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scale = (largest / LARGEST_CODE).astype(np.float32)
    tiny = scale < 1e-30
    scale[tiny] = 1
    codes = np.empty(vectors.shape, np.int8)
    error = np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        exact = vectors[rows].astype(np.float64)
        step = scale[rows, None].astype(np.float64)
        near = np.clip(np.rint(exact / step), -LARGEST_CODE, LARGEST_CODE)
        codes[rows] = near
        difference = exact - near * step
        error[rows] = np.sqrt((difference * difference).sum(axis=1)) * (1 + 1e-6) + 1e-30
    return Quantised(codes, scale, error)


def upper_norm(vectors: F32) -> float:
    """An upper bound of the norms of all rows."""
    if not vectors.size:
        return 0.0
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(squares.max()) * (1 + 1e-6))


def word_sums(vectors: F32) -> U32:
    """Per row the sum of its 32-bit words: any single changed bit shows. Rows must be contiguous."""
    sums: U32 = vectors.view(np.uint32).sum(axis=1, dtype=np.uint32)
    return sums


def concatenate_rows(parts: Iterable[Part]) -> tuple[I64, I64]:
    """(chunk, until) of every ended row of ``parts``."""
    pairs = [(p.segment.chunk[p.ended], p.until) for p in parts if len(p.ended)]
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate([c for c, _ in pairs]), np.concatenate([u for _, u in pairs])
