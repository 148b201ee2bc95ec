"""The price-list port: what a model costs, as published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from affidavit.domain.canonical import Json

MILLION = 1_000_000


@dataclass(frozen=True)
class Tier:
    """Rates for the whole of a call whose prompt has more than ``above`` tokens."""

    above: int
    input: int
    output: int
    cached: int


@dataclass(frozen=True)
class Rates:
    """What a model costs. Whole micro-units of ``currency``: per million tokens, and ``request`` per call.

    ``cached`` is for the part of the prompt that the provider had kept. ``source`` says where the rates come from: a price
    list with its version, or the digest of a price file.
    """

    input: int
    output: int
    cached: int
    request: int = 0
    tiers: tuple[Tier, ...] = ()
    currency: str = "USD"
    source: str = ""

    def of(self, prompt: int) -> tuple[int, int, int]:
        """(input, output, cached) for a call whose prompt has ``prompt`` tokens."""
        for tier in sorted(self.tiers, key=lambda t: -t.above):
            if prompt > tier.above:
                return tier.input, tier.output, tier.cached
        return self.input, self.output, self.cached

    def cost(self, input: int, output: int, cached: int) -> int:
        """Micro-units of one call, rounded up: a budget is never undercounted. ``cached`` is part of ``input``."""
        fresh, answer, kept = self.of(input)
        parts = (input - cached) * fresh + cached * kept + output * answer
        return -(-parts // MILLION) + self.request

    def as_json(self, prompt: int) -> dict[str, Json]:
        """The rates that applied to a prompt of ``prompt`` tokens, for the record: whoever reads it can multiply again."""
        fresh, answer, kept = self.of(prompt)
        return {
            "input": fresh,
            "output": answer,
            "cached": kept,
            "request": self.request,
            "source": self.source,
        }


class PriceList(Protocol):
    """Published prices. Asks nothing outside of this machine."""

    def rates(self, provider: str, model: str, at: int) -> Rates | None:
        """What ``model`` of ``provider`` cost at ``at`` (microseconds since 1970 UTC); None: not known."""
        ...
