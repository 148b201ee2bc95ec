"""Claims of a model: only what its citations carry stands."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.ask.claims import (
    check_answer,
    check_claim,
    locate,
    parse_answer,
)
from affidavit.ask.drafts import Checked, Drafted
from affidavit.ask.quantities import quantities, same_value
from affidavit.ask.retrieve import Passage
from affidavit.domain.errors import ModelError
from affidavit.domain.release import VERBATIM

TEXT = (
    "# Discounts\n\nThe discount limit for enterprise customers is 35 % with written approval from the CFO.\n"
    "Discounts above 1,000 euros are not\nrefundable. Ask Carol Jones by 3 May 2026."
)


def passage(text: str = TEXT, start: int = 100) -> Passage:
    """A passage that stands in the middle of a document."""
    view = SimpleNamespace(
        start=start, stop=start + len(text), title="Discount rules", path=("Finance",), kind="prose"
    )
    return cast(Passage, SimpleNamespace(view=view, text=text))


PASSAGES = {"P1": passage(), "P2": passage("Leave is 20 days a year for everybody.", 7)}
LIMIT = "The discount limit for enterprise customers is 35 %"


def fault(text: str, *citations: tuple[str, str], coverage: float = 0.6) -> str:
    return check_claim(Drafted(text, citations), PASSAGES, list(PASSAGES), coverage).fault


def test_a_claim_that_its_quote_carries_stands_and_is_located() -> None:
    checked = check_claim(
        Drafted("Enterprise customers get at most a 35 % discount.", (("P1", LIMIT),)),
        PASSAGES,
        list(PASSAGES),
        0.6,
    )
    assert checked.fault == ""
    (quoted,) = checked.quotes
    assert quoted.quote == LIMIT
    assert TEXT[quoted.start - 100 : quoted.end - 100] == LIMIT
    assert quoted.passage == 0


@pytest.mark.parametrize(
    ("text", "citations", "expected"),
    [
        ("The limit is 35 %.", [], "uncited"),
        (" ", [("P1", LIMIT)], "empty"),
        ("The limit is 35 %.", [("P9", LIMIT)], "unknown_passage"),
        ("The discount limit is 35 %.", [("P2", LIMIT)], "quote_not_there"),
        ("The discount limit is 35 %.", [("P1", LIMIT.replace("35", "45"))], "quote_not_there"),
        ("The discount limit is 35 %.", [("P1", "is 35")], "quote_not_there"),
        ("The discount limit for enterprise customers is 45 %.", [("P1", LIMIT)], "number"),
        ("The discount limit for enterprise customers is forty or 35 %.", [("P1", LIMIT)], "number"),
        ("The discount limit for five enterprise customers is 35 %.", [("P1", LIMIT)], "number"),
        ("The discount limit for enterprise customers is not 35 %.", [("P1", LIMIT)], "negation"),
        ("Discounts above 1,000 euros are refundable.", [("P1", "Discounts above 1,000 euros are not refundable.")], "negation"),
        ("Discounts above 1000 euros are not refundable.", [("P1", "Discounts above 1,000 euros are not refundable.")], ""),
        ("For the limit ask Mallory Smith by 3 May 2026.", [("P1", "Ask Carol Jones by 3 May 2026.")], "name"),
        ("Ask Carol Jones by 4 May 2026.", [("P1", "Ask Carol Jones by 3 May 2026.")], "date"),
        ("Ask Carol Jones by 3 June 2026.", [("P1", "Ask Carol Jones by 3 May 2026.")], "date"),
        ("The moon is made of green cheese, says finance.", [("P1", LIMIT)], "words"),
    ],
)  # fmt: skip
def test_what_its_citations_do_not_carry_falls(
    text: str, citations: list[tuple[str, str]], expected: str
) -> None:
    assert fault(text, *citations) == expected


def test_white_space_may_differ_and_nothing_else() -> None:
    found = locate("above 1,000 euros are not refundable.", PASSAGES["P1"])
    assert found is not None
    assert TEXT[found[0] - 100 : found[1] - 100] == "above 1,000 euros are not\nrefundable."
    assert locate("Above 1,000 euros are not refundable.", PASSAGES["P1"]) is None
    assert locate("", PASSAGES["P1"]) is None
    assert locate("Yes.", passage("Yes.")) == (100, 104)


@given(st.data())
def test_whatever_is_located_is_a_slice_of_the_text(data: Any) -> None:
    start = data.draw(st.integers(0, len(TEXT)))
    end = data.draw(st.integers(start, len(TEXT)))
    found = locate(TEXT[start:end], passage())
    if found is not None:
        assert TEXT[found[0] - 100 : found[1] - 100].split() == TEXT[start:end].split()


@given(
    st.text(max_size=60),
    st.lists(st.tuples(st.sampled_from(["P1", "P2", "P3"]), st.text(max_size=40)), max_size=3),
)
def test_nonsense_never_stands(text: str, citations: list[tuple[str, str]]) -> None:
    checked = check_claim(Drafted(text, tuple(citations)), PASSAGES, list(PASSAGES), 0.6)
    if not checked.fault:
        said = quantities(" ".join(q.quote for q in checked.quotes))
        assert all(any(same_value(mine, its) for its in said) for mine in quantities(text))


def test_a_judge_can_only_take_away() -> None:
    good = Drafted("Enterprise customers get at most a 35 % discount.", (("P1", LIMIT),))
    bad = Drafted("The limit is 45 %.", (("P1", LIMIT),))
    seen = []

    def judge(pairs: Any) -> list[bool]:
        seen.extend(pairs)
        return [False] * len(pairs)

    assert [c.fault for c in check_answer([good, bad], PASSAGES, 0.6, judge)] == [
        "judged_unsupported",
        "number",
    ]
    assert len(seen) == 1
    assert [c.fault for c in check_answer([good, bad], PASSAGES, 0.6, lambda p: [True] * len(p))] == [
        "",
        "number",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "[]", "{}", '{"claims": {}}', '{"claims": [], "claims": []}', '{"claims": [], "more": 1}',
        '{"claims": [{"text": "a"}]}', '{"claims": [{"text": 1, "citations": []}]}',
        '{"claims": [{"text": "a", "citations": [{"passage": "P1"}]}]}', "[" * 100_000,
        json.dumps({"claims": [{"text": "x" * 1201, "citations": []}]}),
        json.dumps({"claims": [{"text": "x", "citations": []}] * 13}),
        '{"claims": [{"text": "a", "citations": [["P1", "q"]]}]}', '{"claims": NaN}',
    ],
)  # fmt: skip
def test_an_answer_of_another_form_is_a_schema_error(text: str) -> None:
    with pytest.raises(ModelError) as error:
        parse_answer(text)
    assert error.value.kind == "schema"


def test_an_answer_of_the_form_asked_for() -> None:
    said = {"claims": [{"text": "a b c", "citations": [{"passage": "P1", "quote": "q"}]}]}
    assert parse_answer(json.dumps(said)) == (Drafted("a b c", (("P1", "q"),)),)
    assert parse_answer('{"claims": []}') == ()


WHOLE = "The discount limit for enterprise customers is 35 % with written approval from the CFO."


def verbatim(text: str, *citations: tuple[str, str]) -> Checked:
    return check_claim(Drafted(text, citations), PASSAGES, list(PASSAGES), 0.6, VERBATIM)


def test_a_whole_sentence_is_given_as_the_document_has_it_and_cited_whole() -> None:
    checked = verbatim(WHOLE.replace(" limit", "  limit").rstrip("."), ("P1", WHOLE[:60]))
    assert checked.fault == ""
    assert checked.text == WHOLE
    (quoted,) = checked.quotes
    assert TEXT[quoted.start - 100 : quoted.end - 100] == WHOLE


@pytest.mark.parametrize(
    ("text", "citations"),
    [
        (LIMIT, (("P1", LIMIT),)),  # its condition is left out
        (WHOLE, (("P1", "discount limit for"),)),  # hardly quoted
        (WHOLE, (("P2", "Leave is 20 days a year"),)),  # of another passage
        ("Enterprise customers get at most a 35 % discount.", (("P1", LIMIT),)),
        (WHOLE + " Leave is 20 days a year for everybody.", (("P1", WHOLE),)),
    ],
)
def test_verbatim_is_nothing_less(text: str, citations: tuple[tuple[str, str], ...]) -> None:
    assert verbatim(text, *citations).fault == "wording"
