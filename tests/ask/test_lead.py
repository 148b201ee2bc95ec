"""Questions that say where to look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import affidavit
from affidavit.app.calibrating import weigh
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


def test_how_surely_an_opening_is_found_is_weighed_up_to_a_point(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path], tmp_path: Path
) -> None:
    """A contract that has most of the names counts as found; how many more it has says nothing about what is asked of it."""
    names = {"ada": "Ada Hill Inc.", "bob": "Bob Lake LLC", "cyd": "Cyd Moor plc", "dan": "Dan Reed AG"}
    files: dict[str, str | bytes] = {
        f"{n}.md": f"# Lease of {name}\n\nThe tenant pays for repairs.\n" for n, name in names.items()
    }
    (tmp_path / "p.jsonl").write_text('{"id": "alice"}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    workspace.add_source("folder", write_folder({"access.toml": 'allow = ["anyone"]', **files}), "docs")
    workspace.sync()

    def features(question: str) -> tuple[float, float]:
        found = weigh(workspace, workspace.question(question, "alice"), workspace.parts.release())
        return found["opening"], found["lead"]

    assert features("Who pays for repairs?") == (0.0, 1.0)
    assert features("In the lease of Ada Hill Inc.: who pays for repairs?") == (1.0, 1.0)
    assert 0 < features("In the lease of Ada Lake of Basel and Bern: who pays for repairs?")[1] < 1
    opening, lead = features("In the charter of Zoe Quill GmbH with Xaver Ypsilon: who pays for repairs?")
    assert (opening, lead) == (1.0, 0.0)
