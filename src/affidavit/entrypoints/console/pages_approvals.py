"""Pages: what waits for a yes, and what became of it."""

from __future__ import annotations

from contextlib import suppress

from fastapi import Response

from affidavit.ask.asker import instant
from affidavit.domain.errors import AffidavitError
from affidavit.entrypoints.console.frame import Console, Nav, Visit
from affidavit.entrypoints.console.told import happened
from affidavit.entrypoints.http.sessions import local_path

_EXPLAINED = 10
"""So many requests are compared with earlier calls before anybody opens them."""
RESOLVE = "approval:resolve"


def add(console: Console) -> None:
    """The inbox and one request."""
    console.page("/approvals", inbox, Nav("Approvals", "Work", "approval:read", count=count))
    console.page("/approvals/{call}", one)
    console.form("/approvals/{call}/approve", approve)
    console.form("/approvals/{call}/deny", deny)
    console.form("/proposals/{id}/confirm", confirm)
    console.form("/proposals/{id}/decline", decline)
    console.notices(
        proposed="It takes two people, so it waits. Somebody else who may do the same confirms it below.",
        confirmed="It is done, as theirs and with your word on record.",
        declined="It is not done. Your word is on record.",
        approved="Your yes is on record. Below is what became of the call.",
        denied="Your no is on record. The call will not be made.",
    )


def count(visit: Visit) -> str:
    """How many calls and changes wait for this person's word. Nothing is counted while looking: each page would go on record."""
    if visit.caller.looking:
        return ""
    mine = sum(not one["yours"] for one in visit.waiting())
    found = visit.ask("approvals.count")
    waits = found["count"] + mine
    return f"{waits}+" if found["more"] else str(waits or "")


def inbox(visit: Visit) -> Response:
    """What waits, the most urgent first and what lapsed last, and what was decided lately."""
    found = visit.ask("approvals.list", limit=100)["items"]
    past = visit.ask("approvals.history", limit=30)["items"]
    now = instant(visit.console.ws.parts.clock.now())
    items = [{**one, "lapsed": one["until"] <= now, "unusual": []} for one in found]
    for one in [one for one in items if not one["lapsed"]][:_EXPLAINED]:
        with suppress(AffidavitError):  # it may have been decided, or be none of theirs, meanwhile
            one["unusual"] = visit.ask("approvals.show", call=one["call"])["unusual"]
    items.sort(key=lambda one: (one["lapsed"], one["until"]))
    proposals = visit.waiting()
    return visit.page("approvals.html", "Approvals", items=items, past=past, proposals=proposals)


def one(visit: Visit) -> Response:
    """Everything to know before one says yes or no."""
    found = visit.ask("approvals.show", call=visit.path["call"])
    waits = found["state"] == "waiting"
    mine = found["principal"] == visit.caller.principal
    may = waits and not mine and visit.may(RESOLVE)
    others = visit.ask("approvals.list", limit=20)["items"] if visit.may(RESOLVE) else []
    following = next(
        (
            o["call"]
            for o in others
            if o["call"] != found["call"] and o["principal"] != visit.caller.principal
        ),
        "",
    )
    return visit.page(
        "approval.html",
        f"{found['tool']}",
        call=found,
        waits=waits,
        mine=mine,
        may=may,
        moments=happened(found),
        next=following,
    )


def approve(visit: Visit) -> Response:
    """Yes."""
    return _resolve(visit, "approvals.approve", "approved")


def deny(visit: Visit) -> Response:
    """No."""
    return _resolve(visit, "approvals.deny", "denied")


def _resolve(visit: Visit, operation: str, notice: str) -> Response:
    call = visit.path["call"]
    return visit.do(operation, f"/approvals/{call}", notice, call=call, reason=visit.form.get("reason", ""))


def confirm(visit: Visit) -> Response:
    """The second yes to a change that takes two people."""
    return _second(visit, "proposals.confirm", "confirmed")


def decline(visit: Visit) -> Response:
    """No to it; or taking back what one asked for."""
    return _second(visit, "proposals.decline", "declined")


def _second(visit: Visit, operation: str, notice: str) -> Response:
    return visit.do(operation, _back(visit), notice, id=visit.path["id"], reason=visit.form.get("reason", ""))


def _back(visit: Visit) -> str:
    """The page on which they gave their word, if it is one of ours."""
    return local_path(visit.form.get("back", "") or "/approvals").partition("?")[0]
