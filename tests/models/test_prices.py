"""What a call costs: exact, dated, declared before published, and nothing where no price is known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UsageError
from affidavit.models.prices import MOST_TOKENS, Money, Overrides, load, micro, price, rates_for, told
from affidavit.ports.model import Usage
from affidavit.ports.prices import Rates, Tier


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * MICROSECONDS


NOW = at("2026-11-21")
USAGE = Usage(1_000, 200, 0)


class Listed:
    """A published list with one model."""

    def rates(self, provider: str, model: str, at: int) -> Rates | None:
        if (provider, model) != ("acme", "big"):
            return None
        return Rates(2_000_000, 8_000_000, 500_000, source="list/1")


def row(**more: Any) -> dict[str, Any]:
    return {"provider": "acme", "model": "big", "input": "1", "output": "3", **more}


@given(st.integers(0, 10**15 - 1))
def test_amounts_are_read_as_they_are_told(amount: int) -> None:
    assert micro(told(amount)) == amount


@pytest.mark.parametrize(
    "wrong", [0.15, 1, "", "1,5", "-1", "1.1234567", "1e3", "٣", " 1", "1\n", None, "9999999999"]
)
def test_what_is_no_amount(wrong: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        micro(wrong)


@given(
    st.integers(0, MOST_TOKENS),
    st.integers(0, MOST_TOKENS),
    st.integers(0, 100),
    st.tuples(*[st.integers(0, 10**9)] * 4),
)
def test_a_cost_is_the_exact_product_rounded_up(
    fresh: int, output: int, share: int, rates: tuple[int, int, int, int]
) -> None:
    cached = fresh * share // 100
    exact = Fraction((fresh - cached) * rates[0] + output * rates[1] + cached * rates[2], 10**6)
    assert Rates(*rates).cost(fresh, output, cached) == ceil(exact) + rates[3]


def test_a_tier_is_for_the_whole_call() -> None:
    rates = Rates(1_000_000, 2_000_000, 500_000, 7, (Tier(100, 10_000_000, 20_000_000, 5_000_000),))
    assert rates.cost(100, 10, 0) == 100 + 20 + 7
    assert rates.cost(101, 10, 0) == 1010 + 200 + 7


def test_a_declared_price_goes_before_a_published_one() -> None:
    assert price("big", "acme", USAGE, NOW, listed=Listed()) == Money(3_600, "USD")
    assert price("big", "acme", USAGE, NOW, load({"price": [row()]}), Listed()) == Money(1_600, "USD")


def test_no_price_is_not_zero() -> None:
    assert price("other", "acme", USAGE, NOW, Overrides(), Listed()) is None
    assert price("big", "acme", USAGE, NOW) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(-5, 3, 0),
        Usage(10, MOST_TOKENS + 1, 0),
        Usage(10, 10, 11),
        Usage(10, True, 0),
        Usage(10, 10, -2),
    ],
)
def test_usage_that_cannot_be_has_no_price(usage: Usage) -> None:
    assert price("big", "acme", usage, NOW, listed=Listed()) is None


def test_prices_have_dates() -> None:
    table = load(
        {
            "price": [
                row(),
                row(input="5", **{"from": date(2026, 7, 1)}),
                row(input="9", **{"from": "2027-01-01"}),
            ]
        }
    )
    found = [
        table.rates("acme", "big", at(day))
        for day in ("2026-06-30", "2026-07-01", "2026-12-31", "2027-01-01")
    ]
    assert [r.input if r else None for r in found] == [1_000_000, 5_000_000, 5_000_000, 9_000_000]


def test_the_row_that_says_most_wins() -> None:
    table = load(
        {
            "price": [
                row(model="big", input="1"),
                row(model="b*", input="2"),
                row(model="*", provider="*", input="3"),
            ]
        }
    )
    wanted = [("acme", "big", 1), ("acme", "bigger", 2), ("other", "big", 3)]
    for provider, model, expected in wanted:
        found = table.rates(provider, model, NOW)
        assert found is not None
        assert found.input == expected * 10**6


def test_another_currency() -> None:
    euro = load({"currency": "EUR", "usd": "0.9", "price": [row(model="mine")]})
    assert price("big", "acme", USAGE, NOW, euro, Listed()) == Money(3_240, "EUR")
    assert price("mine", "acme", USAGE, NOW, euro, Listed()) == Money(1_600, "EUR")
    without_rate = load({"currency": "EUR"})
    assert rates_for("big", "acme", NOW, without_rate, Listed()) is None


def test_time_of_this_machine() -> None:
    hourly = load({"hour": "0.36"})
    assert hourly.time(10 * MICROSECONDS) == 1_000
    assert hourly.time(1) == 1
    assert Overrides().time(10**12) == 0


@pytest.mark.parametrize(
    "content",
    [
        {"price": [row(input=0.15)]},
        {"price": [row(input="2000000.1")]},
        {"price": [row(extra="1")]},
        {"price": [{"provider": "acme", "model": "x", "input": "1"}]},
        {"price": [row(provider="")]},
        {"price": [row(**{"from": "soon"})]},
        {"price": {"a": 1}},
        {"price": [1]},
        {"currency": "usd"},
        {"currency": ["USD"]},
        {"usd": "1"},
        {"hour": 1},
        {"unknown": "1"},
    ],
)
def test_a_malformed_table_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="malformed"):
        load(content)


def test_the_digest_is_the_contents() -> None:
    one, other = load({"price": [row()]}), load({"price": [row(output="3.01")]})
    assert one.digest != other.digest
    assert (
        load({"price": [row(**{"from": date(2026, 7, 1)})]}).digest
        == load({"price": [row(**{"from": "2026-07-01"})]}).digest
    )
