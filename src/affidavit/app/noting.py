"""What people did here that no other event tells of: who, what and why, as ``audit.performed``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import FOREVER
from affidavit.events.read import Recorded
from affidavit.store.people import Tenant

_LOOKED_AT = 10_000
"""A page must not read the whole log."""


def note(parts: Parts, tenant: Tenant, action: str, by: str, what: Mapping[str, Json]) -> int:
    """Put it on record; its position. ``action`` is a word of ours."""
    body: dict[str, Json] = {"by": by, **what}
    event = Event(EventKind.AUDIT_PERFORMED, tenant.id, facts={"action": action}, body=body)
    return parts.log.write(lambda tx: tx.append(event))


def noted(
    parts: Parts, tenant: Tenant, actions: frozenset[str], before: int = FOREVER
) -> Iterator[tuple[Recorded, Any]]:
    """What was noted under ``actions`` below position ``before``, with its body, the newest first, among the tenant's newest
    notes. Call inside a snapshot."""
    notes = parts.events.of_kind(
        EventKind.AUDIT_PERFORMED, newest_first=True, tenants=(tenant.id,), before=before
    )
    for event in islice(notes, _LOOKED_AT):
        if event.facts["action"] in actions:
            yield event, parts.events.body(event)
