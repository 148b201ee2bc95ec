"""Tools and approvals at a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, UsageError
from affidavit.domain.tools import CallState
from affidavit.entrypoints import acting
from affidavit.entrypoints.common import FAILED, AsOption, JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output, in_a_line
from affidavit.entrypoints.toolimport import tool_import
from affidavit.entrypoints.tooltest import tool_test
from affidavit.gateway.arguments import parse_arguments
from affidavit.gateway.gateway import Done

tool = typer.Typer(
    no_args_is_help=True,
    help="What the system can do. Every call is on the log before it is carried out.\n\n"
    "Tools are typed Python functions named in the workspace's tools.toml. To begin: `affidavit tool list`, "
    "`affidavit tool show NAME`, `affidavit tool call NAME '{\"order\": 7}' --as alice`.",
)
tool.command("test")(tool_test)
tool.add_typer(tool_import, name="import")
approvals = typer.Typer(no_args_is_help=True, help="Calls that wait for a person's yes or no.")

CallArgument = Annotated[str, typer.Argument(metavar="CALL", help="Its name, call-….")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; it goes on record.")]
_PAUSE = 1.0
"""Seconds between two looks of a worker that watches."""
_ENDED_BADLY = (CallState.FAILED, CallState.DENIED, CallState.EXPIRED, CallState.UNKNOWN)


def _who(user: str, what: str) -> str:
    if not user:
        raise UsageError(f"who {what}?", "add --as USER")
    return user


@tool.command("list")
def tool_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the tools there are, every version."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.tools.all()
        if as_json:
            out.json(found)
        elif found:
            columns = ("tool", "effect", "idempotency", "state", "owner", "says")
            out.table(columns, [tuple(one[c] for c in columns) for one in found])
        else:
            out.say("there are no tools; name some in tools.toml in the workspace's folder")


@tool.command("show")
def tool_show(
    name: Annotated[str, typer.Argument(metavar="TOOL|CALL", help="refund, refund@2, or call-….")],
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a tool promises, or the story of one call: what was asked, decided, approved and done.

    Example: `affidavit tool show refund@2`
    """
    with opened(workspace, as_json) as (ws, out):
        if name.startswith("call-"):
            story = ws.tools.story(ws.parts.tenant(tenant), name)
            out.json(story) if as_json else _story(out, story)
            return
        found = ws.tools.show(name)
        out.json(found) if as_json else _contract(out, found)


def _contract(out: Output, found: Mapping[str, Any]) -> None:
    out.say(f"{found['tool']}: {found['effect']}, {found['idempotency']}, {found['state']}", "bold")
    out.say(found["description"])
    needed = found["parameters"]["required"]
    for name, schema in found["parameters"]["properties"].items():
        role = found["roles"].get(name, "control")
        default = "" if name in needed else f", {schema.get('default')!r} if left out"
        kind = schema.get("type") or " | ".join(map(str, schema.get("enum", ("see --json",))))
        out.say(f"  {name}: {kind}{default} ({role})")
    out.say(
        f"  timeout {found['timeout']} ms, at most {found['attempts']} attempts, digest {found['digest'][:12]}",
        "dim",
    )


def _story(out: Output, story: Mapping[str, Any]) -> None:
    _line(out, story)
    _history(out, story)


def _history(out: Output, story: Mapping[str, Any]) -> None:
    """What happened to a call so far."""
    for one in sorted(
        (*story["decisions"], *story["changes"], *story["approvals"]), key=lambda e: int(e["position"])
    ):
        if "cause" in one:
            said = f"{one['state']} ({one['cause']}) {one['why']}"
        elif "rules" in one:
            said = f"decided to {one['when']}: {one['verdict']} by {', '.join(one['rules']) or 'no rule'}"
        else:
            said = f"{one['verdict']} by {one['by'] or 'nobody'} {one['why'] or ''}"
        out.say(f"  {one['position']}  {one['at']}  {in_a_line(said)}")
    if story["undone_by"]:
        out.say(f"  undone by {', '.join(story['undone_by'])}")


def _line(out: Output, one: Mapping[str, Any]) -> None:
    colour = {"done": "green", "waiting": "yellow"}.get(one["state"], "red")
    out.say(f"{one['call']}: {one['tool']} for {one['principal']}, {one['state']}", colour)
    out.say(f"  arguments {one['arguments']}")
    if one["result"] is not None:
        out.say(f"  result {in_a_line(one['result'])}")
    if one["why"]:
        out.say(f"  {in_a_line(one['why'])}")


