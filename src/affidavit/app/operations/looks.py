"""Operations: seeing what another person sees."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.looking import LOOK
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant


class LookInput(Asked):
    person: str = Field(min_length=1, max_length=200, description="As whom: user:alice.")
    reason: str = Field(min_length=1, max_length=2_000, description="Why. It goes on record.")


class LookGiven(Given):
    person: str
    until: str
    secret: str = Field(description="Send it as Affidavit-Look beside what proves who you are.")


class LookLine(Given):
    position: int
    at: str
    what: str
    by: str
    person: str = Field(alias="as")
    reason: str
    operation: str


class LookList(Given):
    items: list[LookLine]
    next: str | None


def begin(ws: Workspace, caller: Caller, asked: LookInput) -> dict[str, Any]:
    look, secret = ws.looking.begin(caller.tenant, caller.stated, asked.person, asked.reason)
    return {"person": look.person, "until": instant(look.until), "secret": secret}


def newest(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    found = ws.looking.newest(caller.tenant, asked.limit + 1, listing.before(asked))
    return listing.newest(found, asked.limit)


LOOKS = (
    Operation(
        "looks.begin",
        LOOK,
        Method.ASK,
        "/looks",
        "See what another person sees, reading only, for a quarter of an hour. On record, with all that is seen.",
        LookInput,
        LookGiven,
        begin,
        {"person": "user:alice", "reason": "She reports that the handbook is gone"},
        changes=True,
        once=True,
    ),
    Operation(
        "looks.list",
        LOOK,
        Method.READ,
        "/looks",
        "Who looked as whom, why, and at what: the newest first.",
        Page,
        LookList,
        newest,
        {"limit": 5},
    ),
)
