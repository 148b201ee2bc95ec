"""Step 7: how well each sentence answers, and whether the best of them are enough.

A sentence is scored by late interaction (MaxSim of Khattab & Zaharia's ColBERT, SIGIR 2020, with the embedder's own token
vectors), by the share of the question's information it covers, and by its cosine. Whether that is enough is a logistic
model over a few features of the visible evidence, calibrated on data (``bench/calibrate.py``): a threshold on one score
cannot refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from affidavit.ask.effects import Scores
from affidavit.ask.guard import output_signals
from affidavit.ask.hunt import Found
from affidavit.ask.rank import ceiling, idf, z_scores
from affidavit.ask.retrieve import Passage
from affidavit.ask.units import Unit, units
from affidavit.domain.release import Release, Retrieval
from affidavit.text.analyze import terms

UNITS_SCORED = 32
_PRIOR = 100
"""Chunks without any of the terms, imagined beside the visible ones: a handful of documents says little about what is rare."""
_FOUND = 0.45
"""The share of an opening's information from which on a document is the one it means: measured on contracts that are there, which
have more in 95 of 100 cases, and that are not there, which have less in 95 of 100."""
_HEADING_SHARE = 0.5
"""A question's term that stands in the headings above a sentence counts half."""


@dataclass(frozen=True)
class Scored:
    """A unit with its features; ``score`` orders units, larger is better. ``number`` is its place in what was scored."""

    unit: Unit
    score: float
    coverage: float
    maxsim: float
    cosine: float
    number: int


@dataclass(frozen=True)
class Evidence:
    """Scored units best first, the features of the whole, and the probability that they answer; ``alike``: pairs of their
    numbers that a model finds about the same thing, None without one; ``withheld`` names the signals for which sentences
    were left out."""

    units: tuple[Scored, ...]
    alike: frozenset[tuple[int, int]] | None
    features: Mapping[str, float]
    probability: float
    sufficient: bool
    withheld: tuple[str, ...]


def weigh_terms(question: str, found: Found) -> dict[str, float]:
    """Each distinct term of the question with its information among the visible chunks."""
    result = found.result
    size = result.visible + _PRIOR
    return {t: idf(size, result.terms.get(t, 0)) for t in dict.fromkeys(terms(question))}


def _coverage(weights: Mapping[str, float], have: frozenset[str], near: frozenset[str]) -> float:
    total = math.fsum(weights.values())
    if not total:
        return 0.0
    return (
        math.fsum(
            w if t in have else _HEADING_SHARE * w for t, w in weights.items() if t in have or t in near
        )
        / total
    )


def _context(passage: Passage) -> frozenset[str]:
    return frozenset(terms(" ".join((passage.view.title, *passage.view.path))))


def gather(
    question: str,
    found: Found,
    passages: Sequence[Passage],
    score: Callable[[Sequence[str]], Scores | None],
    release: Release,
) -> Evidence:
    """Score what can be quoted from ``passages`` and judge whether it is enough.

    ``score`` gives sentences their numbers by a model, or None where there is none.
    """
    weights = weigh_terms(question, found)
    contexts = [_context(p) for p in passages]
    signalled = [(u, output_signals(u.quote)) for n, p in enumerate(passages) for u in units(n, p)]
    everything = [u for u, signals in signalled if not signals]
    words = _words(passages, everything, {u.passage for u, signals in signalled if signals})
    covered = [_coverage(weights, u.terms, contexts[u.passage]) for u in everything]
    chosen = _shortlist(everything, covered, passages)
    scores = score([everything[n].quote for n in chosen])
    scored = _score([everything[n] for n in chosen], [covered[n] for n in chosen], passages, scores)
    calibration = release.keyword_only if scores is None else release.dense
    features = _features(weights, found, words, scored, contexts, passages, release.retrieval)
    total = calibration.bias + math.fsum(
        w * features.get(name, 0.0) for name, w in calibration.weights.items()
    )
    probability = 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
    named = _identifiers(weights) <= frozenset().union(*words, *contexts)
    sufficient = bool(scored) and named and probability >= calibration.threshold
    withheld = tuple(sorted({s for _, signals in signalled for s in signals}))
    alike = None if scores is None else scores.alike
    return Evidence(tuple(scored), alike, features, probability, sufficient, withheld)


def _identifiers(weights: Mapping[str, float]) -> frozenset[str]:
    """Whole identifiers of the question, such as ``ERR-4032``: evidence that never names them is about something else."""
    return frozenset(
        t
        for t in weights
        if t.startswith("=") and any(c.isdigit() for c in t) and any(c.isalpha() for c in t)
    )


