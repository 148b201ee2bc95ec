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


class Postings:
    """In which chunks the asked words occur and how often: found once, for every scope."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self.lengths = (corpus.tokens != NOTHING).sum(axis=1)
        asked = sorted({word for words in corpus.words for word in words})
        places = np.flatnonzero(np.isin(corpus.tokens, np.array(asked, np.int32)))
        words, rows = corpus.tokens.reshape(-1)[places], places // corpus.tokens.shape[1]
        order = np.argsort(words, kind="stable")
        bounds = np.searchsorted(words[order], [*asked, asked[-1] + 1] if asked else [])
        self._rows = {word: rows[order[bounds[n] : bounds[n + 1]]] for n, word in enumerate(asked)}

    def truths(self, scope: Scope, *, everybody: bool) -> Iterator[Truth]:
        """Per question BM25 of every visible chunk, with the statistics of the visible chunks or of ``everybody``'s."""
        rows = self._corpus.visible(scope)
        lengths = self.lengths[rows]
        counted = self.lengths if everybody else lengths
        norms = K1 * (1 - B + B * lengths / (counted.mean() if len(counted) else 1.0))
        for words in self._corpus.words:
            scores = np.zeros(len(rows))
            for word in words:
                tf = np.bincount(self._rows[word], minlength=self._corpus.rows)
                df = int(np.count_nonzero(tf if everybody else tf[rows]))
                weight = float(np.log(1 + (len(counted) - df + 0.5) / (df + 0.5)))
                scores += weight * tf[rows] * (K1 + 1) / (tf[rows] + norms)
            yield Truth(rows, scores)


def forbidden(corpus: Corpus, scope: Scope, hits: Sequence[Sequence[int]]) -> int:
    """How many hits lie outside what the person may read."""
    visible = set(corpus.visible(scope).tolist())
    return sum(hit not in visible for found in hits for hit in found)
