"""A forecast is as honest as it says."""

from __future__ import annotations

import random

import pytest

from affidavit.domain.forecast import FEWEST_CALLS, forecast

END = 30_000


def test_the_rest_is_like_what_has_passed() -> None:
    found = forecast(10_000_000, 100, 100 * 100**2, 0, END, 10_000)
    assert found is not None
    assert found.expected == 30_000_000
    assert found.low < found.expected < found.high
    assert found.expected - found.low == found.high - found.expected


def test_the_range_closes_towards_the_end_and_never_falls_below_what_was_spent() -> None:
    widths = []
    for now in (3_000, 15_000, 29_999):
        found = forecast(10_000_000, 100, 100 * 100**2, 0, END, now)
        assert found is not None
        assert found.low >= 10_000_000
        widths.append(found.high - found.expected)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("calls", "now"),
    [(FEWEST_CALLS - 1, 15_000), (100, END // 20 - 1), (100, END), (100, END + 5), (100, 0), (100, -5)],
)
def test_too_early_or_too_late_to_say(calls: int, now: int) -> None:
    assert forecast(10_000_000, calls, 10**6, 0, END, now) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_nineteen_of_twenty_outcomes_lie_in_the_range(share: float) -> None:
    """Calls at random moments with costs that differ by a factor of 100."""
    chance, inside, said = random.Random(int(share * 100)), 0, 0
    for _ in range(400):
        calls = [
            (chance.random(), int(10 ** chance.uniform(3, 5)) * 10)
            for _ in range(max(0, round(chance.gauss(400, 20))))
        ]
        past = [cost for at, cost in calls if at <= share]
        squares = sum((-(-cost // 1_000)) ** 2 for cost in past)
        found = forecast(sum(past), len(past), squares, 0, END, int(share * END))
        if found is not None:
            said += 1
            inside += found.low <= sum(cost for _, cost in calls) <= found.high
    assert said == 400
    assert 0.92 <= inside / said <= 0.985
