"""One sync of one source: changes → fetch → parse → chunk → embed → rows and events → cursor.

Each batch is one durable transaction, so a sync that is killed has done its batches and the next one goes on. A document
whose content is unchanged is not read; one whose access alone changed costs one small row. An access change is applied
*narrowed* at once (old AND new) and widened only when the whole feed has been read, because feeds give an item's present
state and half a feed is a mix of states that never existed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json, sha256
from affidavit.domain.clock import Clock
from affidavit.domain.errors import EmbedderError, ParseError, SourceError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import Governance, revision_name
from affidavit.domain.release import CHUNKING, Chunking
from affidavit.events.log import Log, Transaction
from affidavit.ingest.prepare import Prepared, prepare
from affidavit.ingest.vectors import Made, Vectors
from affidavit.models.caller import CHARGED, EMBED
from affidavit.ports.connector import Connector, Fault, Item, Page
from affidavit.runs.recorder import Run
from affidavit.store.catalog import Catalog
from affidavit.store.database import Database
from affidavit.store.shapes import Known, NewRevision, Source, chunk_details, revision_details

BATCH_DOCUMENTS = 64
BATCH_CHARACTERS = 4_000_000
_FAULTS_KEPT = 200  # in the run's record; the report holds all


@dataclass
class SyncReport:
    """What a sync did. Counts are documents unless they say otherwise."""

    source: str
    run: str = ""
    seen: int = 0
    unchanged: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    access_changed: int = 0
    chunks: int = 0
    embedded: int = 0
    faults: list[Fault] = field(default_factory=list)
    drained: bool = False

    def counts(self) -> dict[str, int]:
        """The numbers, for the record and for ``--json``."""
        names = ("seen", "unchanged", "added", "changed", "removed", "access_changed", "chunks", "embedded")
        return {name: getattr(self, name) for name in names} | {"faults": len(self.faults)}


@dataclass
class _Batch:
    prepared: list[tuple[Prepared, Known | None]] = field(default_factory=list)
    touched: list[tuple[Known, Item]] = field(default_factory=list)
    governed: list[tuple[Known, Item]] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    characters: int = 0

    def full(self) -> bool:
        return len(self.prepared) >= BATCH_DOCUMENTS or self.characters >= BATCH_CHARACTERS

    def empty(self) -> bool:
        return not (self.prepared or self.touched or self.governed or self.gone)


class Sync:
    """Brings one source up to date. Made for one use."""

    def __init__(
        self,
        database: Database,
        log: Log,
        catalog: Catalog,
        clock: Clock,
        source: Source,
        connector: Connector,
        vectors: Vectors | None,
        run: Run,
        progress: Callable[[SyncReport], None] = lambda report: None,
        barred: Callable[[str], bool] = lambda name: False,
        chunking: Chunking = CHUNKING,
    ) -> None:
        """``barred`` says of an item's name that it was erased and may not come back; what was cut by other settings than
        ``chunking`` is read again."""
        self._chunking = chunking
        self._cut = chunking.digest
        self._barred = barred
        self._kept_out = 0
        self._db = database
        self._log = log
        self._catalog = catalog
        self._clock = clock
        self._source = source
        self._connector = connector
        self._vectors = vectors
        self._run = run
        self._progress = progress
        self._known: dict[str, Known] = {}
        self._seen: set[str] = set()
        self._widen: dict[int, Governance] = {}
        self._rules: dict[int, AccessRule] = {}
        self._batch = _Batch()
        self.report = SyncReport(source.name, run.id)

    def run(self) -> SyncReport:
        """Do it. Raises SourceError when the source as a whole is out of reach; nothing is taken out then."""
        with self._db.read():
            self._known = self._catalog.known(self._source.id)
            self._rules = self._catalog.rules(self._source.tenant)
        self._run.start(
            {"source": self._source.name, "kind": self._source.kind, "documents": len(self._known)}
        )
        anew = self._connector.capabilities.listing or not all(map(self._cut_so, self._known.items()))
        cursor = "" if anew else self._source.cursor
        for page in self._connector.changes(cursor):
            self._page(page)
            if page.drained:
                self._drained(page.cursor)
        return self.report

    # -- reading

    def _page(self, page: Page) -> None:
        for fault in page.faults:
            self._fault(fault)
        for name in page.gone:
            self._hide(name)
        for item in page.items:
            self._item(item)
            if self._batch.full():
                self._write()
        self._write()

    def _item(self, item: Item) -> None:
        if item.name in self._seen:
            self._fault(
                Fault(
                    item.name, "duplicate", "the source names this item twice; the first is kept", hides=False
                )
            )
            return
        self._seen.add(item.name)
        self.report.seen += 1
        if self._barred(item.name):
            self._kept_out += 1
            return
        known = self._known.get(item.name)
        if known is not None and known.stamp == item.stamp and self._cut_so((item.name, known)):
            if self._governed_as(known, item.governance):
                self.report.unchanged += 1
            else:
                self._batch.governed.append((known, item))
        else:
            self._fetch(item, known)
        if self.report.seen % 64 == 0:
            self._progress(self.report)

    def _cut_so(self, one: tuple[str, Known]) -> bool:
        """Whether a document was cut by the settings in force: its revision's name says."""
        name, known = one
        return known.revision == revision_name(self._source.name, name, known.title, known.digest, self._cut)

    def _fetch(self, item: Item, known: Known | None) -> None:
        try:
            content = self._connector.fetch(item)
            prepared = prepare(self._source.name, item, content, self._chunking)
        except (SourceError, ParseError) as error:
            self._fault(Fault(item.name, error.code, error.message, error.hint))
            return
        if content.stamp != item.stamp or content.governance != item.governance:
            self._fault(
                Fault(
                    item.name, "changed", "it changed while it was being read", "the next sync reads it again"
                )
            )
            return
        self.report.faults += [
            Fault(item.name, n.code, n.message, n.hint, hides=False) for n in prepared.notices
        ]
        if known is not None and self._same(known, prepared):
            self._batch.touched.append((known, item))
            return
        self._batch.prepared.append((prepared, known))
        self._batch.characters += len(prepared.text)

    def _same(self, known: Known, prepared: Prepared) -> bool:
        return (
            known.revision == prepared.revision
            and known.metadata == prepared.metadata
            and known.location == prepared.item.location
            and self._governed_as(known, prepared.item.governance)
        )

    def _governed_as(self, known: Known, governance: Governance) -> bool:
        rule = self._rules.get(known.rule)
        return rule == governance.access and known.governance == _columns(governance)

    def _fault(self, fault: Fault) -> None:
        self.report.faults.append(fault)
        if fault.hides:
            self._hide(fault.name)

    def _hide(self, name: str) -> None:
        """What can no longer be read or trusted must not go on being answered from, nor be taken in by this pass."""
        self._seen.add(name)
        known = self._known.pop(name, None)
        if known is not None:
            self._widen.pop(known.document, None)
            self._batch.gone.append(known)

    # -- writing

    def _write(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if batch.empty():
            return
        vectors = self._make_vectors(batch)
        self._charge()
        self._log.write(lambda tx: self._apply(batch, vectors, tx))
        self._run.flushed()
        self.report.embedded += len(vectors)
        self._progress(self.report)

    def _make_vectors(self, batch: _Batch) -> list[Made]:
        if self._vectors is None:
            return []
        texts = [
            pair
            for prepared, _ in batch.prepared
            for pair in zip(prepared.digests, prepared.inputs, strict=True)
        ]
        try:
            return self._vectors.make(texts)
        except EmbedderError as error:
            # found by keyword until the next sync embeds them: better than answering from the old text
            self.report.faults.append(Fault("", error.code, error.message, error.hint, hides=False))
            return []

    def _charge(self) -> None:
        """What embedding has cost since the last time goes on record."""
        owed = [] if self._vectors is None else self._vectors.charges()
        if owed:
            self._run.step(f"{CHARGED}{EMBED}", {"source": self._source.name}, {"charges": owed})

    def _apply(self, batch: _Batch, vectors: list[Made], tx: Transaction) -> None:
        self._run.flush(tx)
        if vectors and self._vectors is not None:
            self._vectors.put(vectors)
        for known in batch.gone:
            self._remove(known, tx)
        for known, item in batch.touched:
            self._catalog.set_stamp(known.document, item.stamp)
            self.report.unchanged += 1
        for prepared, before in batch.prepared:
            self._index(prepared, before, tx)
        if batch.governed:
            self._govern(batch.governed, tx)

    def _remove(self, known: Known, tx: Transaction) -> None:
        facts: dict[str, int | str] = {"subject": known.document, "source": self._source.id}
        body = {"revision": known.revision}
        position = tx.append(
            Event(EventKind.DOCUMENT_REMOVED, self._source.tenant, self._run.id, facts, body)
        )
        self._catalog.end_document(known.document, position)
        self.report.removed += 1

    def _index(self, prepared: Prepared, known: Known | None, tx: Transaction) -> None:
        item = prepared.item
        document = self._catalog.next_document() if known is None else known.document
        governance = self._narrowed(known, document, item.governance)
        revision = self._revision(prepared, tx)
        facts: dict[str, int | str] = {
            "subject": document,
            "chunks": len(prepared.spans),
            "source": self._source.id,
        }
        body: Json = {
            "name": item.name,
            "revision": prepared.revision,
            "text": prepared.digest,
            "title": prepared.title,
            "details": revision_details(revision),
            "chunks": chunk_details(zip(prepared.spans, prepared.digests, strict=True)),
            "original": None if prepared.source is None else sha256(prepared.source),
            "governance": governance.as_json(),
        }
        position = tx.append(
            Event(EventKind.DOCUMENT_INDEXED, self._source.tenant, self._run.id, facts, body)
        )
        if known is None:
            self._catalog.add_document(
                document, self._source.tenant, self._source.id, item.name, item.stamp, position
            )
        else:
            self._catalog.set_stamp(document, item.stamp)
        self._catalog.replace(self._source.tenant, document, revision, position)
        if known is None or not self._governed_as(known, governance):
            self._catalog.govern([(document, self._intern(governance.access), governance)], position)
        self._known[item.name] = Known(
            document,
            item.stamp,
            self._intern(governance.access),
            _columns(governance),
            item.location,
            prepared.revision,
            prepared.metadata,
            prepared.title,
            prepared.digest,
        )
        self.report.chunks += len(prepared.spans)
        if known is None:
            self.report.added += 1
        else:
            self.report.changed += 1

    def _revision(self, prepared: Prepared, tx: Transaction) -> NewRevision:
        source = None if prepared.source is None else tx.bodies.put(prepared.source)[0]
        return NewRevision(
            prepared.revision,
            prepared.title,
            prepared.item.location,
            prepared.media_type,
            prepared.metadata,
            prepared.digest,
            prepared.item.modified,
            self._clock.now(),
            source,
            tx.bodies.put(prepared.text.encode())[0],
            prepared.spans,
            prepared.digests,
        )

    def _govern(self, changes: list[tuple[Known, Item]], tx: Transaction) -> None:
        rows = []
        for known, item in changes:
            governance = self._narrowed(known, known.document, item.governance)
            if not self._governed_as(known, governance):
                rows.append((known.document, self._intern(governance.access), governance))
        self._regovern(rows, tx)
        self.report.access_changed += len(changes)

    def _regovern(self, rows: list[tuple[int, int, Governance]], tx: Transaction) -> None:
        if not rows:
            return
        groups: dict[Governance, list[int]] = {}
        for document, _, governance in rows:
            groups.setdefault(governance, []).append(document)
        body: Json = [{"governance": g.as_json(), "documents": documents} for g, documents in groups.items()]
        facts: dict[str, int | str] = {"source": self._source.id, "documents": len(rows)}
        position = tx.append(Event(EventKind.ACCESS_CHANGED, self._source.tenant, self._run.id, facts, body))
        self._catalog.govern(rows, position)

    def _narrowed(self, known: Known | None, document: int, wanted: Governance) -> Governance:
        """``wanted``, or what old and new both allow while the feed is not drained."""
        old = None if known is None else self._rules.get(known.rule)
        if old is None or wanted.access.within(old):
            return wanted
        self._widen[document] = wanted
        return replace(wanted, access=wanted.access.meet(old))

    def _intern(self, rule: AccessRule) -> int:
        id = self._catalog.intern(self._source.tenant, rule)
        self._rules[id] = rule
        return id

    # -- the end

    def _drained(self, cursor: str) -> None:
        if self._connector.capabilities.listing:
            for gone in _batches([k for name, k in self._known.items() if name not in self._seen]):
                self._batch.gone = gone
                self._write()
        self.report.drained = True
        if self._kept_out:  # a count: a name on the record would undo the erasure
            self.report.faults.append(
                Fault(
                    "",
                    "erased",
                    f"items that were erased and are not read in again: {self._kept_out}",
                    "take them out of the source, or allow one: affidavit audit readmit",
                    hides=False,
                )
            )
        faults: list[Json] = [
            {"name": f.name, "code": f.code, "message": f.message, "hides": f.hides}
            for f in self.report.faults[:_FAULTS_KEPT]
        ]
        self._charge()
        self._run.step(
            "sync", {"source": self._source.name}, {"counts": self.report.counts(), "faults": faults}
        )
        self._run.finish("done", {})
        self._log.write(lambda tx: self._close(tx, cursor))
        self._run.flushed()
        self._progress(self.report)

    def _close(self, tx: Transaction, cursor: str) -> None:
        self._regovern([(d, self._intern(g.access), g) for d, g in self._widen.items()], tx)
        self._catalog.save_cursor(self._source.id, cursor, tx.at)
        self._run.flush(tx)


def _columns(governance: Governance) -> tuple[str, str, int, int, int]:
    g = governance
    return (g.owner, g.classification, g.rank, g.fresh_days, int(g.deprecated))


def _batches(items: list[Known], size: int = 1000) -> Iterator[list[Known]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
