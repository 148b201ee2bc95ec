"""Pages: incidents."""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import quote

from fastapi import Response

from affidavit.domain.errors import AffidavitError
from affidavit.entrypoints.console.frame import Console, Nav, Visit

_RUN = re.compile(r"run-[a-z2-7]{16}")


def add(console: Console) -> None:
    """All of them, one, and a new one."""
    console.page("/incidents", listed, Nav("Incidents", "Oversight", "incident:manage"))
    console.form("/incidents", opening)
    console.page("/incidents/{incident}", one)
    console.form("/incidents/{incident}/note", note)
    console.form("/incidents/{incident}/close", close)
    console.form("/incidents/{incident}/pack", pack)
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
    return visit.page(
        "incident.html",
        f"Incident {found['incident']}",
        incident=found,
        timeline=[{**one, "runs": _RUN.findall(one["what"])} for one in found["timeline"]],
        about=_about(visit, found["run"]),
        others=[i for i in visit.ask("incidents.list", limit=200)["items"] if _same(i, found)],
        may_pack=visit.may("audit:read") and visit.may("audit:replay"),
    )


def _about(visit: Visit, run: str) -> dict[str, Any]:
    """The run, as far as they may see it themselves."""
    try:
        found: dict[str, Any] = visit.ask("runs.show", run=run)
    except AffidavitError:
        return {}
    return found


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Another incident about the same run."""
    return bool(one["run"] == other["run"] and one["incident"] != other["incident"])


def pack(visit: Visit) -> Response:
    """The evidence as a file."""
    found = visit.ask("incidents.pack", incident=visit.path["incident"])
    name = f'attachment; filename="{quote(found["name"])}"'
    data = base64.b64decode(found["data"])
    return Response(data, media_type="application/zip", headers={"Content-Disposition": name})


def note(visit: Visit) -> Response:
    """Add to the timeline."""
    return _said(visit, "incidents.note", "noted")


def close(visit: Visit) -> Response:
    """It is over."""
    return _said(visit, "incidents.close", "closed")


def _said(visit: Visit, operation: str, notice: str) -> Response:
    incident = visit.path["incident"]
    return visit.do(
        operation, f"/incidents/{incident}", notice, incident=incident, text=visit.form.get("text", "")
    )
