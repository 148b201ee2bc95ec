"""BM25 over the visible rows and nothing else.

``score = Σ idf · tf (k1 + 1) / (tf + k1 (1 - b + b length / average))`` in float64, summed in the order in which the distinct
query terms first occur; a term counts once, or what the query says, however often the query repeats it. Document frequency,
number of rows and average length are those of the scope. Every row goes through the same operations in the same order,
whichever way its postings were found, so its score depends on no other row and not on how rows are spread over segments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affidavit.adapters.embedded.arrays import F64, I64, term_digest
from affidavit.adapters.embedded.view import PartView, View, length_norm

# Measured nanoseconds: per posting when a tenant's rows are scored side by side, per row of such a range, per binary search.
_POSTING, _ROW, _SEARCH = 9, 2, 45


@dataclass(frozen=True, eq=False)
class PartScores:
    """Scores of a part's visible rows: ``scores[row - low]`` if ``wide``, else in the order of ``view.rows``; None if no term
    occurs."""

    view: PartView
    wide: bool
    scores: F64 | None

    def of(self, rows: I64) -> F64:
        """The scores of visible ``rows``."""
        if self.scores is None:
            return np.zeros(len(rows))
        if self.wide:
            return self.scores[rows - self.view.low]
        return self.scores[np.searchsorted(self.view.rows, rows)]

    def reaching(self, floor: float) -> I64:
        """Rows with a score that is positive and at least ``floor``."""
        if self.scores is None:
            return np.empty(0, np.int64)
        at = np.flatnonzero(self.scores >= floor if floor > 0 else self.scores > 0)
        return at + self.view.low if self.wide else self.view.rows[at]


@dataclass(frozen=True, eq=False)
class _Matches:
    """Where a term occurs in a part's visible rows: places in the score array and the term's share before idf."""

    places: I64
    shares: F64
    count: int


def score(
    view: View, query_terms: Mapping[str, float], k1: float, b: float
) -> tuple[list[PartScores], dict[str, int]]:
    """Scores of all visible rows, and in how many of them each term occurs. ``query_terms``: what each counts."""
    digests = [term_digest(t) for t in query_terms]
    found = [_PartMatcher(p, digests, k1, b, view.average) for p in view.parts]
    columns = [m.matches() for m in found]
    counts = [sum(c[i].count for c in columns) for i in range(len(digests))]
    weights = [
        weight * math.log(1 + (view.visible - df + 0.5) / (df + 0.5))
        for df, weight in zip(counts, query_terms.values(), strict=True)
    ]
    scores = [m.scores(c, weights) for m, c in zip(found, columns, strict=True)]
    return scores, dict(zip(query_terms, counts, strict=True))


class _PartMatcher:
    """Scores one part, by whichever of two ways costs less: over the tenant's whole range, or row by visible row."""

    def __init__(
        self, view: PartView, digests: Sequence[tuple[int, int]], k1: float, b: float, average: float
    ) -> None:
        self._view, self._k1, self._b, self._average = view, k1, b, average
        self._spans = [self._span(d) for d in digests]
        n, width = len(view.rows), view.high - view.low
        sizes = [end - begin for begin, end in self._spans]
        side_by_side = _POSTING * sum(sizes) + _ROW * width
        self._wide = side_by_side <= _SEARCH * sum(min(n, size) for size in sizes)

    def _span(self, digest: tuple[int, int]) -> tuple[int, int]:
        """The term's postings among the tenant's rows."""
        view, segment = self._view, self._view.segment
        begin, end = segment.postings(digest)
        if begin == end or (view.low == 0 and view.high == segment.rows):
            return begin, end
        a, b = np.searchsorted(segment.post_row[begin:end], (view.low, view.high))
        return begin + int(a), begin + int(b)

    def matches(self) -> list[_Matches]:
        """Per term its matches."""
        return [self._side_by_side(a, b) if self._wide else self._one_by_one(a, b) for a, b in self._spans]

    def _side_by_side(self, begin: int, end: int) -> _Matches:
        segment = self._view.segment
        places = segment.post_row[begin:end].astype(np.int64)
        places -= self._view.low
        norms = self._view.norms(self._k1, self._b, self._average)
        shares = self._shares(segment.post_tf[begin:end].astype(np.float64), norms[places])
        return _Matches(places, shares, int(np.count_nonzero(shares)))

    def _one_by_one(self, begin: int, end: int) -> _Matches:
        rows, segment = self._view.rows, self._view.segment
        posted = segment.post_row[begin:end]
        if len(posted) <= len(rows):
            at = np.minimum(np.searchsorted(rows, posted), len(rows) - 1)
            hit = np.flatnonzero(rows[at] == posted)
            places, posting = at[hit], hit
        else:
            wanted = rows.astype(np.int32)
            at = np.minimum(np.searchsorted(posted, wanted), len(posted) - 1)
            places = np.flatnonzero(posted[at] == wanted)
            posting = at[places]
        tf = segment.post_tf[begin:end][posting].astype(np.float64)
        norms = length_norm(segment, rows[places], self._k1, self._b, self._average)
        return _Matches(places, self._shares(tf, norms), len(places))

    def _shares(self, tf: F64, norms: F64) -> F64:
        """tf (k1 + 1) / (tf + norm): zero where the norm is infinite. Overwrites its arguments' memory."""
        norms = norms + tf
        tf *= self._k1 + 1.0
        tf /= norms
        return tf

    def scores(self, matches: Sequence[_Matches], weights: Sequence[float]) -> PartScores:
        """The sum over terms, in their order."""
        view = self._view
        if not any(m.count for m in matches):
            return PartScores(view, self._wide, None)
        total = np.zeros(view.high - view.low if self._wide else len(view.rows))
        for match, weight in zip(matches, weights, strict=True):
            if match.count:
                total[match.places] += match.shares * weight
        return PartScores(view, self._wide, total)
