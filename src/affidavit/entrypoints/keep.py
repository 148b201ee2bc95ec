"""Erasure, retention, holds, redaction, backups: how long what is kept, and what goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.app.backup import backup, restore
from affidavit.app.erasure import Target
from affidavit.app.keeping import RETAINED
from affidavit.app.redaction import read_rules
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, errors, opened
from affidavit.entrypoints.manage import audit
from affidavit.entrypoints.output import Output

hold = typer.Typer(no_args_is_help=True, help="Keep a run, person or document from being erased or pruned.")
retention = typer.Typer(no_args_is_help=True, help="How long bodies are kept. Without a limit: for ever.")
redaction = typer.Typer(
    no_args_is_help=True, help="What is taken out of questions and answers before they are stored."
)
audit.add_typer(hold, name="hold")
audit.add_typer(retention, name="retention")
audit.add_typer(redaction, name="redaction")

By = Annotated[
    str,
    typer.Option(
        "--by",
        help="Who does it, for the record: a person with the grant `audit:erase`, or operator:NAME, a statement of whoever "
        "sits at the machine.",
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", help="Why, for the record, for ever: name a case, not a person.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")]
Document = Annotated[str, typer.Option("--document", help="A document's name, as citations show it.")]
Source = Annotated[str, typer.Option("--source", help="The document's source, if several have that name.")]
Person = Annotated[str, typer.Option("--person", help="A user's name, or a principal such as service:bot.")]
RunId = Annotated[str, typer.Option("--run", help="A run's id.")]


def _target(document: str, source: str, person: str, run: str) -> Target:
    given = [
        (kind, name) for kind, name in (("document", document), ("person", person), ("run", run)) if name
    ]
    if len(given) != 1:
        raise UsageError(
            "say one of --document NAME, --person USER, --run RUN", "for example --document leave.md"
        )
    kind, name = given[0]
    if kind == "person" and ":" not in name:
        name = f"user:{name}"
    if kind == "person" and not name.startswith(("user:", "service:")):
        raise UsageError(f"{name} is not a person", "a group is not one: affidavit people remove group:NAME")
    return Target(kind, name, source if kind == "document" else "")


@audit.command("erase")
def erase(
    by: By,
    reason: Reason,
    document: Document = "",
    source: Source = "",
    person: Person = "",
    run: RunId = "",
    dry_run: DryRun = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Erase what the log and the catalog hold of a document, a person or a run, and report what remains.

    Contents and their salts go, for good; headers, counts and the tree stay, so every proof still works, and an event says
    by whom, why and which. A document leaves the index first and is not read in again (`audit readmit` allows it). A person's
    questions and answers go, and every row about them; they are unknown afterwards. Exports and backups made before are not
    touched.

    Example: `affidavit audit erase --person erin --by operator:dpo --reason "request 17" --dry-run`
    """
    with opened(workspace, as_json) as (ws, out):
        target = _target(document, source, person, run)
        with out.progress("looking through the log" if dry_run else "erasing"):
            report = ws.erasing.erase(ws.parts.tenant(tenant), target, by, reason, dry_run=dry_run)
        out.json(report) if as_json else _erased(out, report)


def _erased(out: Output, report: Mapping[str, Any]) -> None:
    verb = "would be erased" if report["dry_run"] else "erased"
    out.say(
        f"{verb}: {report['events']} event bodies of {report['runs']} runs, {report['documents']} documents with "
        f"{report['contents']} texts and originals",
        "bold",
    )
    if "rows" in report:
        out.say(f"  {report['rows']} rows about the person are gone")
    if "vectors" in report:
        out.say(f"  {report['vectors']} vectors that nothing else shares are gone")
    out.say("what remains")
    for one in report["remains"]:
        if one["count"] != 0:
            out.say(
                f"  {one['what']}{'' if one['count'] is None else ': ' + str(one['count'])}: {one['why']}"
            )
    _scrubbed(out, report)


def _scrubbed(out: Output, report: Mapping[str, Any]) -> None:
    if report.get("position") is not None:
        out.say(f"on record at position {report['position']}")
    if report.get("scrubbed") is False:
        out.warn(
            "another process reads, or the disk is full: old bytes are left in the files; later run: affidavit audit scrub"
        )


