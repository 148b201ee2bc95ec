"""Several segments into one, array by array in blocks: the same plan fills memory or streams to a file.

Needs nothing but the segments: no text is analysed and no vector made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.adapters.embedded.arrays import I32, I64, smallest_unsigned
from affidavit.adapters.embedded.metadata import MetadataTable
from affidavit.adapters.embedded.segment import Part, Segment

Array = NDArray[Any]

_ROWS_AT_ONCE = 8192
_POSTINGS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class ArraySpec:
    """An array that is yet to be made: ``blocks`` gives its elements in order, in pieces of bounded size."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[Array]]


class MergePlan:
    """How ``parts`` become one segment, ordered by tenant, present rule and document."""

    def __init__(self, parts: Sequence[Part], rules: I32) -> None:
        """``rules``: per document ordinal its present rule."""
        self._sources: list[Segment] = [p.segment for p in parts]
        sizes = [s.rows for s in self._sources]
        source = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
        row = np.concatenate([np.arange(n, dtype=np.int32) for n in sizes])
        tenant = np.concatenate([np.repeat(s.tenants, np.diff(s.starts)) for s in self._sources])
        document = np.concatenate([s.document for s in self._sources])
        rule = rules[np.concatenate([p.ordinal for p in parts])]
        order = np.lexsort((document, rule, tenant))
        self._source, self._row = source[order], row[order]
        self._tenant = tenant[order]
        self._dimensions = max(s.dimensions for s in self._sources)
        self.rows = len(order)
        place = np.empty(self.rows, np.int32)
        place[order] = np.arange(self.rows, dtype=np.int32)
        self._places = np.split(place, np.cumsum(sizes)[:-1])

    def specs(self) -> Iterator[ArraySpec]:
        """Every array of the new segment but the vectors."""
        tenants, starts = np.unique(self._tenant, return_index=True)
        yield _whole("tenants", tenants)
        yield _whole("starts", np.append(starts, self.rows).astype(np.int64))
        for name in ("chunk", "document", "tie", "since", "length"):
            yield self._rows(name)
        meta, table = self._metadata()
        yield _whole("meta", meta)
        yield _whole("meta_offsets", table.offsets)
        yield _whole("meta_blob", table.blob)
        yield from self._postings()
        for name in ("has", "codes", "scale", "error", "checksum"):
            yield self._rows(name)
        yield _whole("norms", np.max([s.norms for s in self._sources], axis=0))

    def vectors(self) -> ArraySpec:
        """The vectors, kept apart since they are only read where rows are rescored."""
        return self._rows("vectors")

    def in_memory(self) -> Segment:
        """The new segment, made at once."""
        return Segment(**{s.name: _fill(s) for s in (*self.specs(), self.vectors())})

    def _rows(self, name: str) -> ArraySpec:
        columns: list[Array] = [getattr(s, name) for s in self._sources]
        wide = columns[0].ndim == 2
        shape = (self.rows, self._dimensions) if wide else (self.rows,)

        def blocks() -> Iterator[Array]:
            for first in range(0, self.rows, _ROWS_AT_ONCE):
                source = self._source[first : first + _ROWS_AT_ONCE]
                row = self._row[first : first + _ROWS_AT_ONCE]
                out = np.zeros((len(source), *shape[1:]), columns[0].dtype)
                for i, column in enumerate(columns):
                    chosen = source == i
                    if column.size and chosen.any():
                        out[chosen] = column[row[chosen]]
                yield out

        return ArraySpec(name, columns[0].dtype, shape, blocks)

    def _metadata(self) -> tuple[I32, MetadataTable]:
        entries: dict[bytes, int] = {}
        meta = np.empty(self.rows, np.int32)
        for source, place in zip(self._sources, self._places, strict=True):
            numbers = [entries.setdefault(e, len(entries)) for e in source.metadata.entries()]
            meta[place] = np.array(numbers, np.int32)[source.meta]
        return meta, MetadataTable.of(entries)

    def _postings(self) -> Iterator[ArraySpec]:
        high = np.concatenate([s.term_high for s in self._sources])
        low = np.concatenate([s.term_low for s in self._sources])
        order = np.lexsort((low, high))
        high, low = high[order], low[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        number = np.empty(len(order), np.int64)
        number[order] = np.cumsum(first) - 1
        numbers = np.split(number, np.cumsum([len(s.term_high) for s in self._sources])[:-1])
        start = np.zeros(int(first.sum()) + 1, np.int64)
        for source, terms in zip(self._sources, numbers, strict=True):
            start[1:][terms] += np.diff(source.post_start)
        np.cumsum(start, out=start)
        yield _whole("term_high", high[first])
        yield _whole("term_low", low[first])
        yield _whole("post_start", start)
        largest = max(int(s.post_tf.max(initial=0)) for s in self._sources)
        tf_type = smallest_unsigned(largest)
        shift = max(largest, 1).bit_length()
        total = (int(start[-1]),)

        def blocks(what: str) -> Iterator[Array]:
            for packed in self._packed(numbers, start, shift):
                if what == "row":
                    yield ((packed >> shift) % self.rows).astype(np.int32)
                else:
                    yield (packed & ((1 << shift) - 1)).astype(tf_type)

        yield ArraySpec("post_row", np.dtype(np.int32), total, lambda: blocks("row"))
        yield ArraySpec("post_tf", np.dtype(tf_type), total, lambda: blocks("tf"))

    def _packed(self, numbers: list[I64], start: I64, shift: int) -> Iterator[I64]:
        """Blocks of postings in order, each as (term within the block × rows + row) << shift | frequency: one plain sort."""
        most_terms = max(1, (2**62 >> shift) // max(1, self.rows))
        begin = 0
        while begin < len(start) - 1:
            end = int(np.searchsorted(start, start[begin] + _POSTINGS_AT_ONCE, side="right")) - 1
            end = min(max(end, begin + 1), begin + most_terms, len(start) - 1)
            pieces = []
            for source, place, terms in zip(self._sources, self._places, numbers, strict=True):
                a, b = np.searchsorted(terms, (begin, end))
                span = slice(int(source.post_start[a]), int(source.post_start[b]))
                term = np.repeat(terms[a:b] - begin, np.diff(source.post_start[a : b + 1]))
                row = place[source.post_row[span]].astype(np.int64)
                pieces.append(((term * self.rows + row) << shift) | source.post_tf[span].astype(np.int64))
            packed = np.concatenate(pieces)
            packed.sort()
            yield packed
            begin = end


def _whole(name: str, array: Array) -> ArraySpec:
    return ArraySpec(name, array.dtype, array.shape, lambda: iter((array,)))


def _fill(spec: ArraySpec) -> Array:
    out = np.empty(spec.shape, spec.dtype)
    at = 0
    for block in spec.blocks():
        out[at : at + len(block)] = block
        at += len(block)
    return out


def choose(sizes: Sequence[int], new: int, most: int) -> list[int]:
    """Which of the segments of ``sizes`` rows to merge with ``new`` further rows, so that at most ``most`` remain.

    Those not much larger than what is being written anyway: every row is rewritten a logarithmic number of times.
    """
    ascending = sorted(range(len(sizes)), key=lambda i: sizes[i])
    chosen: list[int] = []
    for i in ascending:
        small = sizes[i] <= 2 * new
        crowded = len(sizes) - len(chosen) + bool(new or chosen) > most
        if not small and not crowded:
            break
        chosen.append(i)
        new += sizes[i]
    return chosen
