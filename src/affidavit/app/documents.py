"""Documents for whoever may read them: one with its text, a list of them, and why somebody may read one or not.

A read is a run of its own: who, which revision, under which scope; on the record before the text is given, and repeated by a
replay. What may not be read does not exist: the same error, the same run as its asker sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affidavit.app.recorded import RecordedRun
from affidavit.app.why import WhyDesk
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.ask.scopes import Past, Reader, scope_record
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json
from affidavit.domain.errors import AccessDeniedError, StoppedError, UnknownNameError, UsageError
from affidavit.domain.records import RunStatus, Span, chunk_name
from affidavit.ingest.chunk import chunk_input
from affidavit.policy.scope import decide_read
from affidavit.runs.recorder import Run, new_run_id
from affidavit.runs.replay import Divergence, Rerun, compare
from affidavit.store.documents import Documents, Listed, RevisionRow
from affidavit.store.people import Tenant
from affidavit.store.shapes import unpack_path

JOURNEY = "read"
_NONE = -1
"""No number of a document or a rule."""
_FORBID, _READ = "forbid", "document:read"


@dataclass(frozen=True)
class Wish:
    """Which document: by source and name; a ``revision`` of it, or as it stood at ``as_of``, or as it is."""

    source: str
    document: str
    revision: str = ""
    as_of: int | None = None


@dataclass(frozen=True)
class Found:
    """A document as its reader may have it."""

    run: str
    position: int
    source: str
    row: RevisionRow
    permitted_by: str
    latest: bool
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        row = self.row
        return {
            "run": self.run,
            "position": self.position,
            "source": self.source,
            "document": row.document_name,
            "revision": row.revision,
            "latest": self.latest,
            "title": row.title,
            "location": row.location,
            "media_type": row.media_type,
            "digest": row.digest,
            "modified": None if row.modified is None else instant(row.modified),
            "indexed_at": instant(row.indexed_at),
            "owner": row.owner,
            "classification": row.classification,
            "rank": row.rank,
            "fresh_days": row.fresh_days,
            "permitted_by": self.permitted_by,
            "text": self.text,
        }


class DocumentDesk:
    """Reads, lists and explains. Safe to share between threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rows = Documents(parts.database)

    # -- one document

    def read(self, tenant: Tenant, principal: str, wish: Wish, by: str = "", run: str = "") -> Found:
        """The document for ``principal``; ``by`` is the service that asks for them. On the record before it is given, as
        ``run``, which is of this process's making, or under a new id.

        Raises AccessDeniedError for what is not there and for what they may not read, alike; UsageError, StoppedError.
        """
        id = run or new_run_id(self._parts.randomness)
        begun = Run(id, tenant.id, JOURNEY, self._parts.release().digest)
        with self._parts.database.read():
            found = self._read(begun, tenant.id, principal, wish, None, by)
            text = "" if found is None else self._parts.bodies.get(found.row.text_body).decode()
        self._parts.log.write(begun.flush)
        if found is None:
            raise _absent(wish.source, wish.document)
        return replace(found, text=text)

    def _read(
        self, run: Run, tenant: int, principal: str, wish: Wish, past: Past | None, by: str
    ) -> Found | None:
        """The read without the text, collected in ``run``: now, or once more at an earlier moment."""
        if wish.revision and wish.as_of is not None:
            raise UsageError("name a revision or a moment, not both", "a revision has its own moment")
        reader = self._parts.scopes.resolve(tenant, principal, wish.as_of, None, past)
        head, position = reader.scope.head, reader.scope.position
        row = self._rows.revision(tenant, wish.source, wish.document, position)
        if wish.revision:
            row = self._rows.named(tenant, wish.source, wish.document, wish.revision, head)
            # an old revision is read as it stood last, by whoever could read it then and may read the document now
            position = head if row is None else min(row.until - 1, head)
            reader = self._parts.scopes.resolve(tenant, principal, position, None, past)
        run.start(_asked(principal, wish, reader, by))
        run.step("scope", *scope_record(reader))
        why, permitted_by = self._decide(reader, wish, row, position)
        given = None if row is None or why is not None else {"revision": row.revision, "digest": row.digest}
        asked: Json = {"source": wish.source, "document": wish.document, "revision": wish.revision}
        run.step("document", asked, {"given": given})
        if row is None or why is not None:
            # also where there is nothing: how many events a read has must not tell its asker which it was
            body: dict[str, Json] = {"document": wish.document, "source": wish.source, "reason": why}
            run.decide(_READ, _FORBID, {"principal": principal, **body})
            run.finish(RunStatus.REFUSED.value, {})
            return None
        run.finish(RunStatus.ANSWERED.value, {})
        latest = row.until > head and position == head
        return Found(run.id, position, wish.source, row, permitted_by, latest)

    def _decide(
        self, reader: Reader, wish: Wish, row: RevisionRow | None, position: int
    ) -> tuple[str | None, str]:
        """(why it may not be read, None where it may; what lets them read it)."""
        rules, known = self._rules(row, (position, reader.scope.head))
        if row is None:
            return "there is no such document", ""
        if wish.source in reader.stopped:
            return "the source is stopped", ""
        said = ""
        for who, rule in zip((reader.then, reader.now), rules, strict=True):
            verdict = decide_read(who, known.get(rule) if rule is not None else None)
            if not verdict.permit:
                return verdict.reason, ""
            said = verdict.reason
        return None, said

    def _rules(
        self, row: RevisionRow | None, positions: Sequence[int]
    ) -> tuple[list[int | None], Mapping[int, AccessRule]]:
        """What governs the document at each of ``positions``, and these rules. Of a document that is not there as much is read:
        how long it takes must not tell whoever may not read it that there is one."""
        rules = self._rows.rules_of(_NONE if row is None else row.document, positions)
        return rules, self._parts.catalog.rules_by_id({r for r in rules if r is not None} or {_NONE})

    def blocks(self, found: Found) -> list[dict[str, Any]]:
        """The passages of the revision in order: what citations name and search finds."""
        with self._parts.database.read():
            rows = self._rows.passages(found.row.id)
        return [
            {
                "chunk": chunk_name(found.row.revision, ordinal),
                "kind": kind,
                "start": start,
                "end": stop,
                "path": list(unpack_path(path)),
            }
            for ordinal, start, stop, path, kind in rows
        ]

    def chunks(self, found: Found) -> list[dict[str, Any]]:
        """``blocks`` with the text of each, and the text that is searched: with title and headings."""
        out = []
        for block in self.blocks(found):
            span = Span(block["start"], block["end"], tuple(block["path"]), block["kind"])
            text = found.text[span.start : span.end]
            out.append({**block, "text": text, "searched": chunk_input(found.row.title, span, found.text)})
        return out

    def replay(self, recorded: RecordedRun) -> Divergence | None:
        """The read once more from the record's moment; None if it is the same. Raises AffidavitError."""
        rerun = Rerun(
            recorded.id, recorded.tenant, recorded.journey, recorded.release, recorded.facts, live=False
        )
        given = recorded.given
        wish = Wish(given["source"], given["document"], given["revision"], given["as_of"])
        rules = recorded.steps["scope"]["input"]["rules"]
        past = Past(given["head"], rules, 0, "", ())
        with self._parts.database.read():
            self._read(rerun, recorded.tenant, given["principal"], wish, past, "")
        return compare(recorded.facts, rerun.facts())

    # -- which there are

    def readable(
        self, tenant: Tenant, principal: str, source: str, prefix: str, after: tuple[str, str] | None
    ) -> Iterator[Listed]:
        """What ``principal`` may read now, by source and name, after (source, name). Call inside a snapshot, and stop when there
        is enough. Raises StoppedError."""
        reader = self._parts.scopes.resolve(tenant.id, principal)
        for one in self._parts.catalog.sources(tenant.id):
            if source not in ("", one.name) or one.name in reader.stopped:
                continue
            if after is None or one.name >= after[0]:
                last = after[1] if after is not None and one.name == after[0] else ""
                yield from self._rows.live(one.id, one.name, reader.scope.now, prefix, last)

    def count_readable(self, tenant: Tenant, principal: str) -> int:
        """How many documents ``principal`` may read now; 0 while everything is stopped. Call inside a snapshot."""
        try:
            reader = self._parts.scopes.resolve(tenant.id, principal)
        except StoppedError:
            return 0
        sources = [s.id for s in self._parts.catalog.sources(tenant.id) if s.name not in reader.stopped]
        return self._rows.count(sources, reader.scope.now)

    # -- why

    def why(
        self, tenant: Tenant, person: str, source: str, document: str, *, looker: str, auditor: bool
    ) -> dict[str, Any]:
        """Whether ``person`` may read the document now, by which entries, through which groups.

        ``looker`` must be able to read it, or be an ``auditor``: else AccessDeniedError, as if it were not there.
        """
        parts = self._parts
        with parts.database.read():
            head = parts.log.head()
            row = self._rows.revision(tenant.id, source, document, head)
            seen = parts.scopes.identify(tenant.id, looker, head)
            (rule_id,), known = self._rules(row, (head,))
            rule = None if rule_id is None else known.get(rule_id)
            stopped = source in self._stopped(tenant, head)
            if row is None or not (auditor or (decide_read(seen, rule).permit and not stopped)):
                raise _absent(source, document)
        found = WhyDesk(parts).why(tenant, source, document, person)
        if not found["known"] and person != looker:
            raise UnknownNameError(
                f"there is no {person} in {tenant.name}", "`affidavit people list` shows who is known"
            )
        if stopped:
            found |= {"permit": False, "reason": "the source is stopped"}
        return {**found, "owner": row.owner, "classification": row.classification}

    def _stopped(self, tenant: Tenant, head: int) -> tuple[str, ...]:
        try:
            return self._parts.scopes.stopped(tenant.id, head)
        except StoppedError:  # all of it: that is no reason of this document
            return ()


def _asked(principal: str, wish: Wish, reader: Reader, by: str) -> dict[str, Json]:
    return {
        "principal": principal,
        "source": wish.source,
        "document": wish.document,
        "revision": wish.revision,
        "as_of": wish.as_of,
        "position": reader.scope.position,
        "head": reader.scope.head,
        **({"by": by} if by else {}),
    }


def _absent(source: str, document: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"there is no document {document!r} in {source!r} that you may read",
        "`affidavit search` finds what you may read; ask the source's owner for the rest",
    )
