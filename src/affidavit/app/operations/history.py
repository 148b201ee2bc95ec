"""Operations: what people decided and changed lately."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation, may
from affidavit.app.workspace import Workspace


class Newest(Asked):
    limit: int = Field(30, ge=1, le=200, description="How many at most.")


class Word(Given):
    at: str
    position: int
    call: str
    tool: str
    verdict: str
    by: str
    why: str
    state: str = Field(description="How the call stands now.")


class WordList(Given):
    items: list[Word]
    next: None = None


class Change(Given):
    at: str
    position: int
    what: str
    by: str
    reason: str


class ChangeList(Given):
    items: list[Change]
    next: None = None


def approvals(ws: Workspace, caller: Caller, asked: Newest) -> dict[str, Any]:
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    everything = may(ws, caller, "audit:read")
    found = ws.history.approvals(caller.tenant, caller.principal, roles, asked.limit, everything=everything)
    return {"items": found, "next": None}


def controls(ws: Workspace, caller: Caller, asked: Newest) -> dict[str, Any]:
    return {"items": ws.history.controls(caller.tenant, asked.limit), "next": None}


HISTORY = (
    Operation(
        "approvals.history",
        "approval:read",
        Method.READ,
        "/approvals/history",
        "What was approved and denied lately, of what concerns you: newest first.",
        Newest,
        WordList,
        approvals,
        {"limit": 20},
    ),
    Operation(
        "controls.history",
        "status:read",
        Method.READ,
        "/controls/history",
        "Changes of the mode, and what was stopped and let go on: newest first.",
        Newest,
        ChangeList,
        controls,
        {"limit": 20},
    ),
)
