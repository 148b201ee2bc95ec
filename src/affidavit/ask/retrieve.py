"""Steps 5 and 6: retrieve within a scope, fuse, and check every hit again against the catalog as it is now."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from affidavit.ask.effects import Asked
from affidavit.ask.hunt import Found, Hunt, Material
from affidavit.ask.rank import Ranked
from affidavit.ask.scopes import Reader, Scopes
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json
from affidavit.domain.errors import EmbedderError
from affidavit.domain.records import Scope, chunk_name
from affidavit.domain.release import Retrieval
from affidavit.policy.scope import Identity, decide_read
from affidavit.ports.embedder import Embedder
from affidavit.ports.index import Feed, Index, Query, SearchResult
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog
from affidavit.store.database import Database
from affidavit.store.shapes import ChunkView
from affidavit.store.tokenvectors import TokenVectors
from affidavit.text.analyze import terms
from affidavit.text.tokenvectors import Kept, space, unpack

_TEXTS_KEPT = 32_000_000  # characters of revision texts held in memory


@dataclass(frozen=True)
class Passage:
    """A chunk that passed the recheck: where it stands, why the reader may read it, and its text once it is asked for."""

    view: ChunkView
    ranked: Ranked
    permitted_by: str
    revision_text: Callable[[ChunkView], str]

    @cached_property
    def text(self) -> str:
        """The chunk's slice of its revision."""
        return self.revision_text(self.view)[self.view.start : self.view.stop]

    @property
    def chunk(self) -> str:
        """The chunk's public id."""
        return chunk_name(self.view.revision, self.view.ordinal)


@dataclass(frozen=True)
class Denied:
    """A hit that the catalog no longer permits. For auditors only."""

    view: ChunkView
    reason: str


@dataclass(frozen=True)
class Checked:
    """Hits after the recheck, and the head of the log at which it was made."""

    passages: list[Passage]
    denied: list[Denied]
    head: int


class Retriever:
    """Searches and rechecks. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        bodies: Bodies,
        scopes: Scopes,
        index: Index,
        embedder: Embedder | None,
        feed: Callable[[str], Feed],
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._tokens = TokenVectors(catalog)
        self._bodies = bodies
        self._scopes = scopes
        self._index = index
        self.embedder = embedder
        self._feed = feed
        self._refresh = refresh
        self._known_rules: dict[int, AccessRule] = {}
        self._texts: OrderedDict[int, str] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def serving(self) -> tuple[Embedder | None, str]:
        """The embedder that serves now, and its fingerprint: "" for none, or for an endpoint that cannot be asked."""
        self._refresh()  # another process may have changed it
        try:
            return self.embedder, "" if self.embedder is None else self.embedder.info.fingerprint
        except EmbedderError:
            return self.embedder, ""

    def search(self, scope: Scope, asked: Asked, settings: Retrieval, pool: int = 0) -> Found:
        """The pool of candidates, fused. Call inside a snapshot."""
        feed = self._feed(asked.fingerprint)

        def look(query: Query, k: int) -> SearchResult:
            def compute() -> SearchResult:
                return self._index.search(feed, scope, query, k)

            return compute() if asked.memory is None else asked.memory.result(feed, scope, query, k, compute)

        def read(chunks: Sequence[int]) -> dict[int, Material]:
            return self._material(scope, chunks, asked.fingerprint)

        def kept(chunks: Sequence[int]) -> dict[int, Kept]:
            packed = self._tokens.of(space(asked.fingerprint), chunks, scope.head)
            return {
                c: unpack(packed[c], 0 if asked.vector is None else len(asked.vector))
                for c in chunks
                if c in packed
            }

        return Hunt(asked, settings, max(pool, settings.pool), look, read, kept).run()

    def _material(self, scope: Scope, chunks: Sequence[int], fingerprint: str) -> dict[int, Material]:
        """What a second retrieval goes by, of those ``chunks`` that the catalog says are in scope."""
        views = self._catalog.views(chunks, scope.position)
        now = views if scope.head == scope.position else self._catalog.views(chunks, scope.head)
        vectors = self._catalog.vectors(fingerprint, chunks)
        out = {}
        for chunk in chunks:
            view = views.get(chunk)
            if view is None or not _in_scope(scope, view, now[chunk].rule):
                continue
            words = terms("\n".join((view.title, *view.path, self.text(view)[view.start : view.stop])))
            vector = vectors.get(chunk)
            out[chunk] = Material(
                chunk_name(view.revision, view.ordinal),
                tuple(words),
                None if vector is None else np.frombuffer(vector, "<f4"),
            )
        return out

    def recheck(self, reader: Reader, ranked: Sequence[Ranked], at: int | None = None) -> Checked:
        """Ask the catalog about every hit, at its *present* position, and at the reader's if that is earlier.

        Opens its own snapshot, so a revocation since the search began is seen. ``at`` moves what "present" means.
        """
        passages: list[Passage] = []
        denied: list[Denied] = []
        with self._db.read():
            head = self._scopes.head() if at is None else at
            instead = dict(reader.scope.instead)
            stopped = self._scopes.stopped(reader.tenant, head)
            now = self._scopes.identify(reader.tenant, reader.now.principal, head)
            chunks = [r.chunk for r in ranked]
            views = self._catalog.views(chunks, head)
            as_of = reader.scope.position != reader.scope.head
            then = self._catalog.views(chunks, reader.scope.position) if as_of else {}
            rules = self._rules({v.rule for v in [*views.values(), *then.values()] if v.rule is not None})
            for hit in ranked:
                view = views.get(hit.chunk)
                if view is None:  # an index may hold what the catalog never had, or no longer has
                    continue
                reason, permitted = _judge(reader.tenant, now, view, rules)
                if view.document in instead:
                    reason, permitted = "supposed", instead[view.document]
                elif permitted and as_of:
                    reason, permitted = _judge(reader.tenant, reader.then, then[hit.chunk], rules)
                if permitted and view.source in stopped:
                    reason, permitted = "its source is stopped", False
                if permitted and not (then if as_of else views)[hit.chunk].valid:
                    reason, permitted = "its text was replaced", False
                if permitted:
                    passages.append(Passage(view, hit, reason, self.text))
                else:
                    denied.append(Denied(view, reason))
        return Checked(passages, denied, head)

    def _rules(self, ids: Set[int]) -> Mapping[int, AccessRule]:
        """Rules by id. A rule never changes once it has an id, so it is read once."""
        missing = [id for id in ids if id not in self._known_rules]
        if missing:
            self._known_rules.update(self._catalog.rules_by_id(missing))
        return self._known_rules

    def text(self, view: ChunkView) -> str:
        """The whole text of the chunk's revision. Immutable, so it is kept for a while."""
        with self._lock:
            if view.text_body in self._texts:
                self._texts.move_to_end(view.text_body)
                return self._texts[view.text_body]
        text = self._bodies.get(view.text_body).decode()
        with self._lock:
            if view.text_body not in self._texts:
                self._texts[view.text_body] = text
                self._held += len(text)
            while self._held > _TEXTS_KEPT and len(self._texts) > 1:
                self._held -= len(self._texts.popitem(last=False)[1])
        return text


