"""What models cost, and what was spent on them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from affidavit.adapters.listed_prices import ListedPrices
from affidavit.app.authority import OPERATOR, is_operator
from affidavit.app.chasing import Chase
from affidavit.app.costs import CostView
from affidavit.app.wiring import PRICES, Parts
from affidavit.domain.canonical import Json, canonical, digest
from affidavit.domain.errors import ManifestError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.models.budgets import Budgets
from affidavit.models.caller import EMBED
from affidavit.models.prices import Overrides, Target, load, plain, told
from affidavit.models.usage import charge, counted
from affidavit.ports.embedder import Request
from affidavit.ports.model import Usage
from affidavit.store.budgets import Budgets as Rows
from affidavit.store.people import Tenant
from affidavit.store.spending import Ledger

BY: Mapping[str, tuple[str, ...]] = {
    "tenant": ("tenant",),
    "person": ("tenant", "who"),
    "task": ("task", "stage"),
    "stage": ("stage",),
    "model": ("provider", "model"),
    "release": ("release",),
    "source": ("source",),
    "day": ("day",),
}
"""What costs can be shown by, and the columns of the view that are that."""
_PRICED_BY = ("day", "provider", "model", "currency")
_MOST_BYTES = 1_000_000
_FIRST, _LAST = "0000", "9999"
UNKNOWN = "no longer known"
_NOBODY, _HERE, _ALL = "nobody", "this machine", "all tenants"


def read_prices(path: Path) -> dict[str, Any]:
    """The content of a price file. Raises ManifestError."""
    hint = 'currency = "USD", and [[price]] with provider, model, input = "0.15", output = "0.60" per million tokens'
    try:
        with path.open("rb") as file:
            content = tomllib.loads(file.read(_MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not TOML: {error}", hint) from error
    try:
        load(content)
    except UsageError as error:
        raise ManifestError(f"{path}: {error.message}", error.hint) from error
    return content


class MoneyDesk:
    """Prices and costs. ``budgets`` is what stands around a model's call; ``app.budgets`` declares and shows them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rows = Rows(parts.database)
        self.ledger = Ledger(parts.folder)
        self._listed = ListedPrices()
        self.mark = lru_cache(10_000)(lambda tenant, who: parts.mark("payer", tenant, who)[:32])
        self._loaded: tuple[str | None, Overrides] = (None, Overrides())
        self.view = CostView(parts.database, parts.events, self.ledger, self.mark)
        self.chase = Chase("affidavit-costs", self.view.step)
        self.budgets = Budgets(
            parts.database,
            self.ledger,
            self.overrides,
            self._listed,
            parts.clock,
            parts.randomness,
            self.mark,
            self.view.spent,
        )

    def close(self) -> None:
        """Let go of the file of counters."""
        self.chase.close()
        self.ledger.close()

    # -- prices

    def overrides(self) -> Overrides:
        """The price file in force."""
        with self._parts.database.read():
            text = self._parts.catalog.setting(PRICES)
        before, loaded = self._loaded
        if text != before:
            loaded = Overrides() if text is None else load(json.loads(text))
            self._loaded = text, loaded
        return loaded

    def prices(self) -> dict[str, Any]:
        """What is declared, and which published list stands behind it."""
        with self._parts.database.read():
            text = self._parts.catalog.setting(PRICES)
        declared = None if text is None else json.loads(text)
        return {"declared": declared, "digest": self.overrides().digest or None, "list": self._listed.version}

    def set_prices(self, content: Mapping[str, Any], by: str) -> str:
        """Declare prices for every tenant; what stood there before goes. The digest, which is on the log."""
        overrides, by = load(content), stated(by)
        said: Json = plain(content)

        def write(tx: Transaction) -> None:
            other = [b for b in self._rows.live() if b.amount >= 0 and b.currency != overrides.currency]
            if other:
                raise UsageError(
                    f"budget {other[0].number} is in {other[0].currency}, the prices are in {overrides.currency}",
                    f"remove it first: affidavit budget remove {other[0].number}",
                )
            body: Json = {"prices": said, "by": by}
            tx.append(Event(EventKind.PRICES_CHANGED, facts={"prices": digest(said)}, body=body))
            self._parts.catalog.set_setting(PRICES, canonical(said).decode())

        self._parts.log.write(write)
        return overrides.digest

    def price_of(self, provider: str, model: str) -> dict[str, Any]:
        """What a model costs now, in decimal text per million tokens. Raises UnknownNameError."""
        rates = self.budgets.rates(Target(provider, model))
        if rates is None:
            listed = self._listed.version or "no published list is installed: install affidavit[prices]"
            raise UnknownNameError(
                f"no price is known for {provider}/{model} ({listed})",
                "declare it: affidavit cost prices set FILE",
            )
        return {
            "provider": provider,
            "model": model,
            "currency": rates.currency,
            **{name: told(getattr(rates, name)) for name in ("input", "output", "cached", "request")},
            "tiers": [
                {"above": t.above, **{n: told(getattr(t, n)) for n in ("input", "output", "cached")}}
                for t in rates.tiers
            ],
            "source": rates.source,
        }

    def embedding(self, provider: str, model: str, request: Request) -> Json:
        """The charge of one answered request of an embedding endpoint."""
        target = Target(provider, model)
        guess = Usage(request.estimate, 0, 0)
        used = counted(Usage(request.tokens, 0, 0), guess, 0)
        return charge(EMBED, target, used, self.budgets.rates(target), self.overrides().currency).as_json()

    # -- what was spent

    def costs(
        self,
        by: str = "task",
        since: str = "",
        until: str = "",
        tenant: Tenant | None = None,
        progress: Callable[[int], None] | None = None,
        *,
        anew: bool = False,
        wait: bool = True,
    ) -> dict[str, Any]:
        """Sums by ``by`` (see ``BY``) from day ``since`` to day ``until``, both in; largest first, and all together.

        With ``anew`` the whole log is read: nothing that was kept beside it is believed. Without ``wait`` most of what is new is
        left to be counted behind the answer, which says how many runs are not in it: ``uncounted``.
        """
        if by not in BY:
            raise UsageError(f"costs cannot be shown by {by!r}", f"one of: {', '.join(BY)}")
        if anew:
            self.ledger.forget()
        left = self._catch_up(progress, wait=wait)
        columns = tuple(dict.fromkeys(("tenant", *BY[by], *_PRICED_BY)))
        rows = self.ledger.costs(
            columns, since or _FIRST, until or _LAST, None if tenant is None else tenant.id
        )
        names, overrides = self._names(by), self.overrides()
        sums: dict[str, _Sum] = {}
        whole = _Sum()
        for row in rows:
            said = dict(zip(columns, row, strict=False))
            name = names(said)
            for one in (sums.setdefault(name, _Sum()), whole):
                one.add(said, row[len(columns) :], overrides)
        found = [{by: name, **one.told(overrides)} for name, one in sums.items()]
        found.sort(key=lambda e: (str(e[by]) if by == "day" else "", -e["micro"], -e["calls"], str(e[by])))
        told = {"by": by, "currency": overrides.currency, "rows": found, "total": whole.told(overrides)}
        return told if wait else {**told, "uncounted": left}

    def _catch_up(self, progress: Callable[[int], None] | None, *, wait: bool) -> int:
        """How many runs are left to be counted."""
        if wait:
            self.view.catch_up(progress)
            return 0
        left = self.view.step()
        if left:
            self.chase.begin()
        return left

    def _names(self, by: str) -> Callable[[Mapping[str, Any]], str]:
        """What a row of the view is called."""
        if by == "tenant":
            with self._parts.database.read():
                tenants = {t.id: t.name for t in self._parts.people.tenants()}
            return lambda said: tenants.get(said["tenant"], str(said["tenant"] or _ALL))
        if by == "person":
            known = self.known()
            return lambda said: known.get(said["who"], UNKNOWN) if said["who"] else _NOBODY
        if by == "task":
            return lambda said: said["task"] or f"({said['stage']})"
        if by == "model":
            return lambda said: f"{said['provider']}/{said['model']}" if said["model"] else _HERE
        return lambda said: said[by] or "none"

    def known(self) -> dict[str, str]:
        """Names by pseudonym, of everybody of whom there is a row; with the tenant's where there are several."""
        with self._parts.database.read():
            tenants = {t.id: t.name for t in self._parts.people.tenants()}
            rows = self._parts.database.all("SELECT DISTINCT tenant, principal FROM people")
        several = len(tenants) > 1
        return {self.mark(id, who): f"{who} of {tenants.get(id, id)}" if several else who for id, who in rows}


