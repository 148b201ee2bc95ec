"""Estimates before a call, and what is made of the provider's count after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.canonical import canonical
from affidavit.models.prices import MOST_TOKENS, Target
from affidavit.models.usage import Counted, charge, counted, expected
from affidavit.ports.model import ChatRequest, Message, ToolCall, ToolSpec, Usage
from affidavit.ports.prices import Rates

GUESS = Usage(1_000, 300, 0)
RATES = Rates(1_000_000, 2_000_000, 500_000, source="test")


def test_everything_that_is_sent_is_estimated() -> None:
    message = Message("user", "how?")
    plain = expected(ChatRequest((message,), 50, 1.0))
    assert (plain.input, plain.output) == (32 + 8 + 4, 50)
    called = Message("assistant", "", (ToolCall("1", "find", '{"a": 1}'),))
    tool = ToolSpec("find", "finds", {"type": "object"})
    more = expected(ChatRequest((message, called), 50, 1.0, schema={"type": "string"}, tools=(tool,)))
    assert more.input == plain.input + 8 + 4 + 8 + (8 + 4 + 5 + 18) + 18


def test_without_a_tokenizer_bytes_are_counted() -> None:
    chinese = expected(ChatRequest((Message("user", "年假"),), 1, 1.0))
    assert chinese.input == 40 + 6
    assert expected(ChatRequest((Message("user", "年假"),), 1, 1.0), len).input == 40 + 2


@pytest.mark.parametrize(
    ("usage", "produced", "result"),
    [
        (Usage(900, 120, 100), 130, Counted(900, 120, 100)),
        (Usage(900, 120), 130, Counted(900, 120, 0)),
        (Usage(900, 0, 0), -1, Counted(900, 0, 0)),
        (Usage(), 130, Counted(1_000, 130, 0, "missing")),
        (Usage(), -1, Counted(1_000, 300, 0, "missing")),
        (Usage(900), 130, Counted(900, 130, 0, "missing")),
        (Usage(-1, 20), 130, Counted(1_000, 20, 0, "missing")),
        (Usage(-7, 120, 0), 130, Counted(1_000, 130, 0, "implausible")),
        (Usage(900, 120, 901), 130, Counted(1_000, 130, 0, "implausible")),
        (Usage(900, 10**9, 0), -1, Counted(1_000, 300, 0, "implausible")),
        (Usage(50_000, 120, 0), 130, Counted(1_000, 130, 0, "implausible")),
        (Usage(900, 5_000, 0), 130, Counted(1_000, 130, 0, "implausible")),
        (Usage("900", 1.5, None), 130, Counted(1_000, 130, 0, "implausible")),  # type: ignore[arg-type]
        (None, -1, Counted(1_000, 0, 0, "unanswered")),
    ],
)
def test_a_count_that_cannot_be_is_replaced_and_flagged(
    usage: Usage | None, produced: int, result: Counted
) -> None:
    assert counted(usage, GUESS, produced) == result


def test_a_count_that_is_far_too_low_is_not_believed() -> None:
    guess = Usage(100_000, 4_000, 0)
    assert counted(Usage(0, 10, 0), guess, 10).flag == "implausible"
    assert counted(Usage(50_000, 0, 0), guess, 20_000).output == 20_000
    assert (
        counted(Usage(0, 0, 0), GUESS).flag == ""
    )  # a short prompt: the estimate itself may be that much too high


_NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.integers(-3, 2_000))


@given(_NUMBERS, _NUMBERS, _NUMBERS, st.integers(-1, 5_000))
def test_whatever_a_provider_says_the_charge_is_bounded_and_can_be_recorded(
    fresh: int, output: int, cached: int, produced: int
) -> None:
    used = counted(Usage(fresh, output, cached), GUESS, produced)
    assert 0 <= used.cached <= used.input <= 5_000
    assert 0 <= used.output <= 5_000
    canonical(charge("answer", Target("acme", "big"), used, RATES, "USD").as_json())


def test_a_charge_can_be_multiplied_again() -> None:
    said = charge("answer", Target("acme", "big"), Counted(1_000, 100, 400), RATES, "USD").as_json()
    rates = said["rates"]
    assert isinstance(rates, dict)
    assert (
        said["micro"]
        == (600 * rates["input"] + 400 * rates["cached"] + 100 * rates["output"]) // 10**6
        == 1_000
    )


def test_the_largest_charge_can_be_recorded() -> None:
    used = Counted(MOST_TOKENS, MOST_TOKENS, 0)
    canonical(
        charge("answer", Target("a", "b"), used, Rates(10**12, 10**12, 10**12, 10**12), "USD").as_json()
    )


def test_a_local_model_is_free_and_an_unknown_one_is_not() -> None:
    used = Counted(10, 10, 0)
    assert charge("answer", Target("acme", "big"), used, None, "USD").as_json()["micro"] is None
    assert charge("answer", Target("here", "tiny", local=True), used, None, "USD").as_json()["micro"] == 0