@audit.command("erasures")
def erasures(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List what was erased: when, by whom, why and how much; of what is not kept."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.keeping.erasures(ws.parts.tenant(tenant))
        if as_json:
            out.json(found)
            return
        rows = [
            (e["position"], e["at"], e["cause"], e["events"], e["contents"], e["by"], e["reason"])
            for e in found
        ]
        out.table(("position", "at", "cause", "bodies", "contents", "by", "reason"), rows)


@audit.command("readmit")
def readmit(
    document: Document,
    source: Source,
    by: By,
    reason: Reason,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a document that was erased be read in again by the next sync.

    Example: `affidavit audit readmit --document leave.md --source docs --by operator:dpo --reason "rewritten without names"`
    """
    with opened(workspace, as_json) as (ws, out):
        ws.keeping.readmit(ws.parts.tenant(tenant), source, document, by, reason)
        out.json({"readmitted": document}) if as_json else out.say(
            f"the next sync may read {document} in again"
        )


@audit.command("scrub")
def scrub(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Rewrite the database's files so that nothing erased is left in them; an erasure does it by itself unless somebody reads."""
    with opened(workspace, as_json) as (ws, out):
        with out.progress("rewriting"):
            done = ws.erasing.scrub(index=True)
        out.json({"scrubbed": done}) if as_json else _scrubbed(out, {"scrubbed": done})


# -- retention


@retention.command("show")
def retention_show(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Say how long what is kept."""
    with opened(workspace, as_json) as (ws, out):
        _retention(out, ws.keeping.retention(ws.parts.tenant(tenant)))


@retention.command("set")
def retention_set(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(RETAINED)}.")],
    days: Annotated[int, typer.Argument(help="Days; 0: for ever.", min=0)],
    by: By,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Keep the bodies of a kind of event for some days. Nothing goes before `affidavit audit prune`.

    Example: `affidavit audit retention set answers 365 --by operator:dpo`
    """
    with opened(workspace, as_json) as (ws, out):
        _retention(out, ws.keeping.set_retention(ws.parts.tenant(tenant), kind, days, by))


def _retention(out: Output, said: Mapping[str, int | None]) -> None:
    if out.as_json:
        out.json(said)
        return
    for kind, days in said.items():
        out.say(f"{kind}: {'for ever' if days is None else f'{days} days'}")


@audit.command("prune")
def prune(
    by: By = "operator:retention",
    dry_run: DryRun = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Erase the bodies that are older than their retention; what is held stays. Headers, tree and proofs go on working."""
    with opened(workspace, as_json) as (ws, out):
        with out.progress("pruning"):
            report = ws.keeping.prune(ws.parts.tenant(tenant), by, dry_run=dry_run)
        if as_json:
            out.json(report)
            return
        counts = ", ".join(f"{n} of {kind}" for kind, n in report["pruned"].items()) or "no retention is set"
        out.say(f"bodies {'to prune' if dry_run else 'pruned'}: {counts}")
        if report["held"]:
            out.say(f"  {report['held']} are kept by hold {', '.join(map(str, report['holds']))}", "yellow")
        _scrubbed(out, report)


# -- holds


@hold.command("add")
def hold_add(
    by: By,
    reason: Reason,
    document: Document = "",
    source: Source = "",
    person: Person = "",
    run: RunId = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Keep a run, a person or a document from being erased or pruned, until it is released.

    Example: `affidavit audit hold add --run RUN --by operator:legal --reason "case 4711"`
    """
    with opened(workspace, as_json) as (ws, out):
        target = _target(document, source, person, run)
        held = ws.keeping.hold(
            ws.parts.tenant(tenant), target.cause, target.subject, by, reason, target.source
        )
        out.json(held) if as_json else out.say(f"hold {held['id']} keeps {held['kind']} {held['subject']}")


@hold.command("release")
def hold_release(
    id: Annotated[int, typer.Argument(metavar="HOLD", help="Its number, as `hold list` shows it.")],
    by: By,
    reason: Reason,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """End a hold. Nothing is erased by that."""
    with opened(workspace, as_json) as (ws, out):
        held = ws.keeping.release(ws.parts.tenant(tenant), id, by, reason)
        out.json(held) if as_json else out.say(f"hold {id} keeps {held['kind']} {held['subject']} no longer")


@hold.command("list")
def hold_list(
    everything: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the holds."""
    with opened(workspace, as_json) as (ws, out):
        holds = ws.keeping.holds(ws.parts.tenant(tenant), live=not everything)
        if as_json:
            out.json(holds)
            return
        rows = [
            (h["id"], h["kind"], h["subject"], h["by"], h["since"], h["until"] or "", h["reason"])
            for h in holds
        ]
        out.table(("hold", "of", "what", "by", "since", "until", "reason"), rows)


# -- redaction


@redaction.command("set")
def redaction_set(
    file: Annotated[Path, typer.Argument(help='TOML: use = ["email", "iban"], and [[pattern]] tables.')],
    by: By,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """From now on, take what the rules find out of questions, answers and steps before they are stored, for every tenant.

    The person still gets their own answer whole. Documents are not redacted. An empty file ends it.

    Example: `affidavit audit redaction set rules.toml --by operator:dpo`
    """
    with opened(workspace, as_json) as (ws, out):
        rules = read_rules(file)
        ws.keeping.set_redaction(ws.parts.tenant(tenant), rules, by)
        out.json(rules) if as_json else out.say(f"{len(rules)} rules are in force")


@redaction.command("show")
def redaction_show(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show the rules in force."""
    with opened(workspace, as_json) as (ws, out):
        rules = ws.keeping.redaction()
        if as_json:
            out.json(rules)
            return
        for rule in rules:
            out.say(f"{rule['name']}: {rule.get('pattern', 'built in')}")
        if not rules:
            out.say("nothing is redacted")


@redaction.command("test")
def redaction_test(
    text: Annotated[str, typer.Argument(help="Any text.")],
    file: Annotated[
        Path | None, typer.Option("--rules", help="Rules to try instead of those in force.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would be stored of a text; nothing is stored.

    Example: `affidavit audit redaction test "my card is 4111 1111 1111 1111" --rules rules.toml`
    """
    with opened(workspace, as_json) as (ws, out):
        told = ws.keeping.try_redaction(text, None if file is None else read_rules(file))
        out.json(told) if as_json else out.say(told["text"])


# -- backups


def backup_command(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder, best on another disk.")],
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Put the log's private key in too. Better keep it apart.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the workspace while it works: catalog, contents and log as they stood at one moment.

    The index is left out: it is built anew. Without the log's key a backup cannot be restored; keep `keys/log.key` in another
    place, or say `--with-key`. What is erased later is still in this backup.

    Example: `affidavit backup /mnt/backup/handbook-2026-11-21`
    """
    with opened(workspace, as_json) as (ws, out):
        with out.progress("copying") as bar:

            def advance(what: str, done: int, total: int) -> None:
                bar.update(bar.tasks[0].id, description=what, completed=done, total=total)

            manifest = backup(ws.parts, directory, with_key=with_key, progress=advance)
        if as_json:
            out.json(manifest)
            return
        out.say(f"{manifest['events']} events are in {directory}")
        if not with_key:
            out.say(f"  the log's key is not: keep {ws.parts.folder / 'keys' / 'log.key'} apart", "dim")


def restore_command(
    directory: Annotated[Path, typer.Argument(help="The folder that `affidavit backup` made.")],
    target: Annotated[Path, typer.Argument(help="A new or empty folder for the workspace.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="The log's key, where the backup does not hold it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace out of a backup. It is verified whole and its index is built before it takes its name.

    It stands where it stood when it was backed up; that it is old, only a checkpoint or state file kept elsewhere can tell.
    Erasures made since must be made again.

    Example: `affidavit restore /mnt/backup/handbook-2026-11-21 ~/handbook --key /mnt/safe/log.key`
    """
    out = Output(as_json)
    with errors(out):
        with out.progress("restoring") as bar:

            def advance(what: str, done: int, total: int) -> None:
                bar.update(bar.tasks[0].id, description=what, completed=done, total=total)

            report = restore(directory, target, key, progress=advance)
        if as_json:
            out.json(report)
            return
        out.say(f"restored and sound: {report['events']} events as of {report['backed_up_at']}", "green")
        out.say(f"  root {report['root']}")
        out.say(
            "  what was erased after the backup is back: see the old workspace's `affidavit audit erasures`",
            "dim",
        )
