"""Two texts side by side: what is only in one of them is marked, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from affidavit.entrypoints.console.wording import compared


def test_words_that_changed_are_marked() -> None:
    left, right = compared("It is 25 days a year.", "It is 30 days a year.")
    assert left == [("same", "It is "), ("gone", "25 "), ("same", "days a year.")]
    assert right == [("same", "It is "), ("new", "30 "), ("same", "days a year.")]


def test_texts_that_have_nothing_in_common_are_marked_whole() -> None:
    left, right = compared("I found nothing.", "The bonus is 15 percent of the salary.")
    assert [kind for kind, _ in left] == ["gone"]
    assert [kind for kind, _ in right] == ["new"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_stretches_are_the_texts(before: str, after: str) -> None:
    left, right = compared(before, after)
    assert "".join(text for _, text in left) == before
    assert "".join(text for _, text in right) == after
    assert (
        all(kind == "same" for kind, _ in left) == (before == after)
        or not before
        or not after
        or before in after
    )
