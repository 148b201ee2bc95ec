"""What all calls of a process share: places, breakers, and how long each target takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from affidavit.domain.clock import Randomness, SystemRandomness
from affidavit.domain.routes import Target
from affidavit.models.breaker import Breaker
from affidavit.models.gate import Gate
from affidavit.models.stage import Stage, Threads
from affidavit.models.tails import Tails
from affidavit.ports.model import ChatModel, ChatRequest, ChatResult

Models = Callable[[Target], ChatModel]
"""The model at a target; asked again each time, so it should keep what it makes. Raises ModelError if it cannot be had."""

Rule = Callable[[ChatRequest], ChatResult | None]
"""Answers without a model, the same for the same request, or abstains with None."""


class Reservation(Protocol):
    """Money set aside for one attempt."""

    def settle(self, result: ChatResult | None) -> None:
        """What it came to; None where no answer was had. Called once, from any thread, maybe after the call has ended."""
        ...


class Meter(Protocol):
    """Who counts the money."""

    def reserve(self, task: str, target: Target, request: ChatRequest) -> Reservation:
        """Before each attempt. Raises ModelError (``budget``): then the next option is taken."""
        ...

    def room(self, task: str) -> int | None:
        """Micro-units left in the tightest budget that applies, 0 if its calls are used up; None where nothing is limited."""
        ...


class Exchange:
    """One per process. Safe for threads. ``per_tenant``: calls of one tenant at once, over all targets."""

    def __init__(
        self, stage: Stage | None = None, randomness: Randomness | None = None, per_tenant: int = 64
    ) -> None:
        self.stage: Stage = stage or Threads()
        self.gate = Gate(per_tenant)
        self._randomness = randomness or SystemRandomness()
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        self._tails: dict[str, Tails] = {}

    def breaker(self, target: Target) -> Breaker:
        """The target's, whichever release or tenant asks."""
        with self._lock:
            return self._breakers.setdefault(target.key, Breaker())

    def tails(self, target: Target) -> Tails:
        """The target's."""
        with self._lock:
            return self._tails.setdefault(target.key, Tails())

    def chance(self) -> float:
        """From 0 to below 1."""
        return int.from_bytes(self._randomness.token(6), "big") / 2**48
