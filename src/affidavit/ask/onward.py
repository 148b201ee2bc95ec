"""The second retrieval of a question whose answer needs two documents, driven by what the first found.

"Who leads the team of the author of X?": the page on X is found, the team's is not, for the question does not name it. So each of
the first few passages is asked onward: the question's terms that it lacks count in full, those that it has little, and its own
most telling terms are added; its vector is added to the question's. What that finds in *other* documents is promoted.
Only questions that describe something instead of naming it (relative clauses, of, possessives) are asked onward: of 200 such
questions nDCG@10 rose from .73 to .77, while promoting for every question cost the others .05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affidavit.ask.rank import z_scores
from affidavit.ports.index import Candidate
from affidavit.runs.recorder import Run

POOL = 50
"""Candidates of each kind of score for one passage."""
_HAD, _ADDED, _TERMS = 0.3, 0.5, 8
_FADE = 0.8
"""What the next passage counts as a share of the one before."""
_DESCRIBES = re.compile(
    r"(?<=\w )(?:who|whom|whose|which|that|where|when|of)\b|\w(?:'s|’s|s')(?= \w)", re.IGNORECASE
)


def describes(question: str) -> float:
    """How much ``question`` describes what it asks about instead of naming it: 0 not at all, 0.5 once, 1 more often."""
    return min(2, len(_DESCRIBES.findall(question))) / 2


@dataclass(frozen=True)
class Step:
    """One passage asked onward, for the record: its ``chunk`` by name, terms it ``adds``, the number of ``candidates`` found."""

    chunk: str
    adds: tuple[str, ...]
    candidates: int


def record_onward(run: Run, steps: Sequence[Step]) -> None:
    """Step ``onward`` for each passage that was asked onward."""
    for step in steps:
        run.step("onward", {"chunk": step.chunk}, {"adds": list(step.adds), "candidates": step.candidates})


def reweigh(
    asked: Mapping[str, float], have: Sequence[str], telling: Mapping[str, float]
) -> dict[str, float]:
    """What each term counts for a passage of the terms ``have``. ``asked``: the question's terms; ``telling``: how much the
    passage's own tell."""
    own = set(have)
    out = {term: _HAD if term in own else 1.0 for term in asked}
    new = sorted((t for t in own if t not in asked), key=lambda t: (-telling.get(t, 0.0), t))[:_TERMS]
    return out | dict.fromkeys(new, _ADDED)


def towards(question: NDArray[np.float32], passage: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit vector between both."""
    mixed = question + passage
    unit: NDArray[np.float32] = (mixed / max(float(np.linalg.norm(mixed)), 1e-9)).astype(np.float32)
    return unit


def promotions(found: Sequence[Sequence[tuple[Candidate, float]]]) -> dict[int, float]:
    """By chunk what it gains: its best score above the mean of what a passage found in other documents. ``found``: of each
    passage, the first of them first."""
    gains: dict[int, float] = {}
    for nth, seen in enumerate(found):
        for candidate, score in seen:
            if score > 0:
                gains[candidate.chunk] = max(gains.get(candidate.chunk, 0.0), score * _FADE**nth)
    return gains


def scored(candidates: Sequence[Candidate], keyword: float, dense: float) -> list[tuple[Candidate, float]]:
    """Each candidate with its weighted sum of z-scores."""
    least = min((c.dense for c in candidates if c.dense is not None), default=0.0)
    ks = z_scores([c.keyword for c in candidates])
    ds = z_scores([least if c.dense is None else c.dense for c in candidates])
    return [(c, keyword * k + dense * d) for c, k, d in zip(candidates, ks, ds, strict=True)]
