"""Fusion and document scores."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from affidavit.ask.rank import Ranked, document_scores, fuse, idf, rerank, z_scores
from affidavit.domain.release import DEFAULT, load
from affidavit.ports.index import Candidate

SETTINGS = load(DEFAULT).retrieval
scores = st.floats(-1, 30, allow_nan=False)


@given(st.lists(st.tuples(scores, st.none() | scores), max_size=12), st.randoms())
def test_order_of_candidates_does_not_matter(
    pairs: list[tuple[float, float | None]], chance: random.Random
) -> None:
    candidates = [Candidate(n, n, n, k, d) for n, (k, d) in enumerate(pairs)]
    shuffled = candidates[:]
    chance.shuffle(shuffled)
    assert [r.chunk for r in fuse(candidates, SETTINGS)] == [r.chunk for r in fuse(shuffled, SETTINGS)]


def test_a_candidate_good_by_both_beats_one_good_by_either() -> None:
    ranked = fuse(
        [Candidate(1, 1, 1, 9.0, 0.1), Candidate(2, 2, 2, 8.0, 0.8), Candidate(3, 3, 3, 0.0, 0.9)], SETTINGS
    )
    assert ranked[0].chunk == 2


def test_equal_scores_are_ordered_by_tie() -> None:
    assert [
        r.tie for r in fuse([Candidate(1, 1, 9, 1.0, None), Candidate(2, 2, 3, 1.0, None)], SETTINGS)
    ] == [3, 9]


def test_z_scores_of_equal_values_are_zero() -> None:
    assert z_scores([0.1, 0.1, 0.1]) == [0.0, 0.0, 0.0]
    assert z_scores([]) == []


def test_a_document_gains_by_its_other_passages_but_never_loses() -> None:
    ranked = [
        Ranked(n, d, n, s, s, None) for n, (d, s) in enumerate([(1, 3.0), (2, 2.9), (2, 2.8), (3, 0.0)])
    ]
    found = document_scores(ranked, 0.3)
    assert found[2] > found[1] > found[3]
    assert found[1] == 3.0


def test_idf_falls_with_frequency_and_is_never_negative() -> None:
    values = [idf(100, df) for df in range(101)]
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0


def ranked(*scores_: float) -> list[Ranked]:
    return [Ranked(n, n, n, score, 0.0, None) for n, score in enumerate(scores_)]


def test_late_interaction_moves_the_first_and_nothing_below_them_gains() -> None:
    found = rerank(ranked(4.0, 3.0, 2.0, 1.0), {0: 0.1, 1: 0.3, 2: 0.2}, 1.0, 3)
    assert [r.chunk for r in found] == [1, 0, 2, 3]
    gains = {r.chunk: r.score - (4.0 - r.chunk) for r in found}
    assert gains[0] == gains[3] == 0.0 < gains[2] < gains[1]
    assert [r.late for r in found] == [0.3, 0.1, 0.2, None]


def test_without_token_vectors_a_chunk_counts_as_the_least() -> None:
    found = rerank(ranked(4.0, 3.9, 3.8), {1: 0.5, 2: 0.2}, 1.0, 3)
    assert [r.chunk for r in found] == [1, 0, 2]
    assert (found[1].score, found[1].late) == (4.0, None)
    assert rerank(ranked(2.0, 1.0), {}, 1.0, 2) == ranked(2.0, 1.0)
    assert [r.score for r in rerank(ranked(2.0, 1.0), {0: 0.5, 1: 0.5}, 1.0, 2)] == [2.0, 1.0]


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=12), st.integers(1, 12))
def test_what_is_not_among_the_first_does_not_move_a_score(
    pairs: list[tuple[float, float]], first: int
) -> None:
    before = sorted(ranked(*(score for score, _ in pairs)), key=lambda r: (-r.score, r.tie))
    late = {r.chunk: pairs[r.chunk][1] for r in before[:first]}
    whole = rerank(before, late, 0.75, first)
    few = {r.chunk: r.score for r in rerank(before[:first], late, 0.75, first)}
    assert few.items() <= {r.chunk: r.score for r in whole}.items()
    assert all(r.score >= b.score for b in before for r in whole if r.chunk == b.chunk)
