"""Operations for agents: a tool called by a model that acts for somebody, and how such a call stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field, JsonValue

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.operations.tools import OneCall
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UnknownNameError
from affidavit.domain.labels import Label, Origin
from affidavit.gateway.gateway import Done
from affidavit.store.calls import OPEN

MODEL = Label(Origin.MODEL, "", "", False)
"""Nobody vouches for what a model says: it may have read it in a document, or been told to."""


class UseInput(Asked):
    tool: str = Field(min_length=1, max_length=128)
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class CallStatus(Given):
    """How a call stands."""

    call: str
    run: str
    tool: str
    state: str = Field(
        description="proposed, waiting, ready, running: not ended. done; failed, denied, expired: not done. "
        "unknown: perhaps done, a person looks."
    )
    result: JsonValue = None
    why: str = ""
    roles: list[str] = Field(
        default_factory=list, description="Where it waits: somebody with one of these roles must say yes."
    )
    until: str = Field("", description="Where it waits: when it expires.")


def use(ws: Workspace, caller: Caller, asked: UseInput) -> dict[str, Any]:
    """Call a tool for ``caller``, with arguments that a model chose."""
    labels: Any = {name: [MODEL.as_json()] for name in asked.arguments}
    given = cast("Mapping[str, Json]", asked.arguments)
    done = ws.tools.call(
        caller.tenant, caller.principal, asked.tool, given, {"labels": labels}, by=caller.by, run=caller.run
    )
    return _told(ws, done)


def status(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    """One's own calls alone. Raises UnknownNameError for others', as if there were none."""
    gateway = ws.tools.gateway
    unknown = UnknownNameError(f"there is no call {asked.call} of yours", "a call's id comes with its result")
    try:
        row = gateway.find(caller.tenant.id, asked.call)
    except UnknownNameError:
        raise unknown from None
    with ws.parts.database.read():
        body: Any = ws.parts.events.body(ws.parts.events.event(row.proposed))
    if body.get("principal") != caller.principal:
        raise unknown
    return _told(ws, gateway.stands(row.id))


def _told(ws: Workspace, done: Done) -> dict[str, Any]:
    with ws.parts.database.read():
        asked = [a for a in ws.tools.calls.approvals(done.row.id) if a.state == OPEN]
    said = done.as_json()
    return {
        **{name: said[name] for name in ("call", "run", "tool", "state", "result", "why")},
        "roles": sorted({role for one in asked for role in one.roles}),
        "until": instant(asked[-1].expires) if asked else "",
    }


USE = Operation(
    "agents.use",
    "tool:call",
    Method.ASK,
    "/agents/use",
    "Call a tool with arguments that a model chose: nobody vouches for them, and policy is told so.",
    UseInput,
    CallStatus,
    use,
    {"tool": "refund@1", "arguments": {"order": 7}},
    changes=True,
    makes_run=True,
)
"""As ``tools.call``, but for whose word the arguments are."""

AGENTS = (
    USE,
    Operation(
        "calls.status",
        "tool:call",
        Method.READ,
        "/calls/{call}/status",
        "How a call of yours stands: done, waiting for somebody's yes, or why not.",
        OneCall,
        CallStatus,
        status,
        {"call": "call-0123456789abcdef"},
        mcp=True,
    ),
)
