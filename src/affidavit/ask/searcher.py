"""Search: steps 1 to 6 of a question, on the record, giving passages or documents instead of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affidavit.ask.asker import Question, instant
from affidavit.ask.caches import Caches
from affidavit.ask.effects import Asked, embed_question
from affidavit.ask.onward import Step, record_onward
from affidavit.ask.rank import Ranked, document_scores
from affidavit.ask.retrieve import Denied, Passage, Retriever, hit_record
from affidavit.ask.scopes import Past, Reader, Scopes, scope_record
from affidavit.domain.canonical import Json
from affidavit.domain.clock import Randomness
from affidavit.domain.errors import UsageError
from affidavit.domain.records import RunStatus
from affidavit.domain.release import Release
from affidavit.events.log import Log, Transaction
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.database import Database

MOST = 10_000


@dataclass(frozen=True)
class Hits:
    """The outcome of one search: passages best first, and the run that recorded it."""

    run: str
    position: int
    question: str
    hits: tuple[Passage, ...]
    degraded: str

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "position": self.position,
            "query": self.question,
            "degraded": self.degraded or None,
            "hits": [hit_json(n, h) for n, h in enumerate(self.hits, 1)],
        }


def hit_json(rank: int, passage: Passage) -> dict[str, Any]:
    """One hit as the person sees it."""
    view, ranked = passage.view, passage.ranked
    return {
        "rank": rank,
        "score": round(ranked.score, 6),
        "keyword": round(ranked.keyword, 6),
        "dense": None if ranked.dense is None else round(ranked.dense, 6),
        "source": view.source,
        "document": view.name,
        "revision": view.revision,
        "chunk": passage.chunk,
        "start": view.start,
        "end": view.stop,
        "title": view.title,
        "path": list(view.path),
        "text": passage.text,
        "location": view.location,
        "indexed_at": instant(view.indexed_at),
        "deprecated": view.deprecated,
        "permitted_by": passage.permitted_by,
    }


class Searcher:
    """Searches. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        log: Log,
        scopes: Scopes,
        retriever: Retriever,
        randomness: Randomness,
        caches: Caches | None = None,
    ) -> None:
        self._caches = caches
        self._db = database
        self._log = log
        self._scopes = scopes
        self._retriever = retriever
        self._randomness = randomness

    def search(self, question: Question, k: int, release: Release, *, chunks: bool = True) -> Hits:
        """The best ``k`` passages, or with ``chunks`` false the best passage of each of the best ``k`` documents."""
        (hits,) = self.batch([question], k, release, chunks=chunks)
        return hits

    def batch(
        self,
        questions: Sequence[Question],
        k: int,
        release: Release,
        *,
        chunks: bool = True,
        progress: Callable[[], None] = lambda: None,
    ) -> list[Hits]:
        """Many searches under one durable commit; nothing is given before that commit."""
        if not 1 <= k <= MOST:
            raise UsageError(f"-k {k} is not between 1 and {MOST}", "ask for fewer")
        runs: list[Run] = []
        out: list[Hits] = []
        for question in questions:
            if not question.text.strip():
                raise UsageError("the query is empty", "search for a word at least")
            run, hits = self._one(question, k, release, chunks)
            runs.append(run)
            out.append(hits)
            progress()

        def record(tx: Transaction) -> None:
            for run in runs:
                run.flush(tx)

        self._log.write(record)
        return out

    def _one(self, question: Question, k: int, release: Release, chunks: bool) -> tuple[Run, Hits]:
        run = Run(question.run or new_run_id(self._randomness), question.tenant, "search", release.digest)
        hits = self.find(run, question, k, release, None, chunks=chunks)
        run.finish(RunStatus.ANSWERED.value, {})
        return run, hits

    def find(
        self, run: Run, question: Question, k: int, release: Release, past: Past | None, *, chunks: bool
    ) -> Hits:
        """One search, collected in ``run`` and not written: now, or once more as at an earlier moment."""
        embedder, fingerprint = self._retriever.serving()
        fingerprint = fingerprint if past is None else past.embedder
        memory = self._caches.of(run, question.principal) if self._caches and past is None else None
        with self._db.read():
            reader = self._scopes.resolve(
                question.tenant, question.principal, question.as_of, question.filter, past, memory
            )
            run.start(_asked(question, reader, k, chunks, fingerprint))
            run.step("scope", *scope_record(reader))
            settings = release.retrieval
            asked = embed_question(run, embedder, fingerprint, question.text, memory, settings=settings)
        deepening = _Deepening(self._retriever, reader, asked, release, None if past is None else past.checks)
        passages = deepening.run(self._db, k, chunks)
        record_onward(run, deepening.onward)
        run.step(
            "retrieve",
            {"k": k, "heads": list(deepening.heads)},
            {"hits": [hit_record(p) for p in passages], "degraded": asked.degraded},
        )
        for d in deepening.denied:
            body: dict[str, Json] = {"document": d.view.name, "source": d.view.source, "reason": d.reason}
            run.decide("document:read", "forbid", {"principal": reader.now.principal, **body})
        return Hits(run.id, reader.scope.position, question.text, tuple(passages), asked.degraded)


