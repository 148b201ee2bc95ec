"""A circuit breaker: a target that keeps failing is left alone for a while, then asked once to see whether it is back."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

LONGEST_REST = 60.0


@dataclass(frozen=True)
class Permit:
    """Leave to ask the target once; given back with ``passed``, ``failed`` or ``unknown``. ``era`` counts openings."""

    era: int
    probe: bool


class Breaker:
    """Closed until ``threshold`` failures come in a row, then open for ``cool`` seconds, then half open: one probe at a time,
    whose success closes it and whose failure opens it again. Safe for threads. Times are seconds of any steady clock."""

    def __init__(self, threshold: int = 5, cool: float = 10.0) -> None:
        self._threshold, self._cool = threshold, cool
        self._lock = threading.Lock()
        self._failures = 0
        self._era = 0
        self._open_until: float | None = None
        self._probing = False
        self._rest_until = -math.inf

    def ready(self, now: float) -> bool:
        """Whether ``admit`` would give leave; takes nothing."""
        with self._lock:
            return self._ready(now)

    def admit(self, now: float) -> Permit | None:
        """Leave to ask, or None."""
        with self._lock:
            if not self._ready(now):
                return None
            self._probing = self._open_until is not None
            return Permit(self._era, self._probing)

    def passed(self, permit: Permit) -> None:
        """It has answered. What was asked before the breaker opened says nothing about now."""
        with self._lock:
            if permit.era == self._era:
                self._failures, self._open_until, self._probing = 0, None, False

    def failed(self, permit: Permit, now: float) -> None:
        """It has not answered as it should."""
        with self._lock:
            if permit.era != self._era:
                return
            self._failures += 1
            if permit.probe or self._failures >= self._threshold:
                self._open_until, self._probing = now + self._cool, False
                self._failures, self._era = 0, self._era + 1

    def unknown(self, permit: Permit) -> None:
        """It was not asked after all, or was cancelled: no verdict, and another may probe."""
        with self._lock:
            if permit.probe and permit.era == self._era:
                self._probing = False

    def rest(self, now: float, seconds: float) -> None:
        """It asked for quiet (Retry-After): nobody asks it for so long, at most a minute."""
        with self._lock:
            self._rest_until = max(self._rest_until, now + min(seconds, LONGEST_REST))

    def _ready(self, now: float) -> bool:
        if now < self._rest_until:
            return False
        return self._open_until is None or (now >= self._open_until and not self._probing)
