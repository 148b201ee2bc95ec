"""Operations: modes and kill switches."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Nothing, Operation
from affidavit.app.workspace import Workspace
from affidavit.store.controls import Kill

Reason = Field(min_length=1, max_length=10_000, description="Why, in a sentence; it goes on record.")


class Mode(Given):
    mode: Literal["read-only", "live"]


class ModeInput(Asked):
    mode: Literal["read-only", "live"]
    reason: str = Reason


class KillInput(Asked):
    what: str = Field(
        min_length=1, max_length=300, description="tenant, tool:NAME, tool:NAME@VERSION or source:NAME."
    )
    reason: str = Reason


class Stopped(Given):
    what: str
    reason: str
    by: str
    since: int = Field(description="The log's position.")
    everywhere: bool = Field(
        description="Stopped for every tenant; only the operator at the machine revives it."
    )


class StoppedList(Given):
    items: list[Stopped]
    next: str | None


class Revived(Given):
    what: str


def _stopped(kill: Kill) -> dict[str, Any]:
    return {
        "what": kill.what,
        "reason": kill.reason,
        "by": kill.by,
        "since": kill.since,
        "everywhere": not kill.tenant,
    }


def mode(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    return {"mode": ws.controls.mode(caller.tenant)}


def set_mode(ws: Workspace, caller: Caller, asked: ModeInput) -> dict[str, Any]:
    return {"mode": ws.controls.set_mode(caller.tenant, asked.mode, caller.principal, asked.reason)}


def kills(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    found = sorted(ws.controls.kills(caller.tenant), key=lambda kill: kill.what)
    page, following = listing.paged(found, asked, lambda kill: kill.what)
    return {"items": [_stopped(kill) for kill in page], "next": following}


def kill(ws: Workspace, caller: Caller, asked: KillInput) -> dict[str, Any]:
    return _stopped(ws.controls.kill(caller.tenant, asked.what, caller.principal, asked.reason))


def revive(ws: Workspace, caller: Caller, asked: KillInput) -> dict[str, Any]:
    ws.controls.revive(caller.tenant, asked.what, caller.principal, asked.reason)
    return {"what": asked.what}


_MAIL = {"what": "tool:send_mail", "reason": "it wrote to strangers"}
CONTROLS = (
    Operation(
        "modes.show",
        "status:read",
        Method.READ,
        "/mode",
        "Whether tools may write here, or only read.",
        Nothing,
        Mode,
        mode,
        {},
        command="mode show",
    ),
    Operation(
        "modes.set",
        "mode:change",
        Method.CHANGE,
        "/mode",
        "Let tools write here, or only read, from the next step on.",
        ModeInput,
        Mode,
        set_mode,
        {"mode": "read-only", "reason": "the holidays"},
        changes=True,
        command="mode live",
        guards="modes.show",
    ),
    Operation(
        "kills.list",
        "status:read",
        Method.READ,
        "/kills",
        "What is stopped, by whom and why.",
        Page,
        StoppedList,
        kills,
        {},
        command="kill",
    ),
    Operation(
        "kills.kill",
        "kill:change",
        Method.ASK,
        "/kills",
        "Stop a tool, a source or everything of your organisation, from the next step on.",
        KillInput,
        Stopped,
        kill,
        _MAIL,
        changes=True,
        command="kill",
    ),
    Operation(
        "kills.revive",
        "kill:change",
        Method.ASK,
        "/kills/revive",
        "Let what was stopped go on.",
        KillInput,
        Revived,
        revive,
        {**_MAIL, "reason": "its address book was corrected"},
        changes=True,
        command="revive",
    ),
)
