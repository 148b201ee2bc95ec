"""Waiting for what another thread or process does. Nothing here measures: a busy machine makes it longer, never wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

LONG = 200.0
"""Seconds that nothing in a test takes, on however busy a machine; below the limit that pytest sets for a whole test."""


def soon(what: Callable[[], object]) -> None:
    """Return when ``what`` holds. Raises AssertionError when it does not come about."""
    until = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)
