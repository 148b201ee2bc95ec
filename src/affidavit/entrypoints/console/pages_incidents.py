"""Pages: incidents."""

from __future__ import annotations

from fastapi import Response

from affidavit.entrypoints.console.frame import Console, Nav, Visit


def add(console: Console) -> None:
    """All of them, one, and a new one."""
    console.page("/incidents", listed, Nav("Incidents", "Oversight", "incident:manage"))
    console.form("/incidents", opening)
    console.page("/incidents/{incident}", one)
    console.form("/incidents/{incident}/note", note)
    console.form("/incidents/{incident}/close", close)
    console.notices(
        opened="The incident is open. Its run is kept from now on, whatever else is erased.",
        noted="It is in the timeline.",
        closed="The incident is closed. The record stays.",
    )


def listed(visit: Visit) -> Response:
    """Every incident, open ones first; and a form, with the run that the address names."""
    items = visit.ask("incidents.list", limit=200)["items"]
    items.sort(key=lambda one: one["status"] == "closed")
    return visit.page("incidents.html", "Incidents", items=items, run=visit.query.get("run", ""))


def opening(visit: Visit) -> Response:
    """Open one."""
    made = visit.ask(
        "incidents.open", run=visit.form.get("run", "").strip(), reason=visit.form.get("reason", "")
    )
    return visit.go(f"/incidents/{made['incident']}", "opened")


def one(visit: Visit) -> Response:
    """One, with its timeline."""
    found = visit.ask("incidents.show", incident=visit.path["incident"])
    return visit.page("incident.html", f"Incident {found['incident']}", incident=found)


def note(visit: Visit) -> Response:
    """Add to the timeline."""
    incident = visit.path["incident"]
    visit.ask("incidents.note", incident=incident, text=visit.form.get("text", ""))
    return visit.go(f"/incidents/{incident}", "noted")


def close(visit: Visit) -> Response:
    """It is over."""
    incident = visit.path["incident"]
    visit.ask("incidents.close", incident=incident, text=visit.form.get("text", ""))
    return visit.go(f"/incidents/{incident}", "closed")
