"""What a second retrieval asks for, and what it promotes."""

from __future__ import annotations

import numpy as np
import pytest

from affidavit.ask.onward import describes, promotions, reweigh, scored, towards
from affidavit.ports.index import Candidate


@pytest.mark.parametrize(
    ("question", "much"),
    [
        ("What is the travel budget?", 0.0),
        ("Who is told first?", 0.0),  # who asks here and describes nothing
        ("Who leads the team of Ada?", 0.5),
        ("Who leads Ada's team?", 0.5),
        ("Who leads the team of the engineer who wrote the parser?", 1.0),
    ],
)
def test_a_question_describes_by_clauses_of_and_possessives(question: str, much: float) -> None:
    assert describes(question) == much


def test_what_a_passage_lacks_counts_most_and_its_telling_terms_are_added() -> None:
    telling = {f"t{n}": float(n) for n in range(20)} | {"ada": 9.0}
    counts = reweigh({"team": 1.0, "ada": 1.0}, ["ada", *(f"t{n}" for n in range(20))], telling)
    assert counts["team"] > counts["t19"] > counts["ada"]
    assert [t for t in counts if t.startswith("t") and t != "team"] == [f"t{n}" for n in range(19, 11, -1)]


def test_a_chunk_gains_its_best_and_the_first_passages_count_more() -> None:
    some, poor = Candidate(2, 8, 2, 1.0, None), Candidate(3, 9, 3, 0.0, None)
    assert promotions([[(some, 2.0), (poor, -1.0)]]) == {2: 2.0}
    assert promotions([[(some, 1.0)], [(some, 2.0)]]) == {2: pytest.approx(1.6)}


def test_the_vector_lies_between_question_and_passage() -> None:
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert towards(a, b) == pytest.approx([0.5**0.5] * 2)
    assert not np.isnan(towards(a, -a)).any()


def test_a_candidate_without_a_vector_scores_as_the_least_similar() -> None:
    some = [Candidate(1, 1, 1, 1.0, 0.9), Candidate(2, 2, 2, 1.0, 0.1), Candidate(3, 3, 3, 1.0, None)]
    values = [score for _, score in scored(some, 1.0, 1.0)]
    assert values[0] > values[1] == values[2]
