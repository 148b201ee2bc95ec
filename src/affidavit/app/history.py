"""What was decided and changed by people lately: words given on calls, modes, stops."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import Any

from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER
from affidavit.events.read import Recorded
from affidavit.store.calls import CallRow, Calls
from affidavit.store.controls import EVERYWHERE
from affidavit.store.people import Tenant

_LOOKED_AT = 2_000


class HistoryDesk:
    """Reads the newest events of a kind. A page must not read the whole log."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def approvals(
        self,
        tenant: Tenant,
        principal: str,
        roles: frozenset[str],
        limit: int,
        before: int = FOREVER,
        *,
        everything: bool = False,
    ) -> list[dict[str, Any]]:
        """Words given on calls that ``principal`` asked for, gave a word on, or may be asked about with ``roles``; of all calls
        with ``everything``. The newest first, below position ``before``."""
        parts, calls = self._parts, Calls(self._parts.database)
        found: list[dict[str, Any]] = []
        with parts.database.read():
            words = parts.events.of_kind(
                EventKind.APPROVAL_RESOLVED, newest_first=True, tenants=(tenant.id,), before=before
            )
            for event in islice(words, _LOOKED_AT):
                body = parts.events.body(event)
                row = self._call(calls, event)
                if row is None:
                    continue
                asked_by = parts.events.body(parts.events.event(row.proposed)).get("principal")
                concerned = principal in (asked_by, body.get("by")) or roles & {*(body.get("roles") or ())}
                if everything or concerned:
                    found.append(
                        {
                            "at": instant(event.at),
                            "position": event.position,
                            "call": row.name,
                            "tool": row.tool,
                            "verdict": event.facts["verdict"],
                            "by": body.get("by") or "",
                            "why": body.get("why") or "",
                            "state": row.state.value,
                        }
                    )
                if len(found) == limit:
                    break
        return found

    def _call(self, calls: Calls, event: Recorded) -> CallRow | None:
        """The call that a word was given on."""
        for row in calls.of_run(event.run):
            if any(asked.id == event.facts["subject"] for asked in calls.approvals(row.id)):
                return row
        return None

    def controls(self, tenant: Tenant, limit: int, before: int = FOREVER) -> list[dict[str, Any]]:
        """Changes of the mode, and what was stopped and let go on, everywhere and in the tenant; the newest first."""
        of = (EVERYWHERE, tenant.id)
        kinds = (EventKind.MODE_CHANGED, EventKind.KILL_CHANGED)
        with self._parts.database.read():
            events = merge(
                *(
                    self._parts.events.of_kind(kind, newest_first=True, tenants=of, before=before)
                    for kind in kinds
                ),
                key=lambda event: -event.position,
            )
            return [self._change(event) for event in islice(events, limit)]

    def _change(self, event: Recorded) -> dict[str, Any]:
        body = self._parts.events.body(event)
        if event.kind is EventKind.MODE_CHANGED:
            what = f"mode {event.facts['mode']}"
        else:
            name = body.get("name") or ""
            word = "stopped" if event.facts["change"] == "killed" else "goes on"
            what = f"{event.facts['subject']}{':' if name else ''}{name} {word}"
        return {
            "at": instant(event.at),
            "position": event.position,
            "what": what,
            "by": body.get("by") or "",
            "reason": body.get("reason") or "",
        }
