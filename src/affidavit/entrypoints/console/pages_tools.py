"""Pages: tools and their contracts, calls and their stories, putting a call right."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from affidavit.domain.errors import AffidavitError
from affidavit.entrypoints.console import charts
from affidavit.entrypoints.console.frame import Console, Nav, Visit
from affidavit.entrypoints.console.told import happened, spans


def add(console: Console) -> None:
    """Tools and calls."""
    console.page("/tools", listed, Nav("Tools", "Work", "tool:read"))
    console.page("/tools/{name}", contract)
    console.page("/calls/{call}", call)
    console.form("/calls/{call}/undo", undo)
    console.notices(undone="The call that puts it right was proposed. Below is what became of it.")


def listed(visit: Visit) -> Response:
    """Every tool, and the newest calls."""
    tools = visit.ask("tools.list", limit=200)["items"]
    stopped = {k["what"].removeprefix("tool:") for k in _kills(visit)}
    calls = visit.ask("calls.list", limit=50)["items"]
    return visit.page(
        "tools.html", "Tools", tools=tools, calls=calls, stopped=stopped, waiting=_waiting(visit)
    )


def _kills(visit: Visit) -> list[dict[str, str]]:
    found: list[dict[str, str]] = visit.ask("kills.list")["items"] if visit.may("status:read") else []
    return found


def contract(visit: Visit) -> Response:
    """One tool."""
    found = visit.ask("tools.show", name=visit.path["name"])
    stops = [
        k for k in _kills(visit) if k["what"] in (f"tool:{found['tool']}", f"tool:{_name(found['tool'])}")
    ]
    calls = [c for c in visit.ask("calls.list", limit=100)["items"] if c["tool"] == found["tool"]][:10]
    return visit.page(
        "tool.html", found["tool"], tool=found, stops=stops, calls=calls, waiting=_waiting(visit)
    )


def _name(tool: str) -> str:
    return tool.partition("@")[0]


def _waiting(visit: Visit) -> list[dict[str, Any]]:
    """Proposals that concern tools: of them, and of stopping and letting go on."""
    return [
        one
        for one in visit.waiting("tools", "calls", "kills")
        if not one["operation"].startswith("kills.") or str(one["asked"].get("what", "")).startswith("tool:")
    ]


def call(visit: Visit) -> Response:
    """One call."""
    found = visit.ask("calls.show", call=visit.path["call"])
    undo = _undo(visit, found["tool"]) if found["state"] == "done" and not found["undone_by"] else ""
    laps = spans(found)
    return visit.page(
        "call.html",
        found["tool"],
        call=found,
        moments=happened(found),
        timeline=charts.timeline(laps, "Where the time went") if laps else None,
        undo=undo,
        undoable=bool(undo) and visit.may("tool:call"),
    )


def _undo(visit: Visit, tool: str) -> str:
    """The tool that puts right what ``tool`` did; "" where its contract names none, and where it is no longer there."""
    try:
        return str(visit.ask("tools.show", name=tool).get("undo") or "")
    except AffidavitError:
        return ""


def undo(visit: Visit) -> Response:
    """Put it right."""
    made = visit.ask("calls.undo", call=visit.path["call"])
    return visit.go(f"/calls/{made['call']}", "undone")
