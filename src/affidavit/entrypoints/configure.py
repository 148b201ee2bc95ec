"""`affidavit config`: what the server is set to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.settings import concerns, load, shown
from affidavit.entrypoints.common import FAILED, JsonOption, WorkspaceOption, errors, find_workspace
from affidavit.entrypoints.output import Output

config = typer.Typer(
    no_args_is_help=True,
    help="What the server is set to.\n\nSettings are in `server.toml` in the workspace's folder; without it the defaults hold. "
    "Every setting: docs/reference/settings.md\n\nExample: `affidavit config check`",
)
FileArgument = Annotated[
    Path | None,
    typer.Argument(help="The settings; default: server.toml in the workspace.", show_default=False),
]


@config.command("show")
def config_show(
    file: FileArgument = None, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show every setting as it is in force. Secrets are in files of their own, and not shown.

    Example: `affidavit config show`
    """
    out = Output(as_json)
    with errors(out):
        found = shown(load(find_workspace(workspace), file))
        if as_json:
            out.json(found)
            return
        for section, values in found.items():
            out.say(f"[{section}]", "bold")
            for name, value in values.items():
                out.say(f"{name} = {_toml(value)}")
            out.say()


@config.command("check")
def config_check(
    file: FileArgument = None, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Check the settings before the server does: unknown names, impossible values, and what is risky.

    Exit status 2 where they cannot be used, 1 where something is risky, 0 where nothing is.

    Example: `affidavit config check /etc/affidavit/server.toml`
    """
    out = Output(as_json)
    with errors(out):
        settings = load(find_workspace(workspace), file)
        found = concerns(settings)
        if as_json:
            out.json({"file": None if settings.file is None else str(settings.file), "concerns": found})
        else:
            for concern in found:
                out.warn(f"warning: {concern}")
            where = settings.file or "no settings file: the defaults"
            out.say(f"{where}: {'can be used' if not found else 'can be used, and see above'}")
        if found:
            raise typer.Exit(FAILED)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
