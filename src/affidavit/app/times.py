"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from affidavit.domain.clock import MICROSECONDS

LATEST = 253_402_300_799
"""The last second of the year 9999."""


def iso(microseconds: int) -> str:
    """A time as people write it, in UTC; one that no calendar has as a number of seconds."""
    seconds = microseconds // MICROSECONDS
    if not 0 <= seconds <= LATEST:
        return str(seconds)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
