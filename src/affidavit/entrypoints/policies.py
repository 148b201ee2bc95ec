"""The commands for policies: the rules that decide what tools may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affidavit.domain.decisions import Decision
from affidavit.entrypoints.common import FAILED, JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output
from affidavit.entrypoints.replay import policy
from affidavit.policy.statements import policy_digest

FolderArgument = Annotated[
    Path | None,
    typer.Argument(
        help="The folder of *.cedar and *.test.toml. Default: `policies` in the workspace; without it, what is in force."
    ),
]


@policy.command("show")
def policy_show(
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the rules in force, with the digest that decisions cite.

    Example: `affidavit policy show`
    """
    with opened(workspace, as_json) as (ws, out):
        checked = ws.policy.check(ws.policy.in_force(), ws.parts.tenant(tenant).id if tenant else None)
        rules = [
            {"id": r.id, "effect": r.effect, "approval": r.approval, "file": r.file, "line": r.line}
            for r in checked.rules
        ]
        if as_json:
            out.json({"policy": checked.digest, "rules": rules})
            return
        out.say(f"policy {checked.digest}")
        said = [
            (r.id, r.effect + (f" unless {r.approval} approves" if r.approval else ""), r.where)
            for r in checked.rules
        ]
        out.table(("rule", "effect", "where"), said)


@policy.command("write")
def policy_write(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the rules in force into a folder, to be changed and published. The rules affidavit comes with have tests beside them.

    Example: `affidavit policy write policies`
    """
    with opened(workspace, as_json) as (ws, out):
        names = ws.policy.write(folder)
        out.json({"written": names}) if as_json else out.say(f"{folder}: {', '.join(names)}")


@policy.command("check")
def policy_check(
    folder: FolderArgument = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Parse the rules and validate them against the tools there are; name file and line of the first fault.

    Example: `affidavit policy check policies`
    """
    with opened(workspace, as_json) as (ws, out):
        files = ws.policy.files(folder)
        checked = ws.policy.check(files.rules, ws.parts.tenant(tenant).id if tenant else None)
        found = {"policy": checked.digest, "rules": len(checked.rules), "files": sorted(files.rules)}
        out.json(found) if as_json else out.say(
            f"{len(checked.rules)} rules are sound: {checked.digest}", "green"
        )


@policy.command("test")
def policy_test(
    folder: FolderArgument = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Run the folder's `*.test.toml`, and name the rules that no test has seen both applying and not applying.

    Exit status 1 if a test fails or a rule is not covered.

    Example: `affidavit policy test policies`
    """
    with opened(workspace, as_json) as (ws, out):
        report = ws.policy.test(ws.policy.files(folder), ws.parts.tenant(tenant).id if tenant else None)
        if as_json:
            out.json(report.as_json())
        else:
            for outcome in report.failed:
                expected = _words(outcome.test.verdict.value, outcome.test.by or ())
                out.say(
                    f"{outcome.test.where}: expected {expected}, decided {_decided(outcome.decision)}", "red"
                )
            for rule in report.uncovered:
                applied, not_applied = report.coverage[rule]
                out.say(
                    f"{rule}: applied in {applied} tests, did not apply in {not_applied}: test both", "yellow"
                )
            covered = len(report.coverage) - len(report.uncovered)
            out.say(
                f"{len(report.outcomes)} tests, {len(report.failed)} failed; {covered} of {len(report.coverage)} rules covered"
            )
        if report.failed or report.uncovered:
            raise typer.Exit(FAILED)


@policy.command("publish")
def policy_publish(
    folder: FolderArgument = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide by these rules from the next step on: they become part of a new release, like everything that decides.

    Rules that do not validate, or whose tests fail, are not published. `affidavit release rollback` goes back.

    Example: `affidavit policy publish policies`
    """
    with opened(workspace, as_json) as (ws, out):
        files = ws.policy.files(folder)
        release = ws.publish(ws.policy.content(files))
        _published(out, release, policy_digest(files.rules))


def _published(out: Output, release: str, digest: str) -> None:
    if out.as_json:
        out.json({"release": release, "policy": digest})
    else:
        out.say(f"policy {digest} decides now, in release {release}")


def _decided(decision: Decision) -> str:
    return _words(decision.verdict.value, decision.rules) + "".join(f" ({e})" for e in decision.errors)


def _words(verdict: str, rules: tuple[str, ...]) -> str:
    return f"{verdict.replace('_', ' ')} by {', '.join(rules) or 'no rule'}"
