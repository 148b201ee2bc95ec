"""Operations: work that goes on behind a request, and how it went."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.operations.places import Places
from affidavit.app.workspace import Workspace


class OneWork(Asked):
    work: int = Field(ge=0, le=2**53, description="As it was told when it began.")
    after: int = Field(-1, ge=-1, le=2**53, description="Only what came after this position.")


class WorkFault(Given):
    name: str = Field(description="The item's name within the source.")
    code: str
    message: str
    hint: str = ""


class WorkEvent(Given):
    kind: str = Field(description="work.began or work.ended.")
    position: int
    at: str


class Work(Given):
    work: int = Field(description="The position at which it began.")
    kind: str
    source: str
    run: str = Field(description="Its run, whose events an auditor can follow too.")
    by: str
    at: str
    state: str = Field(
        description="running, done, failed, or lost: cut off, so that nobody said how it ended."
    )
    code: str = Field(description="What went wrong, as an error's code; empty if nothing did.")
    error: str
    hint: str
    counts: dict[str, int]
    drained: bool = Field(description="Whether all of the source was read.")
    faults: list[WorkFault]
    items: list[WorkEvent]
    ended: bool


class WorkList(Given):
    items: list[Work]
    next: str | None


def works(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    found = ws.works.newest(caller.tenant, asked.limit + 1, listing.before(asked))
    page = listing.newest([{**one, "position": one["work"]} for one in found], asked.limit)
    return {**page, "items": [_hidden(ws, caller, one) for one in page["items"]]}


def work(ws: Workspace, caller: Caller, asked: OneWork) -> dict[str, Any]:
    found = _hidden(ws, caller, ws.works.show(caller.tenant, asked.work))
    return {**found, "items": [one for one in found["items"] if one["position"] > asked.after]}


def _hidden(ws: Workspace, caller: Caller, told: dict[str, Any]) -> dict[str, Any]:
    """``told`` without the server's paths in what went wrong."""
    places = Places(ws, caller.tenant)
    faults = [{k: places.hidden(v) for k, v in fault.items()} for fault in told["faults"]]
    shown = {k: v for k, v in told.items() if k != "position"}
    return {
        **shown,
        "error": places.hidden(told["error"]),
        "hint": places.hidden(told["hint"]),
        "faults": faults,
    }


WORKS = (
    Operation(
        "works.list",
        "source:change",
        Method.READ,
        "/works",
        "What goes on behind requests, and how it went, the newest first.",
        Page,
        WorkList,
        works,
        {"limit": 5},
    ),
    Operation(
        "works.show",
        "source:change",
        Method.READ,
        "/works/{work}",
        "How far something is that was begun. As text/event-stream it tells when it is over.",
        OneWork,
        Work,
        work,
        {"work": 4711},
        tails=True,
    ),
)
