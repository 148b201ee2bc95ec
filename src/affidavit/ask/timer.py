"""How long the steps of a question took."""

from __future__ import annotations

import time


class Timer:
    """Microseconds by step; monotonic, and not part of what is given."""

    def __init__(self) -> None:
        self._last = time.perf_counter_ns()
        self.taken: dict[str, int] = {}

    def lap(self, step: str) -> None:
        now = time.perf_counter_ns()
        self.taken[step] = (now - self._last) // 1000
        self._last = now
