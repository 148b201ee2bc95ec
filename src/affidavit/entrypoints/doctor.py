"""`affidavit doctor`: whether everything is as it should be, and what to do where it is not."""

from __future__ import annotations

import typer

from affidavit.app.doctor import BROKEN, examine
from affidavit.entrypoints.common import FAILED, JsonOption, WorkspaceOption, opened
from affidavit.entrypoints.output import in_a_line


def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Look the workspace over: disk, clock, log, weights, embeddings, sinks, keys, settings. Each finding says what to do.

    Exit status 1 where something is broken; what is merely worth knowing is a warning.

    Example: `affidavit doctor --json`
    """
    with opened(workspace, as_json) as (ws, out):
        findings = examine(ws)
        if as_json:
            out.json({"findings": [f.as_json() for f in findings]})
        else:
            for found in findings:
                out.say(f"{found.state:6} {in_a_line(found.what)}: {in_a_line(found.message)}")
                if found.hint:
                    out.say(f"       {in_a_line(found.hint)}", "dim")
        if any(f.state == BROKEN for f in findings):
            raise typer.Exit(FAILED)
