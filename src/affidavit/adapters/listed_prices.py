"""Published prices from genai-prices: its table is part of the package, and nothing is fetched.

The package is an extra: with what it needs it is 16 MB, takes 150 ms to import and brings an HTTP client along.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from affidavit.domain.clock import MICROSECONDS
from affidavit.ports.prices import MILLION, Rates, Tier


class ListedPrices:
    """Implements ``PriceList``. Without the extra ``prices`` it knows no price."""

    def __init__(self) -> None:
        self._find: Callable[..., Any] | None = None
        self._version: str | None = None

    @property
    def version(self) -> str:
        """``genai-prices/VERSION``, "" where it is not installed."""
        if self._version is None:
            try:
                # 150 ms, and an extra
                import genai_prices  # noqa: PLC0415
                from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415
            except ImportError:
                self._version = ""
            else:
                self._find = get_snapshot().find_provider_model
                self._version = f"genai-prices/{genai_prices.__version__}"
        return self._version

    def rates(self, provider: str, model: str, at: int) -> Rates | None:
        """None for a provider or model that the table does not know, and for one that is not charged by tokens."""
        if not self.version or self._find is None:
            return None
        try:
            _, found = self._find(model, None, provider, None)
        except LookupError:
            return None
        listed = found.get_prices(datetime.fromtimestamp(at // MICROSECONDS, UTC))
        if listed.input_mtok is None:
            return None
        return _rates(listed, self.version)


def _rates(listed: Any, source: str) -> Rates:
    fresh, answer = listed.input_mtok, listed.output_mtok
    kept = listed.cache_read_mtok
    kept = fresh if kept is None else kept
    starts = sorted({tier.start for price in (fresh, answer, kept) for tier in getattr(price, "tiers", ())})
    tiers = tuple(Tier(start, *(_at(price, start) for price in (fresh, answer, kept))) for start in starts)
    per_thousand = listed.requests_kcount
    request = 0 if per_thousand is None else _up(_base(per_thousand) * MILLION / 1000)
    return Rates(
        _up(_base(fresh) * MILLION),
        _up(_base(answer) * MILLION),
        _up(_base(kept) * MILLION),
        request,
        tiers,
        source=source,
    )


def _base(price: Any) -> Decimal:
    """A price before its tiers; a model that gives no text back (an embedder) has no price for it."""
    return Decimal(0) if price is None else Decimal(getattr(price, "base", price))


def _at(price: Any, start: int) -> int:
    """The price for prompts above ``start``."""
    base = _base(price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= start:
            base = tier.price
    return _up(base * MILLION)


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))
