"""The commands that look back: replay, explain, policy diff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.supposed import read_policy
from affidavit.app.whatif import CHANGES
from affidavit.domain.access import named
from affidavit.domain.errors import UsageError
from affidavit.entrypoints import lookback
from affidavit.entrypoints.common import FAILED, JsonOption, TenantOption, WorkspaceOption, opened, write_text

policy = typer.Typer(
    no_args_is_help=True,
    help="The rules that decide about tools: shown, changed, tested, published, and tried against what was decided.",
)

AuditorOption = Annotated[
    str,
    typer.Option("--as", help="An auditor who holds audit:replay. Left out: the operator at this machine."),
]


def _who(user: str) -> str | None:
    return None if not user else named(user)


def _changes(given: list[str]) -> list[tuple[str, str]]:
    out = []
    for change in given:
        key, equals, value = change.partition("=")
        if not equals or not value:
            raise UsageError(f"--with {change}", f"write KEY=VALUE; KEY is one of: {', '.join(CHANGES)}")
        out.append((key, value))
    return out


def replay(
    run_id: Annotated[str, typer.Argument(help="The run; left out with --all.")] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="KEY=VALUE",
            help="Ask again with one thing changed, and show what differs: position=now|N|TIME, as=USER, without=DOCUMENT, "
            "release=DIGEST|FILE, model=TARGET|none, embedder=none, policy=FILE, before=POSITION. Can be given several times.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Replay every finished run of the tenant.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="With --with: write the difference as a page.")
    ] = None,
    user: AuditorOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Repeat a run from its record, at its own position and release: identical, or the first step that is not.

    No model is asked and nothing is written. With `--with` the same question is put with one thing changed instead; that
    somebody looked goes on the log.

    Example: `affidavit replay run-… --with position=now`
    """
    with opened(workspace, as_json) as (ws, out):
        owner, who = ws.parts.tenant(tenant), _who(user)
        if bool(run_id) == everything:
            raise UsageError("which run?", "affidavit replay RUN, or affidavit replay --all")
        if changes:
            if everything:
                raise UsageError("--with needs one run", "affidavit replay RUN --with …")
            found = ws.replays.what_if(owner, run_id, _changes(changes), who)
            if html is not None:
                write_text(html, lookback.difference_page(found))
            out.json(found) if as_json else lookback.difference(out, found)
            return
        runs = ws.replays.runs(owner) if everything else [run_id]
        different = impossible = 0
        with out.progress("replaying", len(runs)) as bar:
            for report in ws.replays.replay(owner, runs, who, lambda: bar.advance(bar.tasks[0].id)):
                different += report.divergence is not None
                impossible += bool(report.impossible)
                if as_json:
                    out.json(report.as_json())
                elif not report.identical or not everything:
                    lookback.replayed(out, report)
        if everything and not as_json:
            unsaid = f"; {impossible} could not be repeated" if impossible else ""
            told = f"{len(runs) - impossible} runs replayed, {different} of them differ{unsaid}"
            out.say(told, "red" if different else "green")
        if different:
            raise typer.Exit(FAILED)


def explain(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    user: AuditorOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Answer a postmortem's questions about a run, in order.

    What did it see? What did it not see, and why? Which rule decided? What did it do? Who approved? What has changed since?
    Would it answer the same today?

    Example: `affidavit explain run-…`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.replays.explain(ws.parts.tenant(tenant), run_id, _who(user))
        out.json(found) if as_json else lookback.explained(out, found)


@policy.callback()
def _policy() -> None:
    """Keeps ``diff`` a command of its own."""


@policy.command("diff")
def policy_diff(
    file: Annotated[
        Path,
        typer.Argument(
            help="The supposed rules: TOML with [[rule]] match, allow, deny; or a folder of *.cedar."
        ),
    ],
    days: Annotated[int, typer.Option("--days", min=1, max=36_500, help="How far back.")] = 30,
    user: AuditorOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the decisions of the last days that other access rules would have made otherwise.

    The file says, in the words of access.toml, who may read the documents it names; where it says nothing, nothing changes:

        [[rule]]
        match = "handbook/finance/**"
        allow = ["group:finance"]

    A folder of policies is held against what was decided about tools, each call in the mode and with the roles of its moment.

    Example: `affidavit policy diff proposal.toml --days 7`
    """
    with opened(workspace, as_json) as (ws, out):
        if file.is_dir():
            owner = ws.parts.tenant(tenant)
            proposed = ws.policy.check(ws.policy.files(file).rules, owner.id)
            calls = ws.replays.tool_diff(owner, proposed, days, _who(user))
            out.json(calls) if as_json else lookback.tool_difference(out, calls)
            return
        found = ws.replays.policy_diff(ws.parts.tenant(tenant), read_policy(file), days, _who(user))
        out.json(found) if as_json else lookback.policy_difference(out, found)
