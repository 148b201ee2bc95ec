"""Claims are cut out of a growing answer exactly as they stand in the whole one, whatever the pieces it comes in."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from affidavit.ask.claims import parse_answer, parse_claim
from affidavit.ask.cutter import ClaimCutter
from affidavit.domain.errors import ModelError

LETTERS = st.text(st.sampled_from('ab"\\{}[],: \n\té€😀/u'), max_size=12)
CLAIM = st.fixed_dictionaries(
    {
        "text": LETTERS,
        "citations": st.lists(st.fixed_dictionaries({"passage": LETTERS, "quote": LETTERS}), max_size=3),
    }
)
ANSWER = st.fixed_dictionaries({"claims": st.lists(CLAIM, max_size=5)})
LAYOUT = st.sampled_from(
    [{"indent": None}, {"indent": 2}, {"indent": "\t"}, {"separators": (" ,\r\n", " : ")}]
)
SOUP = st.text(st.sampled_from('{}[]",:\\ \nclaimstexton1'), max_size=40)


def cut(pieces: list[str]) -> list[str]:
    cutter = ClaimCutter()
    return [claim for piece in pieces for claim in cutter.push(piece)]


def in_pieces(text: str, places: list[int]) -> list[str]:
    at = sorted({0, len(text), *(p % (len(text) + 1) for p in places)})
    return [text[a:b] for a, b in pairwise(at)]


@given(ANSWER, LAYOUT, st.booleans(), st.lists(st.integers(0, 10_000), max_size=20))
def test_of_a_whole_answer_exactly_its_claims_are_cut(
    answer: dict[str, Any], layout: dict[str, Any], ascii_only: bool, places: list[int]
) -> None:
    text = json.dumps(answer, ensure_ascii=ascii_only, **layout)
    claims = cut(in_pieces(text, places))
    assert [json.loads(c) for c in claims] == answer["claims"]
    assert tuple(parse_claim(c) for c in claims) == parse_answer(text)
    assert cut(list(text)) == claims == cut([text])


@given(ANSWER, SOUP, st.integers(0, 10_000), st.integers(0, 30), st.lists(st.integers(0, 10_000), max_size=8))
@example({"claims": []}, "{", 11, 0, [])
def test_of_a_spoilt_answer_only_its_first_claims_are_cut(
    answer: dict[str, Any], soup: str, where: int, gone: int, places: list[int]
) -> None:
    text = json.dumps(answer)
    at = where % (len(text) + 1)
    spoilt = text[:at] + soup + text[at + gone :]
    claims = cut(in_pieces(spoilt, places))
    assert claims == cut(list(spoilt))
    try:
        whole = parse_answer(spoilt)
    except ModelError:
        # whatever was cut stands in the text one after the other, and is well-bracketed
        end = -1
        for claim in claims:
            end = spoilt.index(claim, end + 1)
            assert claim[0] == "{" and claim[-1] in "}]"
    else:
        drafted = tuple(parse_claim(c) for c in claims)
        assert drafted == whole[: len(drafted)]


@given(SOUP, st.lists(st.integers(0, 100), max_size=8))
def test_of_anything_else_the_pieces_make_no_difference(soup: str, places: list[int]) -> None:
    assert cut(in_pieces(soup, places)) == cut([soup])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '```json\n{"claims": [{}]}',
        '{"other": [{}]}',
        '{"claims": {}}',
        '{"claims": [,{}]}',
        '{"claims": ["x", {}]}',
        '{"claims": [[{}]]}',
        '{"x": 1, "claims": [{}]}',
        '\ufeff{"claims": [{}]}',
        '\u00a0{"claims": [{}]}',
    ],
)
def test_what_does_not_begin_as_asked_is_not_cut(text: str) -> None:
    assert cut([text]) == cut(list(text)) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{"claims": [{}, {}', 2),
        ('{"claims": [{} {}]}', 1),
        ('{"claims": [{},, {}]}', 1),
        ('{"claims": [{}], "claims": [{}]}', 1),
        ('{"claims": [{}]} {"claims": [{}]}', 1),
        ('{"claims": [{"a": "}"}, {"b": "\\"}"}]}', 2),
        ('{"claims": [{"a": "\\\\"}, {"b": "{"}]}', 2),
        ('{"claims": [{"a": "never ends', 0),
    ],
)
def test_how_many(text: str, count: int) -> None:
    assert len(cut([text])) == len(cut(list(text))) == count


def test_nothing_is_cut_after_a_stop() -> None:
    cutter = ClaimCutter()
    assert cutter.push('{"claims": [{}') == ["{}"]
    cutter.stop()
    assert cutter.push(", {}]}") == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize("part", ["[", "{", '"', "\\", '\\"', " ", "x", '{"'])
def test_no_text_makes_it_slow(part: str) -> None:
    text = '{"claims": [{"text": ' + part * 200_000
    cutter = ClaimCutter()
    for n in range(0, len(text), 50):
        cutter.push(text[n : n + 50])
