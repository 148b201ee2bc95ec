"""Operations: what people say about answers, and incidents."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from affidavit.app.incidents import LONGEST
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation, may
from affidavit.app.operations.runs import EXAMPLE, RUN_ID, OneRun
from affidavit.app.runs import AUDIT
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant
from affidavit.store.people import Tenant

INCIDENT = r"^inc-[0-9a-f]{10}$"
Reason = Field(min_length=1, max_length=LONGEST, description="Why, in a sentence.")


class FeedbackInput(OneRun):
    verdict: Literal["right", "wrong"]
    reason: str = Reason


class ReviewInput(OneRun):
    verdict: Literal["confirmed", "overridden"]
    reason: str = Reason
    accepted: str = Field(
        "", max_length=LONGEST, description="With `overridden`: what the answer should have been."
    )


class SaidInput(Page):
    run: str = Field("", pattern=rf"{RUN_ID}|^$", description="Of this run alone.")


class Recorded(Given):
    position: int


class Said(Given):
    position: int
    at: str
    run: str
    verdict: str
    by: str
    reason: str
    accepted: str


class SaidList(Given):
    items: list[Said]
    next: str | None


class OpenInput(OneRun):
    reason: str = Reason


class OneIncident(Asked):
    incident: str = Field(pattern=INCIDENT)


class NoteInput(OneIncident):
    text: str = Reason


class Note(Given):
    at: str
    by: str
    text: str


class Incident(Given):
    incident: str
    run: str
    status: Literal["open", "closed"]
    opened_at: str
    opened_by: str
    reason: str
    position: int
    hold: int
    notes: list[Note]
    closed_at: str | None


class Moment(Given):
    at: str
    position: int
    what: str


class IncidentStory(Incident):
    timeline: list[Moment]


class IncidentList(Given):
    items: list[Incident]
    next: str | None


class IncidentsInput(Page):
    status: Literal["", "open", "closed"] = ""


def give(ws: Workspace, caller: Caller, asked: FeedbackInput) -> dict[str, Any]:
    at = ws.feedback.report(caller.tenant, asked.run, caller.principal, asked.verdict, asked.reason)
    return {"position": at}


def review(ws: Workspace, caller: Caller, asked: ReviewInput) -> dict[str, Any]:
    at = ws.feedback.review(
        caller.tenant, asked.run, caller.principal, asked.verdict, asked.reason, asked.accepted
    )
    return {"position": at}


def said(ws: Workspace, caller: Caller, asked: SaidInput) -> dict[str, Any]:
    before = listing.before(asked)
    found = [
        {**one.as_json(), "at": instant(one.at)}
        for one in reversed(
            ws.feedback.of(caller.tenant, asked.run, caller.principal, own=not may(ws, caller, AUDIT))
        )
        if one.position < before
    ]
    return listing.newest(found, asked.limit)


def incidents(ws: Workspace, caller: Caller, asked: IncidentsInput) -> dict[str, Any]:
    before = listing.before(asked)
    found = [one.as_json() for one in reversed(ws.incidents.all(caller.tenant)) if one.position < before]
    return listing.newest([one for one in found if asked.status in ("", one["status"])], asked.limit)


def _story(ws: Workspace, tenant: Tenant, id: str) -> dict[str, Any]:
    return {**ws.incidents.get(tenant, id).as_json(), "timeline": ws.incidents.timeline(tenant, id)}


def incident(ws: Workspace, caller: Caller, asked: OneIncident) -> dict[str, Any]:
    return _story(ws, caller.tenant, asked.incident)


def open_incident(ws: Workspace, caller: Caller, asked: OpenInput) -> dict[str, Any]:
    return ws.incidents.open(caller.tenant, asked.run, caller.principal, asked.reason).as_json()


def note(ws: Workspace, caller: Caller, asked: NoteInput) -> dict[str, Any]:
    return ws.incidents.note(caller.tenant, asked.incident, caller.principal, asked.text).as_json()


def close(ws: Workspace, caller: Caller, asked: NoteInput) -> dict[str, Any]:
    return ws.incidents.close(caller.tenant, asked.incident, caller.principal, asked.text).as_json()


_WRONG = {**EXAMPLE, "reason": "the page it cites is about last year"}
_INCIDENT = {"incident": "inc-0123456789"}
FEEDBACK = (
    Operation(
        "feedback.give",
        "feedback:give",
        Method.ASK,
        "/runs/{run}/feedback",
        "Say whether the answer you were given is right or wrong, and why.",
        FeedbackInput,
        Recorded,
        give,
        {**_WRONG, "verdict": "wrong"},
        changes=True,
        command="feedback",
    ),
    Operation(
        "feedback.review",
        "answer:review",
        Method.ASK,
        "/runs/{run}/review",
        "Confirm somebody's answer, or override it with the one that is accepted instead.",
        ReviewInput,
        Recorded,
        review,
        {**EXAMPLE, "verdict": "confirmed", "reason": "checked against the handbook"},
        changes=True,
        command="review",
    ),
    Operation(
        "feedback.list",
        "feedback:give",
        Method.READ,
        "/feedback",
        "What was said about answers, newest first: what you said, or with audit:read everything.",
        SaidInput,
        SaidList,
        said,
        {"limit": 20},
    ),
)
INCIDENTS = (
    Operation(
        "incidents.list",
        "incident:manage",
        Method.READ,
        "/incidents",
        "Incidents, newest first.",
        IncidentsInput,
        IncidentList,
        incidents,
        {"status": "open"},
        command="incident list",
    ),
    Operation(
        "incidents.show",
        "incident:manage",
        Method.READ,
        "/incidents/{incident}",
        "One incident with its timeline: the run, what its documents have become, who said and looked at what.",
        OneIncident,
        IncidentStory,
        incident,
        _INCIDENT,
        command="incident show",
    ),
    Operation(
        "incidents.open",
        "incident:manage",
        Method.ASK,
        "/incidents",
        "Open an incident about a run, which from now on may be neither erased nor pruned.",
        OpenInput,
        Incident,
        open_incident,
        _WRONG,
        changes=True,
        command="incident open",
    ),
    Operation(
        "incidents.note",
        "incident:manage",
        Method.ASK,
        "/incidents/{incident}/notes",
        "Add to the timeline what you found or did.",
        NoteInput,
        Incident,
        note,
        {**_INCIDENT, "text": "told the owner of the page"},
        changes=True,
        command="incident note",
        guards="incidents.show",
    ),
    Operation(
        "incidents.close",
        "incident:manage",
        Method.ASK,
        "/incidents/{incident}/close",
        "It is over: the hold ends, the record stays.",
        NoteInput,
        Incident,
        close,
        {**_INCIDENT, "text": "the page was corrected"},
        changes=True,
        command="incident close",
        guards="incidents.show",
    ),
)
