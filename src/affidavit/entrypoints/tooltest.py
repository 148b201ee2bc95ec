"""``affidavit tool test``."""

from __future__ import annotations

from typing import Annotated

import typer

from affidavit.app.tooltests import TrialReport, is_module, try_module, try_workspace
from affidavit.entrypoints.common import FAILED, JsonOption, WorkspaceOption, errors, find_workspace
from affidavit.entrypoints.output import Output
from affidavit.gateway.trials import Check


def tool_test(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[TOOL|FILE.py]", help="One tool of the workspace, or a Python file. Default: all."
        ),
    ] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put tools on trial with their authors' cases, in a sandbox. Exit status 1 if a promise is not kept.

    A module of tools brings a list `cases = [Case(refund, {"order": 7, "cents": 500})]` and a context manager `sandbox()`
    that points its tools at something harmless and yields a function: all that a call could change there, without times
    and random ids. Looked at is whether the result fits, a read changes nothing, values at the limits and hostile texts are
    refused cleanly, time and secrets are kept, one key twice (also at once, and after the process was killed at any line)
    is as once, and undo puts everything back.

    Examples: `affidavit tool test refunds.py`, `affidavit tool test refund`
    """
    out = Output(as_json)
    with errors(out):

        def told(check: Check) -> None:
            if check.verdict == "finding" and not as_json:
                out.say(f"{check.tool}, case {check.case}, {check.property}: {check.why}", "red")

        report = (
            try_module(what, told)
            if is_module(what)
            else try_workspace(find_workspace(workspace), what, told)
        )
        out.json(report.as_json()) if as_json else _summary(out, report)
        if report.findings:
            raise typer.Exit(FAILED)


def _summary(out: Output, report: TrialReport) -> None:
    """A line for each tool: what holds, and what could not be looked at."""
    for tool in dict.fromkeys(check.tool for check in report.checks):
        of = [check for check in report.checks if check.tool == tool]
        bad = {check.property for check in of if check.verdict == "finding"}
        holds = dict.fromkeys(c.property for c in of if c.verdict == "holds" and c.property not in bad)
        cases = len({check.case for check in of})
        out.say(
            f"{tool}: {cases} case{'s' if cases > 1 else ''}, {'FAILED' if bad else 'passed'}",
            "red" if bad else "green",
        )
        if bad:
            out.say(f"  broken: {', '.join(sorted(bad))}")
        out.say(f"  holds: {', '.join(holds) or 'nothing'}")
        seen = {*holds, *bad}
        left = {c.property: c.why for c in of if c.verdict == "untested" and c.property not in seen}
        for why in dict.fromkeys(left.values()):
            names = ", ".join(name for name in left if left[name] == why)
            out.say(f"  not looked at: {names}: {why}", "dim")
    for tool in report.without_cases:
        out.say(f"{tool}: nobody wrote a case for it", "yellow")
