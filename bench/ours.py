"""affidavit itself: a real workspace that holds a corpus, and embedders that hand out vectors made beforehand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json, text_digest
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import Governance, Span, revision_name
from affidavit.domain.release import CHUNKING
from affidavit.events.log import Transaction
from affidavit.ports.embedder import Embedder, EmbedderInfo
from affidavit.store.people import Tenant
from affidavit.store.shapes import NewRevision, Source
from bench.corpus import DIMENSIONS, GROUPS, PER_DOCUMENT, TENANTS, Corpus, groups_of_rule, spelled_text
from bench.measure import say

_DOCUMENTS_A_COMMIT = 500


class Given:
    """An embedder that knows its texts already; any other text gets a vector made of its digest."""

    def __init__(self, known: Mapping[str, NDArray[np.float32]]) -> None:
        self._known = known
        self.embedded = 0

    @property
    def info(self) -> EmbedderInfo:
        return EmbedderInfo("bench", "bench", DIMENSIONS, 256, deterministic=True)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += len(texts)
        return np.stack([self._known[t] if t in self._known else _made_up(t) for t in texts])

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        raise NotImplementedError

    def count(self, text: str) -> int:
        return len(text.split())


def _made_up(text: str) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS, np.float32)
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def serve(workspace: Workspace, embedder: Embedder) -> None:
    """Make ``embedder`` the one that questions and documents are embedded by."""
    workspace.parts.embedder = embedder
    workspace.parts.retriever.embedder = embedder


def questions_embedder(corpus: Corpus) -> Given:
    """Knows the synthetic corpus' questions."""
    return Given({spelled_text(w): v for w, v in zip(corpus.words, corpus.asked, strict=True)})


def synthetic_workspace(corpus: Corpus, folder: Path) -> Workspace:
    """A workspace that holds ``corpus``: every row, event and body as a sync writes them, only without parsing and embedding.

    Chunk ids are the corpus' rows plus one.
    """
    workspace = init(folder, EmbedderSpec("none"))
    serve(workspace, questions_embedder(corpus))
    tenants = [workspace.ensure_tenant(f"tenant{n:02}") for n in range(1, TENANTS + 1)]
    people = [Entry(f"user:{name}", frozenset((f"group:{name}",))) for name, _ in GROUPS]
    workspace.people.load(tenants[0], [*people, Entry("user:spare", frozenset())])
    _Loader(workspace, corpus, tenants).load()
    with workspace.parts.database.read():
        workspace.parts.index.persist(workspace.parts.feed())
    say("the index is written")
    return workspace


class _Loader:
    def __init__(self, workspace: Workspace, corpus: Corpus, tenants: Sequence[Tenant]) -> None:
        self._parts, self._corpus, self._tenants = workspace.parts, corpus, tenants
        self._sources: dict[int, int] = {}
        self._rules: dict[int, int] = {}
        self._embedder = 0

    def load(self) -> None:
        documents = self._corpus.rows // PER_DOCUMENT
        self._parts.log.write(self._begin)
        for first in range(0, documents, _DOCUMENTS_A_COMMIT):
            batch = range(first, min(first + _DOCUMENTS_A_COMMIT, documents))
            self._parts.log.write(lambda tx, batch=batch: self._write(batch, tx))  # type: ignore[misc]
            if first % 10_000 == 0:
                say(f"{first:,} of {documents:,} documents loaded")

    def _begin(self, tx: Transaction) -> None:
        self._embedder = self._parts.catalog.add_embedder("bench", "bench", DIMENSIONS)
        for tenant in self._tenants:
            source = Source(
                self._parts.catalog.next_source(), tenant.id, "bench", "folder", "bench", {}, "", 0
            )
            facts: dict[str, int | str] = {"subject": source.id, "change": "added"}
            position = tx.append(
                Event(EventKind.SOURCE_CHANGED, tenant.id, facts=facts, body={"name": "bench"})
            )
            self._parts.catalog.add_source(source, position)
            self._sources[tenant.id] = source.id

    def _write(self, batch: range, tx: Transaction) -> None:
        for document in batch:
            self._document(document, tx)

    def _document(self, number: int, tx: Transaction) -> None:
        corpus, catalog = self._corpus, self._parts.catalog
        rows = range(number * PER_DOCUMENT, (number + 1) * PER_DOCUMENT)
        texts = [corpus.text(r) for r in rows]
        ends = np.cumsum([len(t) + 1 for t in texts]).tolist()
        spans = [Span(end - 1 - len(t), end - 1, (), "paragraph") for end, t in zip(ends, texts, strict=True)]
        digests = [text_digest(t) for t in texts]
        whole = "\n".join(texts)
        tenant, name = self._tenants[int(corpus.tenant[rows[0]]) - 1].id, f"document-{number:06}"
        rule = AccessRule.of(groups_of_rule(int(corpus.rule[rows[0]])))
        governance = Governance(rule)
        new = NewRevision(
            name=revision_name("bench", name, "", text_digest(whole), CHUNKING.digest),
            title="",
            location=name,
            media_type="text/plain",
            metadata='{"source":"bench"}',
            digest=text_digest(whole),
            modified=None,
            indexed_at=tx.at,
            source_body=None,
            text_body=tx.bodies.put(whole.encode())[0],
            spans=spans,
            chunk_digests=digests,
        )
        facts: dict[str, int | str] = {
            "subject": number + 1,
            "chunks": len(spans),
            "source": self._sources[tenant],
        }
        body: Json = {
            "name": name,
            "revision": new.name,
            "text": new.digest,
            "title": "",
            "governance": governance.as_json(),
        }
        position = tx.append(Event(EventKind.DOCUMENT_INDEXED, tenant, facts=facts, body=body))
        catalog.add_document(number + 1, tenant, self._sources[tenant], name, "", position)
        catalog.replace(tenant, number + 1, new, position)
        catalog.govern(
            [(number + 1, self._rule(tenant, int(corpus.rule[rows[0]]), rule), governance)], position
        )
        vectors = [corpus.vectors[r].astype("<f4").tobytes() for r in rows]
        catalog.put_vectors(self._embedder, zip(digests, vectors, strict=True))

    def _rule(self, tenant: int, number: int, rule: AccessRule) -> int:
        if number not in self._rules:
            self._rules[number] = self._parts.catalog.intern(tenant, rule)
        return self._rules[number]
