"""The command group that breaks a copy of the workspace on purpose."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.drills.custom import CustomDrill
from affidavit.app.drills.desk import DrillDesk, Orders, Outcomes
from affidavit.app.drills.page import page
from affidavit.app.drills.promise import SOUND, Drill, Outcome, Report
from affidavit.app.drills.registry import DRILLS
from affidavit.app.drills.steps import STEPS, read_script
from affidavit.app.workspace import open_with
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import (
    FAILED,
    JsonOption,
    TenantOption,
    WorkspaceOption,
    errors,
    find_workspace,
)
from affidavit.entrypoints.output import Output

drill = typer.Typer(
    no_args_is_help=True,
    help="Break a copy of the workspace on purpose, and see whether what is promised holds.\n\n"
    "The workspace itself and its sources are only read.\n\n"
    "Example: `affidavit drill revoke`, then `affidavit drill all -o report.html`.",
)

Question = Annotated[
    list[str] | None,
    typer.Option("--question", "-q", help="Ask this (with --as) besides the questions that are chosen."),
]
As = Annotated[str, typer.Option("--as", help="Who asks --question.")]
Workdir = Annotated[
    Path | None,
    typer.Option("--workdir", help="Where copies are made; default: the system's temporary folder."),
]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep", help="Leave the copies there. They hold every text and the log's key: guard them."
    ),
]
Report_ = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the report as an HTML page that needs nothing else.")
]
Seed = Annotated[int, typer.Option("--seed", help="Another number, other bytes and moments.")]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Ask the language models that the release names, where a drill does not break them. Without it they are not asked: "
        "stand-ins write.",
    ),
]
Kills = Annotated[int, typer.Option("--kills", min=1, help="kill: how often.")]

_MARKS = {
    Outcome.KEPT: ("kept", "green"),
    Outcome.BROKEN: ("BROKEN", "red"),
    Outcome.UNTRIED: ("not tried", "yellow"),
}


@drill.command("list")
def drill_list(as_json: JsonOption = False) -> None:
    """Explain each drill: what it breaks and what must hold all the same; then the steps of custom drills."""
    out = Output(as_json)
    if as_json:
        out.json([_described(d) for d in DRILLS.values()])
        return
    for one in DRILLS.values():
        out.say(one.name, "bold")
        out.say(f"  breaks: {one.breaks}")
        for promise in (*one.promises, SOUND):
            out.say(f"  - {promise.text}")
    out.say("steps of a custom drill (affidavit drill run FILE)", "bold")
    for name, (takes, expects, what) in STEPS.items():
        out.say(f"  {name}: {what}; takes {takes or 'nothing'}; can expect {', '.join(expects) or 'nothing'}")


@drill.command("all")
def drill_all(
    question: Question = None,
    user: As = "",
    workdir: Workdir = None,
    keep: Keep = False,
    output: Report_ = None,
    kills: Kills = 6,
    seed: Seed = 1,
    live: Live = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Run every drill. Exit status 1 if any promise is broken.

    Example: `affidavit drill all -o report.html`
    """
    orders = Orders((), tenant, workdir, keep, kills, seed, live)
    _run(lambda: list(DRILLS.values()), orders, question or (), user, output, workspace, as_json)


