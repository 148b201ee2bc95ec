"""One latency budget for a whole question: every step takes from it, and later steps see what is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """``until`` is a moment of ``now``, a clock in seconds that never goes back and means nothing outside this process."""

    until: float
    now: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, now: Callable[[], float] = time.monotonic) -> Deadline:
        """So many seconds from now on."""
        return cls(now() + seconds, now)

    @property
    def left(self) -> float:
        """Seconds, 0 once it has passed."""
        return max(0.0, self.until - self.now())

    def within(self, seconds: float) -> Deadline:
        """For one step: no later than this, and no more than ``seconds`` from now on."""
        return Deadline(min(self.until, self.now() + seconds), self.now)
