"""Fusion of keyword and dense scores, by their size rather than their rank: the sum of z-scores.

Measured better than reciprocal rank fusion (MRR .873 against .828). Mean and deviation are taken over the candidates,
which are a function of the visible rows alone, so nothing hidden can move a score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from affidavit.domain.release import Retrieval
from affidavit.ports.index import Candidate


@dataclass(frozen=True)
class Ranked:
    """A candidate with its fused score; larger is better."""

    chunk: int
    document: int
    tie: int
    score: float
    keyword: float
    dense: float | None
    late: float | None = None


def z_scores(values: Sequence[float]) -> list[float]:
    """(value - mean) / standard deviation; all zero when the values do not differ."""
    return Scale.of(values).places(values)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of some values, by which others can be told too."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        """The scale of ``values``."""
        if not values:
            return cls(0.0, 0.0)
        mean = math.fsum(values) / len(values)
        return cls(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values)))

    def places(self, values: Sequence[float]) -> list[float]:
        """How many deviations above the mean each of ``values`` lies."""
        return [(v - self.mean) / self.deviation if self.deviation > 1e-12 else 0.0 for v in values]


def fuse(
    candidates: Sequence[Candidate],
    settings: Retrieval,
    *,
    places: Mapping[int, float] | None = None,
    gains: Mapping[int, float] | None = None,
    of: Sequence[Candidate] | None = None,
) -> list[Ranked]:
    """Best first. A candidate without a vector counts as the least similar of those that have one.

    ``places``: by document how well it fits the opening of the question; ``gains``: what a chunk's score gains; ``of``: those
    whose scores give the scale, all of ``candidates`` if not said.
    """
    measured = candidates if of is None else of
    least = min((c.dense for c in measured if c.dense is not None), default=0.0)

    def dense(some: Sequence[Candidate]) -> list[float]:
        return [least if c.dense is None else c.dense for c in some]

    keyword = Scale.of([c.keyword for c in measured]).places([c.keyword for c in candidates])
    similar = Scale.of(dense(measured)).places(dense(candidates))
    ranked = [
        Ranked(
            c.chunk,
            c.document,
            c.tie,
            settings.keyword * k
            + settings.dense * d
            + (0.0 if places is None else settings.lead * places.get(c.document, 0.0))
            + (0.0 if gains is None else gains.get(c.chunk, 0.0)),
            c.keyword,
            c.dense,
        )
        for c, k, d in zip(candidates, keyword, similar, strict=True)
    ]
    return sorted(ranked, key=lambda r: (-r.score, r.tie))


def rerank(ranked: Sequence[Ranked], late: Mapping[int, float], weight: float, first: int) -> list[Ranked]:
    """``ranked`` with what each of the ``first`` gains by its ``late`` (by chunk): ``weight`` times how many deviations it lies
    above the least of them. Without one, and beyond the first, a chunk counts as the least and gains nothing."""
    have = [late[r.chunk] for r in ranked[:first] if r.chunk in late]
    if not have:
        return list(ranked)
    least = min(have)
    places = Scale.of([late.get(r.chunk, least) for r in ranked[:first]]).places
    gains = dict(zip(late, places(list(late.values())), strict=True))
    (none,) = places([least])
    added = [
        replace(r, score=r.score + weight * (gains[r.chunk] - none), late=late[r.chunk])
        for r in ranked[:first]
        if r.chunk in late
    ]
    rest = [r for n, r in enumerate(ranked) if n >= first or r.chunk not in late]
    return sorted([*added, *rest], key=lambda r: (-r.score, r.tie))


_SUPPORTING = 4


def document_scores(ranked: Sequence[Ranked], support: float) -> dict[int, float]:
    """A document's score: its best passage above the pool's worst, plus the next three, each counting ``support`` times less.

    Measured on 479 questions over 880 documents: nDCG@10 .783 against .766 for the best passage alone.
    """
    worst = min((r.score for r in ranked), default=0.0)
    parts: dict[int, list[float]] = {}
    for r in ranked:  # best first
        parts.setdefault(r.document, []).append(r.score - worst)
    return {
        d: math.fsum(s * support**n for n, s in enumerate(scores[:_SUPPORTING]))
        for d, scores in parts.items()
    }


def idf(visible: int, frequency: int) -> float:
    """How telling a term is that ``frequency`` of ``visible`` chunks have (the BM25 form, never negative)."""
    return math.log(1 + (visible - frequency + 0.5) / (frequency + 0.5))


def ceiling(weights: Iterable[float], k1: float) -> float:
    """The keyword score that no chunk can reach: every term, of the given information, as often as one likes."""
    return (k1 + 1) * math.fsum(weights)
