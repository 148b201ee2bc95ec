"""Replay: every run once more from its record, at its own position and release; identical, or where it first differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from affidavit.adapters.embedded import EmbeddedIndex
from affidavit.app.acting import supposing
from affidavit.app.documents import JOURNEY as READ
from affidavit.app.documents import DocumentDesk
from affidavit.app.recall import replay_call
from affidavit.app.recorded import RecordedRun, recorded_run
from affidavit.app.resync import replay_sync
from affidavit.app.wiring import Parts
from affidavit.ask.asker import Question
from affidavit.ask.retrieve import Retriever
from affidavit.ask.scopes import Past
from affidavit.ask.searcher import Searcher
from affidavit.ask.timer import Timer
from affidavit.domain.errors import AccessDeniedError, AffidavitError, NotRepeatableError
from affidavit.domain.records import RunStatus
from affidavit.domain.release import Release
from affidavit.events.read import Recorded
from affidavit.runs.replay import Divergence, ReplayDivergenceError, Rerun, compare, compare_begun
from affidavit.store.people import Tenant


@dataclass(frozen=True)
class ReplayReport:
    """The outcome of one replay. ``compared`` counts the events that were compared; ``impossible`` says why there were none:
    parts of the run were erased, or redacted before they were stored."""

    run: str
    journey: str
    position: int
    release: str
    compared: int
    divergence: Divergence | None
    impossible: str = ""

    @property
    def identical(self) -> bool:
        return self.divergence is None and not self.impossible

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "journey": self.journey,
            "position": self.position,
            "release": self.release,
            "identical": self.identical,
            "impossible": self.impossible or None,
            "compared": self.compared,
            "divergence": None if self.divergence is None else self.divergence.as_json(),
        }


class Replayer:
    """Repeats runs in memory. Nothing is written, no source is read, no model is asked unless told to."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._retrievers: dict[str, Retriever] = {}

    def recorded(self, tenant: Tenant, run: str) -> RecordedRun:
        """The run from the log. Raises AccessDeniedError if the tenant has no such run, NotRepeatableError for one erased."""
        with self._parts.database.read():
            events = self._events(run)
            if not events or events[0].tenant != tenant.id:
                raise AccessDeniedError(f"there is no run {run}", "`affidavit run list` shows them")
            return recorded_run(self._parts.events, events)

    def _events(self, run: str) -> list[Recorded]:
        return self._parts.events.of_run(run) if run.isascii() else []

    def replay(self, tenant: Tenant, run: str) -> ReplayReport:
        """Repeat ``run`` from its record alone and compare. Raises AccessDeniedError if the tenant has no such run."""
        try:
            recorded = self.recorded(tenant, run)
            divergence = self._divergence(recorded)
        except NotRepeatableError as error:
            return ReplayReport(run, "", -1, "", 0, None, error.message)
        position = recorded.given.get("position", recorded.first)
        compared = len(recorded.facts)
        return ReplayReport(run, recorded.journey, position, recorded.release, compared, divergence)

    def _divergence(self, recorded: RecordedRun) -> Divergence | None:
        if recorded.journey == "sync":
            return replay_sync(self._parts, recorded)
        if recorded.journey == "call":
            return replay_call(self._parts, recorded)
        if recorded.journey == READ:
            return DocumentDesk(self._parts).replay(recorded)
        release = self._parts.release_named(recorded.release)
        question = recorded.question()
        rerun = self.rerun(recorded, release, live=False)
        try:
            self.put(rerun, recorded, question, release, recorded.past())
        except ReplayDivergenceError as error:
            if recorded.interrupted:
                return compare_begun(recorded.facts, rerun.facts())
            # what led to it may have differed before
            return compare(recorded.facts, rerun.facts(), whole=False) or error.divergence
        except AffidavitError as error:
            stopped = Divergence(0, "", f"cannot be repeated: {error.message}", None, None)
            return compare(recorded.facts, rerun.facts(), whole=False) or stopped
        if recorded.interrupted:
            return compare_begun(recorded.facts, rerun.facts())
        return compare(recorded.facts, rerun.facts())

    def rerun(self, recorded: RecordedRun, release: Release, *, live: bool) -> Rerun:
        """An empty run in memory whose effects ``recorded`` answers; with ``live`` the model is asked about the rest."""
        return Rerun(
            recorded.id, recorded.tenant, recorded.journey, release.digest, recorded.facts, live=live
        )

    def put(
        self, rerun: Rerun, recorded: RecordedRun, question: Question, release: Release, past: Past
    ) -> None:
        """Put ``question`` into ``rerun`` the way ``recorded`` was, at the moment ``past``: collected, not written.

        Raises ReplayDivergenceError for an effect that is not on record, unless the run is live.
        """
        parts = self._parts
        retriever = self._retriever(past.embedder)
        if recorded.journey == "search":
            searcher = Searcher(parts.database, parts.log, parts.scopes, retriever, parts.randomness)
            given = recorded.given
            searcher.find(rerun, question, given["k"], release, past, chunks=given["chunks"])
            rerun.finish(RunStatus.ANSWERED.value, {})
        else:
            asker = parts.asker(retriever, supposing)
            answer = asker.answer(rerun, question, release, past, Timer())
            rerun.finish(answer.status.value, {})

    def _retriever(self, fingerprint: str) -> Retriever:
        """What retrieves with the vectors of the embedder that served then: they are kept, so nothing is embedded."""
        parts = self._parts
        _, serving = parts.retriever.serving()
        if fingerprint == serving:
            return parts.retriever
        if fingerprint not in self._retrievers:
            self._retrievers[fingerprint] = Retriever(
                parts.database,
                parts.catalog,
                parts.bodies,
                parts.scopes,
                EmbeddedIndex(None),
                None,
                parts.feed_of,
            )
        return self._retrievers[fingerprint]
