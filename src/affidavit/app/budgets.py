"""What may be spent: budgets as they are declared, how they stand, and the warnings that go on record."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Any

from affidavit.app.authority import authorise, is_operator
from affidavit.app.money import UNKNOWN, MoneyDesk, stated
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.access import named, principal
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.forecast import forecast
from affidavit.domain.records import FOREVER
from affidavit.events.log import Transaction
from affidavit.models.budgets import WARN_PERCENT, period
from affidavit.models.prices import micro, told
from affidavit.store.budgets import DAY, EACH, MONTH, WORKSPACE, Budget, Budgets
from affidavit.store.people import Tenant
from affidavit.store.spending import SPENT, Spent, near

CHANGE = "budget:change"
SCOPES = ("workspace", "tenant", "person")
_WORD = re.compile(r"[a-z][a-z-]{0,31}", re.ASCII)
_MOST_AMOUNT, _MOST_REQUESTS = 10**15, 10**9


class BudgetDesk:
    """Declares budgets and says how they stand; ``models.budgets`` keeps to them."""

    def __init__(self, parts: Parts, money: MoneyDesk) -> None:
        self._parts = parts
        self._money = money
        self._rows = Budgets(parts.database)
        self._ledger = money.ledger

    def set(
        self,
        scope: str,
        amount: str,
        per: str,
        by: str,
        tenant: Tenant | None = None,
        person: str = "",
        task: str = "",
        requests: int = -1,
    ) -> dict[str, Any]:
        """Declare a budget: the one there is of this scope goes. ``amount`` is decimal text in the currency of the prices,
        or ``none`` to limit calls alone. ``person`` "" with the scope ``person``: each person for themself. ``by`` is the
        operator at the machine; or, for anything but the whole workspace, who holds ``budget:change`` in ``tenant``."""
        limit, by = _limit(amount, requests), self._by(tenant if scope != "workspace" else None, by)
        if per not in (DAY, MONTH):
            raise UsageError(f"a budget is for a day or a month, not {per!r}", "say --per day or --per month")
        if task and not _WORD.fullmatch(task):
            raise UsageError(f"{task!r} cannot be a task", "a word, for example answer or rewrite")
        id, who = self._scope(scope, tenant, person)
        self._money.view.catch_up()  # what was spent before counts: better read now than before a call
        currency = self._money.overrides().currency

        def write(tx: Transaction) -> Budget:
            number = self._rows.number((id, who, task, per))
            body: dict[str, Json] = {
                "who": who,
                "task": task,
                "per": per,
                "amount": limit,
                "requests": requests,
                "currency": currency,
                "by": by,
            }
            facts: dict[str, int | str] = {"subject": number, "change": "set"}
            at = tx.append(Event(EventKind.BUDGET_CHANGED, id, facts=facts, body=body))
            budget = Budget(number, id, who, task, per, limit, requests, currency, at, FOREVER)
            self._rows.add(budget)
            return budget

        budget = self._parts.log.write(write)
        return self._described(budget, "" if who == EACH else None)

    def _scope(self, scope: str, tenant: Tenant | None, person: str) -> tuple[int, str]:
        if scope not in SCOPES or (person and scope != "person"):
            raise UsageError(
                f"a budget is of the {', the '.join(SCOPES)}",
                "for one person: budget set person AMOUNT --person NAME",
            )
        if scope == "workspace":
            return WORKSPACE, ""
        if tenant is None:
            raise UsageError("which tenant?", "add --tenant NAME")
        if scope == "tenant":
            return tenant.id, ""
        if not person:
            return tenant.id, EACH
        who = principal(named(person))
        with self._parts.database.read():
            known = self._parts.people.facts(tenant.id, who, self._parts.log.head())
        if known is None:
            raise UnknownNameError(
                f"there is no {who} in {tenant.name}", "`affidavit people list` shows who is known"
            )
        return tenant.id, self._money.mark(tenant.id, who)

    def _by(self, tenant: Tenant | None, by: str) -> str:
        """``by`` as it goes on record: the operator at the machine as stated, or a person of ``tenant`` who holds ``CHANGE``."""
        return stated(by) if tenant is None or is_operator(by) else authorise(self._parts, tenant, by, CHANGE)

    def remove(self, number: int, by: str, tenant: Tenant | None = None) -> None:
        """From now on nothing is counted against it. With ``tenant`` only one of theirs, else there is none."""
        by = self._by(tenant, by)

        def write(tx: Transaction) -> None:
            of = None if tenant is None else tenant.id
            found = [b for b in self._rows.live() if b.number == number and of in (None, b.tenant)]
            if not found:
                raise UnknownNameError(f"there is no budget {number}", "`affidavit budget show` lists them")
            facts: dict[str, int | str] = {"subject": number, "change": "removed"}
            at = tx.append(Event(EventKind.BUDGET_CHANGED, found[0].tenant, facts=facts, body={"by": by}))
            self._rows.remove(number, at)

        self._parts.log.write(write)

    def show(self, tenant: Tenant | None = None) -> list[dict[str, Any]]:
        """Every budget with what was spent, is set aside and will be; one of each person once for everybody who spent."""
        with self._parts.database.read():
            live = self._rows.live()
        out = []
        for budget in live:
            if tenant is None or budget.tenant in (WORKSPACE, tenant.id):
                out += [self._described(budget, who) for who in self._whose(budget)]
        return out

    def _whose(self, budget: Budget) -> Sequence[str | None]:
        if budget.who != EACH:
            return (None,)
        begin, _ = period(budget.per, self._parts.clock.now())
        return self._ledger.people(budget.number, begin) or ("",)

    def _described(self, budget: Budget, whose: str | None) -> dict[str, Any]:
        now = self._parts.clock.now()
        begin, end = period(budget.per, now)
        if whose == "":  # of each person, and nobody has spent anything
            spent = Spent()
        else:
            counted = self._ledger.counted(budget.number, whose or "", begin, now)
            spent = self._money.view.spent(budget, whose or "", begin, end) if counted is None else counted
        return {
            "budget": budget.number,
            **self._spelled(budget, whose),
            "task": budget.task or None,
            "per": budget.per,
            "since": instant(begin),
            "until": instant(end),
            "currency": budget.currency,
            "amount": None if budget.amount < 0 else told(budget.amount),
            "requests": None if budget.requests < 0 else budget.requests,
            "spent": told(spent.micro),
            "reserved": told(spent.reserved),
            "calls": spent.requests + spent.under_way,
            "state": _state(budget, spent),
            "forecast": _forecast(spent, begin, end, now, budget.amount),
        }

    def _spelled(self, budget: Budget, whose: str | None) -> dict[str, Any]:
        """Scope and names of a budget."""
        with self._parts.database.read():
            tenants = {t.id: t.name for t in self._parts.people.tenants()}
        mark = whose if whose is not None else budget.who
        scope = "workspace" if budget.tenant == WORKSPACE else "person" if budget.who else "tenant"
        person = self._money.known().get(mark, UNKNOWN) if mark else "each" if budget.who == EACH else None
        return {"scope": scope, "tenant": tenants.get(budget.tenant), "person": person}

    # -- warnings

    def alerts(self) -> list[dict[str, Any]]:
        """Budgets that are nearly spent, or spent, as counted now."""
        now = self._parts.clock.now()
        with self._parts.database.read():
            live = self._rows.live()
        found = []
        for budget in live:
            begin, _ = period(budget.per, now)
            for who in self._ledger.people(budget.number, begin):
                spent = self._ledger.counted(budget.number, who, begin, now) or Spent()
                if _state(budget, spent) != "open":
                    found.append(self._described(budget, who if budget.who == EACH else None))
        return found

    def tell(self) -> int:
        """Put warnings that are due on the log, each once a period however many processes tell; how many. Call after answers
        are recorded, not within a transaction.

        Brings the cost view along, so that a call that begins a new period need not.
        """
        with self._parts.database.read():
            live = {b.number: b for b in self._rows.live()}
        if not live:
            return 0
        self._money.view.catch_up()
        due = self._ledger.due()
        if not due:
            return 0

        def write(tx: Transaction) -> int:
            # the log itself is asked what it says already: another process may have found the same due just now
            said, told = self._warnings(min(begin for _, _, begin, _ in due)), 0
            for number, who, begin, level in due:
                warning = number, "spent" if level == SPENT else "warned", who, instant(begin)
                if number in live and warning not in said:
                    facts: dict[str, int | str] = {"subject": number, "change": warning[1]}
                    body: Json = {"who": who, "since": warning[3]}
                    tx.append(Event(EventKind.BUDGET_CHANGED, live[number].tenant, facts=facts, body=body))
                    told += 1
            return told

        told = self._parts.log.write(write)
        for at in due:
            self._ledger.told(*at)
        return told

    def _warnings(self, since: int) -> Container[tuple[int, str, str, str]]:
        """(budget, word, who, beginning of its period) of every warning on the log from ``since`` on."""
        found = []
        for event in self._parts.events.of_kind(EventKind.BUDGET_CHANGED, newest_first=True):
            if event.at < since:
                break
            if event.facts["change"] in ("warned", "spent"):
                body = self._parts.events.body(event)
                found.append((event.facts["subject"], event.facts["change"], body["who"], body["since"]))
        return found

    def recount(self) -> int:
        """Raise counters of this period that are below what the log says (after a restore, or a change by hand); how many."""
        now, raised = self._parts.clock.now(), 0
        with self._parts.database.read():
            live = self._rows.live()
        for budget in live:
            begin, end = period(budget.per, now)
            for who in self._ledger.people(budget.number, begin):
                counted = self._ledger.counted(budget.number, who, begin, now) or Spent()
                logged = self._money.view.spent(budget, who, begin, end)
                if logged.micro > counted.micro or logged.requests > counted.requests:
                    self._ledger.recount(budget.number, who, begin, logged)
                    raised += 1
        return raised


def _limit(amount: str, requests: int) -> int:
    if not -1 <= requests <= _MOST_REQUESTS:
        raise UsageError(f"{requests} calls cannot be a limit", f"0 to {_MOST_REQUESTS}")
    if amount == "none":
        if requests < 0:
            raise UsageError("a budget limits money or calls", "say an amount, or none and --requests N")
        return -1
    try:
        limit = micro(amount)
    except ValueError as error:
        raise UsageError(str(error), "for example 25 or 0.50; `none` to limit calls alone") from error
    if limit > _MOST_AMOUNT:
        raise UsageError(f"{amount} is more than can be counted", f"at most {told(_MOST_AMOUNT)}")
    return limit


def _state(budget: Budget, spent: Spent) -> str:
    """``open``, ``warned`` from ``WARN_PERCENT`` on, ``spent``."""
    calls = spent.requests + spent.under_way
    for percent, word in ((100, "spent"), (WARN_PERCENT, "warned")):
        if near(budget.amount, spent.micro, percent) or near(budget.requests, calls, percent):
            return word
    return "open"


def _forecast(spent: Spent, begin: int, end: int, now: int, amount: int) -> dict[str, Any] | None:
    found = forecast(spent.micro, spent.requests, spent.squares, begin, end, now)
    if found is None:
        return None
    return {
        "expected": told(found.expected),
        "low": told(found.low),
        "high": told(found.high),
        "above_budget": None if amount < 0 else found.expected > amount,
    }