@tool.command("call")
def tool_call(
    name: Annotated[str, typer.Argument(metavar="TOOL", help="refund, or refund@2 for one version.")],
    arguments: Annotated[str, typer.Argument(help="A JSON object; whole numbers only.")] = "{}",
    user: AsOption = "",
    later: Annotated[
        bool, typer.Option("--later", help="Only put it on record; `tool work` does it.")
    ] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Call a tool. Policy decides first: it is carried out, forbidden, or waits for somebody's approval.

    Exit status 0 for a call that is done or waits, 1 for one that was forbidden or failed.

    Example: `affidavit tool call refund '{"order": 7, "cents": 500}' --as alice`
    """
    with opened(workspace, as_json) as (ws, out):
        owner, given = ws.parts.tenant(tenant), parse_arguments(arguments)
        who = _who(user, "calls it")
        if later:
            row = ws.tools.propose(owner, who, name, given)
            done = ws.tools.gateway.stands(row.id)
        else:
            done = ws.tools.call(owner, who, name, given)
        _done(ws, out, done)


def _done(ws: Workspace, out: Output, done: Done) -> None:
    if out.as_json:
        out.json(done.as_json())
    else:
        _told(out, done)
    if done.state in _ENDED_BADLY:
        raise typer.Exit(FAILED)


def _told(out: Output, done: Done) -> None:
    state = done.state.value
    colour = {"done": "green", "waiting": "yellow"}.get(state, "")
    out.say(f"{done.row.name}: {done.row.tool} {state}", colour or "red")
    if done.state is CallState.DONE and done.result is not None:
        out.say(f"  {done.result}")
    if done.why:
        out.say(f"  {done.why}")
    if done.state is CallState.WAITING:
        out.say(f"  next: affidavit approvals approve {done.row.name} --as SOMEBODY")
    if done.state is CallState.UNKNOWN:
        out.say(
            f"  look whether it was done, then: affidavit tool resolve {done.row.name} --done or --not-done"
        )


@tool.command("calls")
def tool_calls(
    state: Annotated[
        str, typer.Option("--state", help=f"One of: {', '.join(s.value for s in CallState)}.")
    ] = "",
    limit: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 20,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """List calls, the newest first.

    Example: `affidavit tool calls --state unknown`
    """
    with opened(workspace, as_json) as (ws, out):
        if state and state not in {s.value for s in CallState}:
            raise UsageError(
                f"there is no state {state!r}", f"one of: {', '.join(s.value for s in CallState)}"
            )
        wanted = (CallState(state),) if state else tuple(CallState)
        found = ws.tools.newest(ws.parts.tenant(tenant), wanted, limit)
        if as_json:
            out.json(found)
            return
        columns = ("call", "at", "tool", "state", "principal", "why")
        out.table(columns, [tuple(one[c] for c in columns) for one in found])


@tool.command("work")
def tool_work(
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, looking every second, until Ctrl-C.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry out what is ready, try again what may be, and let expire what nobody approved.

    Any number of workers may run, on this machine, at the same time: each call is taken up by one. One that dies is
    noticed when the lease of its call runs out.

    Example: `affidavit tool work --watch`
    """
    with opened(workspace, as_json) as (ws, out):

        def told(done: Done) -> None:
            if as_json:
                out.json(done.as_json())
            else:
                out.say(
                    f"{done.row.name}: {done.row.tool} {done.state.value}{f', {done.why}' if done.why else ''}"
                )

        attempts = _round(ws, out, told)
        while watch:
            time.sleep(_PAUSE)
            attempts += _round(ws, out, told)
        if not as_json:
            out.say(f"{attempts} attempts")


def _round(ws: Workspace, out: Output, told: Callable[[Done], None]) -> int:
    """What is due now, and the runs that waited for it; how many attempts were made."""
    mine: set[str] = set()

    def ended(done: Done) -> None:
        mine.add(done.row.run)
        told(done)

    attempts = ws.tools.gateway.work(told=ended)
    for run, went in ws.acting.work(mine):
        if isinstance(went, AffidavitError):
            out.warn(f"{run} cannot go on: {went.message}")
        else:
            acting.acted(out, went)
    return attempts


@tool.command("undo")
def tool_undo(
    call: CallArgument,
    user: AsOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Put a call right with the undo tool that its contract names: a call of its own, decided and recorded.

    Example: `affidavit tool undo call-… --as alice`
    """
    with opened(workspace, as_json) as (ws, out):
        _done(ws, out, ws.tools.undo(ws.parts.tenant(tenant), _who(user, "undoes it"), call))


@tool.command("cancel")
def tool_cancel(
    call: CallArgument,
    why: WhyOption = "",
    by: Annotated[str, typer.Option("--by", help="Who does it, for the record.")] = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take back a call that nobody has begun."""
    with opened(workspace, as_json) as (ws, out):
        done = ws.tools.cancel(ws.parts.tenant(tenant), by, call, why)
        out.json(done.as_json()) if as_json else out.say(f"{call} is cancelled")


@tool.command("resolve")
def tool_resolve(
    call: CallArgument,
    happened: Annotated[bool, typer.Option("--done/--not-done", help="What you found.")],
    why: WhyOption,
    by: Annotated[str, typer.Option("--by", help="Who has looked, for the record.")] = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what became of a call whose end is unknown, after looking. It is never tried again by itself.

    Example: `affidavit tool resolve call-… --done --reason "the bank shows it"`
    """
    with opened(workspace, as_json) as (ws, out):
        done = ws.tools.clear_up(ws.parts.tenant(tenant), by, call, why, happened=happened)
        out.json(done.as_json()) if as_json else out.say(f"{call} is {done.state.value}")


# -- approvals


@approvals.command("list")
def approvals_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List the calls that wait for a yes: for whom, who may give it, and until when."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.tools.waiting(ws.parts.tenant(tenant))
        if as_json:
            out.json(found)
        elif found:
            rows = [
                (o["call"], o["tool"], o["principal"], ", ".join(o["roles"]), o["until"], o["arguments"])
                for o in found
            ]
            out.table(("call", "tool", "for", "who may", "until", "arguments"), rows)
        else:
            out.say("nothing waits for anybody")


@approvals.command("show")
def approvals_show(
    call: CallArgument,
    user: AsOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a call will do, on what evidence, and what is unusual about it. With --as the evidence that USER may read.

    Example: `affidavit approvals show call-… --as carol`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.tools.asked(ws.parts.tenant(tenant), call, user)
        if as_json:
            out.json(found)
            return
        out.say(f"{found['call']}: {found['tool']} for {found['principal']}, {found['state']}", "bold")
        for line in found["does"]:
            out.say(f"  {line}")
        if found["question"]:
            out.say(f"asked: {found['question']}")
        for one in found["arguments"]:
            origin = ", ".join(one["from"]) or "nobody knows where"
            out.say(f"  {one['name']} = {one['value']!r} ({one['role']}; from {origin})")
        for one in found["evidence"]:
            out.say(f"  evidence: {one['source']}/{one['document']}")
        if found["more_evidence"]:
            out.say("  there is evidence that you may not read")
        for line in found["unusual"]:
            out.say(f"  unusual: {line}", "yellow")
        _history(out, found)


@approvals.command("approve")
def approvals_approve(
    call: CallArgument,
    user: AsOption = "",
    why: WhyOption = "",
    later: Annotated[bool, typer.Option("--later", help="Leave carrying it out to `tool work`.")] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say yes to a call: to these arguments, this contract and this policy. Then it is carried out.

    Nobody approves what they asked for themselves. If policy has changed meanwhile the yes does not count.

    Example: `affidavit approvals approve call-… --as carol --reason "checked with the customer"`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        done = ws.tools.approve(owner, _who(user, "approves it"), call, why, go_on=not later)
        _decided(ws, out, done, tenant)


@approvals.command("deny")
def approvals_deny(
    call: CallArgument,
    user: AsOption = "",
    why: WhyOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say no to a call. It ends, and nothing is done.

    Example: `affidavit approvals deny call-… --as carol --reason "not without an invoice"`
    """
    with opened(workspace, as_json) as (ws, out):
        done = ws.tools.deny(ws.parts.tenant(tenant), _who(user, "denies it"), call, why)
        if not as_json:
            out.say(f"{call} is denied")
        went = acting.gone_on(ws, out, tenant, done.row.run)
        if as_json:
            out.json({**done.as_json(), "then": None if went is None else went.as_json()})


def _decided(ws: Workspace, out: Output, done: Done, tenant: str) -> None:
    """What became of an approved call, and of the run that it belongs to."""
    if not out.as_json:
        _told(out, done)
    went = acting.gone_on(ws, out, tenant, done.row.run)
    if out.as_json:
        out.json({**done.as_json(), "then": None if went is None else went.as_json()})
    if done.state in _ENDED_BADLY:
        raise typer.Exit(FAILED)
