"""Step 5 in its stages: one search, or where the question gives cause for it several, fused into one ranking.

Every score is a function of the visible rows: each stage searches the same scope, and what is read in between is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from affidavit.ask.effects import Asked
from affidavit.ask.lead import nearest, places
from affidavit.ask.onward import POOL, Step, describes, promotions, reweigh, scored, towards
from affidavit.ask.rank import Ranked, ceiling, fuse, idf, rerank
from affidavit.domain.release import Retrieval
from affidavit.ports.index import Candidate, Query, SearchResult
from affidavit.text.analyze import terms
from affidavit.text.tokenvectors import Kept, Question, best_stretches, words_at


@dataclass(frozen=True)
class Material:
    """What a passage gives a second retrieval: its public ``name``, its terms with those of title and headings, and its vector if
    it has one."""

    name: str
    terms: tuple[str, ...]
    vector: NDArray[np.float32] | None


@dataclass(frozen=True)
class Found:
    """``ranked`` best first over the whole pool; ``result`` holds the visible statistics. ``places``: by document how well it
    fits the opening of the question, None where it has none; ``onward``: what was asked in a second retrieval."""

    ranked: list[Ranked]
    result: SearchResult
    places: Mapping[int, float] | None = None
    onward: tuple[Step, ...] = ()


class Hunt:
    """One question in one scope. ``look`` searches the scope; ``read`` gives what it may of some chunks, ``kept`` the token
    vectors that there are of them."""

    def __init__(
        self,
        asked: Asked,
        settings: Retrieval,
        pool: int,
        look: Callable[[Query, int], SearchResult],
        read: Callable[[Sequence[int]], Mapping[int, Material]],
        kept: Callable[[Sequence[int]], Mapping[int, Kept]] = lambda chunks: {},
    ) -> None:
        self._asked = asked
        self._settings = settings
        self._pool = pool
        self._look = look
        self._read = read
        self._kept = kept
        self._query = Query(asked.text, asked.vector, k1=settings.k1, b=settings.b)

    def run(self) -> Found:
        """The pool of candidates, fused, and the best of them ranked anew by late interaction."""
        found = self._fused()
        if self._asked.tokens is None or not self._settings.late:
            return found
        late = self._late(self._asked.tokens, found)
        settings = self._settings
        # what a description leads to is not named in it, so it fits less without being less meant
        weight = settings.late * (1 - describes(self._asked.text) / 2 if found.onward else 1)
        return replace(found, ranked=rerank(found.ranked, late, weight, settings.late_pool))

    def _late(self, question: Question, found: Found) -> dict[int, float]:
        """How well the best chunks' best stretches fit; each of the question's tokens counts by the information of its word."""
        kept = self._kept([r.chunk for r in found.ranked[: self._settings.late_pool]])
        telling = {t: idf(found.result.visible, n) for t, n in found.result.terms.items()}
        weights = [
            max((telling.get(t, 0.0) for t in terms(word)), default=0.0)
            for word in words_at(self._asked.text, question.places)
        ]
        return dict(zip(kept, best_stretches(question, weights, list(kept.values())), strict=True))

    def _fused(self) -> Found:
        result = self._look(self._query, self._pool)
        if self._asked.where:
            return self._placed(result)
        ranked = fuse(result.candidates, self._settings)
        if not self._settings.onward or not describes(self._asked.text):
            return Found(ranked, result)
        return self._onward(ranked, result)

    def _placed(self, result: SearchResult) -> Found:
        """The opening finds documents; their passages join the pool, and all are ranked by both."""
        opening = self._look(replace(self._query, text=self._asked.where, vector=None), self._pool)
        weights = (idf(opening.visible, n) for n in opening.terms.values())
        found = places(opening.candidates, ceiling(weights, self._settings.k1))
        near = nearest(found, _first_ties(opening.candidates))
        more = self._look(replace(self._query, documents=near), self._pool) if near else result
        ranked = fuse(_joined(result.candidates, more.candidates), self._settings, places=found)
        return Found(ranked, result, found)

    def _onward(self, ranked: Sequence[Ranked], result: SearchResult) -> Found:
        """Ask the first few passages onward; what they find beyond the pool joins it with its scores for the question."""
        first = list(ranked[: self._settings.onward])
        material = self._read([r.chunk for r in first])
        first = [r for r in first if r.chunk in material]
        telling = self._telling(material)
        steps: list[Step] = []
        found = []
        for passage in first:
            own = material[passage.chunk]
            counts = reweigh(result.terms, own.terms, telling)
            mixed = (
                None
                if self._asked.vector is None or own.vector is None
                else towards(self._asked.vector, own.vector)
            )
            seen = self._look(replace(self._query, terms=counts, vector=mixed), POOL).candidates
            others = [c for c in seen if c.document != passage.document]
            found.append(scored(others, self._settings.keyword, self._settings.dense))
            steps.append(Step(own.name, tuple(t for t in counts if t not in result.terms), len(seen)))
        gains = promotions(found)
        pool = _joined(result.candidates, self._newcomers(gains, found, result.candidates))
        weight = self._settings.onward_weight * describes(self._asked.text)
        ranked = fuse(
            pool, self._settings, gains={c: weight * g for c, g in gains.items()}, of=result.candidates
        )
        return Found(ranked, result, None, tuple(steps))

    def _telling(self, material: Mapping[int, Material]) -> dict[str, float]:
        """The information of each of the passages' terms among the visible chunks."""
        asked = dict.fromkeys((t for m in material.values() for t in m.terms), 0.0)
        if not asked:
            return {}
        counted = self._look(Query("", terms=asked), 1)
        return {t: idf(counted.visible, n) for t, n in counted.terms.items()}

    def _newcomers(
        self,
        gains: Mapping[int, float],
        found: Sequence[Sequence[tuple[Candidate, float]]],
        known: Sequence[Candidate],
    ) -> list[Candidate]:
        """The promoted chunks that the question itself did not find, with its own scores for them: nothing by default."""
        have = {c.chunk for c in known}
        new = {c.chunk: c for seen in found for c, _ in seen if c.chunk in gains and c.chunk not in have}
        if not new:
            return []
        among = replace(self._query, documents=frozenset(c.document for c in new.values()))
        own = {c.chunk: c for c in self._look(among, self._pool).candidates}
        return [own.get(c.chunk, replace(c, keyword=0.0, dense=None)) for c in new.values()]


def _joined(some: Sequence[Candidate], more: Sequence[Candidate]) -> list[Candidate]:
    """Both without repeats, in the order of ties."""
    both = {c.chunk: c for c in (*some, *more)}
    return sorted(both.values(), key=lambda c: (c.tie, c.chunk))


def _first_ties(candidates: Sequence[Candidate]) -> dict[int, int]:
    ties: dict[int, int] = {}
    for c in candidates:
        ties[c.document] = min(ties.get(c.document, c.tie), c.tie)
    return ties