def _words(passages: Sequence[Passage], clean: Sequence[Unit], tainted: Set[int]) -> list[frozenset[str]]:
    """The terms of each passage; where sentences were left out, of what remains: a planted order is no evidence."""
    return [
        frozenset(t for u in clean if u.passage == n for t in u.terms)
        if n in tainted
        else frozenset(terms(p.text))
        for n, p in enumerate(passages)
    ]


def _shortlist(
    everything: Sequence[Unit], covered: Sequence[float], passages: Sequence[Passage]
) -> list[int]:
    """The units worth embedding: by coverage, then by the rank of their passage; in text order."""
    order = sorted(
        range(len(everything)), key=lambda n: (-covered[n], everything[n].passage, everything[n].start)
    )
    per_passage = {u.passage: 0 for u in everything}
    kept = []
    for n in order:
        if per_passage[everything[n].passage] < max(6, UNITS_SCORED // max(1, len(passages))):
            per_passage[everything[n].passage] += 1
            kept.append(n)
    return sorted(kept[:UNITS_SCORED])


def _score(
    chosen: Sequence[Unit], covered: Sequence[float], passages: Sequence[Passage], scores: Scores | None
) -> list[Scored]:
    prior = z_scores([passages[u.passage].ranked.score for u in chosen])
    coverage = z_scores(covered)
    if scores is None:
        rows = [
            Scored(u, c + 0.25 * p, raw, 0.0, 0.0, n)
            for n, (u, c, raw, p) in enumerate(zip(chosen, coverage, covered, prior, strict=True))
        ]
    else:
        zs = zip(z_scores(scores.maxsim), coverage, z_scores(scores.cosine), prior, strict=True)
        rows = [
            Scored(u, m + 0.5 * c + 0.5 * d + 0.25 * p, covered[n], scores.maxsim[n], scores.cosine[n], n)
            for n, (u, (m, c, d, p)) in enumerate(zip(chosen, zs, strict=True))
        ]
    return sorted(rows, key=lambda s: (-s.score, s.unit.passage, s.unit.start))


def _features(
    weights: Mapping[str, float],
    found: Found,
    words: Sequence[frozenset[str]],
    scored: Sequence[Scored],
    contexts: Sequence[frozenset[str]],
    passages: Sequence[Passage],
    settings: Retrieval,
) -> dict[str, float]:
    """What the calibration weighs, of the opening only if the release reads one. Every one is a function of visible rows only."""
    best = scored[0] if scored else None
    full = [_coverage(weights, w, c) for w, c in zip(words, contexts, strict=True)]
    dense = sorted((r.dense for r in found.ranked if r.dense is not None), reverse=True)
    keyword = max((r.keyword for r in found.ranked), default=0.0)
    most = ceiling(weights.values(), settings.k1) or 1.0
    fused = [r.score for r in found.ranked[:5]]
    opening = _opening(found, passages) if settings.lead else {}
    return {
        "sentence_coverage": max((s.coverage for s in scored), default=0.0),
        "best_coverage": best.coverage if best else 0.0,
        "passage_coverage": max(full, default=0.0),
        "top_passage_coverage": full[0] if full else 0.0,
        "keyword": keyword / most,
        "dense": dense[0] if dense else 0.0,
        "dense_top3": math.fsum(dense[:3]) / 3 if len(dense) >= 3 else 0.0,
        "dense_gap": dense[0] - dense[min(19, len(dense) - 1)] if dense else 0.0,
        "maxsim": max((s.maxsim for s in scored), default=0.0),
        "best_maxsim": best.maxsim if best else 0.0,
        "cosine": max((s.cosine for s in scored), default=0.0),
        "fused_gap": fused[0] - fused[-1] if len(fused) > 1 else 0.0,
        **opening,
        "rare_term_missing": _rarest_missing(weights, words, contexts),
    }


def _opening(found: Found, passages: Sequence[Passage]) -> dict[str, float]:
    """``opening``: whether the question says where to look. ``lead``: how surely that is there, 1 where it does not say."""
    if found.places is None:
        return {"opening": 0.0, "lead": 1.0}
    fit = max((found.places.get(p.view.document, 0.0) for p in passages), default=0.0)
    return {"opening": 1.0, "lead": min(1.0, fit / _FOUND)}


def _rarest_missing(
    weights: Mapping[str, float], words: Sequence[frozenset[str]], contexts: Sequence[frozenset[str]]
) -> float:
    """The share of the question's information in its most telling term, if no passage has that term; else 0."""
    if not weights:
        return 1.0
    term, weight = max(weights.items(), key=lambda item: (item[1], item[0]))
    present = any(term in have for have in (*words, *contexts))
    return 0.0 if present else weight / (math.fsum(weights.values()) or 1.0)
