"""A claim is as well carried as its worst token, all of it is looked at, and a replay needs no embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from affidavit.ask.effects import Asked
from affidavit.ask.support import STEP, score, supporting, vectors
from affidavit.domain.errors import EmbedderError
from affidavit.domain.release import Writing
from affidavit.ports.embedder import EmbedderInfo
from affidavit.runs.recorder import Run
from affidavit.testing.embedder import HashEmbedder

WRITING = Writing("answer", 1, "", 100, 0.6, False, 100, "extractive", 0.9)
ASKED = Asked("q", "f", np.ones(24, np.float32), "", True)


class Short(HashEmbedder):
    """Reads eight words and no more."""

    @property
    def info(self) -> EmbedderInfo:
        return replace(super().info, max_tokens=8)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [each[:8] for each in super().tokens(texts)]


class Broken(HashEmbedder):
    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        raise EmbedderError("it is gone", "wait")


def test_one_word_that_no_quote_has_decides() -> None:
    embedder = HashEmbedder()
    said = "walrus leave is twenty days a year for everybody in the house"
    assert score(embedder, "walrus leave is twenty days", said) == pytest.approx(1)
    assert score(embedder, f"{said} zebra", said) < 0.8


def test_what_an_embedder_would_cut_off_is_looked_at_too() -> None:
    said = "walrus leave is twenty days a year for everybody in the house"
    assert score(Short(), f"{said} {said} zebra", said) < 0.8
    assert score(Short(), f"{said} {said}", said) == pytest.approx(1)
    assert len(vectors(Short(), "wörd" * 100)) == 1


def test_without_token_vectors_or_a_threshold_nobody_is_asked() -> None:
    run = Run("run-a", 1, "ask", "r")
    assert supporting(run, HashEmbedder(), ASKED, None) is None
    assert supporting(run, HashEmbedder(), ASKED, replace(WRITING, support=0.0)) is None
    assert supporting(run, HashEmbedder(), replace(ASKED, late=False), WRITING) is None
    assert supporting(run, HashEmbedder(), replace(ASKED, vector=None), WRITING) is None
    assert not run.events


@pytest.mark.parametrize("embedder", [None, Broken()])
def test_a_score_that_cannot_be_had_carries_nothing(embedder: HashEmbedder | None) -> None:
    run = Run("run-a", 1, "ask", "r")
    carried = supporting(run, embedder, ASKED, WRITING)
    assert carried is not None
    assert carried([("a b", "a b")]) == [False]
    (event,) = run.events
    assert event.facts["name"] == STEP


def test_the_threshold_is_the_releases() -> None:
    pairs = [("a b c", "c b a"), ("a b z", "c b a")]
    strict = supporting(Run("run-a", 1, "ask", "r"), HashEmbedder(), ASKED, WRITING)
    assert strict is not None
    assert strict(pairs) == [True, False]
