"""Operations: tools, calls of them, and the yes or no that some wait for."""

from __future__ import annotations

from itertools import dropwhile
from typing import Any, Literal, cast

from pydantic import Field, JsonValue

from affidavit.app import offers
from affidavit.app.callstory import summary
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Nothing, Operation, may
from affidavit.app.operations.public import others
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UnknownNameError
from affidavit.domain.records import FOREVER
from affidavit.domain.tools import CallState, Contract
from affidavit.store.calls import CallRow

AUDIT = "audit:read"
RESOLVE = "approval:resolve"
_LOOKING_AFTER = ("kill:change", "mode:change", "policy:read", "release:change", "secret:change")
_LOOKED_AT = 2_000
_COUNTED = 100
"""What waits is counted on every page of the console: it must cost next to nothing."""
_STATES = tuple(state.value for state in CallState)
ToolName = Field(min_length=1, max_length=200, description="NAME, or NAME@VERSION.")
CallName = Field(min_length=1, max_length=80, description="As lists of calls show it.")
Reason = Field("", max_length=10_000, description="Why, in a sentence.")


class OneTool(Asked):
    name: str = ToolName


class CallInput(OneTool):
    arguments: dict[str, JsonValue] = Field(default_factory=dict, max_length=200)
    wait: bool = Field(True, description="Wait for it a little; false: only put it down to be carried out.")


class OneCall(Asked):
    call: str = CallName


class Resolution(OneCall):
    reason: str = Reason


class ClearUpInput(OneCall):
    happened: bool = Field(description="Whether it was done after all, as you found out.")
    reason: str = Field(min_length=1, max_length=10_000)


class CallsInput(Page):
    state: str = Field("", max_length=32, description=f"One of: {', '.join(_STATES)}.")


class Tool(Given):
    tool: str
    effect: Literal["read", "write", "irreversible"]
    idempotency: str
    state: str
    owner: str
    says: str
    digest: str


class ToolList(Given):
    items: list[Tool]
    next: str | None


class Done(Given):
    call: str
    run: str
    tool: str
    state: str
    result: JsonValue
    why: str
    cause: str


class CallLine(Given):
    call: str
    tool: str
    state: str
    at: str
    principal: str | None
    arguments: JsonValue
    run: str
    step: int
    result: JsonValue
    why: str | None


class CallList(Given):
    items: list[CallLine]
    next: str | None


class Waiting(CallLine):
    roles: list[str] = Field(description="Any one of these may say yes or no.")
    until: str


class WaitingList(Given):
    items: list[Waiting]
    next: str | None


class Count(Given):
    count: int
    more: bool = Field(description="There are more: so many were looked at and no further.")


# -- tools


