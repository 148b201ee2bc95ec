"""A hundred kill -9 in the middle of writes: nothing acknowledged is lost, and the log verifies after each."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.kills import kills


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    told = kills(100, tmp_path)
    assert told["acknowledged"] > 100
    assert (told["lost"], told["verified"]) == (0, 100)
