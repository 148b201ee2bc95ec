"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UsageError

LATEST = 253_402_300_799
"""The last second of the year 9999."""


def iso(microseconds: int) -> str:
    """A time as people write it, in UTC; one that no calendar has as a number of seconds."""
    seconds = microseconds // MICROSECONDS
    if not 0 <= seconds <= LATEST:
        return str(seconds)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> int:
    """An ISO 8601 time in microseconds, in UTC unless it says otherwise. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return int(found.timestamp() * MICROSECONDS)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a time", "write 2026-11-21T10:00") from error
