"""What models cost, what was spent, and what may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.app.budgets import SCOPES
from affidavit.app.money import BY, read_prices
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output
from affidavit.store.people import Tenant

cost = typer.Typer(
    no_args_is_help=True, help="What was spent on models and on this machine, as the log has it."
)
prices = typer.Typer(no_args_is_help=True, help="What models cost: your own prices, then published ones.")
budget = typer.Typer(
    no_args_is_help=True,
    help="What may be spent. A call that does not fit is not made: the question goes "
    "to a cheaper target, is answered by quotation, or is refused.",
)
cost.add_typer(prices, name="prices")

By = Annotated[
    str,
    typer.Option("--by", help="Who does it, for the record: operator:NAME, a statement of whoever is here."),
]


def _tenant(ws: Workspace, name: str) -> Tenant | None:
    return ws.parts.tenant(name) if name else None


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise UsageError(f"{text!r} is not a day", "write it as 2026-11-21") from error


# -- what was spent


@cost.command("show")
def show(
    by: Annotated[str, typer.Option("--by", help=f"One of: {', '.join(BY)}.")] = "task",
    since: Annotated[str, typer.Option("--since", metavar="DAY", help="From this day (UTC) on.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="DAY", help="Up to this day, and with it.")] = "",
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Read the whole log again instead of going on from the sums that are kept."
        ),
    ] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Sum up what was spent: every recorded call of a model at the price that stands beside it on the log, and the time of this
    machine at the price of an hour, if one is declared.

    A call without a known price is counted apart and never as free. `~` marks calls whose tokens are an estimate, because the
    provider said nothing or what cannot be. Budgets that are nearly spent, or spent, are named below the sums.

    Example: `affidavit cost show --by person --since 2026-11-01`
    """
    with opened(workspace, as_json) as (ws, out):
        first, last = _day(since), _day(until)
        with out.progress("reading the log") as bar:
            found = ws.money.costs(
                by,
                first,
                last,
                _tenant(ws, tenant),
                lambda runs: bar.advance(bar.tasks[0].id, runs),
                anew=anew,
            )
        warned = ws.budgets.alerts()
        if as_json:
            out.json({**found, "budgets": warned})
            return
        _costs(out, found)
        for one in warned:
            _budget(out, one)


def _costs(out: Output, found: Mapping[str, Any]) -> None:
    titles = (found["by"], "calls", "tokens in", "out", "seconds", found["currency"], "")
    total = {found["by"]: "together", **found["total"]}
    rows = [
        (
            row[found["by"]],
            row["calls"],
            row["input"],
            row["output"],
            row["seconds"],
            row["cost"],
            _remarks(row),
        )
        for row in (*found["rows"], total)
    ]
    out.table(titles, rows)
    if found["total"]["unpriced_calls"]:
        out.warn("calls without a price are not in the sum; declare it: affidavit cost prices set FILE")


def _remarks(row: Mapping[str, Any]) -> str:
    said = [f"and {amount} {currency}" for currency, amount in row["other_currencies"].items()]
    if row["unpriced_calls"]:
        said.append(f"{row['unpriced_calls']} without a price")
    if row["estimated_calls"]:
        said.append(f"~{row['estimated_calls']}")
    return ", ".join(said)


# -- prices


