"""Measures of a ranking for each question, their uncertainty, and the comparison of two rankings.

The measures are those of ir-measures (MacAvaney, Macdonald, Ounis, ECIR 2022). Intervals and comparisons are by bootstrap over
questions (Sakai, SIGIR 2006): resampling questions, since they are what another day would bring others of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affidavit.domain.errors import UsageError

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@5", "R@10", "R@100")
_RESAMPLES = 10_000
_SEED = 20_260_101

Ranking = Mapping[str, Sequence[str]]
"""Question id to what was found, best first."""
Relevant = Mapping[str, Mapping[str, int]]
"""Question id to what is right, with its grade."""


@dataclass(frozen=True)
class Interval:
    """A mean over questions with the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How much better (above 0) the new ranking is, with its 95 % interval; ``p``: how likely a difference as large as this is if
    there is none, both sides."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether it is worse, beyond chance."""
        return self.high < 0


def per_question(
    ranking: Ranking, relevant: Relevant, measures: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Measure to question to value, for every question with anything right. Needs ``affidavit[eval]``.

    Raises UsageError for an unknown measure or if ir-measures is not installed.
    """
    try:
        import ir_measures  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise UsageError("measures need ir-measures", "pip install 'affidavit[eval]'") from error
    wanted = {name: _measure(ir_measures, name) for name in measures}
    judged = {q: dict(grades) for q, grades in relevant.items() if any(g > 0 for g in grades.values())}
    run = {
        q: {name: float(-place) for place, name in enumerate(found)}
        for q, found in ranking.items()
        if q in judged
    }
    values = {name: dict.fromkeys(judged, 0.0) for name in measures}
    if run:  # a question for which nothing was found has measure 0
        by_text = {str(measure): name for name, measure in wanted.items()}
        for value in ir_measures.iter_calc(list(wanted.values()), judged, run):
            if value.query_id in judged:
                values[by_text[str(value.measure)]][value.query_id] = float(value.value)
    return values


def _measure(ir_measures: Any, name: str) -> Any:
    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError, SyntaxError) as error:
        raise UsageError(f"{name!r} is no measure", "for example nDCG@10, RR@10, R@100, AP") from error


def interval(values: Sequence[float]) -> Interval:
    """The mean of ``values`` and how sure it is."""
    if not values:
        return Interval(0.0, 0.0, 0.0)
    means = _resampled(np.asarray(values, float))
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(np.mean(values)), float(low), float(high))


def compare(new: Mapping[str, float], old: Mapping[str, float]) -> Difference:
    """Paired over the questions that both have. Raises UsageError if they have none in common."""
    both = sorted(set(new) & set(old))
    if not both:
        raise UsageError("the baseline has no question in common", "measure both on the same questions")
    apart = np.asarray([new[q] - old[q] for q in both], float)
    mean = float(apart.mean())
    means = _resampled(apart)
    low, high = np.quantile(means, (0.025, 0.975))
    beyond = np.abs(means - mean) >= abs(mean) - 1e-12  # shifted so that there is no difference
    return Difference(mean, float(low), float(high), float(beyond.mean()))


def _resampled(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    chance = np.random.default_rng(_SEED)  # the same figures for the same values
    means = np.empty(_RESAMPLES)
    for start in range(0, _RESAMPLES, 500):  # small pieces: memory stays flat for many questions
        picked = chance.integers(0, len(values), (500, len(values)))
        means[start : start + 500] = values[picked].mean(axis=1)
    return means
