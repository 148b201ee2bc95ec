"""The ten steps from a question to an answer on the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from affidavit.ask.caches import Caches
from affidavit.ask.conversation import Conversations, stand_alone
from affidavit.ask.drafts import Quoted, Written, streams
from affidavit.ask.effects import Asked, Scores, embed_question, score_sentences
from affidavit.ask.evidence import Evidence, Scored, gather
from affidavit.ask.extract import choose
from affidavit.ask.falling_short import not_enough
from affidavit.ask.giving import Giving, Handing, OnClaim
from affidavit.ask.guard import guard_question
from affidavit.ask.hunt import Found
from affidavit.ask.onward import record_onward
from affidavit.ask.retrieve import Denied, Passage, Retriever, choose_passages, decimal, hit_record
from affidavit.ask.scopes import Past, Reader, Scopes, scope_record
from affidavit.ask.support import Supporting, supporting
from affidavit.ask.timer import Timer
from affidavit.ask.watch import Watch
from affidavit.domain.answer import (
    GUARDED_ANSWER,
    GUARDED_QUESTION,
    NO_MODEL,
    Answer,
    Citation,
    Claim,
    GivenClaim,
    Refusal,
    unclear_question,
)
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS, Clock, Randomness
from affidavit.domain.filter import Filter
from affidavit.domain.records import BEHIND, RunStatus
from affidavit.domain.release import Release
from affidavit.domain.version import VERSION
from affidavit.events.log import Log
from affidavit.models.caller import Caller
from affidavit.models.guards import Guards
from affidavit.ports.embedder import Embedder
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.database import Database

BROKE_OFF, INTERRUPTED = "model", "interrupted"
"""Why an answer is ``incomplete``."""
if TYPE_CHECKING:
    from affidavit.ask.agent import Agent
    from affidavit.ask.writer import Writer

_DAY = 86_400 * MICROSECONDS


@dataclass(frozen=True)
class Question:
    """Who asks what. ``as_of`` is a position; None means now. ``follows``: the run that this question goes on from. ``streamed``:
    claims are given one by one where the release allows it. ``acts``: the feature with whose tools it may be acted upon, "" for
    an answer alone. ``run``: the id that its run will have, unused so far; "" for a new one. ``by``: the service that asks for
    them, "" if they ask themselves."""

    tenant: int
    principal: str
    text: str
    as_of: int | None = None
    filter: Filter | None = None
    filter_json: Json = None
    follows: str = ""
    streamed: bool = False
    acts: str = ""
    run: str = ""
    by: str = ""


Agents = Callable[[Release, Caller | None, Question], "Agent | None"]
"""Who acts upon a question under a release; None where no model can."""


def nobody_acts(release: Release, caller: Caller | None, question: Question) -> Agent | None:
    """``Agents`` where questions are only answered."""
    return None


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
        callers: Callable[[Release, int, str], Caller | None] = lambda release, tenant, principal: None,
        writers: Callable[[Release, Caller | None], Writer | None] = lambda release, caller: None,
        conversations: Conversations | None = None,
        guards: Callable[[Release], Guards] = lambda release: Guards(),
        agents: Agents = nobody_acts,
        caches: Caches | None = None,
    ) -> None:
        self._agents = agents
        self._caches = caches
        self._guards = guards
        self._callers = callers
        self._writers = writers
        self._conversations = conversations
        self._db = database
        self._log = log
        self._scopes = scopes
        self._retriever = retriever
        self._clock = clock
        self._randomness = randomness

    def ask(self, question: Question, release: Release, on_claim: OnClaim | None = None) -> Answer:
        """Answer or refuse, recorded durably before this returns.

        ``on_claim`` is given each claim of the answer once, in order, when it is durable: while the model still writes if
        ``question`` is ``streamed`` and the release allows it, else at the end. What it raises is raised here.
        Raises UnknownNameError for a stranger and UsageError for an impossible position; those leave no run.
        """
        run = Run(question.run or new_run_id(self._randomness), question.tenant, "ask", release.digest)
        timer = Timer()
        hand = on_claim or (lambda claim: None)
        handing = Handing(lambda: self._durable(run), hand)
        try:
            answer = self.answer(run, question, release, None, timer, handing)
            run.finish(answer.status.value, {"timings": dict(timer.taken)})
            self._log.write(run.flush)  # step 10: durable first, given afterwards
        except BaseException:
            self._broken_off(run, release, timer)
            raise
        timer.lap("record")
        for number, claim in enumerate(answer.claims, 1):
            if number > len(run.claims):
                hand(GivenClaim(run.id, number, claim))
        return replace(answer, timings=timer.taken)

    def _durable(self, run: Run) -> None:
        self._log.write(run.flush_begun)

    def _broken_off(self, run: Run, release: Release, timer: Timer) -> None:
        """Of an answer that was begun and will not be whole, the record says what was given. Where nothing was, there is none."""
        if not run.begun:
            return
        if not run.ended:
            self._end_early(run, release, timer)
        self._log.write(run.flush)

    def _end_early(self, run: Run, release: Release, timer: Timer) -> None:
        given = [dict(claim) for claim in run.claims]
        body: dict[str, Json] = {
            "status": RunStatus.FAILED.value,
            "answer": "\n".join(str(claim["text"]) for claim in given),
            "claims": given,
            "refusal": None,
            "model": None,
            "release": release.digest,
            "incomplete": INTERRUPTED,
        }
        run.release_answer(RunStatus.FAILED, body)
        run.finish(RunStatus.FAILED.value, {"timings": dict(timer.taken)})

    def answer(
        self,
        run: Run,
        question: Question,
        release: Release,
        past: Past | None,
        timer: Timer,
        handing: Handing | None = None,
    ) -> Answer:
        """Steps 1 to 9, collected in ``run``: now, or once more as at an earlier moment. Nothing is written, but for claims that
        are given before the answer is whole, through ``handing``."""
        watch = Watch(run, release, self._guards(release))
        streaming = question.streamed and streams(release)
        embedder, fingerprint = self._retriever.serving()
        fingerprint = fingerprint if past is None else past.embedder
        memory = self._caches.of(run, question.principal) if self._caches and past is None else None
        with self._db.read():
            reader = self._scopes.resolve(
                question.tenant, question.principal, question.as_of, question.filter, past, memory
            )
            timer.lap("identify_scope")
            clock = self._clock.now() if past is None else past.clock
            self._start(run, question, reader, fingerprint, clock, streaming=streaming)
            guarded = guard_question(question.text, release.guarding)
            run.step("guard", {"characters": len(question.text)}, {"signals": list(guarded.signals)})
            caller = self._callers(release, question.tenant, question.principal)
            writer = self._writers(release, caller)
            answerer = "agent" if question.acts else "extractive" if writer is None else "model"
            run.step("route", {}, {"answerer": answerer})
            timer.lap("guard_route")
            if guarded.refusal is not None:
                return _refuse(run, reader, release, guarded.refusal)
            text, refusal = self._understood(run, reader, question, release, caller, watch)
            if refusal is not None:
                return _refuse(run, reader, release, refusal)
            asked = embed_question(run, embedder, fingerprint, text, memory, settings=release.retrieval)
            found = self._retriever.search(reader.scope, asked, release.retrieval)
        timer.lap("retrieve")
        passages = watch.passages(self._recheck(run, reader, asked, found, release, past))
        timer.lap("recheck")
        evidence = self._suffice(run, embedder, asked, found, passages, release)
        timer.lap("suffice")
        support = supporting(run, embedder, asked, release.writing)
        if question.acts:
            # what does not answer the question is not shown: whatever is read makes a run less trusted
            seen = passages if evidence.sufficient else []
            agent = self._agents(release, caller, question)
            return self._act(run, reader, release, agent, text, seen, support, clock, watch)
        if not evidence.sufficient:
            return _refuse(run, reader, release, not_enough(asked.text, passages))
        giving = self._giving(run, passages, clock, watch, handing)
        written: Written | None = None
        if writer is not None:
            written = writer.write(run, text, passages, support, giving if streaming else None)
        timer.lap("model")
        if written is None and release.writing is not None and release.writing.fallback == "refuse":
            return _refuse(run, reader, release, NO_MODEL)
        if written is None:
            giving.claims = [
                self._claim(c.scored, c.overruled, passages, clock)
                for c in choose(evidence, passages, release.answering)
            ]
        elif not streaming:
            giving.claims = [giving.make(text, quotes) for text, quotes in written.claims]
        model = None if written is None else written.model
        claims = self._settled(run, giving, evidence, model, given=written is not None and streaming)
        timer.lap("generate_verify")
        if watch.refused or (watch.dropped and not claims):
            return _refuse(run, reader, release, GUARDED_ANSWER)
        if not claims:
            return _refuse(run, reader, release, not_enough(asked.text, passages))
        given = "\n".join(claim.text for claim in claims)
        understood = text if text != question.text else ""
        return _given(
            run,
            Answer(
                run.id,
                reader.scope.position,
                RunStatus.ANSWERED,
                given,
                claims,
                None,
                release.digest,
                model,
                understood,
                BROKE_OFF if written is not None and written.incomplete else "",
            ),
        )

    # -- steps

    def _act(
        self,
        run: Run,
        reader: Reader,
        release: Release,
        agent: Agent | None,
        text: str,
        passages: Sequence[Passage],
        support: Supporting | None,
        clock: int,
        watch: Watch,
    ) -> Answer:
        """Steps 8 and 9 with tools."""
        if agent is None:
            return _refuse(run, reader, release, NO_MODEL)
        by_chunk = {p.chunk: p for p in passages}

        def stands(claim: Claim, read: Claim) -> bool:
            return self._verified(read, by_chunk) and watch.claim(claim, _classes(read, by_chunk))

        said = agent.answer(
            run, text, passages, support, lambda p, q: _citation(p, q.start, q.end, q.quote, clock), stands
        )
        claims = () if watch.refused else said.claims
        refusal = said.refusal
        if watch.refused or (watch.dropped and not claims):
            refusal = GUARDED_ANSWER
        answer = Answer(
            run.id,
            reader.scope.position,
            RunStatus.ANSWERED if refusal is None else RunStatus.REFUSED,
            "\n".join(claim.text for claim in claims),
            claims,
            refusal,
            release.digest,
            said.model if claims else None,
            incomplete=said.end if claims else "",
            actions=said.actions,
        )
        return _given(run, answer)

    def _understood(
        self,
        run: Run,
        reader: Reader,
        question: Question,
        release: Release,
        caller: Caller | None,
        watch: Watch,
    ) -> tuple[str, Refusal | None]:
        """The question as it may be put, so that it stands alone; or why it is not answered: a guard forbids it, or nobody could
        tell what is meant."""
        allowed = watch.question(question.text)
        if allowed is None:
            return "", GUARDED_QUESTION
        if not question.follows or self._conversations is None:
            return allowed, None
        conversations = self._conversations
        turns = run.effect(
            "conversation",
            {"follows": question.follows},
            lambda: conversations.turns(reader, question.follows),
        )
        turns = watch.turns(turns)
        if not turns:
            return allowed, None
        text, unclear = stand_alone(run, allowed, turns, caller, release)
        if unclear:
            return text, unclear_question(unclear)
        if text != allowed:
            put = watch.question(text, (word for turn in turns for word in turn["sensitivity"]))
            return ("", GUARDED_QUESTION) if put is None else (put, None)
        return text, None

    def _start(
        self, run: Run, question: Question, reader: Reader, embedder: str, clock: int, *, streaming: bool
    ) -> None:
        run.start(
            {
                "principal": question.principal,
                "question": question.text,
                "position": reader.scope.position,
                "head": reader.scope.head,
                "filter": question.filter_json,
                "software": VERSION,
                "embedder": embedder,
                "clock": clock,
                **({"follows": question.follows} if question.follows else {}),
                **({"streamed": True} if streaming else {}),
                **({"acts": question.acts} if question.acts else {}),
                **({"by": question.by} if question.by else {}),
            }
        )
        run.step(
            "identify",
            {"principal": question.principal, "position": reader.scope.position},
            {"principals": sorted(reader.now.principals), "then": sorted(reader.then.principals)},
        )
        run.step("scope", *scope_record(reader))

    def _recheck(
        self, run: Run, reader: Reader, asked: Asked, found: Found, release: Release, past: Past | None
    ) -> list[Passage]:
        settings = release.retrieval
        record_onward(run, found.onward)
        top = found.ranked[: 4 * settings.k]
        checked = self._retriever.recheck(reader, top, None if past is None else past.checks[0])
        kept = choose_passages(found, checked.passages, settings)
        run.step(
            "retrieve",
            {"pool": settings.pool, "dense": asked.vector is not None, "degraded": asked.degraded},
            {
                "visible": found.result.visible,
                "terms": dict(found.result.terms),
                "candidates": len(found.ranked),
                "hits": [hit_record(p) for p in checked.passages],
            },
        )
        run.step("recheck", {"checked": len(top), "head": checked.head}, {"kept": [p.chunk for p in kept]})
        for d in checked.denied:
            run.decide("document:read", "forbid", _denial(reader, d))
        return kept

    def _suffice(
        self,
        run: Run,
        embedder: Embedder | None,
        asked: Asked,
        found: Found,
        passages: Sequence[Passage],
        release: Release,
    ) -> Evidence:
        def score(sentences: Sequence[str]) -> Scores | None:
            return score_sentences(run, embedder, asked, sentences, release.answering.same)

        evidence = gather(asked.text, found, passages, score, release)
        run.step(
            "suffice",
            {"features": {name: decimal(value) for name, value in evidence.features.items()}},
            {"probability": decimal(evidence.probability), "sufficient": evidence.sufficient},
        )
        return evidence

    def _claim(
        self, scored: Scored, overruled: Sequence[Scored], passages: Sequence[Passage], clock: int
    ) -> Claim:
        cited = self._cite(scored, passages, clock)
        return Claim(cited.quote, (cited,), tuple(self._cite(o, passages, clock) for o in overruled))

    def _written(self, text: str, quotes: Sequence[Quoted], passages: Sequence[Passage], clock: int) -> Claim:
        return Claim(
            text, tuple(_citation(passages[q.passage], q.start, q.end, q.quote, clock) for q in quotes)
        )

    def _cite(self, scored: Scored, passages: Sequence[Passage], clock: int) -> Citation:
        unit = scored.unit
        return _citation(passages[unit.passage], unit.start, unit.end, unit.quote, clock)

    def _giving(
        self, run: Run, passages: Sequence[Passage], clock: int, watch: Watch, handing: Handing | None
    ) -> Giving:
        by_chunk = {p.chunk: p for p in passages}
        return Giving(
            run,
            lambda text, quotes: self._written(text, quotes, passages, clock),
            lambda c: self._verified(c, by_chunk) and watch.claim(c, _classes(c, by_chunk)),
            handing,
        )

    def _settled(
        self, run: Run, giving: Giving, evidence: Evidence, model: str | None, *, given: bool
    ) -> tuple[Claim, ...]:
        """Of the drafted claims those that stand; where they were ``given`` one by one that is known already."""
        run.step(
            "generate",
            {"answerer": "extractive" if model is None else "model"},
            {"claims": [c.as_json() for c in giving.claims], "withheld": list(evidence.withheld)},
        )
        good = tuple(giving.given if given else filter(giving.stands, giving.claims))
        run.step("verify", {"claims": len(giving.claims)}, {"verified": len(good)})
        return good

    def _verified(self, claim: Claim, by_chunk: Mapping[str, Passage]) -> bool:
        """Whether its every citation lies in a rechecked passage and says what the revision says."""
        return all(self._holds(c, by_chunk.get(c.chunk)) for c in (*claim.citations, *claim.overrules))

    def _holds(self, citation: Citation, passage: Passage | None) -> bool:
        if passage is None or not passage.view.start <= citation.start < citation.end <= passage.view.stop:
            return False
        return self._retriever.text(passage.view)[citation.start : citation.end] == citation.quote


def _classes(claim: Claim, by_chunk: Mapping[str, Passage]) -> set[str]:
    """The classifications of what a claim cites."""
    cited = (*claim.citations, *claim.overrules)
    return {by_chunk[c.chunk].view.classification for c in cited if c.chunk in by_chunk}


def _citation(passage: Passage, start: int, end: int, quote: str, clock: int) -> Citation:
    view = passage.view
    modified = view.indexed_at if view.modified is None else view.modified
    return Citation(
        source=view.source,
        document=view.name,
        revision=view.revision,
        chunk=passage.chunk,
        start=start,
        end=end,
        quote=quote,
        title=view.title,
        location=view.location,
        indexed_at=instant(view.indexed_at),
        permitted_by=passage.permitted_by,
        rank=view.rank - BEHIND if view.deprecated else view.rank,
        stale=bool(view.fresh_days) and clock - modified > view.fresh_days * _DAY,
        deprecated=view.deprecated,
    )


def _refuse(run: Run, reader: Reader, release: Release, refusal: Refusal) -> Answer:
    answer = Answer(run.id, reader.scope.position, RunStatus.REFUSED, "", (), refusal, release.digest)
    return _given(run, answer)


def _given(run: Run, answer: Answer) -> Answer:
    run.release_answer(answer.status, answer.given())
    return answer


def instant(microseconds: int) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(microseconds // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _denial(reader: Reader, denied: Denied) -> dict[str, Json]:
    return {
        "principal": reader.now.principal,
        "document": denied.view.name,
        "source": denied.view.source,
        "reason": denied.reason,
    }
