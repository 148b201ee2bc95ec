"""Words and sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.text.analyze import terms
from affidavit.text.sentences import sentences


def test_stems_and_stop_words() -> None:
    assert terms("The policies of leaving") == terms("policy leave")
    assert terms("the of and") == []
    assert terms("the of and", stopwords=True) == ["the", "of", "and"]


@pytest.mark.parametrize(
    "identifier", ["ERR-4032", "foo_bar", "OPS-1182", "billing.invoice", "v2.3.1", "a/b_c"]
)
def test_identifiers_are_found_whole_and_in_parts(identifier: str) -> None:
    found = terms(f"See {identifier}, please.")
    whole = terms(identifier)[0]
    assert whole.startswith("=")
    assert whole in found
    assert terms(identifier.lower())[0] == whole
    for part in terms(identifier)[1:]:
        assert part in found


def test_camel_case_is_split_too() -> None:
    assert set(terms("retryBudget HTTPServer")) >= {"retrybudget", "retri", "budget", "http", "server"}


def test_text_without_spaces_becomes_bigrams() -> None:
    assert terms("数据库")[:2] == ["数据", "据库"]
    assert set(terms("霜眼")) <= set(terms("产品霜眼传感器"))


def test_full_width_and_composed_forms_are_one() -> None:
    assert terms("ＡＢＣ") == terms("abc")
    assert terms("cafe\u0301") == terms("café")


@given(st.text())
def test_any_text_can_be_analysed(text: str) -> None:
    assert all(term and len(term) <= 70 for term in terms(text, stopwords=True))
    assert terms(text) == terms(text)


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_sentences_are_slices_in_order_that_lose_no_word(text: str, a: int, b: int) -> None:
    start, end = sorted((min(a, len(text)), min(b, len(text))))
    spans = sentences(text, start, end)
    position = start
    for left, right in spans:
        assert position <= left < right <= end
        assert not text[position:left].strip()
        assert text[left:right] == text[left:right].strip()
        position = right
    assert not text[position:end].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("See e.g. Smith et al. for this. Next.", ["See e.g. Smith et al. for this.", "Next."]),
        ("It is 2.5 m. J. Doe agrees.", ["It is 2.5 m.", "J. Doe agrees."]),
        ("- one\n- two\n  more", ["- one", "- two\n  more"]),
        ("甲。乙！", ["甲。", "乙！"]),
        ("A\n\nB", ["A", "B"]),
    ],
)
def test_sentence_ends(text: str, expected: list[str]) -> None:
    assert [text[a:b] for a, b in sentences(text)] == expected
