"""Fits "is this enough to answer?": a logistic model over the features of the evidence, judged on questions it has not seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.errors import UsageError

LEAST = 20
"""Examples of each kind that the half must have which judges, and the half that is fitted on."""


@dataclass(frozen=True)
class Example:
    """One question: ``group`` keeps those together that must not stand on both sides; ``answerable``: it was to be read."""

    group: str
    features: Mapping[str, float]
    answerable: bool


@dataclass(frozen=True)
class Fitted:
    """The model fitted on all examples, as a release holds it. ``auroc`` and the shares are of the half that a model fitted on
    the other half had not seen: ``answered`` of what can be answered, ``refused`` of what cannot."""

    bias: float
    weights: Mapping[str, float]
    threshold: float
    auroc: float
    answered: float
    refused: float

    def content(self) -> dict[str, object]:
        """What stands under ``suffice`` in a release."""
        return {
            "bias": f"{self.bias:.4f}",
            "weights": {name: f"{weight:.4f}" for name, weight in self.weights.items()},
            "threshold": f"{self.threshold:.2f}",
        }


def logistic(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1.0) -> NDArray[np.float64]:
    """Logistic regression by Newton's method with an L2 penalty; the last weight is the bias, not penalised."""
    x = np.hstack([x, np.ones((len(x), 1))])
    w = np.zeros(x.shape[1])
    penalty = np.full(x.shape[1], ridge)
    penalty[-1] = 0
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - y) + penalty * w
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty + 1e-9)
        w = w - np.linalg.solve(hessian, gradient)
    return np.asarray(w)


def auroc(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how often a positive outranks a negative; of equals one half."""
    above = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def fit(examples: Sequence[Example], names: Sequence[str], refuse: float | None = None) -> Fitted:
    """The model over the features ``names`` and its operating point: Youden's J on the half not fitted on; with ``refuse`` the
    point that refuses such a share of what cannot be answered, on the half fitted on.

    Raises UsageError if there are too few examples of either kind.
    """
    x = np.array([[e.features.get(n, 0.0) for n in names] for e in examples]).reshape(
        len(examples), len(names)
    )
    y = np.array([e.answerable for e in examples], np.float64)
    judging = np.array([_judges(e.group) for e in examples], np.bool_)
    for half in (judging, ~judging):
        if min((y[half] == 1).sum(), (y[half] == 0).sum()) < LEAST:
            raise UsageError(
                f"{len(examples)} examples are too few to calibrate on",
                f"judge more questions: each half needs {LEAST} with an answer and {LEAST} without",
            )
    w = logistic(x[~judging], y[~judging])
    held, truth = 1 / (1 + np.exp(-(x[judging] @ w[:-1] + w[-1]))), y[judging]

    def shares(cut: float) -> tuple[float, float]:
        return float((held[truth == 1] >= cut).mean()), float((held[truth == 0] < cut).mean())

    if refuse is None:
        threshold = float(max(np.unique(np.round(held, 2)), key=lambda cut: sum(shares(float(cut)))))
    else:
        known = 1 / (1 + np.exp(-(x[~judging] @ w[:-1] + w[-1])))
        threshold = float(np.ceil(100 * np.quantile(known[y[~judging] == 0], refuse)) / 100)
    full = logistic(x, y)
    weights = {n: float(v) for n, v in zip(names, full[:-1], strict=True)}
    return Fitted(float(full[-1]), weights, threshold, auroc(held, truth), *shares(threshold))


def _judges(group: str) -> bool:
    """The same half every time."""
    return hashlib.sha256(group.encode()).digest()[0] % 2 == 0
