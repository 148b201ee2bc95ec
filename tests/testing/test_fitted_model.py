"""What a fitted model is made of; that it answers is seen in ``tests/journeys/test_fitted_answers.py``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.testing.fitted_model import _pieces, write_fitted_model

ANSWERS = st.lists(st.text("ab{}", min_size=1, max_size=60), min_size=1, max_size=4, unique=True)


@given(ANSWERS)
def test_pieces_make_up_the_answers_and_each_occurs_once(answers: list[str]) -> None:
    try:
        rows = _pieces(answers)
    except ValueError:
        return
    assert ["".join(row) for row in rows] == answers
    pieces = list(chain(*rows))
    assert len(set(pieces)) == len(pieces)


def test_answers_that_begin_alike_can_be_told_apart() -> None:
    rows = _pieces(['{"claims": [{"text": "One."}]}', '{"claims": [{"text": "Two."}]}'])
    assert rows[0][0] != rows[1][0]
    assert rows[0][0] == '{"claims":'


@pytest.mark.parametrize("answers", [{"a?": "same", "b?": "same"}, {"a?": ""}])
def test_answers_that_cannot_be_told_apart_are_refused(tmp_path: Path, answers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="too much alike"):
        write_fitted_model(tmp_path / "model.gguf", answers)
