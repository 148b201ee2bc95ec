"""The story of a call, from its events: what was asked, decided, approved, done."""

from __future__ import annotations

from typing import Any

from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.events import EventKind
from affidavit.domain.tools import CALL
from affidavit.events.read import Recorded
from affidavit.store.calls import CallRow, Calls


def summary(parts: Parts, row: CallRow) -> dict[str, Any]:
    """A call in a line. Call inside a snapshot."""
    event = parts.events.event(row.proposed)
    body = parts.events.body(event)
    changed = parts.events.body(parts.events.event(row.changed))
    return {
        "call": row.name,
        "tool": row.tool,
        "state": row.state.value,
        "at": instant(event.at),
        "principal": body["principal"],
        "arguments": body["arguments"],
        "run": row.run,
        "step": row.step,
        "result": changed.get("result"),
        "why": changed.get("why", ""),
    }


def of_run(parts: Parts, run: str) -> list[dict[str, Any]]:
    """The calls of a run, each in a line. Call inside a snapshot."""
    return [summary(parts, row) for row in Calls(parts.database).of_run(run)]


def story(parts: Parts, calls: Calls, row: CallRow) -> dict[str, Any]:
    """Everything that is on record about a call. Call inside a snapshot."""
    mine = [e for e in parts.events.of_run(row.run) if e.position >= row.proposed]
    told = [(e, parts.events.body(e)) for e in mine]
    body = parts.events.body(parts.events.event(row.proposed))
    asked = {a.id for a in calls.approvals(row.id)}
    return {
        **summary(parts, row),
        "contract": row.contract,
        "key": row.key,
        "attempts": row.claim,
        "context": body["context"],
        "deprecated": body["deprecated"],
        "undoes": _name(calls, row.undoes),
        "undone_by": [one.name for one in calls.undone_by(row.id)],
        "changes": [
            {**_when(e), "state": e.facts["state"], "cause": e.facts["cause"], "why": b.get("why", "")}
            for e, b in told
            if e.kind is EventKind.CALL_CHANGED and e.facts["subject"] == row.id
        ],
        "decisions": [
            {**_when(e), **{k: b.get(k) for k in ("when", "verdict", "rules", "policy", "roles", "errors")}}
            for e, b in told
            if e.kind is EventKind.DECISION_MADE and e.facts["action"] == CALL and e.facts["step"] == row.step
        ],
        "approvals": [
            {
                **_when(e),
                "verdict": e.facts["verdict"],
                **{k: b.get(k) for k in ("by", "roles", "why", "binding")},
            }
            for e, b in told
            if e.kind is EventKind.APPROVAL_RESOLVED and e.facts["subject"] in asked
        ],
    }


def _when(event: Recorded) -> dict[str, Any]:
    return {"position": event.position, "at": instant(event.at)}


def _name(calls: Calls, id: int) -> str | None:
    row = calls.get(id) if id else None
    return None if row is None else row.name
