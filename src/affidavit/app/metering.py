"""Budgets at the model plane: set aside before each attempt, settled after it, remembered for the record."""

from __future__ import annotations

import threading
from collections.abc import Callable

from affidavit.domain.canonical import Json
from affidavit.domain.routes import Target
from affidavit.models.budgets import Budgets, Reservation
from affidavit.models.prices import Target as Priced
from affidavit.models.usage import Charge, expected
from affidavit.ports.model import ChatRequest, ChatResult

_GRACE = 5.0  # seconds a reservation outlives its call, so that a slow settlement still finds it


class QuestionMeter:
    """Counts for one person's question. Safe for threads: attempts may end after their call."""

    def __init__(self, budgets: Budgets, tenant: int, principal: str, count: Callable[[str], int]) -> None:
        self._budgets = budgets
        self._tenant = tenant
        self._principal = principal
        self._count = count
        self._charges: list[Charge] = []
        self._lock = threading.Lock()

    def reserve(self, task: str, target: Target, request: ChatRequest) -> _Held:
        """Raises ModelError (``budget``)."""
        priced = Priced(target.kind, target.model, target.local)
        held = self._budgets.reserve(
            self._tenant,
            self._principal,
            task,
            priced,
            expected(request, self._count),
            request.timeout + _GRACE,
        )
        return _Held(held, self._remember, self._count)

    def room(self, task: str) -> int | None:
        """What is left for ``task``: see ``Budgets.room``."""
        return self._budgets.room(self._tenant, self._principal, task)

    def _remember(self, charge: Charge) -> None:
        with self._lock:
            self._charges.append(charge)

    def taken(self) -> list[Json]:
        with self._lock:
            taken, self._charges = self._charges, []
        return [charge.as_json() for charge in taken]


class _Held:
    def __init__(
        self, held: Reservation, remember: Callable[[Charge], None], count: Callable[[str], int]
    ) -> None:
        self._held = held
        self._remember = remember
        self._count = count

    def settle(self, result: ChatResult | None) -> None:
        """Counts what was used; no answer may still have cost its prompt."""
        if result is None:
            self._remember(self._held.settle(None))
        else:
            self._remember(self._held.settle(result.usage, self._count(result.text)))
