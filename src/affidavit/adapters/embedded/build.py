"""Chunk rows in, one segment out. Texts and words are not kept, so a feed of any size streams through."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np

from affidavit.adapters.embedded.arrays import F32, I32, I64, U64, Tf, smallest_unsigned, term_digest
from affidavit.adapters.embedded.metadata import MetadataTable, encode
from affidavit.adapters.embedded.segment import Segment, quantise, upper_norm, word_sums
from affidavit.domain.errors import UsageError
from affidavit.ports.index import ChunkRow
from affidavit.text.analyze import terms

MOST_ROWS = 32_768
MOST_TERMS = 8_000_000

_COLUMNS = ("chunk", "document", "tenant", "tie", "since", "until")


class _Ordinals(dict[str, int]):
    """Numbers words in order of arrival."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class Builder:
    """Collects rows until ``full``, then ``finish`` makes the segment."""

    def __init__(self, dimensions: int = 0) -> None:
        """``dimensions``: of the vectors already held elsewhere, 0 if there are none yet."""
        self._dimensions = dimensions
        self._columns = {name: array("q") for name in _COLUMNS}
        self._lengths = array("i")
        self._words = _Ordinals()
        self._tokens = array("i")
        self._entries: dict[bytes, int] = {}
        self._meta = array("i")
        self._has = bytearray()
        self._vectors: F32 | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def full(self) -> bool:
        return len(self) >= MOST_ROWS or len(self._tokens) >= MOST_TERMS

    def add(self, row: ChunkRow) -> None:
        """Take in ``row``. A vector that is not finite counts as none. Raises UsageError for one of another length."""
        for name, column in self._columns.items():
            column.append(getattr(row, name))
        found = terms(row.text)
        self._lengths.append(len(found))
        self._tokens.extend(map(self._words.__getitem__, found))
        entry = encode(row.metadata)
        self._meta.append(self._entries.setdefault(entry, len(self._entries)))
        usable = row.vector is not None and bool(np.isfinite(row.vector).all())
        self._has.append(usable)
        if row.vector is not None and usable:
            self._keep(len(self) - 1, row.vector, row.chunk)

    def _keep(self, row: int, vector: F32, chunk: int) -> None:
        self._dimensions = self._dimensions or len(vector)
        if len(vector) != self._dimensions:
            raise UsageError(
                f"the vector of chunk {chunk} has {len(vector)} dimensions, others have {self._dimensions}",
                "one fingerprint must mean one embedder: change the fingerprint when the embedder changes",
            )
        if self._vectors is None:
            self._vectors = np.zeros((64, len(vector)), np.float32)
        while row >= len(self._vectors):
            self._vectors = np.concatenate((self._vectors, np.zeros_like(self._vectors)))
        self._vectors[row] = vector

    def documents(self) -> I64:
        """The documents of the rows so far."""
        return np.unique(self._column("document"))

    def finish(self, rule_of: Callable[[I64], I32]) -> tuple[Segment, I64, I64]:
        """The segment, and (chunk, until) as two arrays. ``rule_of``: a document's present rule, only to order rows by."""
        document, tenant = self._column("document"), self._column("tenant")
        order = np.lexsort((document, rule_of(document), tenant))
        tenants, starts = np.unique(tenant[order], return_index=True)
        lengths = np.frombuffer(self._lengths, np.intc).astype(np.int32)
        table = MetadataTable.of(self._entries)
        high, low, start, post_row, post_tf = self._postings(order, lengths)
        has = np.frombuffer(bytes(self._has), np.bool_)[order]
        vectors = self._ordered_vectors(order)
        codes = quantise(vectors)
        segment = Segment(
            tenants=tenants,
            starts=np.append(starts, len(order)).astype(np.int64),
            chunk=self._column("chunk")[order],
            document=document[order],
            tie=self._column("tie")[order],
            since=self._column("since")[order],
            length=lengths[order],
            meta=np.frombuffer(self._meta, np.intc).astype(np.int32)[order],
            meta_offsets=table.offsets,
            meta_blob=table.blob,
            term_high=high,
            term_low=low,
            post_start=start,
            post_row=post_row,
            post_tf=post_tf,
            has=has,
            codes=codes.codes,
            scale=codes.scale,
            error=codes.error,
            checksum=word_sums(vectors),
            norms=np.array([np.nextafter(np.float32(upper_norm(vectors)), np.float32(np.inf))], np.float32),
            vectors=vectors,
        )
        return segment, segment.chunk, self._column("until")[order]

    def _column(self, name: str) -> I64:
        return np.frombuffer(self._columns[name], np.int64).copy()

    def _ordered_vectors(self, order: I64) -> F32:
        if self._vectors is None:
            return np.empty((len(order), 0), np.float32)
        held = self._vectors
        missing = len(order) - len(held)
        if missing > 0:
            held = np.concatenate((held, np.zeros((missing, held.shape[1]), np.float32)))
        return held[order]

    def _postings(self, order: I64, lengths: I32) -> tuple[U64, U64, I64, I32, Tf]:
        """(high, low, start, row, tf): postings by digest, then by row in ``order``."""
        n = len(order)
        digests = np.array([term_digest(w) for w in self._words], np.uint64).reshape(-1, 2)
        by_digest = np.lexsort((digests[:, 1], digests[:, 0]))
        rank = np.empty(len(by_digest), np.int64)
        rank[by_digest] = np.arange(len(by_digest))
        place = np.empty(n, np.int64)
        place[order] = np.arange(n)
        tokens = np.frombuffer(self._tokens, np.intc)
        keys, counts = np.unique(rank[tokens] * n + np.repeat(place, lengths), return_counts=True)
        term, row = np.divmod(keys, n)
        start = np.searchsorted(term, np.arange(len(by_digest) + 1))
        tf: Tf = counts.astype(smallest_unsigned(int(counts.max(initial=0))))
        high, low = digests[by_digest, 0], digests[by_digest, 1]
        return high.copy(), low.copy(), start.astype(np.int64), row.astype(np.int32), tf
