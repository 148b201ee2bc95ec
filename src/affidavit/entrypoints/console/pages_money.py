"""Pages: what it costs, and what may be spent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastapi import Response
from markupsafe import Markup

from affidavit.entrypoints.console import charts
from affidavit.entrypoints.console.charts import Series
from affidavit.entrypoints.console.filters import number, words
from affidavit.entrypoints.console.frame import Console, Nav, Visit

CHANGE = "budget:change"
_BY = ("stage", "task", "model", "person", "source", "release")
_MICRO = 1_000_000
_SHOWN = 12
_DAYS = 30


def add(console: Console) -> None:
    """One page, and what may be spent."""
    console.page("/costs", costs, Nav("Costs and budgets", "Oversight", "money:read"))
    console.form("/costs/budget", declare)
    console.form("/costs/unlimited", drop)
    console.notices(
        budgeted="The budget stands. What was spent in this period before counts.",
        unlimited="That budget is gone: nothing is counted against it any more.",
    )


def costs(visit: Visit) -> Response:
    """By day, by one other thing, and the budgets."""
    by = visit.query.get("by", "")
    by = by if by in _BY else "stage"
    days = visit.ask("money.costs", by="day", since=_first_day(visit.console.ws.parts.clock.now()))
    found = visit.ask("money.costs", by=by)
    budgets = visit.ask("money.budgets", limit=200)["items"]
    money = lambda value: number(value, 2)  # noqa: E731
    rows = days["rows"]
    spent = [row["micro"] / _MICRO for row in rows]
    line = charts.line(
        [row["day"][5:] for row in rows] if any(spent) else [],
        [Series("spent", spent)],
        f"Spent by day, in {days['currency']}",
        money,
        links=[f"/runs?since={row['day']}&until={row['day']}" for row in rows],
    )
    bars = charts.bars(
        [(words(str(row[by])), row["micro"] / _MICRO) for row in found["rows"][:_SHOWN] if row["micro"]],
        f"Spent by {by}, in {found['currency']}",
        money,
        "s2",
    )
    return visit.page(
        "costs.html",
        "Costs and budgets",
        by=by,
        choices=_BY,
        found=found,
        charts=[line, bars],
        budgets=[(b, _gauge(b)) for b in budgets],
        may=visit.may(CHANGE),
        waiting=visit.waiting("money"),
    )


def _first_day(now: int) -> str:
    """The first of the days of the chart."""
    return (datetime.fromtimestamp(now / _MICRO, UTC).date() - timedelta(days=_DAYS - 1)).isoformat()


def declare(visit: Visit) -> Response:
    """Say what may be spent, or how often models may be asked."""
    form = visit.form
    whose, requests = form.get("whose", ""), form.get("requests", "").strip()
    visit.ask(
        "money.budget",
        amount=form.get("amount", "").strip() or "none",
        per=form.get("per", ""),
        each=whose == "each",
        person=form.get("person", "").strip() if whose == "person" else "",
        requests=requests or -1,
    )
    return visit.go("/costs", "budgeted")


def drop(visit: Visit) -> Response:
    """Limit it no longer."""
    visit.ask("money.unlimited", budget=visit.form.get("budget", ""))
    return visit.go("/costs", "unlimited")


def _gauge(budget: dict[str, Any]) -> Markup:
    whose = budget["person"] or budget["tenant"] or budget["scope"]
    title = f"{whose}, a {budget['per']}" + (f", {budget['task']}" if budget["task"] else "")
    if budget["amount"] is not None:
        used, of = Decimal(budget["spent"]), Decimal(budget["amount"])
        return charts.gauge(float(used), float(of), title, lambda v: f"{number(v, 2)} {budget['currency']}")
    return charts.gauge(budget["calls"], budget["requests"] or 0, title, lambda v: f"{number(v)} calls")
