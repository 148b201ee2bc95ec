"""Pages: how well it serves. Answers and refusals, citations, durations, cost, day by day, and what is promised."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from markupsafe import Markup

from affidavit.entrypoints.console import charts
from affidavit.entrypoints.console.charts import Series
from affidavit.entrypoints.console.filters import duration, number, words
from affidavit.entrypoints.console.frame import Console, Nav, Visit

PERIODS = (7, 30, 90)


def add(console: Console) -> None:
    """One page of charts."""
    console.page("/levels", levels, Nav("Service levels", "Oversight", "status:read"))


def levels(visit: Visit) -> Response:
    """The charts of the last days."""
    asked = visit.query.get("days", "")
    days = int(asked) if asked in map(str, PERIODS) else 30
    found = visit.ask("figures.show", days=days)
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
        costs=_costs(visit, found),
    )


def _promised(visit: Visit) -> list[tuple[dict[str, Any], Markup | None]]:
    """Each level, and the gauge of its error budget where one is promised and was measured."""
    return [(one, _budget(one)) for one in visit.ask("levels.list")["items"]]


def _budget(level: dict[str, Any]) -> Markup | None:
    left = level["budget_left_percent"]
    if left is None:
        return None
    whose = level["source"] or "all answers"
    return charts.gauge(
        100 - left, 100, f"{level['level']} of {whose}: error budget used", lambda v: f"{number(v)} %"
    )


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
    outcomes = [
        Series(name, [day[name] for day in days]) for name in ("answered", "refused", "waiting", "failed")
    ]
    quantiles = [Series(f"{q} of 100", [day[f"p{q}"] for day in days]) for q in (50, 95, 99)]
    cited = [day["cited"] / day["claims"] if day["claims"] else None for day in days]
    total = found["total"]
    marks = [(f"p{q}", float(total[f"p{q}"])) for q in (50, 95) if total[f"p{q}"] is not None]
    buckets = [(float(b["from"]), float(b["to"]), b["count"]) for b in found["latency"]]
    return [
        charts.line(labels, outcomes, "What questions came to, by day"),
        charts.line(labels, quantiles, "How long answers took, by day", duration),
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
