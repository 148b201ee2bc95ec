"""What a call costs: declared prices before published ones, in whole micro-units, and nothing where no price is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from affidavit.domain.canonical import Json, digest
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UsageError
from affidavit.ports.model import Usage
from affidavit.ports.prices import MILLION, PriceList, Rates

DOLLAR = "USD"
HOUR = 3600 * MICROSECONDS
MOST_TOKENS = 10**8
"""No call has more: a larger count is a lie, and sums of costs stay exact in JSON."""
_LARGEST = 10**12
_DECIMAL = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_RATES = ("input", "output", "cached", "request")
_ALLOWED = frozenset({"provider", "model", "from", *_RATES})
_MOST = 2_000


@dataclass(frozen=True)
class Money:
    """``micro`` millionths of ``currency`` (an ISO 4217 code)."""

    micro: int
    currency: str


@dataclass(frozen=True)
class Target:
    """Which model is asked. ``local``: on this machine, so that a call costs time and not money."""

    provider: str
    model: str
    local: bool = False


def micro(text: object) -> int:
    """Decimal text (``"0.15"``) as micro-units. Raises ValueError for anything else: a float has no exact amount."""
    found = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not an amount: write it as decimal text with at most six places")
    return int(found[1]) * MILLION + int((found[2] or "").ljust(6, "0"))


def told(amount: int) -> str:
    """Micro-units as decimal text: at least two places, no rounding."""
    sign, whole = "-" if amount < 0 else "", abs(amount)
    places = f"{whole % MILLION:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole // MILLION}.{places}"


@dataclass(frozen=True)
class Declared:
    """One row of a price file: ``model`` ends in ``*`` to mean every name that begins so; ``since`` is an ISO date or ""."""

    provider: str
    model: str
    since: str
    rates: Rates

    def fits(self, provider: str, model: str) -> bool:
        if self.provider not in ("*", provider):
            return False
        return model.startswith(self.model[:-1]) if self.model.endswith("*") else model == self.model

    @property
    def weight(self) -> tuple[str, bool, int, bool]:
        """The row that says most wins: the latest, then an exact name, then a longer one, then a named provider."""
        return self.since, not self.model.endswith("*"), len(self.model), self.provider != "*"


@dataclass(frozen=True)
class Overrides:
    """A price file. ``usd``: micro-units of ``currency`` for a dollar, 0 where published prices cannot be used; ``hour``:
    micro-units for an hour of this machine, None: not declared."""

    currency: str = DOLLAR
    usd: int = MILLION
    hour: int | None = None
    rows: tuple[Declared, ...] = ()
    digest: str = ""

    def rates(self, provider: str, model: str, at: int) -> Rates | None:
        """The declared rates on the day of ``at``."""
        return self.on(provider, model, day(at))

    def on(self, provider: str, model: str, day: str) -> Rates | None:
        """The declared rates on ``day``, an ISO date."""
        fitting = [row for row in self.rows if row.since <= day and row.fits(provider, model)]
        return max(fitting, key=lambda row: row.weight).rates if fitting else None

    def time(self, microseconds: int) -> int:
        """What so much time of this machine costs, rounded up; 0 where an hour has no price."""
        return -(-microseconds * (self.hour or 0) // HOUR)


def day(at: int) -> str:
    """The UTC date of ``at``, microseconds since 1970."""
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).date().isoformat()


def load(content: Mapping[str, Any]) -> Overrides:
    """A price file from its content (as TOML or JSON gives it). Raises UsageError."""
    hint = 'currency = "USD", hour = "0.40", and [[price]] with provider, model, input, output per million tokens'
    try:
        return _load(content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"the prices are malformed: {error}", hint) from error


def _load(content: Mapping[str, Any]) -> Overrides:
    unknown = set(content) - {"currency", "usd", "hour", "price"}
    if unknown:
        raise ValueError(f"there is no setting {sorted(unknown)[0]!r}")
    currency = content.get("currency", DOLLAR)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ValueError(f"{currency!r} is not a currency code")
    if currency == DOLLAR and "usd" in content:
        raise ValueError("usd says what a dollar is in another currency")
    rows = content.get("price", [])
    if not isinstance(rows, list) or len(rows) > _MOST:
        raise ValueError(f"price is a list of at most {_MOST} tables")
    name = digest(plain(content))
    usd = MILLION if currency == DOLLAR else micro(content["usd"]) if "usd" in content else 0
    hour = micro(content["hour"]) if "hour" in content else None
    return Overrides(currency, usd, hour, tuple(_row(row, currency, name) for row in rows), name)


def plain(content: Mapping[str, Any]) -> dict[str, Json]:
    """``content`` in the form that is kept and digested: dates as text. Raises TypeError for a number with a point."""
    rows = [
        {key: value.isoformat() if isinstance(value, date) else value for key, value in row.items()}
        for row in content.get("price", [])
    ]
    return {**{k: v for k, v in content.items() if k != "price"}, "price": rows}


def _row(row: Mapping[str, Any], currency: str, source: str) -> Declared:
    unknown = set(row) - _ALLOWED
    if unknown:
        raise ValueError(f"a price has no {sorted(unknown)[0]!r}")
    provider, model, since = row["provider"], row["model"], row.get("from", "")
    since = since.isoformat() if isinstance(since, date) else since
    if not all(isinstance(x, str) for x in (provider, model, since)) or not provider or not model:
        raise ValueError("provider and model are text")
    if since:
        since = date.fromisoformat(since).isoformat()
    fresh, answer = micro(row["input"]), micro(row["output"])
    kept = micro(row["cached"]) if "cached" in row else fresh
    request = micro(row["request"]) if "request" in row else 0
    if max(fresh, answer, kept, request) > _LARGEST:
        raise ValueError("a price is larger than a million")
    return Declared(
        provider, model, since, Rates(fresh, answer, kept, request, (), currency, f"file:{source[:16]}")
    )


def rates_for(
    model: str, provider: str, at: int, overrides: Overrides, listed: PriceList | None
) -> Rates | None:
    """What ``model`` costs at ``at`` in the currency of ``overrides``; None: nobody knows."""
    declared = overrides.rates(provider, model, at)
    if declared is not None or listed is None or not overrides.usd:
        return declared
    published = listed.rates(provider, model, at)
    if published is None or overrides.currency == DOLLAR:
        return published
    return _converted(published, overrides)


def _converted(rates: Rates, overrides: Overrides) -> Rates:
    def ours(amount: int) -> int:
        return -(-amount * overrides.usd // MILLION)

    tiers = tuple(type(t)(t.above, ours(t.input), ours(t.output), ours(t.cached)) for t in rates.tiers)
    return Rates(
        ours(rates.input),
        ours(rates.output),
        ours(rates.cached),
        ours(rates.request),
        tiers,
        overrides.currency,
        f"{rates.source} at {told(overrides.usd)}",
    )


def price(
    model: str,
    provider: str,
    usage: Usage,
    at: int,
    overrides: Overrides = Overrides(),
    listed: PriceList | None = None,
) -> Money | None:
    """What a call with ``usage`` at ``at`` (microseconds since 1970 UTC) costs; None where the price is not known, or the
    usage is not one that can be."""
    rates = rates_for(model, provider, at, overrides, listed)
    if rates is None or implausible(usage):
        return None
    return Money(rates.cost(usage.input, usage.output, max(usage.cached, 0)), rates.currency)


def implausible(usage: Usage) -> bool:
    """Whether no call can have had this usage, or it is not said."""
    counts = (usage.input, usage.output)
    if any(type(c) is not int or not 0 <= c <= MOST_TOKENS for c in counts):
        return True
    return type(usage.cached) is not int or not -1 <= usage.cached <= usage.input
