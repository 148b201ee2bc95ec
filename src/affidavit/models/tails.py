"""How long a target takes, measured as it works: from when on a call counts as slow, and how often that may cost a second one."""

from __future__ import annotations

import threading
from collections import deque

_WINDOW = 200
_FEWEST = 20
_SHARE = 0.1
_SAVED = 10.0


class Tails:
    """The latest 200 durations of answers. Safe for threads.

    At most one call in ten is hedged (ten may be saved up): where everything is slow, a second call of each would double the
    load and help nobody.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: deque[float] = deque(maxlen=_WINDOW)
        self._allowance = 1.0

    def took(self, seconds: float) -> None:
        """An answer came after so long."""
        with self._lock:
            self._taken.append(seconds)

    def asked(self) -> None:
        """A call was made that is not itself a hedge."""
        with self._lock:
            self._allowance = min(_SAVED, self._allowance + _SHARE)

    def slow(self, percentile: int) -> float | None:
        """Seconds below which so many percent of the answers came; None while fewer than 20 are known."""
        with self._lock:
            taken = sorted(self._taken)
        if len(taken) < _FEWEST:
            return None
        return taken[min(len(taken) - 1, len(taken) * percentile // 100)]

    def hedge(self) -> bool:
        """Take leave for one more hedge; False where there is none."""
        with self._lock:
            if self._allowance < 1:
                return False
            self._allowance -= 1
            return True
