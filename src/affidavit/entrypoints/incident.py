"""The commands for what people say about answers, and for incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.domain.access import named
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import AsOption, JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output

incident = typer.Typer(no_args_is_help=True, help="Incidents: freeze, gather evidence, keep a timeline.")

By = Annotated[
    str,
    typer.Option("--by", help="Who does this: operator:NAME at this machine, or who holds incident:manage."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]
Name = Annotated[str, typer.Argument(help="The incident, as `incident list` shows it.")]


def feedback(
    run_id: Annotated[str, typer.Argument(help="The run; left out: list what was said.")] = "",
    right: Annotated[bool, typer.Option("--right", help="The answer is right.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="The answer is wrong.")] = False,
    reason: Reason = "",
    user: AsOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Report an answer of one's own as right or wrong. Without a run: list reports and reviews, with --as those of that user.

    Example: `affidavit feedback run-… --wrong --reason "the limit was raised in May" --as alice`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        if not run_id:
            said = ws.feedback.of(owner, reader=named(user) if user else None)
            _said(out, [s.as_json() for s in said])
            return
        if right == wrong or not user:
            raise UsageError("feedback needs --right or --wrong, and --as USER", "affidavit feedback --help")
        position = ws.feedback.report(owner, run_id, named(user), "right" if right else "wrong", reason)
        out.json({"position": position}) if as_json else out.say(f"on the log at position {position}")


def review(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    confirmed: Annotated[bool, typer.Option("--confirmed", help="The answer stands.")] = False,
    overridden: Annotated[bool, typer.Option("--overridden", help="Another answer is accepted.")] = False,
    accepted: Annotated[str, typer.Option("--accepted", help="The answer it should have been.")] = "",
    reason: Reason = "",
    by: Annotated[
        str, typer.Option("--by", help="The reviewer: operator:NAME, or who holds answer:review.")
    ] = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """As a reviewer, confirm an answer or override it with the one that is accepted. The answer given stays on the record.

    Example: `affidavit review run-… --overridden --accepted "20 %" --reason "raised in May" --by carol`
    """
    with opened(workspace, as_json) as (ws, out):
        if confirmed == overridden or not by:
            raise UsageError(
                "a review needs --confirmed or --overridden, and --by", "affidavit review --help"
            )
        verdict = "confirmed" if confirmed else "overridden"
        position = ws.feedback.review(ws.parts.tenant(tenant), run_id, by, verdict, reason, accepted)
        out.json({"position": position}) if as_json else out.say(f"on the log at position {position}")


def _said(out: Output, entries: list[dict[str, Any]]) -> None:
    if out.as_json:
        out.json(entries)
        return
    for e in entries:
        out.say(f"{e['at']}  {e['run']}  {e['by']}: {e['verdict']}: {e['reason']}")
        if e["accepted"]:
            out.say(f"  accepted instead: {e['accepted']}")
    if not entries:
        out.say("nobody has said anything yet", "dim")


@incident.command("open")
def incident_open(
    run_id: Annotated[str, typer.Argument(help="The run it is about.")],
    reason: Reason = "",
    by: By = "",
    kill: Annotated[
        list[str] | None,
        typer.Option("--kill", metavar="WHAT", help="Stop a tool, source, model, the tenant or all first."),
    ] = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Open an incident about a run: from now on the run can be neither erased nor pruned.

    With `--kill` something is stopped at once, before anything else is done; see `affidavit kill --help`.

    Example: `affidavit incident open run-… --reason "quoted a withdrawn price" --by operator:dave --kill source:prices`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        for what in kill or ():
            ws.controls.kill(owner, what, by, reason)
        opened_one = ws.incidents.open(owner, run_id, by, reason)
        for what in kill or ():
            ws.incidents.note(owner, opened_one.id, by, f"stopped {what}")
        _shown(out, ws.incidents.get(owner, opened_one.id).as_json(), [])


@incident.command("list")
def incident_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List incidents, open and closed."""
    with opened(workspace, as_json) as (ws, out):
        entries = [i.as_json() for i in ws.incidents.all(ws.parts.tenant(tenant))]
        if as_json:
            out.json(entries)
            return
        rows = [
            (e["incident"], e["status"], e["opened_at"], e["opened_by"], e["run"], e["reason"])
            for e in entries
        ]
        out.table(("incident", "status", "opened", "by", "run", "reason"), rows)


@incident.command("show")
def incident_show(
    name: Name, workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Show an incident with its timeline: the run, what became of its documents, who said and looked at what."""
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        _shown(out, ws.incidents.get(owner, name).as_json(), ws.incidents.timeline(owner, name))


@incident.command("note")
def incident_note(
    name: Name,
    text: Annotated[str, typer.Argument(help="What was found or done.")],
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a note to the timeline."""
    with opened(workspace, as_json) as (ws, out):
        _shown(out, ws.incidents.note(ws.parts.tenant(tenant), name, by, text).as_json(), [])


@incident.command("close")
def incident_close(
    name: Name,
    reason: Reason = "",
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Close an incident: what it held may be erased again, the record of it stays."""
    with opened(workspace, as_json) as (ws, out):
        _shown(out, ws.incidents.close(ws.parts.tenant(tenant), name, by, reason).as_json(), [])


@incident.command("pack")
def incident_pack(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the evidence into a folder: proofs that can be checked offline, explanation, what it would be today, timeline.

    Example: `affidavit incident pack inc-… evidence --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        sums = ws.incidents.pack(ws.parts.tenant(tenant), name, folder, by)
        if as_json:
            out.json({"folder": str(folder), "files": sums})
            return
        out.table(("file", "sha256"), [(s["file"], s["sha256"]) for s in sums])
        out.say("check it anywhere, without affidavit: affidavit audit verifier -o verify_affidavit.py")
        out.say(f"  python verify_affidavit.py {folder}/proof.json")


def _shown(out: Output, value: dict[str, Any], timeline: list[dict[str, Any]]) -> None:
    if out.as_json:
        out.json({**value, "timeline": timeline} if timeline else value)
        return
    out.say(f"{value['incident']}: {value['status']}, about {value['run']}", "bold")
    out.say(f"opened by {value['opened_by']} at {value['opened_at']}: {value['reason']}")
    if value["status"] == "open":
        out.say(f"the run is held (hold {value['hold']}): it can be neither erased nor pruned")
    for entry in timeline:
        out.say(f"  {entry['at']}  {entry['what']}")
