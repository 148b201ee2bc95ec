"""Pages: tools and their contracts, calls and their stories, putting a call right."""

from __future__ import annotations

from fastapi import Response

from affidavit.entrypoints.console.frame import Console, Nav, Visit


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
    return visit.page("tools.html", "Tools", tools=tools, calls=calls, stopped=stopped)


def _kills(visit: Visit) -> list[dict[str, str]]:
    found: list[dict[str, str]] = visit.ask("kills.list")["items"] if visit.may("status:read") else []
    return found


def contract(visit: Visit) -> Response:
    """One tool."""
    found = visit.ask("tools.show", name=visit.path["name"])
    return visit.page("tool.html", found["tool"], tool=found)


def call(visit: Visit) -> Response:
    """One call."""
    found = visit.ask("calls.show", call=visit.path["call"])
    undoable = found["state"] == "done" and not found["undone_by"] and visit.may("tool:call")
    return visit.page("call.html", found["tool"], call=found, undoable=undoable)


def undo(visit: Visit) -> Response:
    """Put it right."""
    made = visit.ask("calls.undo", call=visit.path["call"])
    return visit.go(f"/calls/{made['call']}", "undone")
