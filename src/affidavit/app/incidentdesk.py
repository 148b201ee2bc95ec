"""Incidents: freeze what is needed, gather the evidence, keep a timeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affidavit.app.authority import authorise
from affidavit.app.exports import ExportDesk
from affidavit.app.incidents import MANAGE, FeedbackDesk, Incident, incidents, named, text_of
from affidavit.app.keeping import KeepDesk
from affidavit.app.recorded import recorded_run
from affidavit.app.replaydesk import ReplayDesk
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json, sha256
from affidavit.domain.errors import AccessDeniedError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.events.read import ErasedBody
from affidavit.store.people import Tenant

_LOOKS = (EventKind.AUDIT_PERFORMED, EventKind.AUDIT_EXPORTED)
_DOCUMENTS = (EventKind.DOCUMENT_INDEXED, EventKind.DOCUMENT_REMOVED, EventKind.ACCESS_CHANGED)


class IncidentDesk:
    """Opens, notes, closes and packs incidents. ``by`` is ``operator:NAME``, or a principal who holds ``incident:manage``."""

    def __init__(
        self,
        parts: Parts,
        feedback: FeedbackDesk,
        replays: ReplayDesk,
        exports: ExportDesk,
        keeping: KeepDesk,
    ) -> None:
        self._parts = parts
        self._feedback = feedback
        self._replays = replays
        self._exports = exports
        self._keeping = keeping

    def open(self, tenant: Tenant, run: str, by: str, reason: str) -> Incident:
        """An incident about ``run``, which from now on may be neither erased nor pruned.

        Raises AccessDeniedError for a run that the tenant does not have.
        """
        by, reason = authorise(self._parts, tenant, by, MANAGE), text_of(reason)
        with self._parts.database.read():
            events = self._parts.events.of_run(run) if run.isascii() else []
            if not events or events[0].tenant != tenant.id:
                raise AccessDeniedError(f"there is no run {run}", "`affidavit run list` shows them")
        reason = self._keeping.try_redaction(reason)["text"]  # the hold says it too
        id = "inc-" + self._parts.randomness.token(5).hex()
        hold = self._keeping.place(tenant, "run", run, by, f"incident {id}: {reason}")
        self._change(
            tenant, "opened", {"incident": id, "run": run, "by": by, "text": reason, "hold": hold["id"]}
        )
        return self.get(tenant, id)

    def note(self, tenant: Tenant, id: str, by: str, text: str) -> Incident:
        """Add to the timeline what somebody found or did."""
        by = authorise(self._parts, tenant, by, MANAGE)
        self._open(tenant, id)
        self._change(tenant, "noted", {"incident": id, "by": by, "text": text_of(text)})
        return self.get(tenant, id)

    def close(self, tenant: Tenant, id: str, by: str, text: str) -> Incident:
        """It is over: the hold ends, the record stays."""
        by, text = authorise(self._parts, tenant, by, MANAGE), text_of(text)
        incident = self._open(tenant, id)
        self._change(tenant, "closed", {"incident": id, "by": by, "text": text})
        self._keeping.lift(tenant, incident.hold, by, f"incident {id} is closed")
        return self.get(tenant, id)

    def get(self, tenant: Tenant, id: str) -> Incident:
        """One incident. Raises UnknownNameError."""
        with self._parts.database.read():
            return named(self._parts, tenant, id)

    def all(self, tenant: Tenant) -> list[Incident]:
        """Every incident, oldest first."""
        with self._parts.database.read():
            return incidents(self._parts, tenant)

    def _open(self, tenant: Tenant, id: str) -> Incident:
        incident = self.get(tenant, id)
        if incident.closed_at:
            raise UsageError(f"incident {id} is closed", "open another one about the same run")
        return incident

    def _change(self, tenant: Tenant, change: str, body: dict[str, Json]) -> None:
        event = Event(EventKind.INCIDENT_CHANGED, tenant.id, facts={"change": change}, body=body)

        def write(tx: Transaction) -> None:
            tx.append(event)

        self._parts.log.write(write)

    # -- the timeline

    def timeline(self, tenant: Tenant, id: str) -> list[dict[str, Any]]:
        """What happened, oldest first: the run, what its documents have become, who said and looked at what, the incident."""
        incident = self.get(tenant, id)
        with self._parts.database.read():
            found = [*self._run(incident), *self._documents(tenant, incident), *self._looks(tenant, incident)]
        for said in self._feedback.of(tenant, incident.run):
            accepted = f"; accepted instead: {said.accepted}" if said.accepted else ""
            what = f"{said.by} found the answer {said.verdict}: {said.reason}{accepted}"
            found.append((said.position, said.at, what))
        opened = f"{incident.opened_by} opened the incident: {incident.reason}"
        found.append((incident.position, incident.opened_at, opened))
        found += [(position, at, f"{by}: {text}") for position, at, by, text in incident.notes]
        return [
            {"at": instant(at), "position": position, "what": what}
            for position, at, what in sorted(found, key=lambda f: f[0])
        ]

    def _run(self, incident: Incident) -> Iterator[tuple[int, int, str]]:
        recorded = recorded_run(self._parts.events, self._parts.events.of_run(incident.run))
        given = recorded.given
        if "question" not in given:
            yield recorded.first, recorded.at, f"the run: a {recorded.journey}"
            return
        yield recorded.first, recorded.at, f"{given['principal']} asked: {given['question']}"
        answer = recorded.answer
        if answer:
            yield (
                recorded.last,
                recorded.at,
                f"{answer['status']}: {answer['answer'] or answer['refusal']['message']}",
            )

    def _documents(self, tenant: Tenant, incident: Incident) -> Iterator[tuple[int, int, str]]:
        """Edits, removals and re-shares of what the run retrieved, since then."""
        recorded = recorded_run(self._parts.events, self._parts.events.of_run(incident.run))
        read = {(h["source"], h["document"]) for h in recorded.hits}
        ids = {i: f"{s}/{d}" for i, s, d in self._parts.catalog.documents(tenant.id) if (s, d) in read}
        for kind in _DOCUMENTS:
            for event in self._parts.events.of_kind(kind, newest_first=True):
                if event.position < recorded.first:
                    break
                for document in _subjects(event.facts, self._parts.events.body(event)):
                    if document in ids:
                        yield event.position, event.at, f"{ids[document]}: {kind.value}"

    def _looks(self, tenant: Tenant, incident: Incident) -> Iterator[tuple[int, int, str]]:
        for kind in _LOOKS:
            for event in self._parts.events.of_kind(kind):
                body = self._parts.events.body(event)
                if event.tenant == tenant.id and body.get("run") == incident.run:
                    yield (
                        event.position,
                        event.at,
                        f"{body['by']} looked at it: {event.facts.get('action', 'export')}",
                    )

    # -- the evidence

    def pack(self, tenant: Tenant, id: str, folder: Path, by: str) -> list[dict[str, str]]:
        """Write the evidence into ``folder`` (new or empty): proofs, explanation, what it would be today, timeline, and the
        SHA-256 of each file in ``SHA256SUMS``."""
        by = authorise(self._parts, tenant, by, MANAGE)
        incident = self.get(tenant, id)
        _empty(folder)
        self._exports.export(
            tenant, incident.run, folder / "proof.json", None, audit=True, page=folder / "proof.html"
        )
        _write(folder / "explain.json", self._replays.explain(tenant, incident.run))
        today = self._replays.what_if(tenant, incident.run, [("position", "now")])
        _write(folder / "today.json", today)
        (replayed,) = self._replays.replay(tenant, [incident.run])
        _write(folder / "replay.json", replayed.as_json())
        self._change(tenant, "noted", {"incident": id, "by": by, "text": "packed the evidence"})
        self._pages(tenant, id, folder)
        files = sorted(p for p in folder.iterdir() if p.is_file())
        sums = [{"file": p.name, "sha256": sha256(p.read_bytes())} for p in files]
        lines = "".join(f"{s['sha256']}  {s['file']}\n" for s in sums)
        (folder / "SHA256SUMS").write_text(lines, encoding="utf-8")
        return sums

    def _pages(self, tenant: Tenant, id: str, folder: Path) -> None:
        _write(folder / "incident.json", self.get(tenant, id).as_json())
        _write(folder / "timeline.json", self.timeline(tenant, id))


def _subjects(facts: dict[str, Any], body: Any) -> list[int]:
    if isinstance(body, ErasedBody):
        return []
    if "subject" in facts:
        return [facts["subject"]]
    return [document for group in body for document in group["documents"]]


def _empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "name a new folder for the evidence")
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}", "name another folder") from error


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
