"""The ten steps from a question to an answer on the record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from affidavit.ask.evidence import Evidence, Scored, gather
from affidavit.ask.extract import choose
from affidavit.ask.guard import guard_question
from affidavit.ask.retrieve import Denied, Found, Passage, Retriever, diversify
from affidavit.ask.scopes import Reader, Scopes
from affidavit.domain.answer import NOT_ENOUGH, Answer, Citation, Claim, Refusal
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS, Clock, Randomness
from affidavit.domain.errors import EmbedderError
from affidavit.domain.filter import Filter
from affidavit.domain.records import RunStatus
from affidavit.domain.release import Release
from affidavit.domain.version import VERSION
from affidavit.events.log import Log
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.database import Database

_DAY = 86_400 * MICROSECONDS


@dataclass(frozen=True)
class Question:
    """Who asks what. ``as_of`` is a position; None means now."""

    tenant: int
    principal: str
    text: str
    as_of: int | None = None
    filter: Filter | None = None
    filter_json: Json = None


class _Timer:
    """Microseconds by step; monotonic, and not part of what is given."""

    def __init__(self) -> None:
        self._last = time.perf_counter_ns()
        self.taken: dict[str, int] = {}

    def lap(self, step: str) -> None:
        now = time.perf_counter_ns()
        self.taken[step] = (now - self._last) // 1000
        self._last = now


class Asker:
    """Answers questions. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        log: Log,
        scopes: Scopes,
        retriever: Retriever,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._db = database
        self._log = log
        self._scopes = scopes
        self._retriever = retriever
        self._clock = clock
        self._randomness = randomness

    def ask(self, question: Question, release: Release) -> Answer:
        """Answer or refuse, recorded durably before this returns.

        Raises UnknownNameError for a stranger and UsageError for an impossible position; those leave no run.
        """
        timer = _Timer()
        run = Run(new_run_id(self._randomness), question.tenant, "ask", release.digest)
        with self._db.read():
            reader = self._scopes.resolve(
                question.tenant, question.principal, question.as_of, question.filter
            )
            timer.lap("identify_scope")
            self._start(run, question, reader)
            guarded = guard_question(question.text, release.guarding)
            run.step("guard", {"characters": len(question.text)}, {"signals": list(guarded.signals)})
            run.step("route", {}, {"answerer": "extractive"})
            timer.lap("guard_route")
            if guarded.refusal is None:
                found = self._retriever.search(reader, question.text, release.retrieval)
        if guarded.refusal is not None:
            return self._refuse(run, reader, release, guarded.refusal, timer)
        timer.lap("retrieve")
        passages = self._recheck(run, reader, found, release)
        timer.lap("recheck")
        evidence = self._suffice(run, question, found, passages, release)
        timer.lap("suffice")
        if not evidence.sufficient:
            return self._refuse(run, reader, release, NOT_ENOUGH, timer)
        chosen = choose(evidence, passages, release.answering)
        drafted = [self._claim(c.scored, c.overruled, passages) for c in chosen]
        claims = self._verified(run, drafted, passages, evidence)
        timer.lap("generate_verify")
        if not claims:
            return self._refuse(run, reader, release, NOT_ENOUGH, timer)
        text = "\n".join(claim.text for claim in claims)
        return self._record(
            run,
            Answer(run.id, reader.scope.position, RunStatus.ANSWERED, text, claims, None, release.digest),
            timer,
        )

    # -- steps

    def _start(self, run: Run, question: Question, reader: Reader) -> None:
        run.start(
            {
                "principal": question.principal,
                "question": question.text,
                "position": reader.scope.position,
                "head": reader.scope.head,
                "filter": question.filter_json,
                "software": VERSION,
                "embedder": self._retriever.embedder_name(),
            }
        )
        run.step(
            "identify",
            {"principal": question.principal, "position": reader.scope.position},
            {"principals": sorted(reader.now.principals), "then": sorted(reader.then.principals)},
        )
        run.step("scope", {}, {"now": sorted(reader.scope.now), "then": sorted(reader.scope.then)})

    def _recheck(self, run: Run, reader: Reader, found: Found, release: Release) -> list[Passage]:
        settings = release.retrieval
        top = found.ranked[: 4 * settings.k]
        passages, denied = self._retriever.recheck(reader, top)
        kept = diversify(passages, settings.k, settings.per_document)
        run.step(
            "retrieve",
            {"pool": settings.pool, "dense": found.vector is not None, "degraded": found.degraded},
            {
                "visible": found.result.visible,
                "terms": dict(found.result.terms),
                "candidates": len(found.ranked),
                "hits": [_hit(p) for p in passages],
            },
        )
        run.step("recheck", {"checked": len(top)}, {"kept": [p.chunk for p in kept]})
        for d in denied:
            run.decide("document:read", "forbid", _denial(reader, d))
        return kept

    def _suffice(
        self, run: Run, question: Question, found: Found, passages: Sequence[Passage], release: Release
    ) -> Evidence:
        embedder = found.embedder if found.vector is not None else None
        try:
            late = embedder is not None and embedder.info.token_vectors
            calibration = release.dense if late else release.keyword_only
            evidence = gather(question.text, found, passages, embedder, calibration)
        except EmbedderError:
            evidence = gather(
                question.text, replace(found, vector=None), passages, None, release.keyword_only
            )
        run.step(
            "suffice",
            {"features": {name: _decimal(value) for name, value in evidence.features.items()}},
            {"probability": _decimal(evidence.probability), "sufficient": evidence.sufficient},
        )
        return evidence

    def _claim(self, scored: Scored, overruled: Sequence[Scored], passages: Sequence[Passage]) -> Claim:
        cited = self._cite(scored, passages)
        return Claim(cited.quote, (cited,), tuple(self._cite(o, passages) for o in overruled))

    def _cite(self, scored: Scored, passages: Sequence[Passage]) -> Citation:
        passage, unit = passages[scored.unit.passage], scored.unit
        view = passage.view
        modified = view.indexed_at if view.modified is None else view.modified
        return Citation(
            source=view.source,
            document=view.name,
            revision=view.revision,
            chunk=passage.chunk,
            start=unit.start,
            end=unit.end,
            quote=unit.quote,
            title=view.title,
            location=view.location,
            indexed_at=instant(view.indexed_at),
            permitted_by=passage.permitted_by,
            rank=view.rank,
            stale=bool(view.fresh_days) and self._clock.now() - modified > view.fresh_days * _DAY,
        )

    def _verified(
        self, run: Run, claims: Sequence[Claim], passages: Sequence[Passage], evidence: Evidence
    ) -> tuple[Claim, ...]:
        """Only claims whose every citation lies in a rechecked passage and says what the revision says."""
        run.step(
            "generate",
            {"answerer": "extractive"},
            {"claims": [c.as_json() for c in claims], "withheld": list(evidence.withheld)},
        )
        by_chunk = {p.chunk: p for p in passages}
        good = tuple(
            c
            for c in claims
            if all(self._holds(x, by_chunk.get(x.chunk)) for x in (*c.citations, *c.overrules))
        )
        run.step("verify", {"claims": len(claims)}, {"verified": len(good)})
        return good

    def _holds(self, citation: Citation, passage: Passage | None) -> bool:
        if passage is None or not passage.view.start <= citation.start < citation.end <= passage.view.stop:
            return False
        return self._retriever.text(passage.view)[citation.start : citation.end] == citation.quote

    def _refuse(self, run: Run, reader: Reader, release: Release, refusal: Refusal, timer: _Timer) -> Answer:
        answer = Answer(run.id, reader.scope.position, RunStatus.REFUSED, "", (), refusal, release.digest)
        return self._record(run, answer, timer)

    def _record(self, run: Run, answer: Answer, timer: _Timer) -> Answer:
        """Step 10: durable first, given afterwards."""
        run.release_answer(answer.status, answer.given())
        run.finish(answer.status.value, {"timings": dict(timer.taken)})
        self._log.write(run.flush)
        timer.lap("record")
        return replace(answer, timings=timer.taken)


def instant(microseconds: int) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(microseconds // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decimal(value: float) -> str:
    return format(value, ".6f")


def _hit(passage: Passage) -> dict[str, Json]:
    view, ranked = passage.view, passage.ranked
    return {
        "document": view.name,
        "source": view.source,
        "chunk": passage.chunk,
        "start": view.start,
        "end": view.stop,
        "score": _decimal(ranked.score),
        "keyword": _decimal(ranked.keyword),
        "dense": None if ranked.dense is None else _decimal(ranked.dense),
        "permitted_by": passage.permitted_by,
    }


def _denial(reader: Reader, denied: Denied) -> dict[str, Json]:
    return {
        "principal": reader.now.principal,
        "document": denied.view.name,
        "source": denied.view.source,
        "reason": denied.reason,
    }
