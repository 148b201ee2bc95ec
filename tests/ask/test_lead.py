"""Questions that say where to look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.ask.lead import DOCUMENTS, Parts, nearest, places, split
from affidavit.ports.index import Candidate


@pytest.mark.parametrize(
    ("question", "where", "what"),
    [
        (
            "In the Lease between Ada Inc. and Bob LLC: Who pays for repairs?",
            "In the Lease between Ada Inc. and Bob LLC",
            "Who pays for repairs?",
        ),
        (
            "According to the travel policy, who approves refunds?",
            "According to the travel policy",
            "who approves refunds?",
        ),
        ("ERR-4032: what does it mean and who is told?", "ERR-4032", "what does it mean and who is told?"),
    ],
)
def test_an_opening_is_kept_apart(question: str, where: str, what: str) -> None:
    assert split(question) == Parts(what, where)


@pytest.mark.parametrize(
    "question",
    [
        "Who pays for repairs?",
        "Does the 10:30 train stop at https://example.org/a?",
        "For soft cap deals: why?",  # nothing would be left to ask
        "The: budget of the merger",  # names nothing
        "Is it late? In that case: who is told first?",  # the second of two questions
        "budget, what is it",
    ],
)
def test_what_is_no_opening_stays_in_the_question(question: str) -> None:
    assert split(question) == Parts(question)


@given(st.text(max_size=80))
def test_no_question_is_emptied(text: str) -> None:
    parts = split(text)
    assert parts == Parts(text) or (parts.what and parts.what in text and parts.where in text)


def test_a_place_is_a_documents_best_share_of_the_opening() -> None:
    found = [Candidate(1, 7, 1, 2.0, None), Candidate(2, 7, 2, 4.0, None), Candidate(3, 8, 3, 0.0, 0.9)]
    assert places(found, 8.0) == {7: 0.5}
    assert places(found, 0.0) == {}
    assert places(found, 2.0) == {7: 1.0}


def test_only_the_few_nearest_documents_are_meant() -> None:
    found = dict.fromkeys(range(20), 0.5) | {99: 0.9}
    chosen = nearest(found, {n: -n for n in found})
    assert len(chosen) == DOCUMENTS and 99 in chosen
    assert {19, 18} <= chosen
