"""The fakes these tests rely on keep their own promises."""

from __future__ import annotations

import pytest

from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import Embedder
from affidavit.testing.clock import FixedClock, SeededRandomness
from affidavit.testing.embedder import HashEmbedder
from affidavit.testing.embedder_conformance import EmbedderConformance


class TestHashEmbedder(EmbedderConformance):
    def make(self) -> Embedder:
        return HashEmbedder()


def test_texts_that_share_words_are_alike() -> None:
    budget, same, other = HashEmbedder().embed(["the travel budget", "a travel budget", "server outage"])
    assert budget @ same > 0.5 > abs(budget @ other)


def test_a_refused_text_is_an_error() -> None:
    with pytest.raises(EmbedderError):
        HashEmbedder(refuses="poison").embed(["fine", "a poison text"])


def test_the_clock_moves_only_when_told() -> None:
    clock = FixedClock(5)
    assert (clock.now(), clock.now()) == (5, 5)
    clock.advance(-2)
    assert clock.now() == 3


def test_randomness_repeats_by_seed_and_never_within_one() -> None:
    one, same, other = SeededRandomness(1), SeededRandomness(1), SeededRandomness(2)
    drawn = [one.token(16) for _ in range(100)]
    assert drawn == [same.token(16) for _ in range(100)]
    assert len({*drawn, *(other.token(16) for _ in range(100))}) == 200
    assert len(one.token(7)) == 7
