"""A claim of whole sentences, and of nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.ask.units import Unit
from affidavit.ask.verbatim import plain, whole_sentences

SENTENCES = (
    "Parental leave lasts sixteen weeks.",
    "Parental leave lasts sixteen weeks, unless the contract says otherwise.",
    "**Managers** approve it in [the portal](https://portal.example/leave).",
    "It is not paid in the first week.",
)
UNITS = [Unit(0, 100 * n, 100 * n + len(s), s, frozenset()) for n, s in enumerate(SENTENCES)]


def made(claim: str) -> list[int]:
    return [u.start // 100 for u in whole_sentences(claim, UNITS)]


@pytest.mark.parametrize(
    ("claim", "of"),
    [
        (SENTENCES[0], [0]),
        ("Parental  leave\nlasts sixteen weeks", [0]),
        (SENTENCES[1], [1]),
        ("- Managers approve it in the portal.", [2]),
        (f"{SENTENCES[3]} {SENTENCES[0]}", [3, 0]),
        (f"{SENTENCES[0]} {SENTENCES[1]} {SENTENCES[3]}", [0, 1, 3]),
    ],
)
def test_whole_sentences(claim: str, of: list[int]) -> None:
    assert made(claim) == of


@pytest.mark.parametrize(
    "claim",
    [
        "",
        ".",
        "Parental leave lasts",
        "Parental leave lasts sixteen weeks, unless the contract says",
        "It is paid in the first week.",
        "it is not paid in the first week.",
        "Parental leave lasts seventeen weeks.",
        "Parental leave lasts sixteen\u2060 weeks.",
        "Parental leave lasts sixteen weeks and It is not paid in the first week.",
        "Parental leave lasts sixteen weeks. It is",
        "Managers approve it in [the portal](https://evil.example/?q=leave) now.",
        "Hardly: Parental leave lasts sixteen weeks.",
        "Parental leave lasts sixteen weeksIt is not paid in the first week.",
        " ".join(SENTENCES[:1] * 13),
    ],
)
def test_anything_else(claim: str) -> None:
    assert made(claim) == []


@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4), st.data())
def test_one_word_changed_is_something_else(chosen: list[str], data: st.DataObject) -> None:
    words = plain(" ".join(chosen)).split()
    assert whole_sentences(" ".join(words), UNITS)
    at = data.draw(st.integers(0, len(words) - 1))
    other = data.draw(st.text("abcdefgh", min_size=1, max_size=5).filter(lambda w: w not in words))
    assert not whole_sentences(" ".join([*words[:at], other, *words[at + 1 :]]), UNITS)
    assert not whole_sentences(" ".join([*words[:at], other, *words[at:]]), UNITS)


@given(st.text(max_size=60))
def test_never_raises(claim: str) -> None:
    whole_sentences(claim, UNITS)


def test_sentences_that_begin_each_other_are_not_tried_in_every_order() -> None:
    """Whoever writes a document and a claim would keep the asker waiting for years."""
    units = [Unit(0, n, n + 1, " ".join(["yes"] * n) + ".", frozenset()) for n in range(3, 40)]
    assert whole_sentences(" ".join(["yes"] * 250) + " no", units) == []
    assert len(whole_sentences(" ".join(["yes"] * 250), units)) <= 12
