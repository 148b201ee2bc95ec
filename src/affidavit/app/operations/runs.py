"""Operations: the record."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation, may
from affidavit.app.runs import AUDIT, RunFilter
from affidavit.app.times import moment
from affidavit.app.workspace import Workspace
from affidavit.domain.records import FOREVER

RUN_ID = r"^run-[a-z2-7]{16}$"
EXAMPLE = {"run": "run-aaaaaaaaaaaaaaaa"}


class Listed(Page):
    journey: Literal["", "ask", "search", "act", "read", "call", "sync", "embed"] = ""
    status: str = Field(
        "", max_length=32, description="answered, refused, waiting, failed, done, unfinished …"
    )
    principal: str = Field("", max_length=300, description="Whose; others' need audit:read.")
    text: str = Field("", max_length=200, description="Words of the question.")
    since: str = Field("", max_length=40, description="From this ISO 8601 time on.")
    until: str = Field("", max_length=40, description="Up to this ISO 8601 time.")


class OneRun(Asked):
    run: str = Field(pattern=RUN_ID)


class RunLine(Given):
    run: str
    at: str
    journey: str
    status: str
    position: int
    principal: str | None = None
    question: str | None = None
    source: str | None = None
    document: str | None = None
    tool: str | None = Field(None, description="What was called, where it is a call of a tool.")
    by: str | None = Field(None, description="The service that asked for them, if one did.")


class RunList(Given):
    items: list[RunLine]
    next: str | None


class Change(Asked):
    what: Literal["position", "before", "as", "without", "release", "model", "embedder", "policy"]
    to: str = Field(
        max_length=200_000,
        description="A position or `now`; a person; a document; a release's digest; a target; `none`; rules as TOML.",
    )


class WhatIfInput(OneRun):
    changes: list[Change] = Field(min_length=1, max_length=16)


class Replayed(Given):
    run: str
    journey: str
    position: int
    release: str
    identical: bool
    impossible: str | None
    compared: int
    divergence: dict[str, JsonValue] | None


class Compared(Given):
    run: str
    question: str
    changes: list[dict[str, str]]
    before: dict[str, JsonValue]
    after: dict[str, JsonValue]
    difference: dict[str, JsonValue]


class ExportInput(OneRun):
    since: list[Annotated[int, Field(ge=1, le=2**53)]] = Field(
        default_factory=list,
        max_length=32,
        description="Sizes of checkpoints that you kept: the bundle proves that it is the same history.",
    )


class Bundle(Given):
    run: str
    name: str = Field(description="A name for the file.")
    sha256: str
    view: Literal["asker", "auditor"]
    events: int
    data: str = Field(description="The bundle's bytes, in base64. verify_affidavit.py checks it offline.")


def runs(ws: Workspace, caller: Caller, asked: Listed) -> dict[str, Any]:
    wanted = RunFilter(
        asked.journey,
        asked.status,
        asked.principal,
        asked.text,
        moment(asked.since) if asked.since else 0,
        moment(asked.until) if asked.until else FOREVER,
    )
    page = ws.runs.page(
        caller.tenant,
        caller.principal,
        asked.limit,
        wanted,
        listing.before(asked),
        own=_own(ws, caller),
    )
    return {"items": page.items, "next": None if page.before is None else listing.told(page.before)}


def show(ws: Workspace, caller: Caller, asked: OneRun) -> dict[str, Any]:
    return ws.runs.show(caller.tenant, asked.run, caller.principal, own=_own(ws, caller))


def _own(ws: Workspace, caller: Caller) -> bool:
    """Whether ``caller`` sees their own runs alone: also an auditor who came with a key for less."""
    return not may(ws, caller, AUDIT)


def explain(ws: Workspace, caller: Caller, asked: OneRun) -> dict[str, Any]:
    return ws.replays.explain(caller.tenant, asked.run, caller.principal)


def replay(ws: Workspace, caller: Caller, asked: OneRun) -> dict[str, Any]:
    (report,) = ws.replays.replay(caller.tenant, [asked.run], caller.principal)
    return report.as_json()


def what_if(ws: Workspace, caller: Caller, asked: WhatIfInput) -> dict[str, Any]:
    changes = []
    for change in asked.changes:
        if change.what == "policy":  # rules, never a file of the server's
            changes.append(("policy_text", change.to))
        elif change.what == "release":
            changes.append(("release", ws.parts.release_like(change.to)))
        else:
            changes.append((change.what, change.to))
    return ws.replays.what_if(caller.tenant, asked.run, changes, caller.principal)


def export(ws: Workspace, caller: Caller, asked: ExportInput) -> dict[str, Any]:
    own = _own(ws, caller)
    data, done, view = ws.exports.give(caller.tenant, asked.run, caller.principal, asked.since, own=own)
    return {
        "run": asked.run,
        "name": f"{asked.run}.proof.json",
        "sha256": done.digest,
        "view": view,
        "events": done.events,
        "data": base64.b64encode(data).decode(),
    }


RUNS = (
    Operation(
        "runs.list",
        "run:read",
        Method.READ,
        "/runs",
        "The newest runs: yours, or with audit:read everybody's.",
        Listed,
        RunList,
        runs,
        {"limit": 5},
        command="run list",
    ),
    Operation(
        "runs.show",
        "run:read",
        Method.READ,
        "/runs/{run}",
        "One run as you may see it: what was asked, found and given; with audit:read everything that was recorded.",
        OneRun,
        dict[str, JsonValue],
        show,
        EXAMPLE,
        command="run show",
    ),
    Operation(
        "runs.explain",
        "audit:replay",
        Method.ASK,
        "/runs/{run}/explain",
        "A postmortem's questions about a run, answered. That you looked goes on record.",
        OneRun,
        dict[str, JsonValue],
        explain,
        EXAMPLE,
        changes=True,
        command="explain",
    ),
    Operation(
        "runs.replay",
        "audit:replay",
        Method.ASK,
        "/runs/{run}/replay",
        "The run once more from its record: identical, or where it first differs.",
        OneRun,
        Replayed,
        replay,
        EXAMPLE,
        command="replay",
    ),
    Operation(
        "runs.what_if",
        "audit:replay",
        Method.ASK,
        "/runs/{run}/what-if",
        "The run with something changed: before, after, difference. That you looked goes on record.",
        WhatIfInput,
        Compared,
        what_if,
        {**EXAMPLE, "changes": [{"what": "position", "to": "now"}]},
        changes=True,
        command="replay",
    ),
    Operation(
        "runs.export",
        "run:read",
        Method.ASK,
        "/runs/{run}/export",
        "The proof of a run as a file that anyone can check offline; as much of it as you may see. Exports go on record.",
        ExportInput,
        Bundle,
        export,
        EXAMPLE,
        changes=True,
        command="audit export",
    ),
)
