"""Exact cosine search: an int8 scan with proven error bounds finds the few rows that can be among the best, and only those are
computed in full.

For a row v ≈ s·c with ‖v - s·c‖ ≤ e, and a query q ≈ t·d with ‖q - t·d‖ ≤ f:
|v·q - s·t·(c·d)| ≤ ‖v‖·f + e·‖t·d‖. A row whose upper bound is below the k-th largest lower bound is not among the best k.
Full scores are sums of products in float64, row by row, so a score depends on no other row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import simsimd

from affidavit.adapters.embedded.arrays import F32, F64, I8, I64, floor_of, kth_largest
from affidavit.adapters.embedded.segment import Segment, quantise, word_sums
from affidavit.adapters.embedded.view import DenseRows, PartView
from affidavit.domain.errors import IndexDamagedError, UsageError

# float32 arithmetic on approximations and bounds: a few roundings of 6e-8 relative to the norms.
_SLACK = 1e-6
_ROWS_AT_ONCE = 1024
_REBUILT = "the index is rebuilt from the catalog"


@dataclass(frozen=True, eq=False)
class QueryVector:
    """A query made ready: ``exact`` in float64, ``codes`` (1, D) with ``scale``; the rest for the bound."""

    exact: F64
    codes: I8
    scale: float
    error: float
    norm: float
    code_norm: float

    @classmethod
    def of(cls, vector: F32) -> QueryVector:
        """Raises UsageError if ``vector`` is not one finite row."""
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise UsageError(
                "the query vector is not a row of finite numbers", "embed the query with the index's embedder"
            )
        row = np.ascontiguousarray(vector, np.float32)[None]
        quantised = quantise(row)
        exact = row[0].astype(np.float64)
        scale = float(quantised.scale[0])
        code_norm = float(np.linalg.norm(quantised.codes[0].astype(np.float64))) * scale
        norm = float(np.linalg.norm(exact))
        return cls(exact, quantised.codes, scale, float(quantised.error[0]), norm, code_norm)


@dataclass(frozen=True, eq=False)
class PartBounds:
    """Per dense row of a part what its score is at least and at most."""

    view: PartView
    rows: I64
    lower: F32
    upper: F32


def scan(view: PartView, query: QueryVector) -> PartBounds:
    """Bounds for every visible row with a vector."""
    plan = view.dense()
    if not len(plan.rows):
        nothing = np.empty(0, np.float32)
        return PartBounds(view, plan.rows, nothing, nothing)
    near = _products(view.segment, plan, query)
    near *= plan.scale * np.float32(query.scale)
    width = _bound(view.segment, plan.error, query)
    lower = near - width
    return PartBounds(view, plan.rows, lower, np.add(near, width, out=near))


def _bound(segment: Segment, error: F32, query: QueryVector) -> F32:
    norm = float(segment.norms[0])
    always = norm * query.error + _SLACK * (norm * query.norm + 1e-20)
    bound: F32 = error * np.float32(query.code_norm) + np.float32(always)
    return bound


def _products(segment: Segment, plan: DenseRows, query: QueryVector) -> F32:
    """Dot products of the codes, as float32 (integers up to 2^24 are exact)."""
    if not plan.runs:
        return _gathered(segment, plan.rows, query)
    pieces = [_dot(query, segment.codes[a:b]) for a, b in plan.runs]
    covered = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return covered if plan.pick is None else covered[plan.pick]


def _gathered(segment: Segment, rows: I64, query: QueryVector) -> F32:
    out = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        out[first : first + len(some)] = _dot(query, segment.codes[some])
    return out


def _dot(query: QueryVector, codes: I8) -> F32:
    return np.asarray(simsimd.cdist(query.codes, codes, "dot", out_dtype="float32"), np.float32).reshape(-1)


def contenders(bounds: Sequence[PartBounds], k: int) -> list[I64]:
    """Per part the rows that can be among the best ``k``; every one of the best is there."""
    floor = floor_of([b.lower for b in bounds], k)
    kept = [np.flatnonzero(b.upper >= floor) for b in bounds]
    lower = [b.lower[at] for b, at in zip(bounds, kept, strict=True)]
    floor = kth_largest(np.concatenate(lower), k) if lower else floor
    return [b.rows[at[b.upper[at] >= floor]] for b, at in zip(bounds, kept, strict=True)]


def rescore(segment: Segment, rows: I64, query: QueryVector) -> F64:
    """Full scores of ``rows``, each checked against its stored sum of words and its error bound. Raises IndexDamagedError."""
    out = np.empty(len(rows))
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        vectors = segment.vectors[some]
        if not np.array_equal(word_sums(vectors), segment.checksum[some]):
            raise IndexDamagedError("a stored vector was changed", _REBUILT)
        # Plain products, then numpy's sum along contiguous rows of one type: no kernel that varies with the number of rows.
        scores = np.multiply(vectors, query.exact).sum(axis=1)
        near = _dot(query, segment.codes[some]) * (segment.scale[some] * np.float32(query.scale))
        if not (np.abs(scores - near) <= _bound(segment, segment.error[some], query)).all():
            raise IndexDamagedError("a vector's code is not its own", _REBUILT)
        out[first : first + len(some)] = scores
    return out
