"""The right answers, found by brute force with nothing of affidavit's in it, and how many of them an engine found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.corpus import NOTHING, Corpus, Scope

K = 10
K1, B = 1.2, 0.75
_NEAR = 1e-5  # engines sum in float32: what ties within this with the tenth best is as right as it

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """A question's scores over the visible rows."""

    rows: I64
    scores: F64

    def recall(self, hits: Sequence[int]) -> float:
        """The share of the best ten that are among the first ten of ``hits``; ties with the tenth are as good."""
        right = int((self.scores > 0).sum()) if len(self.scores) else 0
        wanted = min(K, right)
        if not wanted:
            return 1.0
        floor = float(np.partition(self.scores, -wanted)[-wanted])
        at = np.searchsorted(self.rows, np.asarray(hits[:K], np.int64))
        at = np.minimum(at, len(self.rows) - 1)
        mine = at[self.rows[at] == np.asarray(hits[:K], np.int64)]
        good = self.scores[np.unique(mine)] >= floor - _NEAR * max(1.0, abs(floor))
        return min(wanted, int(good.sum())) / wanted


def dense_truths(corpus: Corpus, scope: Scope) -> Iterator[Truth]:
    """Per question the cosine of every visible chunk, shifted to be positive (a negative one is a hit too)."""
    rows = corpus.visible(scope)
    visible = corpus.vectors[rows].astype(np.float64)
    for vector in corpus.asked:
        yield Truth(rows, visible @ vector.astype(np.float64) + 2.0)


def keyword_truths(corpus: Corpus, scope: Scope, *, everybody: bool) -> Iterator[Truth]:
    """Per question BM25 of every visible chunk, with the statistics of the visible chunks or of ``everybody``'s."""
    rows = corpus.visible(scope)
    counted = corpus.tokens if everybody else corpus.tokens[rows]
    lengths = (corpus.tokens[rows] != NOTHING).sum(axis=1)
    average = (counted != NOTHING).sum() / max(1, len(counted))
    norms = K1 * (1 - B + B * lengths / average)
    cache: dict[int, tuple[I64, float]] = {}
    for words in corpus.words:
        scores = np.zeros(len(rows))
        for word in words:
            if word not in cache:
                df = int((counted == word).any(axis=1).sum())
                weight = float(np.log(1 + (len(counted) - df + 0.5) / (df + 0.5)))
                cache[word] = ((corpus.tokens[rows] == word).sum(axis=1), weight)
            tf, weight = cache[word]
            scores += weight * tf * (K1 + 1) / (tf + norms)
        yield Truth(rows, scores)


def forbidden(corpus: Corpus, scope: Scope, hits: Sequence[Sequence[int]]) -> int:
    """How many hits lie outside what the person may read."""
    visible = set(corpus.visible(scope).tolist())
    return sum(hit not in visible for found in hits for hit in found)
