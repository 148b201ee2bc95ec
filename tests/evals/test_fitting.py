"""Fitting the verdict on examples."""

from __future__ import annotations

import random

import numpy as np
import pytest

from affidavit.domain.errors import UsageError
from affidavit.domain.release import DEFAULT, load
from affidavit.evals.fitting import Example, auroc, fit


def examples(count: int, signal: float) -> list[Example]:
    chance = random.Random(7)
    out = []
    for n in range(count):
        label = chance.random() < 0.5
        features = {"dense": chance.gauss(signal * label, 1), "keyword": chance.gauss(0, 1)}
        out.append(Example(f"q{n}", features, label))
    return out


def test_what_tells_is_weighed_and_what_does_not_is_not() -> None:
    found = fit(examples(600, 3.0), ["dense", "keyword"])
    assert found.weights["dense"] > 1 > 5 * abs(found.weights["keyword"])
    assert found.auroc > 0.95
    assert found.answered > 0.85 and found.refused > 0.85


def test_noise_is_told_from_nothing() -> None:
    assert 0.4 < fit(examples(600, 0.0), ["dense", "keyword"]).auroc < 0.6


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        fit(examples(30, 3.0), ["dense"])
    with pytest.raises(UsageError, match="too few"):
        fit([], ["dense"])


def test_a_release_can_hold_the_model() -> None:
    content = fit(examples(300, 3.0), ["dense", "keyword"]).content()
    release = load({**DEFAULT, "suffice": {**DEFAULT["suffice"], "dense": content}})
    assert set(release.dense.weights) == {"dense", "keyword"}


def test_equal_scores_are_half_right() -> None:
    assert auroc(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert auroc(np.array([1.0, 2.0, 0.0]), np.array([0.0, 1.0, 0.0])) == 1.0


@pytest.mark.parametrize("refuse", [0.5, 0.8, 0.95])
def test_so_much_is_refused_as_is_asked_for(refuse: float) -> None:
    found = fit(examples(2000, 2.0), ["dense", "keyword"], refuse)
    assert abs(found.refused - refuse) < 0.05  # of the half that it was not chosen on
    stricter = fit(examples(2000, 2.0), ["dense", "keyword"], refuse + 0.04)
    assert stricter.threshold > found.threshold and stricter.answered < found.answered
