"""The published list, offline, against the library's own arithmetic."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from affidavit.adapters.listed_prices import ListedPrices
from affidavit.domain.clock import MICROSECONDS

MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = int(MOMENT.timestamp()) * MICROSECONDS
KNOWN = [
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
    ("mistral", "mistral-large-latest"),
]


@pytest.mark.parametrize(("provider", "model"), KNOWN)
@pytest.mark.parametrize(
    "counts", [(1, 1, 0), (1_234, 567, 89), (199_999, 4_000, 0), (250_000, 4_000, 100_000)]
)
def test_costs_are_the_librarys_rounded_up(provider: str, model: str, counts: tuple[int, int, int]) -> None:
    fresh, output, cached = counts
    rates = ListedPrices().rates(provider, model, NOW)
    assert rates is not None
    assert rates.source.startswith("genai-prices/")
    usage = Usage(input_tokens=fresh, output_tokens=output, cache_read_tokens=cached)
    theirs = (
        calc_price(usage, model, provider_id=provider, genai_request_timestamp=MOMENT).total_price * 10**6
    )
    assert 0 <= rates.cost(fresh, output, cached) - theirs < Decimal(2)


@pytest.mark.parametrize(("provider", "model"), [("openai", "no-such-model"), ("nobody", "gpt-4o"), ("", "")])
def test_what_is_not_listed_has_no_price(provider: str, model: str) -> None:
    assert ListedPrices().rates(provider, model, NOW) is None


def test_without_the_extra_no_price_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("genai_prices"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    listed = ListedPrices()
    assert (listed.version, listed.rates("openai", "gpt-4o", NOW)) == ("", None)
