"""Erasing: bodies and their salts go, headers and the tree stay, and an event says by whom, why and what.

What is to go is planned in a snapshot; the transaction that erases plans only what came since, so that writers wait a moment and
nothing slips through. The rows about an erased document are emptied, those about an erased person deleted: `audit verify`
insists on both, so an erasure can hide no row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from affidavit.app.authority import authorise
from affidavit.app.endings import end_all
from affidavit.app.sources import SourceDesk
from affidavit.app.wiring import ERASED, Parts
from affidavit.domain.canonical import Json
from affidavit.domain.errors import (
    BusyError,
    DiskFullError,
    HeldError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import FOREVER
from affidavit.events.log import Transaction
from affidavit.store.bodies import unpack
from affidavit.store.credentials import Credentials
from affidavit.store.keeping import Hold, Keeping
from affidavit.store.people import Tenant
from affidavit.store.proposals import Proposals
from affidavit.store.replies import Replies
from affidavit.store.runs import Runs

ERASE = "audit:erase"
RUN_KINDS = tuple(
    kind.value
    for kind in (
        EventKind.RUN_STARTED,
        EventKind.STEP_RECORDED,
        EventKind.DECISION_MADE,
        EventKind.CLAIM_RELEASED,
        EventKind.ANSWER_RELEASED,
        EventKind.RUN_FINISHED,
        EventKind.CALL_PROPOSED,
        EventKind.CALL_CHANGED,
    )
)
_PEOPLE_KINDS = tuple(
    kind.value
    for kind in (
        EventKind.PERSON_CHANGED,
        EventKind.MEMBERSHIP_CHANGED,
        EventKind.GRANT_CHANGED,
        EventKind.CREDENTIAL_CHANGED,
        EventKind.PROPOSAL_CHANGED,
    )
)
_SAID_KINDS = (EventKind.FEEDBACK_GIVEN.value,)
_TRAIL_KINDS = tuple(
    kind.value
    for kind in (
        EventKind.FEEDBACK_GIVEN,
        EventKind.INCIDENT_CHANGED,
        EventKind.AUDIT_PERFORMED,
        EventKind.AUDIT_EXPORTED,
        EventKind.KEEPING_CHANGED,
        EventKind.BODY_ERASED,
        EventKind.APPROVAL_RESOLVED,
    )
)
"""Who looked, exported, held, erased and said what: the record of what was done stays."""
_DOCUMENT_KINDS = (EventKind.DOCUMENT_INDEXED.value, EventKind.DOCUMENT_REMOVED.value)
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Target:
    """What is to be erased: ``cause`` is run, person or document; ``source`` a source's name, for a document."""

    cause: str
    subject: str
    source: str = ""


@dataclass
class Plan:
    """What an erasure takes. ``positions`` are of event bodies, ``contents`` ids of texts and originals."""

    positions: set[int] = field(default_factory=set)
    contents: list[int] = field(default_factory=list)
    documents: dict[int, tuple[int, int]] = field(default_factory=dict)
    """document → (source, until)"""
    runs: set[str] = field(default_factory=set)
    upto: int = -1

    def counts(self) -> dict[str, int]:
        return {
            "events": len(self.positions),
            "contents": len(self.contents),
            "documents": len(self.documents),
            "runs": len(self.runs),
        }


def ranges(positions: Iterable[int]) -> list[list[int]]:
    """``[[first, last], …]`` of neighbouring positions, ascending."""
    out: list[list[int]] = []
    for position in sorted(positions):
        if out and out[-1][1] == position - 1:
            out[-1][1] = position
        else:
            out.append([position, position])
    return out


