"""A server of several processes that is treated badly under load tells nobody anything wrong, and loses nothing."""

from __future__ import annotations

import pytest
from bench.soak import soak


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.enable_socket
def test_nothing_wrong_is_told_and_nothing_is_lost() -> None:
    found = soak(20, clients=3)
    assert found["faults"] == []
    assert found["answers"] > 0
    # everybody came: people, browsers, agents, auditors, and the directory
    for kind in ("200", "browser 200", "agent 200", "auditor 200", "directory 200"):
        assert found["by_status"].get(kind, 0) > 0
