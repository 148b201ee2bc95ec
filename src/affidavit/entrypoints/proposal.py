"""`affidavit proposal`: what takes two people, asked for over the network."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, opened

proposal = typer.Typer(
    no_args_is_help=True, help="What takes two people: which actions, and what waits for the second."
)


@proposal.command("require")
def proposal_require(
    actions: Annotated[
        list[str] | None, typer.Argument(help="The actions: mode:change, policy … Give all of them.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Nothing takes two people any more.")] = False,
    by: Annotated[str, typer.Option("--by", help="operator:NAME at this machine.")] = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say which actions take two people from now on, when they are asked for over the network.

    Whoever asks for one of them is told that it waits; somebody else who may do the same confirms it, and it is done. Commands
    at this machine are not concerned: whoever sits here holds the log's key.

    Example: `affidavit proposal require mode:change credential:change people:change --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        if bool(actions) == none:
            raise UsageError("which actions take two people?", "name all of them, or say --none")
        found = ws.proposals.require(ws.parts.tenant(tenant), actions or (), by)
        out.json({"required": found}) if as_json else out.say(
            f"two people for: {', '.join(found)}" if found else "nothing takes two people"
        )


@proposal.command("list")
def proposal_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List what takes two people, and what waits for the second."""
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        required, waiting = sorted(ws.proposals.required(owner)), ws.proposals.waiting(owner)
        if as_json:
            items = [
                {"id": p.id, "operation": p.operation, "by": p.principal, "asked": json.loads(p.asked)}
                for p in waiting
            ]
            out.json({"required": required, "waiting": items})
            return
        out.say(f"two people for: {', '.join(required) or 'nothing'}")
        if waiting:
            out.table(("id", "what", "asked for by"), [(p.id, p.operation, p.principal) for p in waiting])