def tools(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    seen = {contract.key for contract in visible(ws, caller)}
    found = sorted((one for one in ws.tools.all() if one["tool"] in seen), key=lambda tool: str(tool["tool"]))
    page, following = listing.paged(found, asked, lambda tool: str(tool["tool"]))
    return {"items": page, "next": following}


def tool(ws: Workspace, caller: Caller, asked: OneTool) -> dict[str, Any]:
    seen = [c.key for c in visible(ws, caller) if asked.name in (c.key, c.name)]
    if not seen:
        raise _none(asked.name)
    return ws.tools.show(seen[-1])


def visible(ws: Workspace, caller: Caller) -> list[Contract]:
    """The tools there are for ``caller``; for whoever looks after tools, those there are for anybody of their tenant, and all
    where no other tenant has any: a rule that forbids everybody can be tried too."""
    tenant, groups = caller.tenant.id, None
    if any(may(ws, caller, action) for action in _LOOKING_AFTER):
        if not others(ws, caller):
            return [entry.contract for entry in ws.tools.gateway.registry]
        with ws.parts.database.read():
            groups = ws.parts.people.groups(tenant, ws.parts.log.head())
    return offers.shown(ws.tools, ws.policy, tenant, caller.principal, groups)


def _none(name: str) -> UnknownNameError:
    return UnknownNameError(f"there is no tool {name[:80]!r}", "see which there are: /v1/tools")


def call(ws: Workspace, caller: Caller, asked: CallInput) -> dict[str, Any]:
    arguments = cast("dict[str, Json]", asked.arguments)
    if not any(asked.name in (e.contract.key, e.contract.name) for e in ws.tools.gateway.registry):
        raise _none(asked.name)  # what there is says so at the machine alone
    if not asked.wait:
        row = ws.tools.propose(
            caller.tenant, caller.principal, asked.name, arguments, run=caller.run, by=caller.by
        )
        return ws.tools.gateway.stands(row.id).as_json()
    return ws.tools.call(
        caller.tenant, caller.principal, asked.name, arguments, run=caller.run, by=caller.by
    ).as_json()


# -- calls: one's own; with audit:read everybody's


def _principal(ws: Workspace, row: CallRow) -> Any:
    return ws.parts.events.body(ws.parts.events.event(row.proposed))["principal"]


def calls(ws: Workspace, caller: Caller, asked: CallsInput) -> dict[str, Any]:
    states = [s for s in CallState if asked.state in ("", s.value)]
    before = listing.read(asked.after, int)
    everything = may(ws, caller, AUDIT)
    items: list[dict[str, Any]] = []
    last = FOREVER if before is None else before
    with ws.parts.database.read():
        for looked_at, row in enumerate(ws.tools.calls.before(caller.tenant.id, states, last)):
            if len(items) == asked.limit or looked_at == _LOOKED_AT:
                return {"items": items, "next": listing.told(last)}
            last = row.id
            if everything or _principal(ws, row) == caller.principal:
                items.append(summary(ws.parts, row))
    return {"items": items, "next": None}


def _concerned(ws: Workspace, caller: Caller, name: str) -> dict[str, Any]:
    """The call, for who asked for it, who is asked about it, and auditors. Raises UnknownNameError for others, as if there
    were none."""
    if may(ws, caller, AUDIT):
        return ws.tools.story(caller.tenant, name)
    return ws.tools.asked(caller.tenant, name, caller.principal)


def shown(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    return _concerned(ws, caller, asked.call)


def undo(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    _concerned(ws, caller, asked.call)
    return ws.tools.undo(caller.tenant, caller.principal, asked.call, caller.by).as_json()


def cancel(ws: Workspace, caller: Caller, asked: Resolution) -> dict[str, Any]:
    _concerned(ws, caller, asked.call)
    return ws.tools.cancel(caller.tenant, caller.principal, asked.call, asked.reason).as_json()


def clear_up(ws: Workspace, caller: Caller, asked: ClearUpInput) -> dict[str, Any]:
    return ws.tools.clear_up(
        caller.tenant, caller.principal, asked.call, asked.reason, happened=asked.happened
    ).as_json()


# -- approvals


def approvals(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    everything = may(ws, caller, AUDIT)
    found = [
        one
        for one in ws.tools.waiting(caller.tenant, _LOOKED_AT)
        if everything or one["principal"] == caller.principal or roles & set(one["roles"])
    ]
    last = listing.read(asked.after, int)
    if last is not None:  # those before may have been decided meanwhile
        found = list(dropwhile(lambda one: _id(ws, one["call"]) >= last, found))
    page = found[: asked.limit]
    more = len(found) > asked.limit
    return {"items": page, "next": listing.told(_id(ws, page[-1]["call"])) if more else None}


def count(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    """What the caller can decide: their own requests wait for somebody else, and what lapsed for nobody."""
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    now = instant(ws.parts.clock.now())
    found = ws.tools.waiting(caller.tenant, _COUNTED) if may(ws, caller, RESOLVE) else []
    mine = [
        one
        for one in found
        if one["principal"] != caller.principal and roles & set(one["roles"]) and one["until"] > now
    ]
    return {"count": len(mine), "more": len(found) == _COUNTED}


def _id(ws: Workspace, name: str) -> int:
    row = ws.tools.calls.named(name)
    return 0 if row is None else row.id


def approval(ws: Workspace, caller: Caller, asked: OneCall) -> dict[str, Any]:
    try:
        return ws.tools.asked(caller.tenant, asked.call, caller.principal)
    except UnknownNameError:
        if not may(ws, caller, AUDIT):
            raise
    # who audits is shown every request in the list; what it rests on is for those who may read that
    found = ws.tools.asked(caller.tenant, asked.call)
    return {**found, "evidence": [], "more_evidence": found["more_evidence"] or bool(found["evidence"])}


def approve(ws: Workspace, caller: Caller, asked: Resolution) -> dict[str, Any]:
    ws.tools.asked(caller.tenant, asked.call, caller.principal)  # who was never asked knows of none
    return ws.tools.approve(caller.tenant, caller.principal, asked.call, asked.reason).as_json()


def deny(ws: Workspace, caller: Caller, asked: Resolution) -> dict[str, Any]:
    ws.tools.asked(caller.tenant, asked.call, caller.principal)  # who was never asked knows of none
    return ws.tools.deny(caller.tenant, caller.principal, asked.call, asked.reason).as_json()


_TOOL = {"name": "send_mail@1"}
_CALL = {"call": "call-aaaaaaaaaaaaaaaa"}
_SURE = {**_CALL, "reason": "I know the customer and the amount is right"}
TOOLS = (
    Operation(
        "tools.list",
        "tool:read",
        Method.READ,
        "/tools",
        "Every tool and version.",
        Page,
        ToolList,
        tools,
        {},
        command="tool list",
    ),
    Operation(
        "tools.show",
        "tool:read",
        Method.READ,
        "/tools/{name}",
        "One tool's contract: what it takes and gives, what it does, under which limits.",
        OneTool,
        dict[str, JsonValue],
        tool,
        _TOOL,
        command="tool show",
    ),
    Operation(
        "tools.call",
        "tool:call",
        Method.ASK,
        "/tools/{name}/call",
        "Call a tool as yourself: decided by policy, recorded, carried out, or waiting for somebody's yes.",
        CallInput,
        Done,
        call,
        {**_TOOL, "arguments": {"to": "dave@acme.example", "subject": "Leave", "body": "I am away."}},
        changes=True,
        makes_run=True,
        command="tool call",
    ),
    Operation(
        "calls.list",
        "tool:read",
        Method.READ,
        "/calls",
        "The newest calls: yours, or with audit:read everybody's.",
        CallsInput,
        CallList,
        calls,
        {"state": "waiting"},
        command="tool calls",
    ),
    Operation(
        "calls.show",
        "tool:read",
        Method.READ,
        "/calls/{call}",
        "Everything about a call that concerns you: what was asked, decided, approved, done.",
        OneCall,
        dict[str, JsonValue],
        shown,
        _CALL,
    ),
    Operation(
        "calls.undo",
        "tool:call",
        Method.ASK,
        "/calls/{call}/undo",
        "Put a call right with the tool that its contract names: a call of its own, decided like any other.",
        OneCall,
        Done,
        undo,
        _CALL,
        changes=True,
        command="tool undo",
        guards="calls.show",
    ),
    Operation(
        "calls.cancel",
        "tool:call",
        Method.ASK,
        "/calls/{call}/cancel",
        "Take back what has not begun: your own call, or as an operator anybody's.",
        Resolution,
        Done,
        cancel,
        {**_CALL, "reason": "it went to the wrong person"},
        changes=True,
        command="tool cancel",
        guards="calls.show",
    ),
    Operation(
        "calls.resolve",
        "call:resolve",
        Method.ASK,
        "/calls/{call}/resolve",
        "Say what became of a call of which nobody knows, after looking. Needs the role operator or admin too.",
        ClearUpInput,
        Done,
        clear_up,
        {**_CALL, "happened": True, "reason": "the mail is in the sent folder"},
        changes=True,
        command="tool resolve",
        guards="calls.show",
    ),
    Operation(
        "approvals.list",
        "approval:read",
        Method.READ,
        "/approvals",
        "What waits for a yes: what you asked for, and what you may decide. Newest first.",
        Page,
        WaitingList,
        approvals,
        {},
        command="approvals list",
    ),
    Operation(
        "approvals.count",
        "approval:read",
        Method.READ,
        "/approvals/count",
        "How many calls wait for your yes or no.",
        Nothing,
        Count,
        count,
        {},
    ),
    Operation(
        "approvals.show",
        "approval:read",
        Method.READ,
        "/approvals/{call}",
        "What a yes to this call would do, on what evidence that you may read, and what is unusual about it.",
        OneCall,
        dict[str, JsonValue],
        approval,
        _CALL,
        command="approvals show",
    ),
    Operation(
        "approvals.approve",
        RESOLVE,
        Method.ASK,
        "/approvals/{call}/approve",
        "Say yes: the call is carried out if nothing else is missing.",
        Resolution,
        Done,
        approve,
        _SURE,
        changes=True,
        command="approvals approve",
        guards="approvals.show",
    ),
    Operation(
        "approvals.deny",
        RESOLVE,
        Method.ASK,
        "/approvals/{call}/deny",
        "Say no.",
        Resolution,
        Done,
        deny,
        {**_CALL, "reason": "the amount is too high"},
        changes=True,
        command="approvals deny",
        guards="approvals.show",
    ),
)
