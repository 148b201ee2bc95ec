"""What people say about answers, and incidents: reports, reviews and a timeline, all of it events.

There is no table of incidents. Each is folded from its events, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.app.authority import authorise
from affidavit.app.runs import RunDesk
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.read import ErasedBody, Recorded
from affidavit.store.people import Tenant

REVIEW = "answer:review"
MANAGE = "incident:manage"
REPORTS = ("right", "wrong")
"""What whoever asked may say of an answer."""
REVIEWS = ("confirmed", "overridden")
"""What a reviewer may say of it."""
LONGEST = 10_000


@dataclass(frozen=True)
class Said:
    """One report or review: who said what of which run, when, and why. ``accepted`` is the answer that should have been given."""

    position: int
    at: int
    run: str
    verdict: str
    by: str
    reason: str
    accepted: str

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "at": instant(self.at)}


class FeedbackDesk:
    """Takes reports from those who asked, and reviews from those who hold ``answer:review``."""

    def __init__(self, parts: Parts, runs: RunDesk) -> None:
        self._parts = parts
        self._runs = runs

    def report(self, tenant: Tenant, run: str, principal: str, verdict: str, reason: str) -> int:
        """``principal`` finds the answer of their own run ``right`` or ``wrong``; the event's position.

        Raises AccessDeniedError for a run that they may not see, as for one that does not exist.
        """
        self._runs.show(tenant, run, principal)
        return self._say(tenant, run, _one_of(verdict, REPORTS), principal, reason, "")

    def review(
        self, tenant: Tenant, run: str, principal: str, verdict: str, reason: str, accepted: str = ""
    ) -> int:
        """A reviewer confirms the answer of ``run`` or overrides it, with the answer that is accepted instead."""
        by = authorise(self._parts, tenant, principal, REVIEW)
        self._runs.show(tenant, run, None)
        if (verdict == "overridden") != bool(accepted.strip()):
            raise UsageError(
                "an override says what the answer should have been, a confirmation does not",
                "add --accepted TEXT to --overridden",
            )
        return self._say(tenant, run, _one_of(verdict, REVIEWS), by, reason, accepted)

    def _say(self, tenant: Tenant, run: str, verdict: str, by: str, reason: str, accepted: str) -> int:
        body: dict[str, Json] = {"run": run, "by": by, "reason": text_of(reason), "accepted": _text(accepted)}
        event = Event(EventKind.FEEDBACK_GIVEN, tenant.id, facts={"verdict": verdict}, body=body)
        return self._parts.log.write(lambda tx: tx.append(event))

    def of(
        self, tenant: Tenant, run: str = "", reader: str | None = None, *, own: bool = False
    ) -> list[Said]:
        """What was said of ``run``, or of every run, oldest first.

        ``reader`` None is the operator. Who may not audit sees what they said themselves: an accepted answer may tell what was
        denied to whoever asked. ``own``: nor does an auditor see more.
        """
        with self._parts.database.read():
            everything = reader is None or (not own and self._runs.may_audit(tenant, reader))
            return [
                Said(e.position, e.at, b["run"], e.facts["verdict"], b["by"], b["reason"], b["accepted"])
                for e, b in _bodies(self._parts, tenant, EventKind.FEEDBACK_GIVEN)
                if run in ("", b["run"]) and (everything or b["by"] == reader)
            ]


@dataclass(frozen=True)
class Incident:
    """One incident, folded: ``notes`` are (position, time, who, what), oldest first; ``hold`` keeps its run from being erased."""

    id: str
    run: str
    opened_at: int
    opened_by: str
    reason: str
    position: int
    hold: int
    notes: tuple[tuple[int, int, str, str], ...]
    closed_at: int

    def as_json(self) -> dict[str, Any]:
        return {
            "incident": self.id,
            "run": self.run,
            "status": "closed" if self.closed_at else "open",
            "opened_at": instant(self.opened_at),
            "opened_by": self.opened_by,
            "reason": self.reason,
            "position": self.position,
            "hold": self.hold,
            "notes": [{"at": instant(at), "by": by, "text": text} for _, at, by, text in self.notes],
            "closed_at": instant(self.closed_at) if self.closed_at else None,
        }


def incidents(parts: Parts, tenant: Tenant) -> list[Incident]:
    """Every incident of the tenant, oldest first. Call inside a snapshot."""
    found: dict[str, Incident] = {}
    for event, body in _bodies(parts, tenant, EventKind.INCIDENT_CHANGED):
        id, by, text = body["incident"], body["by"], body["text"]
        match event.facts["change"]:
            case "opened":
                run, hold = body["run"], body["hold"]
                found[id] = Incident(id, run, event.at, by, text, event.position, hold, (), 0)
            case "noted":
                found[id] = _noted(found[id], event, by, text)
            case "closed":
                closed = _noted(found[id], event, by, f"closed: {text}")
                found[id] = Incident(**{**vars(closed), "closed_at": event.at})
    return list(found.values())


def _noted(incident: Incident, event: Recorded, by: str, text: str) -> Incident:
    return Incident(**{**vars(incident), "notes": (*incident.notes, (event.position, event.at, by, text))})


def named(parts: Parts, tenant: Tenant, id: str) -> Incident:
    """The incident ``id``. Raises UnknownNameError. Call inside a snapshot."""
    for incident in incidents(parts, tenant):
        if incident.id == id:
            return incident
    raise UnknownNameError(f"there is no incident {id}", "`affidavit incident list` shows them")


def text_of(text: str) -> str:
    """A reason or note as it is kept. Raises UsageError if there is none or too much of it."""
    if not text.strip():
        raise UsageError("a reason is missing", "say in a sentence what is wrong")
    return _text(text)


def _text(text: str) -> str:
    if len(text) > LONGEST:
        raise UsageError(f"the text is longer than {LONGEST} characters", "put it elsewhere and say where")
    return text


def _one_of(verdict: str, known: Sequence[str]) -> str:
    if verdict not in known:
        raise UsageError(f"the verdict {verdict!r} is not known", f"one of: {', '.join(known)}")
    return verdict


def _bodies(parts: Parts, tenant: Tenant, kind: EventKind) -> Iterator[tuple[Recorded, dict[str, Any]]]:
    """Without those that were erased."""
    for event in parts.events.of_kind(kind):
        if event.tenant == tenant.id:
            body = parts.events.body(event)
            if not isinstance(body, ErasedBody):
                yield event, body
