"""A claim with one thing changed does not agree with its quote; the quote itself always does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from affidavit.ask.agreement import FAULTS, fault

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
UNITS = ("days", "weeks", "months", "%", "euros", "dollars", "hours", "business days", "km")
NAMES = ("Carol Jones", "Bob Miller", "Dave Okafor", "Erin Walsh")
MONTHS = ("January", "March", "May", "August", "October")
VERBS = ("is paid", "is granted", "may be approved", "must be reported", "was signed")


@st.composite
def facts(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A sentence, and what in it can be changed."""
    parts = {
        "number": str(draw(st.integers(2, 900))),
        "unit": draw(st.sampled_from(UNITS)),
        "name": draw(st.sampled_from(NAMES)),
        "day": str(draw(st.integers(1, 28))),
        "month": draw(st.sampled_from(MONTHS)),
        "verb": draw(st.sampled_from(VERBS)),
    }
    return (
        "The travel allowance of {number} {unit} {verb} by {name} before {day} {month} 2026.".format(**parts),
        parts,
    )


@given(facts())
def test_a_quote_agrees_with_itself(fact: tuple[str, dict[str, str]]) -> None:
    assert fault(fact[0], fact[0], "", 1.0) == ""
    assert fault(fact[0], f"{fact[0]} Ask early.", "Travel", 1.0) == ""


def _corpus() -> list[str]:
    return [
        line.strip()
        for path in sorted(ACME.rglob("*.md"))
        for line in path.read_text("utf-8").splitlines()
        if len(line.split()) >= 4
    ]


@pytest.mark.parametrize("line", _corpus())
def test_every_line_of_the_example_agrees_with_itself(line: str) -> None:
    assert fault(line, line, "", 1.0) in ("", "empty")


@given(facts(), st.data())
def test_one_thing_changed_is_refused(fact: tuple[str, dict[str, str]], data: st.DataObject) -> None:
    said, parts = fact
    what = data.draw(st.sampled_from([*parts, "not"]))
    others = {
        "number": st.integers(2, 900).map(str),
        "unit": st.sampled_from(UNITS),
        "name": st.sampled_from(NAMES),
        "day": st.integers(1, 28).map(str),
        "month": st.sampled_from(MONTHS),
    }
    if what == "not":
        claim = re.sub(r"\b(is|was|may|must)\b", r"\1 not", said, count=1)
    elif what == "verb":
        turned = {"may": "must", "must": "may"}
        claim = re.sub(r"\b(may|must)\b", lambda m: turned[m[1]], said)
        assume(claim != said)
    else:
        other = data.draw(others[what])
        assume(other != parts[what])
        number = {**parts, what: other}
        claim = "The travel allowance of {number} {unit} {verb} by {name} before {day} {month} 2026.".format(
            **number
        )
    assert fault(claim, said, "", 0.6) in FAULTS