@drill.command("run")
def drill_run(
    file: Annotated[Path, typer.Argument(help="The drill, as TOML.")],
    workdir: Workdir = None,
    keep: Keep = False,
    output: Report_ = None,
    seed: Seed = 1,
    live: Live = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Run a drill of your own: steps and expectations in a TOML file.

    Example, in `leaver.toml`:

        name = "leaver"

        [[step]]
        do = "leave"
        who = "bob"
        group = "finance"

        [[step]]
        do = "ask"
        as = "bob"
        question = "What is the discount limit?"
        expect = { not_cites = "finance/discount-rules.md" }
        promise = "who left finance is not answered from its documents"

    Then `affidavit drill run leaver.toml`. `affidavit drill list` explains every step.
    """
    orders = Orders((), tenant, workdir, keep, seed=seed, live=live)
    _run(lambda: [CustomDrill(read_script(file, tenant))], orders, (), "", output, workspace, as_json)


def _command(one: Drill) -> Callable[..., None]:
    def command(
        question: Question = None,
        user: As = "",
        workdir: Workdir = None,
        keep: Keep = False,
        output: Report_ = None,
        kills: Kills = 6,
        seed: Seed = 1,
        live: Live = False,
        workspace: WorkspaceOption = None,
        tenant: TenantOption = "",
        as_json: JsonOption = False,
    ) -> None:
        orders = Orders((), tenant, workdir, keep, kills, seed, live)
        _run(lambda: [one], orders, question or (), user, output, workspace, as_json)

    promises = "\n".join(f"- {p.text}" for p in (*one.promises, SOUND))
    command.__doc__ = (
        f"On a copy: {one.breaks}.\n\nWhat must hold all the same:\n\n{promises}\n\n"
        f"Exit status 1 if any of it does not. Example: `affidavit drill {one.name} -o report.html`"
    )
    return command


for _one in DRILLS.values():
    drill.command(_one.name)(_command(_one))


def _run(
    choose: Callable[[], list[Drill]],
    orders: Orders,
    questions: Sequence[str],
    user: str,
    output: Path | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Run drills and tell of them. The workspace is not opened: even that would leave traces beside the database."""
    out = Output(as_json)
    with errors(out):
        if questions and not user:
            raise UsageError("who asks --question?", 'for example --question "How long is leave?" --as alice')
        desk = DrillDesk(find_workspace(workspace), open_with)
        drills = choose()
        if not as_json:
            out.say(
                f"copying the workspace takes {desk.needed() / 1e6:.0f} MB at a time; it is only read", "dim"
            )
        with out.progress("drilling", len(drills)) as bar:

            def tell(text: str) -> None:
                name = text.partition(":")[0]
                at = next((n for n, d in enumerate(drills) if d.name == name), 0)
                bar.update(bar.tasks[0].id, completed=at, description=text[:70])

            asked = [(text, user, orders.tenant) for text in questions]
            outcomes = desk.run(drills, orders.asking(asked, tell))
        if output is not None:
            _write(output, page(outcomes, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")))
        out.json(outcomes.as_json()) if as_json else _say(out, outcomes, output)
    if not outcomes.ok:
        raise typer.Exit(FAILED)


def _write(path: Path, text: str) -> None:
    """The report, for its owner alone: it names people and documents."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "check the path") from error


def _say(out: Output, outcomes: Outcomes, output: Path | None) -> None:
    for report in outcomes.reports:
        _report(out, report)
    verdicts = [v.outcome for r in outcomes.reports for v in r.verdicts]
    broken, kept, untried = (verdicts.count(o) for o in (Outcome.BROKEN, Outcome.KEPT, Outcome.UNTRIED))
    told = f"{kept} promises kept, {broken} broken, {untried} not tried; {outcomes.seconds:.0f} s"
    out.say(told, "green" if outcomes.ok else "red")
    if output is not None:
        out.say(f"the report is in {output}")


def _report(out: Output, report: Report) -> None:
    out.say(f"{report.drill}: {report.breaks} ({report.seconds:.1f} s)", "bold")
    for verdict in report.verdicts:
        word, colour = _MARKS[verdict.outcome]
        out.say(f"  {word:<10}{verdict.promise.text}", colour)
        if verdict.outcome is not Outcome.KEPT:
            out.say(f"            saw: {verdict.saw}")
        elif verdict.seconds is not None:
            out.say(f"            {verdict.seconds:.2f} s", "dim")
    for note in report.notes:
        out.say(f"  note: {note}", "dim")
    if report.kept_at:
        out.say(f"  the copy, with every text and the log's key, is in {report.kept_at}", "yellow")


def _described(one: Drill) -> dict[str, object]:
    promises = [{"promise": p.id, "text": p.text} for p in (*one.promises, SOUND)]
    return {"drill": one.name, "breaks": one.breaks, "promises": promises}
