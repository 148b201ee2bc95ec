"""What the tables of calls and approvals must hold, worked out from the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from affidavit.app.layout import damaged
from affidavit.domain.canonical import sha256
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER
from affidavit.domain.tools import CallState, contract
from affidavit.events.verify import Noted
from affidavit.store.calls import APPROVED, DENIED, EXPIRED, OPEN, UNRESOLVED, VOID
from affidavit.store.database import Database

_CHANGING = ("contract", "policy", "state")
_NEXT = {
    "": {"ready", "waiting", "denied"},
    "waiting": {"waiting", "ready", "denied", "expired", "unknown"},
    "ready": {"running", "waiting", "denied", "unknown"},
    "running": {"done", "failed", "unknown", "ready"},
    "unknown": {"done", "failed", "unknown"},
}
"""What follows what in a call. A row that was set back by hand, and gone on with, shows as a step that there is not."""
_LATE = """SELECT c.id FROM calls c LEFT JOIN approvals a ON a.call = c.id AND a.state = 'open'
  WHERE CASE c.state WHEN 'waiting' THEN a.expires IS NOT c.due WHEN 'ready' THEN 0 WHEN 'running' THEN 0 ELSE c.due <> ? END"""
_RESOLVED = {OPEN: {APPROVED, DENIED, EXPIRED, VOID}, APPROVED: {VOID}}


class CallFold:
    """Takes the events of calls in order. ``due`` of a call that is ready or running is not folded: when to look
    again decides nothing by itself."""

    def __init__(self) -> None:
        self.calls: dict[int, dict[str, Any]] = {}
        self.approvals: list[dict[str, Any]] = []
        self.takes: Mapping[EventKind, Callable[[Noted], None]] = {
            EventKind.CALL_PROPOSED: self._proposed,
            EventKind.CALL_CHANGED: self._changed,
            EventKind.APPROVAL_RESOLVED: self._resolved,
        }

    def _proposed(self, event: Noted) -> None:
        facts = event.facts
        if facts["subject"] != len(self.calls) + 1:
            raise ValueError("calls are counted one by one")
        if facts["state"] not in _NEXT[""]:
            raise ValueError(f"a call does not begin {facts['state']}")
        self.calls[facts["subject"]] = {
            "name": f"call-{facts['key'][:16]}",
            "tenant": event.tenant,
            "tool": None if event.erased else event.body["tool"],
            **{name: facts[name] for name in ("step", "key", "undoes", *_CHANGING)},
            "claim": 0,
            "proposed": event.position,
            "changed": event.position,
        }
        self._waits(event)

    def _changed(self, event: Noted) -> None:
        facts, before = event.facts, self.calls[event.facts["subject"]]
        if facts["state"] not in _NEXT.get(before["state"], ()):
            raise ValueError(f"a call that is {before['state']} does not become {facts['state']}")
        if facts["claim"] != before["claim"] + (facts["state"] == CallState.RUNNING.value):
            raise ValueError("claims are counted one by one")
        before.update({name: facts[name] for name in (*_CHANGING, "claim")})
        before["changed"] = event.position
        self._waits(event)

    def _waits(self, event: Noted) -> None:
        """A call that begins to wait asks for a yes. What an erased event asked for is not known any more."""
        if event.facts["state"] != CallState.WAITING.value:
            return
        asked = {
            "call": event.facts["subject"],
            "roles": None if event.erased else json.dumps(event.body["roles"]),
            "contract": event.facts["contract"],
            "policy": event.facts["policy"],
            "expires": None if event.erased else event.body["expires"],
            "state": OPEN,
            "opened": event.position,
            "resolved": UNRESOLVED,
        }
        self.approvals.append(asked)

    def _resolved(self, event: Noted) -> None:
        number = event.facts["subject"]
        asked = self.approvals[number - 1]
        if number < 1 or event.facts["verdict"] not in _RESOLVED.get(asked["state"], ()):
            raise ValueError(f"approval {number} was {asked['state']} before")
        asked["state"], asked["resolved"] = event.facts["verdict"], event.position


def check_calls(database: Database, fold: CallFold) -> None:
    """Every call and approval as the log says, and every contract under its digest. Raises LogDamagedError."""
    tools = {}
    for name, content in database.each("SELECT digest, content FROM contracts"):
        made = contract(json.loads(content))
        if sha256(content.encode()) != name or made.digest != name:
            raise damaged(f"the contract {name[:12]} was changed")
        tools[name] = made.key
    for id, said in fold.calls.items():
        if said["tool"] not in (None, tools.get(said["contract"])):
            raise damaged(f"call {id} became one of another tool")
    _same(
        database,
        "calls",
        {id: {**said, "tool": tools.get(said["contract"])} for id, said in fold.calls.items()},
    )
    _same(database, "approvals", dict(enumerate(fold.approvals, 1)))
    late = database.value(_LATE, (FOREVER,))
    if late is not None:
        raise damaged(f"call {late} is to be looked at at another time than the log says")
    stray = database.value(
        "SELECT c.id FROM calls c LEFT JOIN events e ON e.position = c.proposed WHERE e.run IS NOT c.run"
    )
    if stray is not None:
        raise damaged(f"call {stray} belongs to another run than the log says")


def _same(database: Database, table: str, said: Mapping[int, Mapping[str, Any]]) -> None:
    if not said:
        if database.value(f"SELECT count(*) FROM {table}"):  # noqa: S608  # our own constants
            raise damaged(f"{table}: a row that no event accounts for")
        return
    columns = list(next(iter(said.values())))
    seen = 0
    for id, *row in database.each(f"SELECT id, {', '.join(columns)} FROM {table}"):  # noqa: S608
        expected = said.get(id)
        if expected is None:
            raise damaged(f"{table}: row {id} is about nothing that the log knows")
        for column, value in zip(columns, row, strict=True):
            if expected[column] is not None and expected[column] != value:
                raise damaged(f"{table}: row {id} says another {column} than the log")
        seen += 1
    if seen != len(said):
        raise damaged(f"{table}: a row is not there that the log knows")
