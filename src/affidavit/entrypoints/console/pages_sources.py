"""Pages: where documents come from, how fresh they are, and who may read them and why."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from affidavit.domain.errors import AccessDeniedError
from affidavit.entrypoints.console import charts
from affidavit.entrypoints.console.charts import Series
from affidavit.entrypoints.console.filters import duration
from affidavit.entrypoints.console.frame import Console, Nav, Visit

CHANGE, WHY = "source:change", "people:read"
_WORKS = 50
_STALE = 86_400_000_000


def add(console: Console) -> None:
    """Sources, one source, why."""
    console.page("/sources", listed, Nav("Sources", "Oversight", "source:read"))
    console.page("/sources/{name}", one)
    console.form("/sources/{name}/sync", sync)
    console.form("/sources/{name}/check", check)
    console.page("/why", why, Nav("Who may read what", "Access", "document:read"))
    console.page("/chunks", chunks)
    console.notices(syncing="It is being brought up to date. What it brings is below when it is done.")


def listed(visit: Visit) -> Response:
    """Every source."""
    items = [{**s, "state": state(s)} for s in visit.ask("sources.list", limit=200)["items"]]
    return visit.page("sources.html", "Sources", items=items)


def state(source: dict[str, Any]) -> str:
    """One word for how a source is."""
    if source["stopped"]:
        return "stopped"
    if source["age"] is None:
        return "never synced"
    if source["faults"]:
        return "with faults"
    return "stale" if source["age"] > _STALE else "fresh"


def one(visit: Visit) -> Response:
    """One source, its faults and how its syncs went."""
    return _one(visit, None)


def check(visit: Visit) -> Response:
    """Whether it can be reached and read now. Nothing is taken in."""
    return _one(visit, visit.ask("sources.check", name=visit.path["name"]))


def _one(visit: Visit, checked: dict[str, Any] | None) -> Response:
    found = visit.ask("sources.show", name=visit.path["name"])
    syncs = list(reversed(found["syncs"]))
    took = [s["took"] for s in syncs]
    chart = charts.line(
        [s["at"][5:16].replace("T", " ") for s in syncs],
        [Series("took", took)],
        "How long syncs took",
        duration,
        links=[f"/runs/{s['run']}" for s in syncs],
    )
    return visit.page(
        "source.html",
        found["name"],
        source=found,
        state=state(found),
        checked=checked,
        failed=_failed(visit, found["name"]),
        waiting=visit.waiting("sources"),
        chart=chart,
        quality=visit.ask("sources.quality", name=found["name"]),
        levels=_levels(visit, found["name"]),
        may=visit.may(CHANGE),
        may_why=visit.may(WHY),
    )


def _failed(visit: Visit, name: str) -> dict[str, Any] | None:
    """The last sync that a server began, if it did not end well; for whoever may begin another."""
    if not visit.may(CHANGE):
        return None
    works = visit.ask("works.list", limit=_WORKS)["items"]
    last = next((one for one in works if one["source"] == name), None)
    return last if last and last["state"] in ("failed", "lost") else None


def _levels(visit: Visit, name: str) -> list[dict[str, Any]]:
    """What is promised of the source; nothing for whoever may not know how the workspace serves."""
    if not visit.may("status:read"):
        return []
    return [one for one in visit.ask("levels.list")["items"] if one["source"] == name]


def sync(visit: Visit) -> Response:
    """Begin to bring it up to date."""
    name = visit.path["name"]
    visit.ask("sources.sync", name=name)
    return visit.go(f"/sources/{name}", "syncing")


def why(visit: Visit) -> Response:
    """Why can bob see this?"""
    asked = {name: visit.query.get(name, "").strip() for name in ("source", "document", "person")}
    found, missing = None, ""
    if asked["source"] and asked["document"]:
        try:
            found = visit.ask("access.why", **asked)
        except AccessDeniedError as error:
            missing = error.message
    sources = visit.ask("sources.list", limit=200)["items"] if visit.may("source:read") else []
    return visit.page(
        "why.html",
        "Who may read what",
        asked=asked,
        found=found,
        missing=missing,
        sources=sources,
        may_others=visit.may(WHY),
    )


def chunks(visit: Visit) -> Response:
    """What search reads of a document."""
    asked = {name: visit.query.get(name, "") for name in ("source", "document")}
    found = visit.ask("documents.chunks", **asked)
    return visit.page("chunks.html", f"Passages of {found['document']}", found=found)
