"""Operations: following one run while it goes on."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.operations.operation import Caller, Given, Method, Operation, may
from affidavit.app.operations.runs import OneRun
from affidavit.app.runs import AUDIT
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant
from affidavit.domain.errors import AccessDeniedError
from affidavit.domain.events import EventKind
from affidavit.events.read import Recorded

_GIVEN = (EventKind.CLAIM_RELEASED, EventKind.ANSWER_RELEASED)
_ASKERS = (*_GIVEN, EventKind.RUN_FINISHED)


class RunFollowed(OneRun):
    after: int = Field(-1, ge=-1, le=2**53, description="Only what came after this position.")


class RunEvent(Given):
    position: int
    kind: str
    at: str
    facts: dict[str, JsonValue] = Field(description="What the event's header says.")
    body: JsonValue = Field(None, description="What was given: a claim, or the answer.")


class RunEvents(Given):
    items: list[RunEvent]
    ended: bool = Field(description="Nothing more will come.")


def events(ws: Workspace, caller: Caller, asked: RunFollowed) -> dict[str, Any]:
    """The asker's: what was given, and the end. For an auditor every event's header; what was given besides."""
    parts = ws.parts
    with parts.database.read():
        found = parts.events.of_run(asked.run)
        started: Any = parts.events.body(found[0]) if found else {}
        auditor = may(ws, caller, AUDIT)
        mine = started.get("principal") == caller.principal
        if not found or found[0].tenant != caller.tenant.id or not (mine or auditor):
            raise AccessDeniedError(
                f"there is no run {asked.run} that you may see", "GET /v1/runs lists yours"
            )
        shown = [e for e in found if e.position > asked.after and (auditor or e.kind in _ASKERS)]
        return {
            "items": [_event(ws, e) for e in shown],
            "ended": any(e.kind is EventKind.RUN_FINISHED for e in found),
        }


def _event(ws: Workspace, event: Recorded) -> dict[str, Any]:
    return {
        "position": event.position,
        "kind": event.kind.value,
        "at": instant(event.at),
        "facts": event.facts,
        "body": ws.parts.events.body(event) if event.kind in _GIVEN else None,
    }


FOLLOW = (
    Operation(
        "runs.events",
        "run:read",
        Method.READ,
        "/runs/{run}/events",
        "What a run has come to: claims, answer, end; with audit:read every event. As text/event-stream it goes on as they come.",
        RunFollowed,
        RunEvents,
        events,
        {"run": "run-aaaaaaaaaaaaaaaa"},
        tails=True,
    ),
)
