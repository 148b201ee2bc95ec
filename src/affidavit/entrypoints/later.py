"""Commands whose module is imported when they are called: what nobody asked for costs no start-up time."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import errors
from affidavit.entrypoints.output import Output

_HERE = "affidavit.entrypoints"
LATER = {
    "audit": "audit:audit",
    "document": "documents:document",
    "policy": "policies:policy",
    "mode": "controls:mode",
    "kill": "controls:kill",
    "revive": "controls:revive",
    "secret": "controls:secret",
    "replay": "replay:replay",
    "explain": "replay:explain",
    "feedback": "incident:feedback",
    "review": "incident:review",
    "incident": "incident:incident",
    "release": "releases:release",
    "cost": "cost:cost",
    "budget": "cost:budget",
    "drill": "drill:drill",
    "eval": "evaluate:evaluate",
    "mcp": "mcp.stdio:mcp",
    "follow": "follow:follow",
    "witness": "witness:witness",
    "backup": "keep:backup_command",
    "restore": "keep:restore_command",
    "tool": "tools:tool",
    "approvals": "tools:approvals",
    "level": "levels:level",
    "serve": "serve:serve",
    "key": "keys:key",
    "proposal": "proposal:proposal",
    "signin": "keys:signin",
    "signout": "keys:signout",
    "config": "configure:config",
    "doctor": "doctor:doctor",
}
"""Each command or group with the module and name it is found under."""
PANELS = {
    "Questions and documents": (
        "init",
        "people",
        "source",
        "sync",
        "status",
        "search",
        "ask",
        "document",
        "mcp",
        "embedder",
        "eval",
        "level",
    ),
    "Acting": ("tool", "approvals", "policy", "mode", "kill", "revive", "secret"),
    "The record": (
        "run",
        "replay",
        "explain",
        "audit",
        "witness",
        "follow",
        "feedback",
        "review",
        "incident",
    ),
    "Running it": (
        "serve",
        "config",
        "doctor",
        "key",
        "signin",
        "signout",
        "proposal",
        "release",
        "cost",
        "budget",
        "drill",
        "backup",
        "restore",
    ),
}
"""The commands as `--help` shows them: by what they are for, in the order in which one meets them."""
_PANEL = {name: panel for panel, names in PANELS.items() for name in names}


class LaterGroup(TyperGroup):
    """The commands that are there, and those of ``LATER``."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = {*super().list_commands(ctx), *LATER}
        return [name for name in _PANEL if name in known] + sorted(known - _PANEL.keys())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in LATER and cmd_name not in self.commands:
            self.commands[cmd_name] = _imported(cmd_name)
        found: Any = super().get_command(ctx, cmd_name)
        if found is not None:
            found.rich_help_panel = _PANEL.get(cmd_name)
        return found


def _imported(name: str) -> Any:
    module, _, attribute = LATER[name].partition(":")
    absent = False
    try:
        found: Any = getattr(import_module(f"{_HERE}.{module}"), attribute)
    except ModuleNotFoundError as error:
        missing = str(error.name or error).partition(".")[0]
        if missing == "affidavit":
            raise
        found, absent = _without(name, missing), True
    parent = typer.Typer(rich_markup_mode="markdown", add_completion=False)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        settings = {"allow_extra_args": True, "ignore_unknown_options": True} if absent else None
        parent.command(name, context_settings=settings)(found)
    return typer.main.get_group(parent).commands[name]


def _without(name: str, missing: str) -> Any:
    """The command where what it is made of is not installed: it is listed like the others, and says what to install."""

    def command(context: typer.Context) -> None:
        with errors(Output("--json" in context.args)):
            raise UsageError(
                f"`affidavit {name}` needs {missing}, which is not installed",
                'install what serves: pip install "affidavit[server]"',
            )

    command.__doc__ = 'Not installed here: `pip install "affidavit[server]"`.'
    return command