def _in_scope(scope: Scope, view: ChunkView, rule: int | None) -> bool:
    """Whether the catalog agrees with the index that ``scope`` sees the chunk; ``rule`` governs it at the scope's head."""
    permitted = dict(scope.instead).get(view.document, view.rule in scope.then and rule in scope.now)
    return view.tenant == scope.tenant and view.valid and permitted


def _judge(tenant: int, who: Identity, view: ChunkView, rules: Mapping[int, AccessRule]) -> tuple[str, bool]:
    if view.tenant != tenant:
        return "another tenant's", False
    verdict = decide_read(who, None if view.rule is None else rules.get(view.rule))
    return verdict.reason, verdict.permit


_AS_GOOD = 0.8
"""A document is as well meant by an opening as the best if it fits at least this share of what the best does."""


def choose_passages(found: Found, passages: Sequence[Passage], settings: Retrieval) -> list[Passage]:
    """The passages to answer from. Where the question says where to look, those of the documents that it means and of no others:
    what another contract says is no answer."""
    if not found.places:
        return diversify(passages, settings.k, settings.per_document)
    there = {p.view.document: found.places.get(p.view.document, 0.0) for p in passages}
    floor = _AS_GOOD * max(there.values(), default=0.0)
    meant = [p for p in passages if there[p.view.document] >= floor]
    return diversify(meant, settings.k, settings.k)


def diversify(passages: Sequence[Passage], k: int, per_document: int) -> list[Passage]:
    """At most ``per_document`` passages a document and no two with the same text, best first, at most ``k``."""
    kept: list[Passage] = []
    count: dict[int, int] = {}
    texts: dict[str, int] = {}
    for passage in passages:
        same = texts.get(passage.text)
        if same is not None:
            if passage.view.rank < kept[same].view.rank:  # of two copies, quote the canonical one
                kept[same] = passage
            continue
        if count.get(passage.view.document, 0) >= per_document:
            continue
        count[passage.view.document] = count.get(passage.view.document, 0) + 1
        texts[passage.text] = len(kept)
        kept.append(passage)
        if len(kept) == k:
            break
    return kept


def decimal(value: float) -> str:
    """A number as the record holds it."""
    return format(value, ".6f")


def hit_record(passage: Passage) -> dict[str, Json]:
    """One hit as the record holds it."""
    view, ranked = passage.view, passage.ranked
    return {
        "document": view.name,
        "source": view.source,
        "chunk": passage.chunk,
        "start": view.start,
        "end": view.stop,
        "score": decimal(ranked.score),
        "keyword": decimal(ranked.keyword),
        "dense": None if ranked.dense is None else decimal(ranked.dense),
        **({} if ranked.late is None else {"late": decimal(ranked.late)}),
        "permitted_by": passage.permitted_by,
    }
