"""Pages: how well it serves. Answers and refusals, citations, durations, cost, day by day, and what is promised."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from markupsafe import Markup

from affidavit.domain.errors import UsageError
from affidavit.entrypoints.console import charts
from affidavit.entrypoints.console.charts import Series
from affidavit.entrypoints.console.filters import duration, number, words
from affidavit.entrypoints.console.frame import Console, Nav, Visit

CHANGE = "level:change"
PERIODS = (7, 30, 90)
UNITS = {"minutes": 60, "hours": 3600, "days": 86_400}


def add(console: Console) -> None:
    """One page of charts, and promising."""
    console.page("/levels", levels, Nav("Service levels", "Oversight", "status:read"))
    console.form("/levels/promise", promise)
    console.form("/levels/withdraw", withdraw)
    console.notices(
        promised="It is promised, and measured from what is on record already.",
        withdrawn="It is promised no longer. What was measured stays on record.",
    )


def levels(visit: Visit) -> Response:
    """The charts of the last days."""
    asked = visit.query.get("days", "")
    days = int(asked) if asked in map(str, PERIODS) else 30
    until = visit.query.get("until", "").strip()
    found = visit.ask("figures.show", days=days, until=until)
    promised = _promised(visit)
    return visit.page(
        "levels.html",
        "Service levels",
        periods=PERIODS,
        days=days,
        found=found,
        stats=_stats(found),
        charts=_charts(found),
        promised=promised,
        until=until,
        units=UNITS,
        sources=visit.ask("sources.list", limit=200)["items"] if visit.may("source:read") else [],
        may=visit.may(CHANGE),
        waiting=visit.waiting("levels"),
        costs=_costs(visit, found),
    )


def promise(visit: Visit) -> Response:
    """Promise a level of service, or another one than before."""
    form = visit.form
    within = form.get("within", "").strip()
    try:
        seconds = round(float(within) * UNITS[form.get("unit", "")]) if within else 0
    except (ValueError, KeyError, OverflowError) as error:
        raise UsageError(
            f"{within!r} is no time", "a number, such as 2, and minutes, hours or days"
        ) from error
    visit.ask(
        "levels.set",
        level=form.get("level", ""),
        percent=form.get("percent", "").strip(),
        source=form.get("source", ""),
        within_seconds=seconds,
        days=form.get("days", ""),
    )
    return visit.go("/levels#promised", "promised")


def withdraw(visit: Visit) -> Response:
    """Promise it no longer."""
    level, source = visit.form.get("level", ""), visit.form.get("source", "")
    visit.ask("levels.remove", level=level, source=source)
    return visit.go("/levels#promised", "withdrawn")


def _promised(visit: Visit) -> list[tuple[dict[str, Any], Markup | None]]:
    """Each level, and the gauge of its error budget where one is promised and was measured."""
    return [(one, _budget(one)) for one in visit.ask("levels.list")["items"]]


def _budget(level: dict[str, Any]) -> Markup | None:
    left = level["budget_left_percent"]
    if left is None:
        return None
    whose = level["source"] or "all answers"
    used, days = 100 - left, level["objective"]["days"]
    said = f"{number(used)} % of {days} days' worth"
    if used > 0:
        lasts = days * 100 / used
        said += f"; at this pace it lasts {number(lasts, 0 if lasts >= 10 else 1)} days"
    return charts.gauge(used, 100, f"{level['level']} of {whose}: error budget used", said=said)


def _stats(found: dict[str, Any]) -> list[tuple[str, str]]:
    total = found["total"]
    given = total["answered"] + total["refused"] + total["waiting"] + total["failed"]
    return [
        ("questions", number(given)),
        ("answered", _share(total["answered"], given)),
        ("statements that cite a place", _share(total["cited"], total["claims"])),
        ("half of them within", "–" if total["p50"] is None else duration(total["p50"])),
        ("95 of 100 within", "–" if total["p95"] is None else duration(total["p95"])),
    ]


def _share(part: int, whole: int) -> str:
    """Rounded down: 99.99 is not said to be all."""
    return f"{part * 1000 // whole / 10:.1f} %" if whole else "–"


def _charts(found: dict[str, Any]) -> list[Markup]:
    days = found["days"]
    labels = [day["day"][5:] for day in days]
    # a day on which nothing was asked leads nowhere, but a chart has a link for each or for none
    links = [f"/runs?journey=ask&since={day['day']}&until={day['day']}" for day in days]
    # what never happened would lie on the axis and hide what is below it
    outcomes = [
        Series(name, [day[name] for day in days])
        for name in ("answered", "refused", "waiting", "failed")
        if name == "answered" or found["total"][name]
    ]
    quantiles = [Series(f"{q} of 100", [day[f"p{q}"] for day in days]) for q in (50, 95, 99)]
    cited = [day["cited"] / day["claims"] if day["claims"] else None for day in days]
    total = found["total"]
    marks = [(f"p{q}", float(total[f"p{q}"])) for q in (50, 95) if total[f"p{q}"] is not None]
    buckets = [(float(b["from"]), float(b["to"]), b["count"]) for b in found["latency"]]
    return [
        charts.line(labels, outcomes, "What questions came to, by day", links=links),
        charts.line(labels, quantiles, "How long answers took, by day", duration, links=links),
        charts.histogram(buckets, "How long answers took, all days", duration, marks),
        charts.line(
            labels, [Series("cited", cited)], "Share of statements that cite a place", charts.percent
        ),
        charts.bars(
            [(words(r["reason"]), r["count"]) for r in found["refusals"]], "Why questions were refused"
        ),
        charts.bars(
            [(words(s["stage"]), s["count"]) for s in found["stages"]],
            "Where the time went, all questions together",
            duration,
            "s3",
        ),
    ]


def _costs(visit: Visit, found: dict[str, Any]) -> Markup | None:
    """What each stage cost; None for whoever may not know."""
    if not visit.may("money:read"):
        return None
    costs = visit.ask("money.costs", by="stage", since=found["since"], until=found["until"])
    rows = [(words(str(row["stage"])), row["micro"] / 1_000_000) for row in costs["rows"] if row["micro"]]
    return charts.bars(rows, f"Cost by stage, in {costs['currency']}", lambda v: number(v, 2), "s2")