@prices.command("set")
def prices_set(
    file: Annotated[Path, typer.Argument(help="TOML; amounts are text, for a million tokens.")],
    by: By = "operator:cli",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare prices for the whole workspace, in place of those declared before. The file's content and digest go on the log.

    The file holds `currency = "USD"`, `hour = "0.40"` (of this machine) and tables `[[price]]` with `provider`, `model`
    (`*` at its end: every name that begins so), `input`, `output`, and if you like `cached`, `request` (for each call) and
    `from`, a day.

    Example: `affidavit cost prices set prices.toml --by operator:finance`
    """
    with opened(workspace, as_json) as (ws, out):
        digest = ws.money.set_prices(read_prices(file), by)
        out.json({"prices": digest}) if as_json else out.say(f"prices {digest[:12]} are in force")


@prices.command("show")
def prices_show(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show the declared prices, and which published list stands behind them."""
    with opened(workspace, as_json) as (ws, out):
        said = ws.money.prices()
        if as_json:
            out.json(said)
            return
        declared = said["declared"] or {"price": []}
        rows = [
            tuple(
                row.get(k, "") for k in ("provider", "model", "from", "input", "cached", "output", "request")
            )
            for row in declared["price"]
        ]
        if rows:
            out.table(("provider", "model", "from", "input", "cached", "output", "request"), rows)
        else:
            out.say("no prices are declared")
        if "hour" in declared:
            out.say(f"an hour of this machine: {declared['hour']}")
        out.say(f"published list: {said['list'] or 'none; install affidavit[prices]'}")


@prices.command("of")
def prices_of(
    provider: Annotated[str, typer.Argument(help="For example openai.")],
    model: Annotated[str, typer.Argument(help="The provider's name for the model.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a model costs today, and who says so.

    Example: `affidavit cost prices of openai gpt-4o-mini`
    """
    with opened(workspace, as_json) as (ws, out):
        said = ws.money.price_of(provider, model)
        if as_json:
            out.json(said)
            return
        unit = f"{said['currency']} a million tokens"
        out.say(
            f"{provider}/{model}: {said['input']} in, {said['cached']} cached, {said['output']} out, {unit}"
        )
        for tier in said["tiers"]:
            out.say(f"  prompts above {tier['above']} tokens: {tier['input']} in, {tier['output']} out")
        out.say(f"  says {said['source']}", "dim")


# -- budgets


@budget.command("set")
def budget_set(
    scope: Annotated[str, typer.Argument(help=f"One of: {', '.join(SCOPES)}.")],
    amount: Annotated[str, typer.Argument(help="In the currency of the prices, or `none`.")],
    per: Annotated[str, typer.Option("--per", help="day or month (UTC).")],
    person: Annotated[
        str, typer.Option("--person", help="Whose. Scope person without it: each person for themself.")
    ] = "",
    task: Annotated[str, typer.Option("--task", help="Only calls for this task, for example answer.")] = "",
    requests: Annotated[int, typer.Option("--requests", help="How many calls at most.")] = -1,
    by: By = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Limit what may be spent on models, or how many calls there may be. A budget of the same scope is replaced; what it
    counted is counted on.

    Before a call the most it can cost is set aside in every budget that applies; what it did cost is counted afterwards.
    What was spent in this period before is counted from the log.

    Examples: `affidavit budget set tenant 200 --per month`; `affidavit budget set person 0.50 --per day`;
    `affidavit budget set person none --per day --person alice --requests 100`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant) if scope != "workspace" else None
        said = ws.budgets.set(scope, amount, per, by, owner, person, task, requests)
        out.json(said) if as_json else _budget(out, said)


@budget.command("show")
def budget_show(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Show every budget: spent, set aside for calls under way, and what the end of the period will see if it goes on so.

    A forecast is given with the range that holds for calls made independently of each other; weekdays and bursts make it wider.
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.budgets.show(_tenant(ws, tenant))
        if as_json:
            out.json(found)
            return
        for one in found:
            _budget(out, one)
        if not found:
            out.say("there are no budgets; set one: affidavit budget set tenant 200 --per month")


def _budget(out: Output, said: Mapping[str, Any]) -> None:
    whose = said["person"] or said["tenant"] or "all tenants"
    of = f"{whose} of {said['tenant']}" if said["person"] and said["tenant"] else whose
    task = f", {said['task']}" if said["task"] else ""
    money = "" if said["amount"] is None else f"{said['spent']} of {said['amount']} {said['currency']}"
    calls = "" if said["requests"] is None else f"{said['calls']} of {said['requests']} calls"
    what = " and ".join(filter(None, (money, calls)))
    style = {"spent": "red", "warned": "yellow"}.get(said["state"], "")
    left = "" if said["state"] == "open" else f" ({'spent' if said['state'] == 'spent' else 'nearly spent'})"
    when = "today" if said["per"] == "day" else "this month"
    out.say(f"budget {said['budget']}, {of}{task}: {what} {when}{left}", style)
    if said["reserved"] != "0.00":
        out.say(f"  {said['reserved']} set aside for calls under way", "dim")
    coming = said["forecast"]
    if coming is not None:
        above = ", above the budget" if coming["above_budget"] else ""
        words = f"  by the end of the {said['per']}: {coming['expected']} ({coming['low']} to {coming['high']}){above}"
        out.say(words, "yellow" if above else "dim")


@budget.command("remove")
def budget_remove(
    number: Annotated[int, typer.Argument(metavar="BUDGET", help="Its number, as `budget show` shows it.")],
    by: By = "operator:cli",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a budget. What was counted stays known, should it be set again."""
    with opened(workspace, as_json) as (ws, out):
        ws.budgets.remove(number, by)
        out.json({"removed": number}) if as_json else out.say(f"budget {number} limits nothing any more")


@budget.command("recount")
def budget_recount(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Raise this period's counters to what the log says, after a restore or if somebody changed them. None is ever lowered."""
    with opened(workspace, as_json) as (ws, out):
        with out.progress("reading the log"):
            raised = ws.budgets.recount()
        out.json({"raised": raised}) if as_json else out.say(f"{raised} counters were below the log")