class Planner:
    """Works out what belongs to a run, a person or a document. Call inside a snapshot or transaction."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rows = Keeping(parts.database)

    def plan(self, tenant: Tenant, target: Target, before: Plan | None = None) -> Plan:
        """Everything, or with ``before`` that plan and what came since."""
        plan = before or Plan()
        after, plan.upto = plan.upto, self._parts.log.head()
        match target.cause:
            case "run":
                self._run(tenant, target.subject, plan)
            case "person":
                self._person(tenant, target.subject, after, plan)
            case _:
                self._document(tenant, target, after, plan)
        return plan

    def _run(self, tenant: Tenant, run: str, plan: Plan) -> None:
        plan.positions.update(self._rows.of_runs(tenant.id, [run], RUN_KINDS))
        if plan.positions:
            plan.runs.add(run)
            self._said(tenant, "", plan)

    def _person(self, tenant: Tenant, who: str, after: int, plan: Plan) -> None:
        sought = json.dumps(who, ensure_ascii=False).encode()
        kinds = (EventKind.RUN_STARTED.value, *_PEOPLE_KINDS)
        for position, run, id, *stored in self._rows.bodies(tenant.id, kinds, after):
            data = unpack(id, *stored)
            if sought in data and json.loads(data).get("principal") == who:
                plan.positions.add(position)
                if run:
                    plan.runs.add(run)
        plan.positions.update(self._rows.of_runs(tenant.id, plan.runs, RUN_KINDS))
        self._said(tenant, who, plan)

    def _said(self, tenant: Tenant, who: str, plan: Plan) -> None:
        """What ``who`` said of any run, and what anybody said of the plan's."""
        for position, _, id, *stored in self._rows.bodies(tenant.id, _SAID_KINDS, -1):
            said = json.loads(unpack(id, *stored))
            if said["run"] in plan.runs or (who and said["by"] == who):
                plan.positions.add(position)

    def _document(self, tenant: Tenant, target: Target, after: int, plan: Plan) -> None:
        for document, source, name, until in self._rows.documents(tenant.id, target.subject):
            if not target.source or name == target.source:
                plan.documents[document] = (source, until)
        ids = list(plan.documents)
        revisions = self._rows.revisions(ids)
        plan.contents = [b for _, _, text, original in revisions for b in (text, original) if b is not None]
        plan.positions.update(self._rows.indexed(ids, _DOCUMENT_KINDS, after))
        names = frozenset(row[0] for row in revisions)
        told = _Told(target.subject, target.source, names)
        for position, run, id, *stored in self._rows.bodies(tenant.id, RUN_KINDS, after):
            if told.by(unpack(id, *stored)):
                plan.positions.add(position)
                plan.runs.add(run)


class _Told:
    """Whether a run event's body tells of a document: names it, cites a passage of it, or reports a fault of it."""

    def __init__(self, document: str, source: str, revisions: frozenset[str]) -> None:
        self._document, self._source, self._revisions = document, source, revisions
        self._sought = [json.dumps(document, ensure_ascii=False).encode(), *(r.encode() for r in revisions)]

    def by(self, data: bytes) -> bool:
        """A look at the bytes first: few bodies are worth parsing."""
        return any(s in data for s in self._sought) and self._within(json.loads(data))

    def _within(self, value: Any) -> bool:
        if isinstance(value, str):
            return value in self._revisions or value.rpartition(".")[0] in self._revisions
        if isinstance(value, list):
            return any(self._within(item) for item in value)
        if not isinstance(value, dict):
            return False
        named = value.get("document") == self._document and value.get("source", self._source) == self._source
        fault = value.get("name") == self._document and "code" in value
        return named or fault or any(self._within(v) for v in (*value.values(), *value.keys()))


