"""Pages: what waits for a yes, and what became of it."""

from __future__ import annotations

from fastapi import Response

from affidavit.ask.asker import instant
from affidavit.entrypoints.console.frame import Console, Nav, Visit

RESOLVE = "approval:resolve"


def add(console: Console) -> None:
    """The inbox and one request."""
    console.page("/approvals", inbox, Nav("Approvals", "Work", "approval:read"))
    console.page("/approvals/{call}", one)
    console.form("/approvals/{call}/approve", approve)
    console.form("/approvals/{call}/deny", deny)
    console.notices(
        approved="Your yes is on record. Below is what became of the call.",
        denied="Your no is on record. The call will not be made.",
    )


def inbox(visit: Visit) -> Response:
    """What waits, the most urgent first and what lapsed last, and what was decided lately."""
    found = visit.ask("approvals.list", limit=100)["items"]
    past = visit.ask("approvals.history", limit=30)["items"]
    now = instant(visit.console.ws.parts.clock.now())
    items = [{**one, "lapsed": one["until"] <= now} for one in found]
    items.sort(key=lambda one: (one["lapsed"], one["until"]))
    return visit.page("approvals.html", "Approvals", items=items, past=past)


def one(visit: Visit) -> Response:
    """Everything to know before one says yes or no."""
    found = visit.ask("approvals.show", call=visit.path["call"])
    waits = found["state"] == "waiting"
    mine = found["principal"] == visit.caller.principal
    may = waits and not mine and visit.may(RESOLVE)
    return visit.page("approval.html", f"{found['tool']}", call=found, waits=waits, mine=mine, may=may)


def approve(visit: Visit) -> Response:
    """Yes."""
    call = visit.path["call"]
    visit.ask("approvals.approve", call=call, reason=visit.form.get("reason", ""))
    return visit.go(f"/approvals/{call}", "approved")


def deny(visit: Visit) -> Response:
    """No."""
    call = visit.path["call"]
    visit.ask("approvals.deny", call=call, reason=visit.form.get("reason", ""))
    return visit.go(f"/approvals/{call}", "denied")
