"""A clock that stands still and randomness that repeats: whatever still differs between two runs was not theirs."""

from __future__ import annotations

import hashlib

from affidavit.domain.clock import MICROSECONDS

START = 1_790_000_000 * MICROSECONDS
"""2026-09-21T14:13:20Z, for want of another moment."""


class FixedClock:
    """Implements ``domain.clock.Clock``: always ``at`` (microseconds since 1970 UTC), until ``advance`` is called."""

    def __init__(self, at: int = START) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def advance(self, microseconds: int) -> None:
        """Let time pass; a negative amount turns the clock back."""
        self.at += microseconds


class SeededRandomness:
    """Implements ``domain.clock.Randomness``: the same ``seed`` gives the same tokens in the same order. For tests only:
    keys and salts made with it protect nothing. Not safe for threads, since their order is not repeatable."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._drawn = 0

    def token(self, size: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(f"{self._seed}:{self._drawn}".encode()).digest(size)
