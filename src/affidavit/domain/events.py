"""Events: what may be written to the log, and in what exact shape.

A header is closed, typed and free of personal data: kind, time, tenant, run, a few declared facts (integers
and words out of our own vocabulary) and a salted commitment to the body. Names, texts, paths and
questions live in the body, which can be erased without breaking the tree.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from affidavit.domain.canonical import Json, canonical

HEADER_VERSION = 1


class EventKind(str, Enum):
    """Everything that can happen, as ``noun.past``."""

    WORKSPACE_CREATED = "workspace.created"
    TENANT_CREATED = "tenant.created"
    PERSON_CHANGED = "person.changed"
    MEMBERSHIP_CHANGED = "membership.changed"
    GRANT_CHANGED = "grant.changed"
    SOURCE_CHANGED = "source.changed"
    DOCUMENT_INDEXED = "document.indexed"
    DOCUMENT_REMOVED = "document.removed"
    ACCESS_CHANGED = "access.changed"
    EMBEDDER_CHANGED = "embedder.changed"
    VECTORS_ADDED = "vectors.added"
    RELEASE_PUBLISHED = "release.published"
    SINK_CHANGED = "sink.changed"
    RUN_STARTED = "run.started"
    STEP_RECORDED = "step.recorded"
    DECISION_MADE = "decision.made"
    CLAIM_RELEASED = "claim.released"
    ANSWER_RELEASED = "answer.released"
    RUN_FINISHED = "run.finished"
    AUDIT_PERFORMED = "audit.performed"
    FEEDBACK_GIVEN = "feedback.given"
    INCIDENT_CHANGED = "incident.changed"
    AUDIT_EXPORTED = "audit.exported"
    BODY_ERASED = "body.erased"
    KEEPING_CHANGED = "keeping.changed"
    BUDGET_CHANGED = "budget.changed"
    PRICES_CHANGED = "prices.changed"
    CALL_PROPOSED = "call.proposed"
    CALL_CHANGED = "call.changed"
    APPROVAL_RESOLVED = "approval.resolved"
    IMPORT_CHANGED = "import.changed"
    MODE_CHANGED = "mode.changed"
    KILL_CHANGED = "kill.changed"
    LEVEL_CHANGED = "level.changed"
    SECRET_CHANGED = "secret.changed"  # noqa: S105  # an event's kind
    CREDENTIAL_CHANGED = "credential.changed"
    PROPOSAL_CHANGED = "proposal.changed"


FACTS: Mapping[EventKind, Mapping[str, type]] = {
    EventKind.WORKSPACE_CREATED: {"schema": int},
    EventKind.TENANT_CREATED: {"subject": int},
    EventKind.PERSON_CHANGED: {"change": str},
    EventKind.MEMBERSHIP_CHANGED: {"joined": int, "left": int},
    EventKind.GRANT_CHANGED: {"action": str, "change": str},
    EventKind.SOURCE_CHANGED: {"subject": int, "change": str},
    EventKind.DOCUMENT_INDEXED: {"subject": int, "chunks": int, "source": int},
    EventKind.DOCUMENT_REMOVED: {"subject": int, "source": int},
    EventKind.ACCESS_CHANGED: {"source": int, "documents": int},
    EventKind.EMBEDDER_CHANGED: {"subject": int},
    EventKind.VECTORS_ADDED: {"subject": int, "chunks": int},
    EventKind.RELEASE_PUBLISHED: {"release": str, "channel": str},
    EventKind.SINK_CHANGED: {"subject": int, "change": str},
    EventKind.RUN_STARTED: {"journey": str, "release": str},
    EventKind.STEP_RECORDED: {"step": int, "name": str},
    EventKind.DECISION_MADE: {"step": int, "action": str, "effect": str},
    EventKind.CLAIM_RELEASED: {"claim": int},
    EventKind.ANSWER_RELEASED: {"status": str},
    EventKind.RUN_FINISHED: {"status": str, "steps": int},
    EventKind.AUDIT_PERFORMED: {"action": str},
    EventKind.FEEDBACK_GIVEN: {"verdict": str},
    EventKind.INCIDENT_CHANGED: {"change": str},
    EventKind.AUDIT_EXPORTED: {"what": str, "events": int},
    EventKind.BODY_ERASED: {"cause": str, "events": int, "contents": int},
    EventKind.KEEPING_CHANGED: {"subject": str, "change": str},
    EventKind.BUDGET_CHANGED: {"subject": int, "change": str},
    EventKind.PRICES_CHANGED: {"prices": str},
    EventKind.CALL_PROPOSED: {
        "subject": int,
        "step": int,
        "undoes": int,
        "key": str,
        "contract": str,
        "policy": str,
        "state": str,
    },
    EventKind.CALL_CHANGED: {
        "subject": int,
        "claim": int,
        "contract": str,
        "policy": str,
        "state": str,
        "cause": str,
    },
    EventKind.APPROVAL_RESOLVED: {"subject": int, "verdict": str},
    EventKind.IMPORT_CHANGED: {"subject": str, "change": str},
    EventKind.MODE_CHANGED: {"mode": str},
    EventKind.KILL_CHANGED: {"subject": str, "change": str},
    EventKind.LEVEL_CHANGED: {"subject": str, "source": int, "change": str},
    EventKind.SECRET_CHANGED: {"change": str},
    EventKind.CREDENTIAL_CHANGED: {"subject": str, "change": str},
    EventKind.PROPOSAL_CHANGED: {"subject": str, "change": str},
}

_WORD = re.compile(r"(?:[a-z][a-z0-9_.:-]{0,31}|[0-9a-f]{64})\Z")
"""What a fact of text may be: a word of our own vocabulary, or a digest. No capital, space, @ or letter beyond ASCII, so
that neither a name as people write it nor an address fits."""


@dataclass(frozen=True)
class Event:
    """One fact, before it has a position.

    ``tenant`` is the catalog's number (0: the workspace itself); ``run`` the run's id or "";
    ``facts`` exactly those that ``FACTS`` declares for the kind; ``body`` any canonical JSON or None.
    """

    kind: EventKind
    tenant: int = 0
    run: str = ""
    facts: Mapping[str, int | str] = field(default_factory=dict)
    body: Json = None

    def __post_init__(self) -> None:
        wanted = FACTS[self.kind]
        if set(self.facts) != set(wanted):
            raise ValueError(f"{self.kind.value} needs the facts {sorted(wanted)}, got {sorted(self.facts)}")
        for name, kind in wanted.items():
            if type(self.facts[name]) is not kind:
                raise TypeError(f"fact {name} of {self.kind.value} is not {kind.__name__}")
            if kind is str and not _WORD.match(str(self.facts[name])):
                raise ValueError(f"fact {name} of {self.kind.value} is not a word of our own vocabulary")


def header_bytes(event: Event, at: int, commitment: str) -> bytes:
    """The event's header as canonical JSON: what the log's leaf is made of."""
    header: dict[str, Json] = {
        "v": HEADER_VERSION,
        "kind": event.kind.value,
        "at": at,
        "tenant": event.tenant,
        "facts": dict(event.facts),
    }
    if event.run:
        header["run"] = event.run
    if commitment:
        header["body"] = commitment
    return canonical(header)


def commit_body(salt: bytes, body: bytes) -> str:
    """HMAC-SHA256(salt, body): binds the body, and says nothing about it once the salt is gone."""
    return hmac.digest(salt, body, "sha256").hex()
