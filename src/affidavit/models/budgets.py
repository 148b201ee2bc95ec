"""Money and calls set aside before a model is asked, and counted afterwards, over threads and processes.

A call counts in every budget that applies to it: of the workspace, the tenant, the person, the task. It is set aside in all
of them or in none. Where no budget applies nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from affidavit.domain.clock import MICROSECONDS, Clock, Randomness
from affidavit.domain.errors import ModelError
from affidavit.models.prices import Overrides, Target, rates_for, told
from affidavit.models.usage import Charge, Counted, charge, counted
from affidavit.ports.model import Usage
from affidavit.ports.prices import PriceList, Rates
from affidavit.store.budgets import DAY, EACH, Budget
from affidavit.store.budgets import Budgets as Rows
from affidavit.store.database import Database
from affidavit.store.spending import Ledger, Spent, Want

WARN_PERCENT = 80
LEASE = 120
"""Seconds that money stays set aside for a call of which nobody hears any more, unless the call says how long it may take."""
FREE = frozenset({"connection", "rate_limit", "overloaded", "auth", "request", "budget"})
"""Kinds of failure after which nothing is charged. After any other the provider may have read the prompt."""
_HINT = "wait for the next {}, raise it with `affidavit budget set`, or route the task to a cheaper model"


def period(per: str, at: int) -> tuple[int, int]:
    """(beginning, end) in microseconds of the UTC day or month of ``at``."""
    moment = datetime.fromtimestamp(at // MICROSECONDS, UTC)
    begin = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if per == DAY:
        end = begin + timedelta(days=1)
    else:
        begin = begin.replace(day=1)
        end = (begin + timedelta(days=32)).replace(day=1)
    return int(begin.timestamp()) * MICROSECONDS, int(end.timestamp()) * MICROSECONDS


@dataclass(frozen=True)
class Call:
    """Who asks which model for what. ``who`` is the principal's pseudonym, ``guess`` the most it may use."""

    tenant: int
    who: str
    task: str
    target: Target
    guess: Usage


class Reservation:
    """What one call has set aside. Ends with ``settle`` or ``release``, once; whatever comes second changes nothing."""

    def __init__(
        self, ledger: Ledger, call: Call, wants: list[Want], token: int, rates: Rates | None, currency: str
    ) -> None:
        self._ledger = ledger
        self._call = call
        self._wants = wants
        self._token = token
        self._rates = rates
        self._currency = currency
        self.charge: Charge | None = None
        self._over = False

    def settle(self, usage: Usage | None, produced: int = -1) -> Charge:
        """Count what was used, and give the charge for the record.

        ``usage`` None: there was no answer, the prompt may be charged. ``produced``: tokens of the text that came back,
        for a provider that says nothing or what cannot be; -1 unknown.
        """
        if self.charge is not None:
            return self.charge
        used: Counted = counted(usage, self._call.guess, produced)
        self.charge = charge(self._call.task, self._call.target, used, self._rates, self._currency)
        if self._wants and not self._over:
            cost = 0 if self.charge.cost is None else self.charge.cost.micro
            self._ledger.settle(self._token, self._wants, cost, WARN_PERCENT)
        self._over = True
        return self.charge

    def release(self) -> None:
        """The provider was not asked, or does not charge."""
        if self._wants and not self._over:
            self._ledger.release(self._token)
        self._over = True