class _Sum:
    """Amounts of one row of what is shown."""

    def __init__(self) -> None:
        self.amounts = [0] * 7
        self.late = 0
        self.unpriced = 0
        self.foreign: dict[str, int] = {}

    def add(self, said: Mapping[str, Any], amounts: Sequence[int], overrides: Overrides) -> None:
        calls, fresh, cached, output, cost, estimated, time, _ = amounts
        for n, value in enumerate((calls, fresh, cached, output, 0, estimated, time)):
            self.amounts[n] += value
        if said["currency"] == overrides.currency:
            self.amounts[4] += cost
        elif said["currency"]:
            self.foreign[said["currency"]] = self.foreign.get(said["currency"], 0) + cost
        elif calls or fresh or output:
            rates = overrides.on(said["provider"], said["model"], said["day"])
            if rates is None:
                self.unpriced += calls
            else:
                self.late += rates.cost(fresh, output, cached) + rates.request * (calls - 1)

    def told(self, overrides: Overrides) -> dict[str, Any]:
        calls, fresh, cached, output, cost, estimated, time = self.amounts
        local = overrides.time(time)
        return {
            "calls": calls,
            "input": fresh,
            "cached": cached,
            "output": output,
            "micro": cost + self.late + local,
            "cost": told(cost + self.late + local),
            "of_models": told(cost + self.late),
            "of_this_machine": None if overrides.hour is None else told(local),
            "seconds": told(time),
            "unpriced_calls": self.unpriced,
            "estimated_calls": estimated,
            "other_currencies": {name: told(amount) for name, amount in sorted(self.foreign.items())},
        }


def stated(by: str) -> str:
    """``by`` as it goes on record: a statement of whoever sits at the machine."""
    if not is_operator(by):
        raise UsageError(f"{by!r} cannot set prices or budgets", f"say who you are: --by {OPERATOR}NAME")
    return by