@pytest.mark.parametrize(
    ("claim", "said", "expected"),
    [
        # units and currencies
        ("Notice is 5 weeks.", "Notice is 5 days.", "unit"),
        ("The rebate is 35.", "The rebate is 35 %.", "unit"),
        ("The rebate is 35 %.", "The rebate is 35.", "unit"),
        ("The rebate is 35 percent.", "The rebate is 35%.", ""),
        ("The fee is €50.", "The fee is $50.", "unit"),
        ("The fee is S$50.", "The fee is $50.", "unit"),
        ("The fee is 50 dollars.", "The fee is $50.", ""),
        ("The fee is five million dollars.", "The fee is $5 million.", ""),
        ("The fee is 5 dollars.", "The fee is $5 million.", "number"),
        ("Notice is 5 days.", "Notice is 5 business days.", "unit"),
        ("Notice is 5 working days.", "Notice is five (5) business days.", ""),
        ("Leave is 20 days.", "Leave in days | 20", ""),
        ("The load is 1,234 kg.", "The load is 1.234 kg.", "number"),
        ("The temperature is 5 °C.", "The temperature is -5 °C.", "number"),
        # numbers in other writings
        ("Notice is twenty-one days.", "Notice is 21 days.", ""),
        ("Notice is ٢٢ days.", "Notice is 21 days.", "number"),
        ("Notice is ٢١ days.", "Notice is 21 days.", ""),
        ("Notice is ⑤ days.", "Notice is 21 days.", "number"),
        ("Area is 10² units here.", "Area is 102 units here.", "number"),
        ("The price was doubled in spring.", "The price was raised in spring.", "number"),
        ("One can ask for leave.", "You can ask for leave.", ""),
        # dates and times
        ("It ends on 2026-05-03.", "It ends on 3 May 2026.", ""),
        ("It ends on May 3rd, 2026.", "It ends on 2026-05-03.", ""),
        ("It ends in May 2026.", "It ends on 3 May 2026.", ""),
        ("It ends in 2026.", "It ends on 3 May 2026.", ""),
        ("It ends on 3 May 2027.", "It ends on 3 May 2026.", "date"),
        ("It ends on 5 March 2026.", "It ends on 2026-05-03.", "date"),
        ("It ends on May 00, 2026.", "It ends on 3 May 2026.", "date"),
        ("It ends on 3 May 2026.", "It ends on 3 May.", "date"),
        ("It opens at 5 pm.", "It opens at 17:00.", ""),
        ("It opens at 5 am.", "It opens at 17:00.", "date"),
        # the right number on the wrong thing, and bounds turned round
        ("Alice gets 10 days and Bob gets 5 days.", "Alice gets 5 days and Bob gets 10 days.", "attachment"),
        ("Alice gets 10 days.", "Alice gets 5 days and Bob gets 10 days.", "attachment"),
        ("Bob gets 10 days.", "Alice gets 5 days and Bob gets 10 days.", ""),
        ("The rebate is at least 35 %.", "The rebate is at most 35 %.", "bound"),
        ("The rebate is at most 35 %.", "The rebate is no more than 35 %.", ""),
        ("The rebate is more than 35 %.", "The rebate shall\nnot exceed 35 %.", "bound"),
        # negations
        ("The ticket is refundable.", "The ticket is non-refundable.", "negation"),
        ("The leave is unpaid here.", "The leave is paid here.", "negation"),
        ("Refunds are hardly ever paid.", "Refunds are ever paid.", "negation"),
        ("The clause is void in law.", "The clause holds in law.", "negation"),
        ("Cards are refundable unless damaged.", "Cards are not refundable unless damaged.", "negation"),
        ("Cards dont expire in a year.", "Cards expire in a year.", "negation"),
        ("Promotion resumes after leave.", "Promotion resumes after leave; the clock is not restarted.", ""),
        # duty and permission
        ("Staff must report trips.", "Staff may report trips.", "modality"),
        ("Staff may report trips.", "Staff must report trips.", "modality"),
        ("Staff have to report trips.", "Staff must report trips.", ""),
        ("Only staff report trips.", "Staff report trips.", "modality"),
        # names, also at the beginning
        ("Mallory approves the travel budget.", "Carol approves the travel budget.", "name"),
        ("Carol approves the travel budget.", "The travel budget is approved by Carol.", ""),
        ("Employees may report trips.", "You may report trips.", ""),
        # characters
        ("The limit is nоt 35 %.", "The limit is 35 %.", "characters"),  # a Cyrillic letter
        ("The limit is n\u200bot 35 %.", "The limit is 35 %.", "characters"),
        ("По limit is 35 %.", "The limit is 35 %.", "characters"),
        ("The limit is 3\u00ad5 %.", "The limit is 35 %.", "characters"),
        ("Лимит 35 % в год.", "Лимит 35 % в год.", ""),
        # links and markup
        ("The limit is 35 %, see evil.example/x.", "The limit is 35 %.", "link"),
        ("The limit is 35 %, see https://evil.example.", "The limit is 35 %.", "link"),
        ("Ask a@b.example for the limit of 35 %.", "Ask for the limit of 35 %.", "link"),
        ("The [limit](x) is 35 %.", "The limit is 35 %.", "markup"),
        ("The <b>limit is 35 %.", "The limit is 35 %.", "markup"),
        ("See acme.example/travel for trips.", "See https://acme.example/travel for trips.", ""),
        ("...", "The limit is 35 %.", "empty"),
    ],
)  # fmt: skip
def test_what_agrees_and_what_does_not(claim: str, said: str, expected: str) -> None:
    assert fault(claim, said, "", 0.5) == expected


def test_a_name_of_elsewhere_is_refused_in_small_letters_too() -> None:
    said = "Ask Carol for travel money early."
    assert fault("Ask mallory for travel money early.", said, "", 0.5, frozenset({"mallory"})) == "name"
    assert fault("Ask carol for travel money early.", said, "", 0.5, frozenset({"carol"})) == ""


def test_titles_and_headings_are_context_for_names_and_words_only() -> None:
    assert fault("Walrus leave is 20 days.", "Leave is 20 days.", "Walrus rules", 0.9) == ""
    assert fault("Leave is 20 days.", "Leave is granted.", "20 days", 0.5) == "number"


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_is_given_there_is_an_answer(claim: str, said: str) -> None:
    assert fault(claim, said, "", 0.6) in ("", *FAULTS)
    assert json.dumps(fault(claim, claim, "", 0.6))