class EraseDesk:
    """Plans and does erasures."""

    def __init__(self, parts: Parts, sources: SourceDesk) -> None:
        self._parts = parts
        self._sources = sources
        self._planner = Planner(parts)
        self._rows = Keeping(parts.database)

    def authorise(self, tenant: Tenant, by: str) -> str:
        """``by`` as it goes on record. Raises AccessDeniedError unless they may erase, hold and set what is kept."""
        return authorise(self._parts, tenant, by, ERASE)

    # -- one thing

    def erase(
        self, tenant: Tenant, target: Target, by: str, reason: str, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Erase, and report what went and what remains. Raises HeldError, UnknownNameError, AccessDeniedError."""
        by = self.authorise(tenant, by)
        if not reason.strip():
            raise UsageError(
                "an erasure needs a reason", 'for example --reason "request 17, article 17 GDPR"'
            )
        with ExitStack() as locks:
            with self._parts.database.read():
                plan = self._planner.plan(tenant, target)
                target = self._settled(tenant, target, plan)
                held = self._held(tenant)
                self._refuse_held(plan, target, held)
                remains = self._remains(tenant, target, plan)
            if dry_run:
                return {**plan.counts(), "dry_run": True, "remains": remains}
            for source in {source for source, _ in plan.documents.values()}:
                locks.enter_context(self._sources.locked(source, target.source))

            def write(tx: Transaction) -> tuple[int, dict[str, int]]:
                self._planner.plan(tenant, target, plan)
                self.unchanged(tenant, [hold.id for hold, _ in held])
                for hold, kept in held:  # what came since may be of what is held
                    self._planner.plan(tenant, Target(hold.kind, hold.subject, hold.source), kept)
                self._refuse_held(plan, target, held)
                return self._write(tenant, target, plan, by, reason, tx)

            position, extra = self._parts.log.write(write)
        scrubbed = self.scrub(index=bool(plan.documents))
        return {
            **plan.counts(),
            **extra,
            "dry_run": False,
            "position": position,
            "scrubbed": scrubbed,
            "remains": remains,
        }

    def _settled(self, tenant: Tenant, target: Target, plan: Plan) -> Target:
        """``target`` with its source, if there is something to erase and it is clear what."""
        if target.cause == "document" and plan.documents:
            sources = {source for source, _ in plan.documents.values()}
            names = {name: id for _, id, name, _ in self._rows.documents(tenant.id, target.subject)}
            found = sorted(name for name, id in names.items() if id in sources)
            if len(found) > 1:
                raise UsageError(
                    f"several sources have a document {target.subject!r}",
                    f"add --source, one of: {', '.join(found)}",
                )
            settled = Target("document", target.subject, found[0])
            if not target.source:  # the bodies that name it were looked for without its source
                plan.positions, plan.upto = set(), -1
                self._planner.plan(tenant, settled, plan)
            return settled
        known = target.cause == "person" and self._parts.people.facts(
            tenant.id, target.subject, self._parts.log.head()
        )
        if not plan.positions and not known:
            raise UnknownNameError(
                f"there is nothing to erase of {target.cause} {target.subject!r}",
                "check the name and --tenant; `affidavit audit erasures` lists what was erased",
            )
        return target

    def _write(
        self, tenant: Tenant, target: Target, plan: Plan, by: str, reason: str, tx: Transaction
    ) -> tuple[int, dict[str, int]]:
        extra: dict[str, int] = {}
        for document, (source, until) in plan.documents.items():
            if until == FOREVER:  # out of every answer first, as any deletion
                facts: dict[str, int | str] = {"subject": document, "source": source}
                at = tx.append(Event(EventKind.DOCUMENT_REMOVED, tenant.id, facts=facts))
                self._parts.catalog.end_document(document, at)
        if target.cause == "person":
            end_all(self._parts.database, tx, tenant.id, target.subject, {"by": by})
        body: dict[str, Json] = {"documents": sorted(plan.documents)}
        mark = self._parts.mark(target.cause, tenant.id, target.source, target.subject)
        if target.cause == "document" and mark not in self._rows.barred(tenant.id):
            body["barred"] = [mark]
        elif target.cause == "person":
            body["mark"] = mark
        position = self.record(tenant, target.cause, plan, by, reason, tx, body)
        if "barred" in body:
            self._rows.bar(tenant.id, mark, position)
        if target.cause == "person":
            extra["rows"] = self._rows.forget(tenant.id, target.subject)
            Proposals(self._parts.database).empty(tenant.id, target.subject)
            extra["credentials"] = Credentials(self._parts.database).empty(tenant.id, target.subject)
        if plan.documents:
            extra["vectors"] = self._rows.empty(sorted(plan.documents))
            self._parts.catalog.set_setting(ERASED, str(position))
        return position, extra

    def record(
        self,
        tenant: Tenant,
        cause: str,
        plan: Plan,
        by: str,
        reason: str,
        tx: Transaction,
        more: dict[str, Json] | None = None,
    ) -> int:
        """Empty the plan's bodies and say so in one event; its position.

        Another process may have erased some since the plan was made: those have their event already.
        """
        plan.positions = self._rows.there(plan.positions)
        facts: dict[str, int | str] = {
            "cause": cause,
            "events": len(plan.positions),
            "contents": len(plan.contents),
        }
        body = {"by": by, "reason": reason, "positions": ranges(plan.positions), **(more or {})}
        position = tx.append(Event(EventKind.BODY_ERASED, tenant.id, facts=facts, body=body))
        tx.bodies.erase(self._rows.body_ids(sorted(plan.positions)))
        tx.bodies.erase(plan.contents)
        Runs(tx.db).forget(plan.positions)
        Replies(self._parts.database).empty()
        return position

    def scrub(self, *, index: bool = False) -> bool:
        """Rewrite the database's files, and with ``index`` the index', so that nothing erased is left in them.

        False while another process reads an older state, or without space for a copy; then run it again later. What was
        erased is out of reach of every question and command in any case.
        """
        try:
            if index:
                with self._parts.database.read():
                    self._parts.index.persist(self._parts.feed())
            return self._parts.database.scrub()
        except (BusyError, DiskFullError):
            return False

    # -- holds

    def _held(self, tenant: Tenant) -> list[tuple[Hold, Plan]]:
        return [
            (hold, self._planner.plan(tenant, Target(hold.kind, hold.subject, hold.source)))
            for hold in self._rows.holds(tenant.id)
        ]

    def held_positions(self, tenant: Tenant) -> dict[int, int]:
        """Position → the hold that keeps its body."""
        return {position: hold.id for hold, plan in self._held(tenant) for position in plan.positions}

    def unchanged(self, tenant: Tenant, holds: list[int]) -> None:
        """Raises BusyError if other holds than these hold now. Call inside the transaction that erases."""
        if holds != [hold.id for hold in self._rows.holds(tenant.id)]:
            raise BusyError("a hold was set or released meanwhile", "run it again")

    def _refuse_held(self, plan: Plan, target: Target, held: Sequence[tuple[Hold, Plan]]) -> None:
        for hold, kept in held:
            same = hold.kind == target.cause and hold.subject == target.subject
            if same or plan.positions & kept.positions or plan.documents.keys() & kept.documents.keys():
                raise HeldError(
                    f"hold {hold.id} keeps {hold.kind} {hold.subject}: {hold.reason} (set by {hold.by})",
                    f"when the reason is gone: affidavit audit hold release {hold.id} --by … --reason …",
                )

    # -- what remains

    def _remains(self, tenant: Tenant, target: Target, plan: Plan) -> list[dict[str, Any]]:
        out = [
            _remain(
                "headers",
                len(plan.positions),
                "kind, time, run and counts of each event, with a commitment that says nothing without its salt",
            ),
            _remain(
                "copies",
                None,
                "backups, exports, telemetry and terminal output made before: affidavit does not know where they are",
            ),
        ]
        holds = [h for h in self._rows.holds(tenant.id, live=False) if h.subject == target.subject]
        out.append(_remain("holds", len(holds), "past holds that name it: the record of what was held"))
        trail = self._rows.naming(tenant.id, _TRAIL_KINDS, target.subject) - plan.positions
        out.append(
            _remain(
                "the audit trail",
                len(trail),
                "records of looking, exporting, holding and judging that name it",
            )
        )
        if target.cause == "document":
            same = self._rows.same_text(list(plan.documents))
            out.append(_remain("same text", same, "other documents that hold a passage of it word for word"))
            out.append(
                _remain(
                    "questions",
                    len(plan.runs),
                    "runs that drew on it keep the question; what told of it is gone",
                )
            )
            out.append(
                _remain("the source", None, "the item itself; it is not read in again (audit readmit)")
            )
        if target.cause == "person":
            rules = self._parts.catalog.rules(tenant.id).values()
            named = sum(any(target.subject in layer for layer in (*r.layers, r.deny)) for r in rules)
            out.append(_remain("access rules", named, "rules of sources that name the person, past ones too"))
            spoken = self._rows.naming(tenant.id, (EventKind.CREDENTIAL_CHANGED.value,), target.subject)
            spoken -= plan.positions
            out.append(
                _remain(
                    "keys", len(spoken), "keys of services that name the person as somebody they speak for"
                )
            )
            owned = self._rows.owned(tenant.id, target.subject)
            out.append(_remain("owned documents", owned, "documents that name the person as owner"))
            out.append(
                _remain(
                    "texts",
                    None,
                    "documents, other people's questions, and reasons why others were denied may name them",
                )
            )
        return out


def _remain(what: str, count: int | None, why: str) -> dict[str, Any]:
    return {"what": what, "count": count, "why": why}
