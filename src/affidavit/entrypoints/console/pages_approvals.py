"""Pages: what waits for a yes, and what became of it."""

from __future__ import annotations

from fastapi import Response

from affidavit.ask.asker import instant
from affidavit.entrypoints.console.frame import Console, Nav, Visit
from affidavit.entrypoints.console.told import happened

RESOLVE = "approval:resolve"


def add(console: Console) -> None:
    """The inbox and one request."""
    console.page("/approvals", inbox, Nav("Approvals", "Work", "approval:read"))
    console.page("/approvals/{call}", one)
    console.form("/approvals/{call}/approve", approve)
    console.form("/approvals/{call}/deny", deny)
    console.form("/proposals/{id}/confirm", confirm)
    console.form("/proposals/{id}/decline", decline)
    console.notices(
        confirmed="It is done, as theirs and with your word on record.",
        declined="It is not done. Your word is on record.",
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
    proposals = visit.ask("proposals.list")["items"]
    return visit.page("approvals.html", "Approvals", items=items, past=past, proposals=proposals)


def one(visit: Visit) -> Response:
    """Everything to know before one says yes or no."""
    found = visit.ask("approvals.show", call=visit.path["call"])
    waits = found["state"] == "waiting"
    mine = found["principal"] == visit.caller.principal
    may = waits and not mine and visit.may(RESOLVE)
    return visit.page(
        "approval.html",
        f"{found['tool']}",
        call=found,
        waits=waits,
        mine=mine,
        may=may,
        moments=happened(found),
    )


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


def confirm(visit: Visit) -> Response:
    """The second yes to a change that takes two people."""
    visit.ask("proposals.confirm", id=visit.path["id"], reason=visit.form.get("reason", ""))
    return visit.go("/approvals", "confirmed")


def decline(visit: Visit) -> Response:
    """No to it; or taking back what one asked for."""
    visit.ask("proposals.decline", id=visit.path["id"], reason=visit.form.get("reason", ""))
    return visit.go("/approvals", "declined")
