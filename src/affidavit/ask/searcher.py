"""Search: steps 1 to 6 of a question, on the record, giving passages or documents instead of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affidavit.ask.asker import Question, instant
from affidavit.ask.rank import Ranked, document_scores
from affidavit.ask.retrieve import Denied, Passage, Retriever
from affidavit.ask.scopes import Reader, Scopes
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
        "permitted_by": passage.permitted_by,
    }


class Searcher:
    """Searches. Safe to share between threads."""

    def __init__(
        self, database: Database, log: Log, scopes: Scopes, retriever: Retriever, randomness: Randomness
    ) -> None:
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
        run = Run(new_run_id(self._randomness), question.tenant, "search", release.digest)
        with self._db.read():
            reader = self._scopes.resolve(
                question.tenant, question.principal, question.as_of, question.filter
            )
            run.start(_asked(question, reader, k))
            run.step("scope", {}, {"now": sorted(reader.scope.now), "then": sorted(reader.scope.then)})
        passages, denied, degraded = self._deepen(reader, question, k, release, chunks)
        run.step("retrieve", {"k": k}, {"hits": [p.chunk for p in passages], "degraded": degraded})
        for d in denied:
            body: dict[str, Json] = {"document": d.view.name, "source": d.view.source, "reason": d.reason}
            run.decide("document:read", "forbid", {"principal": reader.now.principal, **body})
        run.finish(RunStatus.ANSWERED.value, {})
        return run, Hits(run.id, reader.scope.position, question.text, tuple(passages), degraded)

    def _deepen(
        self, reader: Reader, question: Question, k: int, release: Release, chunks: bool
    ) -> tuple[list[Passage], list[Denied], str]:
        """Widen the pool until ``k`` are found or nothing more is visible: never a short list.

        What a wider pool adds comes after what the narrower one found, so the first hits do not depend on ``k``.
        """
        settings = release.retrieval
        pool = settings.pool
        kept: dict[int, Passage] = {}
        while True:
            with self._db.read():
                found = self._retriever.search(reader, question.text, settings, pool)
            if chunks:
                passages, denied = self._checked(reader, found.ranked, k)
            else:
                passages, denied = self._retriever.recheck(reader, found.ranked)
                passages = _documents(passages, settings.support)
            for d in denied:
                kept.pop(d.view.chunk if chunks else d.view.document, None)
            for passage in passages:
                kept.setdefault(passage.ranked.chunk if chunks else passage.view.document, passage)
            if len(kept) >= k or pool >= found.result.visible:
                return list(kept.values())[:k], denied, found.degraded
            pool = min(max(4 * pool, 2 * k), found.result.visible)

    def _checked(
        self, reader: Reader, ranked: Sequence[Ranked], k: int
    ) -> tuple[list[Passage], list[Denied]]:
        """The best ``k`` that pass the recheck; no more are asked about than that takes."""
        kept: list[Passage] = []
        denied: list[Denied] = []
        for start in range(0, len(ranked), k):
            passed, refused = self._retriever.recheck(reader, ranked[start : start + k])
            kept += passed
            denied += refused
            if len(kept) >= k:
                break
        return kept, denied


def _documents(passages: Sequence[Passage], support: float) -> list[Passage]:
    """The best passage of each document, with the document's score."""
    scores = document_scores([p.ranked for p in passages], support)
    best: dict[int, Passage] = {}
    for passage in passages:
        best.setdefault(passage.view.document, passage)
    scored = [replace(p, ranked=replace(p.ranked, score=scores[d])) for d, p in best.items()]
    return sorted(scored, key=lambda p: (-p.ranked.score, p.ranked.tie))


def _asked(question: Question, reader: Reader, k: int) -> dict[str, Json]:
    return {
        "principal": question.principal,
        "question": question.text,
        "position": reader.scope.position,
        "head": reader.scope.head,
        "filter": question.filter_json,
        "k": k,
    }
