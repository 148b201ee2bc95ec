"""``affidavit level``: what is promised, and how it is kept."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from affidavit.app.levels import LEVELS
from affidavit.domain.errors import UsageError
from affidavit.entrypoints import show
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, opened

level = typer.Typer(
    no_args_is_help=True,
    help="Levels of service: what is promised of sources and answers, and how it is kept.",
)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
Which = Annotated[str, typer.Argument(help=f"One of: {', '.join(LEVELS)}.")]
Source = Annotated[str, typer.Option("--source", help="Only for this source; default: each of them.")]
By = Annotated[str, typer.Option("--by", help="Who promises: operator:NAME.")]


@level.command("show")
def level_show(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Show each level with its objective, figure and error budget. The exit status is 1 if one is breached.

    Delays are measured from above: what a source does not date counts from the last whole sync before.

    Example: `affidavit level show`
    """
    with opened(workspace, as_json) as (ws, out):
        ws.levels.look()
        found = ws.levels.show(ws.parts.tenant(tenant))
        if as_json:
            out.json(found)
        for said in () if as_json else found:
            show.level(out, said)
        if any(said["state"] == "breached" for said in found):
            raise typer.Exit(1)


@level.command("set")
def level_set(
    which: Which,
    percent: Annotated[str, typer.Argument(help="The share that must be right or in time, such as 99.5.")],
    within: Annotated[str, typer.Option("--within", help="How long it may take: 90s, 15m, 1h, 2d.")] = "",
    days: Annotated[int, typer.Option("--days", help="Over how many days, up to now.")] = 30,
    source: Source = "",
    by: By = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Promise something of every source, or of one. A breach goes on the log, once, when anybody next looks: a sync, `status`, a
    follower.

    Examples: `affidavit level set freshness 99 --within 1h`; `affidavit level set revocation 100 --within 5m --source hr`;
    `affidavit level set permissions 100`
    """
    with opened(workspace, as_json) as (ws, out):
        made = ws.levels.set(ws.parts.tenant(tenant), which, percent, by, _seconds(within), days, source)
        out.json(vars(made)) if as_json else out.say(
            f"{which}: {percent} % is promised; affidavit level show"
        )


@level.command("remove")
def level_remove(
    which: Which,
    source: Source = "",
    by: By = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Promise it no longer.

    Example: `affidavit level remove freshness --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        ws.levels.remove(ws.parts.tenant(tenant), which, by, source)
        out.json({"removed": which}) if as_json else out.say(f"{which}: nothing is promised any more")


def _seconds(text: str) -> int:
    if not text:
        return 0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"--within {text!r} is no duration", "write 90s, 15m, 1h or 2d")
    return int(found[1]) * _SECONDS[found[2]]
