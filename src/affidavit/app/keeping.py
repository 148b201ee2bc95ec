"""How long bodies are kept, what is held back from erasure, what is redacted, and what may come back. Each change is an event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from affidavit.app.authority import OPERATOR, is_operator
from affidavit.app.erasure import RUN_KINDS, EraseDesk, Plan
from affidavit.app.redaction import REDACTION, compile_rules
from affidavit.app.wiring import RETENTION, Parts
from affidavit.ask.asker import instant
from affidavit.domain.access import check_name
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AccessDeniedError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import FOREVER
from affidavit.domain.redact import Found, redact
from affidavit.events.log import Transaction
from affidavit.store.keeping import Hold, Keeping
from affidavit.store.people import Tenant

HELD = ("run", "person", "document")
RETAINED: Mapping[str, tuple[str, ...]] = {
    "questions": (EventKind.RUN_STARTED.value,),
    "answers": (EventKind.CLAIM_RELEASED.value, EventKind.ANSWER_RELEASED.value),
    "steps": (EventKind.STEP_RECORDED.value, EventKind.DECISION_MADE.value, EventKind.RUN_FINISHED.value),
    "syncs": RUN_KINDS,
}
"""What retention can be set for, and the events whose bodies that is; ``syncs`` of the runs that read sources."""
_LONGEST_DAYS = 36_500
_BATCH = 20_000


class KeepDesk:
    """Holds, retention, pruning, redaction and readmission."""

    def __init__(self, parts: Parts, erasing: EraseDesk) -> None:
        self._parts = parts
        self._erasing = erasing
        self._rows = Keeping(parts.database)

    def _change(self, tenant: int, subject: str, change: str, body: Json, tx: Transaction) -> int:
        facts: dict[str, int | str] = {"subject": subject, "change": change}
        return tx.append(Event(EventKind.KEEPING_CHANGED, tenant, facts=facts, body=body))

    # -- holds

    def hold(
        self, tenant: Tenant, kind: str, subject: str, by: str, reason: str, source: str = ""
    ) -> dict[str, Any]:
        """From now on ``subject`` (a run, principal or document name) may be neither erased nor pruned."""
        return self.place(tenant, kind, subject, self._erasing.authorise(tenant, by), reason, source)

    def place(
        self, tenant: Tenant, kind: str, subject: str, by: str, reason: str, source: str = ""
    ) -> dict[str, Any]:
        """``hold`` for code that has made sure that ``by`` may: an incident holds its run."""
        if kind not in HELD or not reason.strip():
            raise UsageError(
                f"a hold is of a {', '.join(HELD)} and has a reason", "see: affidavit audit hold --help"
            )
        if kind == "document" and not source:
            raise UsageError("a hold of a document needs its source", "add --source NAME")
        body: dict[str, Json] = {
            "kind": kind,
            "subject": subject,
            "source": source,
            "reason": reason,
            "by": by,
        }

        def write(tx: Transaction) -> Hold:
            id = self._rows.next_hold()
            at = self._change(tenant.id, "hold", "added", {"id": id, **body}, tx)
            hold = Hold(id, tenant.id, kind, subject, source, reason, by, at, FOREVER)
            self._rows.add_hold(hold)
            return hold

        return describe(self._parts.log.write(write))

    def release(self, tenant: Tenant, id: int, by: str, reason: str) -> dict[str, Any]:
        """The hold ends; what it kept may be erased again."""
        return self.lift(tenant, id, self._erasing.authorise(tenant, by), reason)

    def lift(self, tenant: Tenant, id: int, by: str, reason: str) -> dict[str, Any]:
        """``release`` for code that has made sure that ``by`` may."""

        def write(tx: Transaction) -> Hold:
            found = [h for h in self._rows.holds(tenant.id) if h.id == id]
            if not found:
                raise UnknownNameError(f"there is no hold {id}", "`affidavit audit hold list` shows them")
            self._rows.release_hold(
                id, self._change(tenant.id, "hold", "released", {"id": id, "by": by, "reason": reason}, tx)
            )
            return found[0]

        return describe(self._parts.log.write(write))

    def holds(self, tenant: Tenant, *, live: bool = True) -> list[dict[str, Any]]:
        """Holds that hold now, or with ``live`` false the released ones too."""
        with self._parts.database.read():
            return [describe(hold) for hold in self._rows.holds(tenant.id, live=live)]

    # -- retention

    def retention(self, tenant: Tenant) -> dict[str, int | None]:
        """Days by kind; None: for ever."""
        with self._parts.database.read():
            said = json.loads(self._parts.catalog.setting(RETENTION) or "{}").get(str(tenant.id), {})
        return {kind: said.get(kind) for kind in RETAINED}

    def set_retention(self, tenant: Tenant, kind: str, days: int, by: str) -> dict[str, int | None]:
        """Keep bodies of ``kind`` for ``days``, 0 for ever. Nothing goes before ``prune``."""
        by = self._erasing.authorise(tenant, by)
        if kind not in RETAINED:
            raise UsageError(f"there is no retention for {kind!r}", f"one of: {', '.join(RETAINED)}")
        if not 0 <= days <= _LONGEST_DAYS:
            raise UsageError(f"{days} days cannot be", f"0 (for ever) to {_LONGEST_DAYS}")

        def write(tx: Transaction) -> None:
            said = json.loads(self._parts.catalog.setting(RETENTION) or "{}")
            mine = said.setdefault(str(tenant.id), {})
            mine.pop(kind, None)
            if days:
                mine[kind] = days
            self._change(tenant.id, "retention", "set", {"kind": kind, "days": days, "by": by}, tx)
            self._parts.catalog.set_setting(RETENTION, canonical(said).decode())

        self._parts.log.write(write)
        return self.retention(tenant)

    def prune(self, tenant: Tenant, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Erase the bodies that are older than their retention, but what is held."""
        by = self._erasing.authorise(tenant, by)
        with self._parts.database.read():
            due, held = self._due(tenant)
            holds = [hold.id for hold in self._rows.holds(tenant.id)]
        everything = set[int]().union(*due.values())
        kept = everything & held.keys()
        told: dict[str, Any] = {
            "pruned": {kind: len(positions - kept) for kind, positions in due.items()},
            "held": len(kept),
            "holds": sorted({held[position] for position in kept}),
            "dry_run": dry_run,
            "position": None,
        }
        going = sorted(everything - kept)
        if dry_run or not going:
            return told

        def write(batch: list[int], tx: Transaction) -> int:
            self._erasing.unchanged(tenant, holds)
            return self._erasing.record(
                tenant, "retention", Plan(set(batch)), by, "older than its retention", tx
            )

        for start in range(0, len(going), _BATCH):  # others write in between
            told["position"] = self._parts.log.write(partial(write, going[start : start + _BATCH]))
        return {**told, "scrubbed": self._erasing.scrub()}

    def _due(self, tenant: Tenant) -> tuple[dict[str, set[int]], dict[int, int]]:
        """Positions by kind that are older than allowed, and held positions with their hold."""
        due = {}
        for kind, days in self.retention_now(tenant).items():
            before = self._parts.clock.now() - int(timedelta(days=days).total_seconds()) * MICROSECONDS
            due[kind] = set(self._rows.older(tenant.id, RETAINED[kind], before, syncs=kind == "syncs"))
        return due, self._erasing.held_positions(tenant) if any(due.values()) else {}

    def retention_now(self, tenant: Tenant) -> dict[str, int]:
        """Days by kind, of kinds that have a limit. Call inside a transaction."""
        said: dict[str, int] = json.loads(self._parts.catalog.setting(RETENTION) or "{}").get(
            str(tenant.id), {}
        )
        return said

    # -- redaction: one set of rules for the workspace

    def redaction(self) -> list[dict[str, str]]:
        """The rules as declared."""
        with self._parts.database.read():
            said: list[dict[str, str]] = json.loads(self._parts.catalog.setting(REDACTION) or "[]")
        return said

    def set_redaction(self, tenant: Tenant, rules: Sequence[Mapping[str, str]], by: str) -> None:
        """From the next event on, what runs record passes ``rules``; what is stored already stays as it is.

        The rules hold for every tenant: where there are several, only the operator may set them.
        """
        by = self._erasing.authorise(tenant, by)
        with self._parts.database.read():
            several = len(self._parts.people.tenants()) > 1
        if several and not is_operator(by):
            raise AccessDeniedError(
                f"{by} may not set the redaction rules: they hold for every tenant",
                f"the operator can: --by {OPERATOR}NAME",
            )
        compile_rules(rules)
        said: Json = [dict(rule) for rule in rules]

        def write(tx: Transaction) -> None:
            self._change(tenant.id, "redaction", "set", {"rules": said, "by": by}, tx)
            self._parts.catalog.set_setting(REDACTION, canonical(said).decode())

        self._parts.log.write(write)

    def try_redaction(self, text: str, rules: Sequence[Mapping[str, str]] | None = None) -> dict[str, Any]:
        """What the rules (those in force if none are given) make of ``text``; nothing is stored."""
        found = Found()
        text = redact(text, compile_rules(self.redaction() if rules is None else rules), found)
        return {"text": text, "redacted": found.counts}

    # -- coming back

    def readmit(self, tenant: Tenant, source: str, document: str, by: str, reason: str) -> None:
        """Let a document that was erased be read in again by the next sync."""
        by = self._erasing.authorise(tenant, by)
        check_name(source, "source name")
        mark = self._parts.mark("document", tenant.id, source, document)

        def write(tx: Transaction) -> None:
            if mark not in self._rows.barred(tenant.id):
                raise UnknownNameError(
                    f"no document {document!r} of {source} is kept out", "check its name and --source"
                )
            body = {"mark": mark, "by": by, "reason": reason}
            self._rows.readmit(tenant.id, mark, self._change(tenant.id, "readmission", "allowed", body, tx))

        self._parts.log.write(write)

    # -- looking

    def erasures(self, tenant: Tenant) -> list[dict[str, Any]]:
        """Every erasure of the tenant: when, by whom, why, how much; never of what."""
        out = []
        with self._parts.database.read():
            for event in self._parts.events.of_kind(EventKind.BODY_ERASED):
                if event.tenant == tenant.id:
                    body = self._parts.events.body(event)
                    said = {key: body[key] for key in ("by", "reason", "positions")}
                    out.append({"position": event.position, "at": instant(event.at), **event.facts, **said})
        return out


def describe(hold: Hold) -> dict[str, Any]:
    """A hold for ``--json``."""
    return {**vars(hold), "until": None if hold.until == FOREVER else hold.until}
