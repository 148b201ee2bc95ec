"""What will be spent by the end of a period, if the rest of it is like what has passed."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

FEWEST_CALLS = 10
EARLIEST = 20
"""Before a twentieth of the period has passed, or so many calls were made, nothing is forecast."""


@dataclass(frozen=True)
class Forecast:
    """Whole units: what to expect, and the range in which about 19 of 20 outcomes lie if calls come independently at an
    even rate. Bundled calls, week-ends and month-ends make the true range wider."""

    expected: int
    low: int
    high: int


def forecast(spent: int, calls: int, squares: int, begin: int, end: int, now: int) -> Forecast | None:
    """The period from ``begin`` to ``end`` as seen at ``now`` (all in one unit of time); None: too early to say.

    ``squares`` is the sum of each call's cost squared, in thousandths of a unit. The spending is taken for a compound Poisson
    process: the rest is spent/elapsed per time, with the variance of the calls to come and of the rate that was estimated.
    """
    passed, whole = now - begin, end - begin
    if calls < FEWEST_CALLS or passed * EARLIEST < whole or passed >= whole:
        return None
    expected = spent * whole // passed
    spread = 2 * isqrt(squares * (whole - passed) * whole // passed**2) * 1_000
    return Forecast(expected, max(spent, expected - spread), expected + spread)
