"""Operations behind the pages for those who look after a workspace: what waits, what is stopped, what decides, what is spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.operations.operation import Asked, Caller, Method, Nothing, Operation, may
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import UnknownNameError

Open = dict[str, JsonValue]
_REASON = Field(max_length=10_000, description="Why. It goes on record.")


class Limit(Asked):
    limit: int = Field(50, ge=1, le=200, description="How many at most.")


class OneCall(Asked):
    call: str = Field(min_length=1, max_length=64)


class Resolving(OneCall):
    reason: str = Field("", max_length=10_000, description="Why. It goes on record.")


class Named(Asked):
    name: str = Field(min_length=1, max_length=200)


class Reasoned(Asked):
    reason: str = _REASON


class Mode(Reasoned):
    mode: str = Field(max_length=20)


class Stop(Reasoned):
    what: str = Field(max_length=200)


def _operation(
    name: str,
    action: str,
    method: Method,
    path: str,
    summary: str,
    takes: type[Asked],
    function: Callable[[Workspace, Caller, Any], Any],
    example: dict[str, Any],
    command: str = "",
) -> Operation[Any]:
    changes = method is not Method.READ
    return Operation(
        name, action, method, path, summary, takes, Open, function, example, changes, command=command
    )


# -- approvals


def waiting(ws: Workspace, caller: Caller, asked: Limit) -> dict[str, Any]:
    """What waits that ``caller`` asked for, or may be asked about."""
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    found = ws.tools.waiting(caller.tenant, asked.limit)
    return {
        "items": [
            one for one in found if one["principal"] == caller.principal or roles & {*one["roles"], "admin"}
        ]
    }


def asked_about(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    return ws.tools.asked(caller.tenant, asked.call, caller.principal)


def approve(ws: Workspace, caller: Caller, asked: Resolving) -> dict[str, Any]:
    return ws.tools.approve(caller.tenant, caller.principal, asked.call, asked.reason).as_json()


def deny(ws: Workspace, caller: Caller, asked: Resolving) -> dict[str, Any]:
    return ws.tools.deny(caller.tenant, caller.principal, asked.call, asked.reason).as_json()


# -- tools and calls


def tools(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"items": ws.tools.all()}


def tool(ws: Workspace, caller: Caller, asked: Named) -> dict[str, Any]:
    return ws.tools.show(asked.name)


def calls(ws: Workspace, caller: Caller, asked: Limit) -> dict[str, Any]:
    found = ws.tools.newest(caller.tenant, limit=asked.limit)
    everything = may(ws, caller, "audit:read")
    return {"items": [c for c in found if everything or c["principal"] == caller.principal]}


def call(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    if may(ws, caller, "audit:read"):
        return ws.tools.story(caller.tenant, asked.call)
    found = ws.tools.asked(caller.tenant, asked.call, caller.principal)
    if found["principal"] != caller.principal:
        raise UnknownNameError(f"there is no call {asked.call!r}", "`affidavit tool calls` lists them")
    return found


def undo(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    return ws.tools.undo(caller.tenant, caller.principal, asked.call).as_json()


# -- controls


def mode(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"mode": ws.controls.mode(caller.tenant)}


def set_mode(ws: Workspace, caller: Caller, asked: Mode) -> dict[str, Any]:
    return {"mode": ws.controls.set_mode(caller.tenant, asked.mode, caller.stated, asked.reason)}


def kills(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"items": [{"what": k.what, **vars(k)} for k in ws.controls.kills(caller.tenant)]}


def kill(ws: Workspace, caller: Caller, asked: Stop) -> dict[str, Any]:
    made = ws.controls.kill(caller.tenant, asked.what, caller.stated, asked.reason)
    return {"what": made.what, **vars(made)}


def revive(ws: Workspace, caller: Caller, asked: Stop) -> dict[str, Any]:
    ws.controls.revive(caller.tenant, asked.what, caller.stated, asked.reason)
    return {"revived": asked.what}


# -- sources


def sources(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"items": ws.source_book.all(caller.tenant)}


def source(ws: Workspace, caller: Caller, asked: Named) -> dict[str, Any]:
    return ws.source_book.show(caller.tenant, asked.name)


def sync(ws: Workspace, caller: Caller, asked: Named) -> dict[str, Any]:
    report = ws.sources.sync(ws.sources.get(caller.tenant, asked.name))
    return {"source": asked.name, "counts": report.counts(), "drained": report.drained}


class Why(Asked):
    source: str = Field(min_length=1, max_length=200)
    document: str = Field(min_length=1, max_length=2_000)
    person: str = Field(min_length=1, max_length=200)


def why(ws: Workspace, caller: Caller, asked: Why) -> dict[str, Any]:
    return ws.why.why(caller.tenant, asked.source, asked.document, asked.person)


# -- people


def people(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"items": [{"principal": name} for name in ws.people.names(caller.tenant)]}


def person(ws: Workspace, caller: Caller, asked: Named) -> dict[str, Any]:
    return ws.people.show(caller.tenant, asked.name)


# -- incidents


class Opening(Reasoned):
    run: str = Field(pattern=r"^run-[a-z2-7]{16}$")


class OneIncident(Asked):
    incident: str = Field(pattern=r"^inc-[0-9a-f]{10}$")


class Saying(OneIncident):
    text: str = Field(max_length=10_000)


def incidents(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"items": [i.as_json() for i in reversed(ws.incidents.all(caller.tenant))]}


def incident(ws: Workspace, caller: Caller, asked: OneIncident) -> dict[str, Any]:
    found = ws.incidents.get(caller.tenant, asked.incident).as_json()
    return {**found, "timeline": ws.incidents.timeline(caller.tenant, asked.incident)}


def open_incident(ws: Workspace, caller: Caller, asked: Opening) -> dict[str, Any]:
    return ws.incidents.open(caller.tenant, asked.run, caller.stated, asked.reason).as_json()


def note_incident(ws: Workspace, caller: Caller, asked: Saying) -> dict[str, Any]:
    return ws.incidents.note(caller.tenant, asked.incident, caller.stated, asked.text).as_json()


def close_incident(ws: Workspace, caller: Caller, asked: Saying) -> dict[str, Any]:
    return ws.incidents.close(caller.tenant, asked.incident, caller.stated, asked.text).as_json()


# -- money


class Costs(Asked):
    by: str = Field("task", max_length=20)
    since: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    until: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")


def costs(ws: Workspace, caller: Caller, asked: Costs) -> dict[str, Any]:
    return ws.money.costs(asked.by, asked.since, asked.until, caller.tenant)


def budgets(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"items": [b for b in ws.budgets.show(caller.tenant) if b["scope"] != "workspace"]}


# -- drills


def drills(ws: Workspace, caller: Caller, asked: Limit) -> dict[str, Any]:
    watched = may(ws, caller, "audit:read")
    return {
        "drills": ws.drill_book.all(),
        "items": ws.drill_book.newest(caller.tenant, asked.limit, watched=watched),
    }


def run_drill(ws: Workspace, caller: Caller, asked: Named) -> dict[str, Any]:
    return {"drill": asked.name, "position": ws.drill_book.begin(caller.tenant, asked.name, caller.stated)}


_R, _A, _C = Method.READ, Method.ASK, Method.CHANGE
_CALL_NAME = {"call": "call-aaaaaaaaaaaaaaaa"}
_RUN_NAME = {"run": "run-aaaaaaaaaaaaaaaa"}
_INCIDENT = {"incident": "inc-0123456789"}

PANEL = (
    _operation("approvals.list", "approval:read", _R, "/approvals", "What waits for a yes that you asked for or may give.", Limit, waiting, {"limit": 5}, "approvals list"),
    _operation("approvals.show", "approval:read", _R, "/approvals/{call}", "What a yes would do, on what evidence, and what is unusual.", OneCall, asked_about, _CALL_NAME, "approvals show"),
    _operation("approvals.approve", "approval:resolve", _A, "/approvals/{call}/approve", "Say yes to a call that waits.", Resolving, approve, _CALL_NAME, "approvals approve"),
    _operation("approvals.deny", "approval:resolve", _A, "/approvals/{call}/deny", "Say no to a call that waits.", Resolving, deny, _CALL_NAME, "approvals deny"),
    _operation("tools.list", "tool:read", _R, "/tools", "Every tool and version.", Nothing, tools, {}, "tool list"),
    _operation("tools.show", "tool:read", _R, "/tools/{name}", "One tool's contract, and its digest.", Named, tool, {"name": "mail.send@1"}, "tool show"),
    _operation("calls.list", "tool:read", _R, "/calls", "The newest calls: yours, or with audit:read everybody's.", Limit, calls, {"limit": 5}, "tool calls"),
    _operation("calls.show", "tool:read", _R, "/calls/{call}", "The story of a call.", OneCall, call, _CALL_NAME, "tool calls"),
    _operation("calls.undo", "tool:call", _A, "/calls/{call}/undo", "Put a call right with the tool its contract names.", OneCall, undo, _CALL_NAME, "tool undo"),
    _operation("modes.show", "status:read", _R, "/mode", "Whether tools may change anything.", Nothing, mode, {}, "mode show"),
    _operation("modes.set", "mode:change", _C, "/mode", "From the next step on.", Mode, set_mode, {"mode": "read-only", "reason": "an audit"}, "mode"),
    _operation("kills.list", "status:read", _R, "/kills", "What is stopped.", Nothing, kills, {}, "kill"),
    _operation("kills.kill", "kill:change", _A, "/kills", "Stop something from the next step on.", Stop, kill, {"what": "tenant", "reason": "a leak"}, "kill"),
    _operation("kills.revive", "kill:change", _A, "/kills/revive", "Let something go on.", Stop, revive, {"what": "tenant", "reason": "it is mended"}, "revive"),
    _operation("sources.list", "source:read", _R, "/sources", "Where documents come from, and how the last sync went.", Nothing, sources, {}, "source list"),
    _operation("sources.show", "source:read", _R, "/sources/{name}", "One source, its figures and the faults of its last sync.", Named, source, {"name": "wiki"}, "source list"),
    _operation("sources.sync", "source:change", _A, "/sources/{name}/sync", "Bring a source up to date.", Named, sync, {"name": "wiki"}, "sync"),
    _operation("access.why", "people:read", _R, "/why", "Why somebody may read a document, or may not.", Why, why, {"source": "wiki", "document": "a.md", "person": "alice"}),
    _operation("people.list", "people:read", _R, "/people", "Everybody who is known.", Nothing, people, {}, "people list"),
    _operation("people.show", "people:read", _R, "/people/{name}", "What is known of somebody: groups, roles, grants.", Named, person, {"name": "user:alice"}, "people show"),
    _operation("incidents.list", "incident:manage", _R, "/incidents", "Incidents, the newest first.", Nothing, incidents, {}, "incident list"),
    _operation("incidents.show", "incident:manage", _R, "/incidents/{incident}", "One incident with its timeline.", OneIncident, incident, _INCIDENT, "incident show"),
    _operation("incidents.open", "incident:manage", _A, "/incidents", "An incident about a run, which is kept from now on.", Opening, open_incident, {**_RUN_NAME, "reason": "a wrong answer"}, "incident open"),
    _operation("incidents.note", "incident:manage", _A, "/incidents/{incident}/notes", "Add to the timeline.", Saying, note_incident, {**_INCIDENT, "text": "told the customer"}, "incident note"),
    _operation("incidents.close", "incident:manage", _A, "/incidents/{incident}/close", "It is over.", Saying, close_incident, {**_INCIDENT, "text": "mended"}, "incident close"),
    _operation("money.costs", "money:read", _R, "/costs", "What was spent, by what.", Costs, costs, {"by": "stage"}, "cost"),
    _operation("money.budgets", "money:read", _R, "/budgets", "Budgets, and how they stand.", Nothing, budgets, {}, "budget show"),
    _operation("drills.list", "drill:run", _R, "/drills", "The drills there are, and how they went.", Limit, drills, {"limit": 5}, "drill"),
    _operation("drills.run", "drill:run", _A, "/drills/{name}", "Break something on a copy, in the background; the report goes on record.", Named, run_drill, {"name": "kill"}, "drill"),
)  # fmt: skip