class _Deepening:
    """Widens the pool until there are enough hits or nothing more is visible: never a short list.

    What a wider pool adds comes after what the narrower one found, so the first hits do not depend on how many are
    asked for. ``heads``: the log's head at each recheck; ``past`` gives them when a search is repeated.
    """

    def __init__(
        self,
        retriever: Retriever,
        reader: Reader,
        asked: Asked,
        release: Release,
        past: Sequence[int] | None,
    ) -> None:
        self._retriever = retriever
        self._reader = reader
        self._asked = asked
        self._settings = release.retrieval
        self._past = past
        self.heads: list[int] = []
        self.denied: list[Denied] = []
        self.onward: tuple[Step, ...] = ()

    def run(self, database: Database, k: int, chunks: bool) -> list[Passage]:
        """The best ``k`` passages, or the best passages of the best ``k`` documents."""
        pool = self._settings.pool
        kept: dict[int, Passage] = {}
        while True:
            with database.read():
                found = self._retriever.search(self._reader.scope, self._asked, self._settings, pool)
            self.denied = []
            self.onward = self.onward or found.onward
            passages = self._best(found.ranked, k) if chunks else self._documents(found.ranked)
            for d in self.denied:
                kept.pop(d.view.chunk if chunks else d.view.document, None)
            for passage in passages:
                kept.setdefault(passage.ranked.chunk if chunks else passage.view.document, passage)
            if len(kept) >= k or pool >= found.result.visible:
                return list(kept.values())[:k]
            pool = min(max(4 * pool, 2 * k), found.result.visible)

    def _documents(self, ranked: Sequence[Ranked]) -> list[Passage]:
        return _documents(self._check(ranked), self._settings.support)

    def _check(self, ranked: Sequence[Ranked]) -> list[Passage]:
        done = len(self.heads)
        at = None if self._past is None else self._past[min(done, len(self._past) - 1)]
        checked = self._retriever.recheck(self._reader, ranked, at)
        self.heads.append(checked.head)
        self.denied += checked.denied
        return checked.passages

    def _best(self, ranked: Sequence[Ranked], k: int) -> list[Passage]:
        """The best ``k`` that pass the recheck; no more are asked about than that takes."""
        kept: list[Passage] = []
        for start in range(0, len(ranked), k):
            kept += self._check(ranked[start : start + k])
            if len(kept) >= k:
                break
        return kept


def _documents(passages: Sequence[Passage], support: float) -> list[Passage]:
    """The best passage of each document, with the document's score."""
    scores = document_scores([p.ranked for p in passages], support)
    best: dict[int, Passage] = {}
    for passage in passages:
        best.setdefault(passage.view.document, passage)
    scored = [replace(p, ranked=replace(p.ranked, score=scores[d])) for d, p in best.items()]
    return sorted(scored, key=lambda p: (-p.ranked.score, p.ranked.tie))


def _asked(question: Question, reader: Reader, k: int, chunks: bool, embedder: str) -> dict[str, Json]:
    return {
        "principal": question.principal,
        "question": question.text,
        "position": reader.scope.position,
        "head": reader.scope.head,
        "filter": question.filter_json,
        "k": k,
        "chunks": chunks,
        "embedder": embedder,
        **({"by": question.by} if question.by else {}),
    }
