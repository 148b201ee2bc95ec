"""Which class of the Open Cybersecurity Schema Framework (OCSF) 1.8.0 says what an event of the log says.

Every event becomes exactly one record, so that the file can be counted against the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.domain.version import VERSION
from affidavit.ports.follower import Handed, event_id

SCHEMA = "1.8.0"
API, DATASTORE, ENTITY = 6003, 6005, 3004
CLASS_NAMES = {API: "API Activity", DATASTORE: "Datastore Activity", ENTITY: "Entity Management"}
INFORMATIONAL, LOW, MEDIUM = 1, 2, 3
SUCCESS, FAILURE, OTHER = 1, 2, 99


@dataclass(frozen=True)
class Activity:
    """A class and an activity of it. ``what`` names the managed entity or the operation."""

    class_uid: int
    activity: int
    what: str


# API Activity: 1 create, 2 read, 3 update. Datastore Activity: 2 update, 5 write, 7 delete.
# Entity Management: 1 create, 3 update, 4 delete, 8 enable.
_BY_KIND: Mapping[str, Activity] = {
    "workspace.created": Activity(ENTITY, 1, "workspace"),
    "tenant.created": Activity(ENTITY, 1, "tenant"),
    "person.changed": Activity(ENTITY, 3, "person"),
    "membership.changed": Activity(ENTITY, 3, "membership"),
    "grant.changed": Activity(ENTITY, 3, "grant"),
    "source.changed": Activity(ENTITY, 3, "source"),
    "embedder.changed": Activity(ENTITY, 3, "embedder"),
    "release.published": Activity(ENTITY, 8, "release"),
    "document.indexed": Activity(DATASTORE, 5, "document"),
    "document.removed": Activity(DATASTORE, 7, "document"),
    "access.changed": Activity(DATASTORE, 2, "access rules"),
    "vectors.added": Activity(DATASTORE, 5, "vectors"),
    "run.started": Activity(API, 2, "run"),
    "step.recorded": Activity(API, 2, "step"),
    "decision.made": Activity(API, 2, "decision"),
    "answer.released": Activity(API, 2, "answer"),
    "run.finished": Activity(API, 2, "run"),
}
_BY_CHANGE = {"added": 1, "created": 1, "removed": 4, "revoked": 4}


def activity(event: Handed) -> Activity:
    """What ``event`` is. A kind that is not listed is an API activity "Other", named by its kind."""
    found = _BY_KIND.get(event.kind, Activity(API, OTHER, event.kind))
    if found.class_uid == ENTITY and found.activity == 3:
        return Activity(ENTITY, _BY_CHANGE.get(str(event.facts.get("change", "")), 3), found.what)
    if found.what == "run" and event.facts.get("journey") == "sync":
        return Activity(API, 3, "run")
    return found


def record(origin: str, event: Handed) -> dict[str, Any]:
    """``event`` as one OCSF record. Names and texts are in it only if ``event`` has its body."""
    found = activity(event)
    status = _status(event)
    out: dict[str, Any] = {
        "activity_id": found.activity,
        "category_uid": found.class_uid // 1000,
        "class_uid": found.class_uid,
        "class_name": CLASS_NAMES[found.class_uid],
        "type_uid": found.class_uid * 100 + found.activity,
        "severity_id": MEDIUM if status == FAILURE and event.kind == "decision.made" else INFORMATIONAL,
        "status_id": status,
        "time": event.at // 1000,
        "message": _message(event),
        "metadata": {
            "version": SCHEMA,
            "product": {"name": "affidavit", "vendor_name": "affidavit", "version": VERSION},
            "uid": event_id(origin, event.position),
            "sequence": event.position,
            "event_code": event.kind,
            **({"correlation_uid": event.run} if event.run else {}),
            **({"tenant_uid": str(event.tenant)} if event.tenant else {}),
        },
        "unmapped": _unmapped(event),
    }
    code = event.facts.get("status") or event.facts.get("effect")
    if code:
        out["status_code"] = str(code)
    if found.activity == OTHER:
        out["activity_name"] = event.kind
    out.update(_of_class(origin, found, event))
    return out


def _of_class(origin: str, found: Activity, event: Handed) -> dict[str, Any]:
    """What the class requires besides the base event's attributes."""
    actor: dict[str, Any] = {"app_name": "affidavit", "app_uid": origin}
    principal = _principal(event)
    if found.class_uid == ENTITY:
        entity = {"uid": event_id(origin, event.position), "type": found.what, "type_id": OTHER}
        return {"actor": actor, "entity": {**entity, "name": principal} if principal else entity}
    if principal:
        actor["user"] = {"name": principal}
    here = {"name": "affidavit", "uid": origin}
    if found.class_uid == DATASTORE:
        database = {"name": found.what, "uid": origin, "type_id": OTHER, "type": "affidavit catalog"}
        return {"actor": actor, "src_endpoint": here, "database": database}
    name = event.facts.get("journey") or event.facts.get("action") or event.facts.get("name") or found.what
    api = {"operation": str(name), "service": {"name": "affidavit"}}
    return {"actor": actor, "src_endpoint": here, "api": api}


def _principal(event: Handed) -> str:
    found = event.body.get("principal") if isinstance(event.body, dict) else None
    return found if isinstance(found, str) else ""


def _status(event: Handed) -> int:
    refused = event.facts.get("status") in ("refused", "failed") or event.facts.get("effect") == "forbid"
    return FAILURE if refused else SUCCESS


def _message(event: Handed) -> str:
    facts = " ".join(f"{name}={value}" for name, value in sorted(event.facts.items()))
    return f"{event.kind} at position {event.position}" + (f": {facts}" if facts else "")


def _unmapped(event: Handed) -> dict[str, Any]:
    out: dict[str, Any] = {"leaf": event.leaf.hex(), "facts": dict(event.facts)}
    if event.words:
        out["words"] = dict(event.words)
    if event.body is not None:
        out["body"] = event.body
    return out
