"""Operations: what models cost, and what may be spent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.workspace import Workspace

_DAY = r"^(\d{4}-\d{2}-\d{2})?$"


class CostsInput(Asked):
    by: Literal["person", "task", "stage", "model", "release", "source", "day"] = "task"
    since: str = Field("", pattern=_DAY, description="The first day, as 2026-11-01.")
    until: str = Field("", pattern=_DAY, description="The last day.")


class Sum(Given):
    calls: int
    input: int
    cached: int
    output: int
    micro: int = Field(description="Millionths of the currency.")
    cost: str
    of_models: str
    of_this_machine: str | None
    seconds: str
    unpriced_calls: int
    estimated_calls: int
    other_currencies: dict[str, str]


class Costs(Given):
    by: str
    currency: str
    rows: list[dict[str, JsonValue]] = Field(
        description="Each with its name under the word of `by`, and sums."
    )
    total: Sum
    uncounted: int = Field(description="Runs that are on the log and not in these sums yet; ask again.")


class Budget(Given):
    budget: int
    scope: str
    tenant: str | None
    person: str | None
    task: str | None
    per: str
    since: str
    until: str
    currency: str
    amount: str | None
    requests: int | None
    spent: str
    reserved: str
    calls: int
    state: Literal["open", "warned", "spent"]
    forecast: dict[str, JsonValue] | None


class BudgetList(Given):
    items: list[Budget]
    next: str | None


def costs(ws: Workspace, caller: Caller, asked: CostsInput) -> dict[str, Any]:
    return ws.money.costs(asked.by, asked.since, asked.until, caller.tenant, wait=False)


def budgets(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    # what the whole workspace spent is of all its tenants together
    own = [b for b in ws.budgets.show(caller.tenant) if b["scope"] != "workspace"]
    own.sort(key=_key)
    page, following = listing.paged(own, asked, _key)
    return {"items": page, "next": following}


class BudgetInput(Asked):
    amount: str = Field(
        pattern=r"^(none|\d{1,9}(\.\d{1,6})?)$",
        description="In the currency of the prices; none limits calls alone.",
    )
    per: Literal["day", "month"] = "month"
    each: bool = Field(False, description="For each person, instead of for all of them together.")
    person: str = Field("", max_length=300, description="For this person alone.")
    task: str = Field("", pattern=r"^([a-z][a-z-]{0,31})?$", description="Only for this, such as answer.")
    requests: int = Field(-1, ge=-1, le=10**9, description="How many calls at most; -1 does not limit them.")


class OneBudget(Asked):
    budget: int = Field(ge=1, le=2**53)


class Removed(Given):
    budget: int


def declare(ws: Workspace, caller: Caller, asked: BudgetInput) -> dict[str, Any]:
    return ws.budgets.set(
        "person" if asked.person or asked.each else "tenant",
        asked.amount,
        asked.per,
        caller.principal,
        caller.tenant,
        asked.person,
        asked.task,
        asked.requests,
    )


def drop(ws: Workspace, caller: Caller, asked: OneBudget) -> dict[str, Any]:
    ws.budgets.remove(asked.budget, caller.principal, caller.tenant)
    return {"budget": asked.budget}


def _key(budget: dict[str, Any]) -> str:
    return f"{budget['budget']:012} {budget['person'] or ''}"


MONEY = (
    Operation(
        "money.costs",
        "money:read",
        Method.READ,
        "/costs",
        "What was spent on models, by person, task, stage, model, release, source or day.",
        CostsInput,
        Costs,
        costs,
        {"by": "stage"},
        command="cost show",
    ),
    Operation(
        "money.budgets",
        "money:read",
        Method.READ,
        "/budgets",
        "Budgets of your organisation and its people, and how they stand.",
        Page,
        BudgetList,
        budgets,
        {},
        command="budget show",
    ),
    Operation(
        "money.budget",
        "budget:change",
        Method.ASK,
        "/budgets",
        "Declare what may be spent on models in a day or a month; a budget of the same scope goes.",
        BudgetInput,
        Budget,
        declare,
        {"amount": "100", "per": "month"},
        changes=True,
        command="budget set",
    ),
    Operation(
        "money.unlimited",
        "budget:change",
        Method.END,
        "/budgets/{budget}",
        "From now on nothing is counted against this budget.",
        OneBudget,
        Removed,
        drop,
        {"budget": 1},
        changes=True,
        command="budget remove",
    ),
)
