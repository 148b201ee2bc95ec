"""Operations: what people decided and changed lately."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Caller, Given, Method, Operation, may
from affidavit.app.workspace import Workspace


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
    next: str | None


class Change(Given):
    at: str
    position: int
    what: str
    by: str
    reason: str


class ChangeList(Given):
    items: list[Change]
    next: str | None


def approvals(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    everything = may(ws, caller, "audit:read")
    before = listing.before(asked)
    found = ws.history.approvals(
        caller.tenant, caller.principal, roles, asked.limit + 1, before, everything=everything
    )
    return listing.newest(found, asked.limit)


def controls(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    found = ws.history.controls(caller.tenant, asked.limit + 1, listing.before(asked))
    return listing.newest(found, asked.limit)


HISTORY = (
    Operation(
        "approvals.history",
        "approval:read",
        Method.READ,
        "/approvals/history",
        "What was approved and denied lately, of what concerns you: newest first.",
        Page,
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
        Page,
        ChangeList,
        controls,
        {"limit": 20},
    ),
)
