"""The commands for what may be done at all: mode, kill switch, secrets."""

from __future__ import annotations

from typing import Annotated

import typer

from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import AsOfOption, JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.store.controls import LIVE, READ_ONLY

mode = typer.Typer(no_args_is_help=True, help="Whether tools may change anything.")
secret = typer.Typer(
    no_args_is_help=True, help="Credentials that tools are handed: named by where they are, never stored."
)

By = Annotated[
    str,
    typer.Option("--by", help="Who does this: operator:NAME at this machine, or who holds the role for it."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]
_WHAT = "all, tenant, tool:NAME, tool:NAME@VERSION, source:NAME or model:NAME."


@mode.command("show")
def mode_show(
    as_of: AsOfOption = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say whether tools may change anything, now or then.

    Example: `affidavit mode show --as-of 2026-11-21T10:00`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        found = ws.controls.mode(owner, None if as_of is None else ws.position(as_of))
        out.json({"tenant": owner.name, "mode": found}) if as_json else out.say(found)


@mode.command("read-only")
def mode_read_only(
    by: By = "",
    reason: Reason = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let no tool change anything from the next step on. Workspaces start so.

    Example: `affidavit mode read-only --by operator:dave --reason "a release is being tried"`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.controls.set_mode(ws.parts.tenant(tenant), READ_ONLY, by, reason)
        out.json({"mode": found}) if as_json else out.say("no tool changes anything now")


@mode.command("live")
def mode_live(
    by: By = "",
    reason: Reason = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let tools change things, as far as the policy permits it. Needs the role admin, or operator:NAME at this machine.

    Example: `affidavit mode live --by operator:dave --reason "the pilot begins"`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.controls.set_mode(ws.parts.tenant(tenant), LIVE, by, reason)
        out.json({"mode": found}) if as_json else out.say(
            "tools may change things now, as the policy permits"
        )


def kill(
    what: Annotated[str, typer.Argument(help=f"{_WHAT} Left out: list what is stopped.")] = "",
    by: By = "",
    reason: Reason = "",
    as_of: AsOfOption = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Stop a tool, a source, a model, a tenant or everything, from the very next step on, in every process, until it is revived.

    A source that is stopped is neither read nor searched nor quoted; a model is passed over; a tenant, or all, answers nothing.
    `all` and models are every tenant's, and only operator:NAME stops them; the roles operator and admin stop the rest.

    Example: `affidavit kill tool:mail.send --by operator:dave --reason "it writes to strangers"`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        if what:
            found = ws.controls.kill(owner, what, by, reason)
            out.json(vars(found)) if as_json else out.say(found.why())
            return
        kills = ws.controls.kills(owner, None if as_of is None else ws.position(as_of))
        if as_json:
            out.json([vars(k) for k in kills])
        elif kills:
            out.table(("what", "reason", "by", "since"), [(k.what, k.reason, k.by, k.since) for k in kills])
        else:
            out.say("nothing is stopped")


def revive(
    what: Annotated[str, typer.Argument(help=_WHAT)],
    by: By = "",
    reason: Reason = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let go on what was stopped.

    Example: `affidavit revive tool:mail.send --by operator:dave --reason "its recipients are checked now"`
    """
    with opened(workspace, as_json) as (ws, out):
        ws.controls.revive(ws.parts.tenant(tenant), what, by, reason)
        out.json({"revived": what}) if as_json else out.say(f"{what} goes on")


@secret.command("set")
def secret_set(
    name: Annotated[str, typer.Argument(help="What tools call it.")],
    variable: Annotated[
        str, typer.Option("--from-env", metavar="VAR", help="The variable that holds it.")
    ] = "",
    file: Annotated[
        str, typer.Option("--from-file", metavar="FILE", help="The file that holds it, alone.")
    ] = "",
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say where a credential is. It is read when a tool that names it runs, and handed to that tool only.

    Example: `affidavit secret set crm-key --from-env CRM_KEY --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        if bool(variable) == bool(file):
            raise UsageError("a secret is in a variable or in a file", "--from-env VAR or --from-file FILE")
        kind, place = ("env", variable) if variable else ("file", file)
        found = ws.controls.set_secret(ws.parts.tenant(tenant), name, kind, place, by)
        out.json(vars(found)) if as_json else out.say(
            f"{name} is read from {kind} {found.place} when a tool needs it"
        )


@secret.command("list")
def secret_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List where secrets are, and whether they can be read here and now. Their values are never shown."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.controls.secrets(ws.parts.tenant(tenant))
        if as_json:
            out.json(found)
            return
        rows = [(s["name"], s["kind"], s["place"], "yes" if s["readable"] else "no") for s in found]
        out.table(("name", "in", "place", "readable"), rows)


@secret.command("remove")
def secret_remove(
    name: Annotated[str, typer.Argument(help="The secret.")],
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Forget where a credential is: no tool is handed it any more."""
    with opened(workspace, as_json) as (ws, out):
        ws.controls.remove_secret(ws.parts.tenant(tenant), name, by)
        out.json({"removed": name}) if as_json else out.say(f"{name} is forgotten")
