"""Names of principals: what looks alike must not be two."""

from __future__ import annotations

import pytest

from affidavit.domain.access import principal
from affidavit.domain.errors import UsageError


@pytest.mark.parametrize(
    "text", ["user:alice", "group:Größe", "service:bot-1", "anyone", "user:a:b", "group:user:x"]
)
def test_good(text: str) -> None:
    assert principal(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "user:",
        "team:x",
        "user: alice",
        "user:alice\n",
        "group:fin\u200bance",
        "group:fi\u202enance",
        "user:e\u0301",
        "user:\x00",
        "user:" + "x" * 257,
        "Anyone",
    ],
)
def test_bad(text: str) -> None:
    with pytest.raises(UsageError):
        principal(text)
