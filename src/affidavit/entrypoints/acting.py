"""Acting at a terminal: what was done for a question, what waits for whom, and going on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from affidavit.app.workspace import Workspace
from affidavit.domain.answer import Answer
from affidavit.domain.errors import UsageError
from affidavit.entrypoints import show
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.manage import run
from affidavit.entrypoints.output import Output

MayActOption = Annotated[
    bool,
    typer.Option(
        "--may-act", help="Let a model call the tools that the release allows; see docs/how-to/acting.md."
    ),
]
FeatureOption = Annotated[
    str,
    typer.Option(
        "--feature", help="With --may-act: which of the release's lists of tools.", show_default=True
    ),
]
_COLOURS = {"done": "green", "waiting": "yellow"}


def acted(out: Output, answer: Answer) -> None:
    """What an answer that acted prints."""
    if out.as_json:
        out.json(answer.as_json())
        return
    for action in answer.actions:
        _action(out, action)
    waits = [a for a in answer.actions if a["state"] == "waiting"]
    if waits:
        out.say("It goes on once somebody has decided:", "yellow")
        for one in waits:
            out.say(f"  affidavit approvals show {one['call']}")
            out.say(f"  affidavit approvals approve {one['call']} --as SOMEBODY")
        out.say(f"{answer.run} at position {answer.position}; release {answer.release[:12]}", "dim")
    elif answer.status.value == "waiting":
        out.say(
            f"It goes on when the call is carried out: affidavit tool work, affidavit run go-on {answer.run}"
        )
    else:
        show.answer(out, answer.given(), answer.run, answer.position)


def _action(out: Output, action: Mapping[str, Any]) -> None:
    state, why = action["state"], action.get("why", "")
    name = f"{action['call']}: " if action["call"] else ""
    out.say(f"{name}{action['tool']} {state}{f', {why}' if why else ''}", _COLOURS.get(state, "red"))


def ask(ws: Workspace, out: Output, question: str, user: str, feature: str, tenant: str, plain: bool) -> None:
    """``affidavit ask … --may-act``. ``plain``: nothing was said that only an answer alone can heed."""
    if not plain:
        raise UsageError("what is done is done now", "leave out --as-of, --where, --follows and --batch")
    acted(out, ws.act(question, user, feature, tenant))


def gone_on(ws: Workspace, out: Output, tenant: str, run_id: str) -> Answer | None:
    """After a call was decided: the run that it belongs to goes on, if it is one that acts and nothing else of it waits."""
    answer = ws.acting.after(ws.parts.tenant(tenant), run_id)
    if answer is not None and not out.as_json:
        acted(out, answer)
    return answer


@run.command("go-on")
def run_go_on(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run that acts and has not ended.")],
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that waited for a person or was cut off: what it did is taken from its record, the rest is done.

    `approvals approve` and `tool work` do this by themselves.

    Example: `affidavit run go-on run-…`
    """
    with opened(workspace, as_json) as (ws, out):
        acted(out, ws.acting.go_on(ws.parts.tenant(tenant), run_id))
