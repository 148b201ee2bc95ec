"""Time and randomness come in through here and nowhere else: replay depends on it."""

from __future__ import annotations

import os
import time
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...


class Randomness(Protocol):
    """Unpredictable bytes: run ids and salts."""

    def token(self, size: int) -> bytes:
        """``size`` random bytes."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1000


class SystemRandomness:
    """The operating system's generator."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)