class Budgets:
    """Sets aside and counts. Safe to share between threads; several processes may have the workspace open.

    ``mark`` gives a principal's pseudonym, ``seed`` what the log says was spent of a budget by somebody in a period.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        overrides: Callable[[], Overrides],
        listed: PriceList | None,
        clock: Clock,
        randomness: Randomness,
        mark: Callable[[int, str], str],
        seed: Callable[[Budget, str, int, int], Spent],
    ) -> None:
        self._db = database
        self._rows = Rows(database)
        self._ledger = ledger
        self._overrides = overrides
        self._listed = listed
        self._clock = clock
        self._randomness = randomness
        self._mark = mark
        self._seed = seed

    def rates(self, target: Target) -> Rates | None:
        """What ``target`` costs now; None: not known. A local model has no published price."""
        listed = None if target.local else self._listed
        return rates_for(target.model, target.provider, self._clock.now(), self._overrides(), listed)

    def reserve(
        self,
        tenant: int,
        principal: str,
        task: str,
        target: Target,
        estimate: Usage,
        lease: float = LEASE,
    ) -> Reservation:
        """Set aside what a call may cost, at most for ``lease`` seconds (a little more than the call may take).

        ``estimate`` is the most it may use: see ``usage.expected``. Raises ModelError of kind ``budget`` where a budget
        has no room for it, or where it has no known price and a budget of money applies.
        """
        rates, currency = self.rates(target), self._overrides().currency
        call = Call(tenant, self._mark(tenant, principal) if principal else "", task, target, estimate)
        cost = self._cost(call, rates)
        now = self._clock.now()
        with self._db.read():
            applying = self._rows.applying(tenant, call.who, task)
        wants = [self._want(budget, call, cost, rates, now) for budget in applying]
        token = int.from_bytes(self._randomness.token(7))
        if wants:
            full = self._ledger.reserve(token, wants, now, now + int(lease * MICROSECONDS))
            if full is not None:
                raise _spent(next(b for b in applying if b.number == full[0].budget), *full)
        return Reservation(self._ledger, call, wants, token, rates, currency)

    def _cost(self, call: Call, rates: Rates | None) -> int | None:
        if rates is not None:
            return rates.cost(max(call.guess.input, 0), max(call.guess.output, 0), 0)
        return 0 if call.target.local else None

    def _want(self, budget: Budget, call: Call, cost: int | None, rates: Rates | None, now: int) -> Want:
        if budget.amount >= 0 and cost is None:
            raise ModelError(
                "budget",
                f"{call.target.provider}/{call.target.model} has no known price, and budget {budget.number} limits money",
                "declare its price: affidavit cost prices set FILE",
            )
        if budget.amount >= 0 and rates is not None and rates.currency != budget.currency:
            raise ModelError(
                "budget",
                f"budget {budget.number} is in {budget.currency}, the price in {rates.currency}",
                "set the budget again, in the currency of the prices",
            )
        who = call.who if budget.who == EACH else ""
        begin, end = period(budget.per, now)
        if self._ledger.counted(budget.number, who, begin, now) is None:
            self._ledger.seed(budget.number, who, begin, self._seed(budget, who, begin, end))
        return Want(budget.number, who, begin, budget.amount, budget.requests, cost or 0)

    @contextmanager
    def call(
        self,
        tenant: int,
        principal: str,
        task: str,
        target: Target,
        estimate: Usage,
        lease: float = LEASE,
    ) -> Iterator[Reservation]:
        """``reserve`` around a call. Inside, say ``settle(result.usage)``.

        Left without that, the estimate is counted; left by an error that does not say that nothing was charged, the
        prompt is.
        """
        reservation = self.reserve(tenant, principal, task, target, estimate, lease)
        try:
            yield reservation
            reservation.settle(Usage())
        except BaseException as error:
            if isinstance(error, ModelError) and error.kind in FREE:
                reservation.release()
            reservation.settle(None)
            raise

    def room(self, tenant: int, principal: str, task: str) -> int | None:
        """Micro-units that are left in the tightest budget that applies, 0 if its calls are used up; None without a limit.

        For choosing a cheaper route early; only ``reserve`` decides.
        """
        who, now = self._mark(tenant, principal) if principal else "", self._clock.now()
        with self._db.read():
            applying = self._rows.applying(tenant, who, task)
        left: list[int] = []
        for budget in applying:
            whose = who if budget.who == EACH else ""
            begin, end = period(budget.per, now)
            spent = self._ledger.counted(budget.number, whose, begin, now)
            spent = self._seed(budget, whose, begin, end) if spent is None else spent
            if 0 <= budget.requests <= spent.requests + spent.under_way:
                left.append(0)
            if budget.amount >= 0:
                left.append(max(budget.amount - spent.micro - spent.reserved, 0))
        return min(left, default=None)


def _spent(budget: Budget, want: Want, spent: Spent) -> ModelError:
    if want.requests >= 0 and spent.requests + spent.under_way >= want.requests:
        said = f"{want.requests} calls a {budget.per} are used up"
    else:
        left = max(want.amount - spent.micro - spent.reserved, 0)
        said = (
            f"{told(want.micro)} {budget.currency} may be needed and {told(left)} of {told(want.amount)} a {budget.per} "
            "are left"
        )
    return ModelError("budget", f"budget {budget.number} is spent: {said}", _HINT.format(budget.per))
