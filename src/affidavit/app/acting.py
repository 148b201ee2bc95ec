"""Acting: a question that may be acted upon, with the gateway as its one door; and going on with what waited or was cut off."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.app.callstory import of_run
from affidavit.app.recorded import RecordedRun, recorded_run
from affidavit.app.tools import ToolDesk
from affidavit.app.wiring import Parts
from affidavit.ask.agent import CHOOSE, Agent, Openings
from affidavit.ask.asker import Asker, Question
from affidavit.ask.hand import WaitsError
from affidavit.ask.scopes import Past
from affidavit.ask.timer import Timer
from affidavit.domain.answer import Answer
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AccessDeniedError, AffidavitError, StoppedError, UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.records import RunStatus
from affidavit.domain.release import Release
from affidavit.domain.tools import ENDED, CallState, Contract
from affidavit.gateway.arguments import parse_arguments
from affidavit.gateway.callbook import day
from affidavit.gateway.rules import Proposal
from affidavit.models.caller import Caller
from affidavit.policy.scope import decide_read
from affidavit.runs.recorder import Run, new_run_id
from affidavit.runs.resume import Resumed
from affidavit.store.calls import CallRow, Calls
from affidavit.store.people import Tenant

JOURNEY = "act"
SUPPOSED = "supposed"
"""The state of a call that a counterfactual came to: it is told, and nothing is carried out."""
_GRACE = 60 * MICROSECONDS


@dataclass(frozen=True)
class LiveDoors:
    """Implements ``Openings`` for ``principal``: the gateway, and the rights of this moment."""

    parts: Parts
    tools: ToolDesk
    tenant: int
    principal: str

    def parse(self, text: str) -> dict[str, Json]:
        return parse_arguments(text)

    def contracts(self, names: Sequence[str]) -> Sequence[Contract]:
        today = day(self.parts.clock.now())
        return [self.tools.gateway.registry.named(name, today).contract for name in names]

    def readable(self, places: Sequence[tuple[str, str]]) -> bool:
        parts = self.parts
        with parts.database.read():
            head = parts.log.head()
            who = parts.scopes.identify(self.tenant, self.principal, head)
            try:
                stopped = parts.scopes.stopped(self.tenant, head)
            except StoppedError:
                return False
            for source, name in places:
                there = [s for s in parts.catalog.states(self.tenant, source, name, head) if s.revision]
                rules = parts.catalog.rules_by_id([s.rule for s in there if s.rule is not None])
                allowed = [s for s in there if s.rule in rules and decide_read(who, rules[s.rule]).permit]
                if source in stopped or not allowed:
                    return False
        return True

    def call(
        self, run: Run, step: int, tool: str, arguments: Mapping[str, Json], context: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        wanted = Proposal(self.tenant, self.principal, tool, arguments, run.id, step, context=context)
        done = self.tools.gateway.call(wanted, run.flush_begun)
        if done.state not in ENDED:
            raise WaitsError(done.row.name, done.state.value)
        return {
            "call": done.row.name,
            "state": done.state.value,
            "result": done.result,
            "why": done.why,
        }


@dataclass(frozen=True)
class SupposedDoors:
    """Implements ``Openings`` for replays, which never come to these, and counterfactuals, in which nothing is carried out."""

    def parse(self, text: str) -> dict[str, Json]:
        return parse_arguments(text)

    def contracts(self, names: Sequence[str]) -> Sequence[Contract]:
        raise UsageError("these tools are not on the run's record", "change something else")

    def readable(self, places: Sequence[tuple[str, str]]) -> bool:
        return True

    def call(
        self, run: Run, step: int, tool: str, arguments: Mapping[str, Json], context: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        return {
            "call": "",
            "state": SUPPOSED,
            "result": None,
            "why": "not carried out: this is a supposition",
        }


def agent_of(release: Release, caller: Caller | None, feature: str, doors: Openings) -> Agent | None:
    """Who acts; None where the release asks no model."""
    return None if caller is None else Agent(caller, release, feature, doors)


def supposing(release: Release, caller: Caller | None, question: Question) -> Agent | None:
    """``Agents`` for whoever repeats a run."""
    return agent_of(release, caller, question.acts, SupposedDoors())


class ActDesk:
    """Acts for people, and goes on with what waited. ``doors`` is what its models act through."""

    doors: type[LiveDoors] = LiveDoors

    def __init__(self, parts: Parts, tools: ToolDesk) -> None:
        self._parts = parts
        self._tools = tools

    def act(self, question: Question) -> Answer:
        """Answer ``question`` with the tools of its feature; or come to where a person must say yes: status ``waiting``.

        Raises UsageError where the release lets no model act; as ``ask`` does otherwise.
        """
        release = self._parts.release()
        _check(release, question.acts)
        run = Resumed(
            question.run or new_run_id(self._parts.randomness), question.tenant, JOURNEY, release.digest
        )
        return self._carry(run, question, release, None)

    def go_on(self, tenant: Tenant, run: str) -> Answer:
        """Go on with a run from its own record. Raises AccessDeniedError for no run of the tenant's, UsageError for one that has
        ended, BusyError if another process goes on with it."""
        recorded = self._recorded(tenant.id, run)
        if recorded is None:
            raise AccessDeniedError(f"there is no run {run[:40]}", "`affidavit run list` shows them")
        ended = any(f.kind is EventKind.RUN_FINISHED for f in recorded.facts)
        if recorded.journey != JOURNEY or ended:
            raise UsageError(f"{run} does not wait: it has ended", "affidavit run show tells its story")
        release = self._parts.release_named(recorded.release)
        resumed = Resumed(recorded.id, recorded.tenant, JOURNEY, release.digest, recorded.facts)
        return self._carry(resumed, recorded.question(), release, recorded.past())

    def after(self, tenant: Tenant, run: str) -> Answer | None:
        """Go on with the run that a call belongs to, if it is one that acts and nothing of it waits any more."""
        recorded = self._recorded(tenant.id, run)
        if recorded is None or recorded.journey != JOURNEY or not self._at_rest(run):
            return None
        return self.go_on(tenant, run)

    def work(self, mine: Collection[str] = ()) -> Iterator[tuple[str, Answer | AffidavitError]]:
        """Go on with every run whose approval has expired, or of which nothing was heard for longer than it may take; and with
        ``mine``, whose calls were carried out just now."""
        for tenant in self._parts.people.tenants():
            for run in self._left(tenant.id, mine):
                try:
                    yield run, self.go_on(tenant, run)
                except AffidavitError as error:  # one run that cannot go on must not keep the others
                    yield run, error

    # -- parts

    def _left(self, tenant: int, mine: Collection[str]) -> list[str]:
        with self._parts.database.read():
            found = Calls(self._parts.database).of_unfinished_runs(tenant)
            return [row.run for row in found if self._is_left(row, mine)]

    def _is_left(self, last: CallRow, mine: Collection[str]) -> bool:
        """Whether nobody is at it: somebody who may be is not to be robbed of a run."""
        events = self._parts.events.of_run(last.run)
        if events[0].facts["journey"] != JOURNEY or last.state not in ENDED:
            return False
        if last.run in mine:
            return True
        how = self._parts.events.event(last.changed).facts.get("cause")
        if last.state is CallState.EXPIRED or how == "lease_expired":
            return True
        acting = self._parts.release_named(str(events[0].facts["release"])).acting
        may_take = 0 if acting is None else acting.milliseconds * 1_000
        return self._parts.clock.now() - events[-1].at > may_take + _GRACE

    def _at_rest(self, run: str) -> bool:
        with self._parts.database.read():
            rows = Calls(self._parts.database).of_run(run)
        return all(row.state in ENDED for row in rows)

    def _recorded(self, tenant: int, run: str) -> RecordedRun | None:
        with self._parts.database.read():
            events = self._parts.events.of_run(run) if run.isascii() else []
            if not events or events[0].tenant != tenant:
                return None
            return recorded_run(self._parts.events, events)

    def _carry(self, run: Resumed, question: Question, release: Release, past: Past | None) -> Answer:
        timer = Timer()
        try:
            answer = self._asker().answer(run, question, release, past, timer)
        except WaitsError:
            return self._waiting(run, release)
        run.check()
        run.finish(answer.status.value, {"timings": dict(timer.taken)})
        self._parts.log.write(run.flush)
        return answer

    def _asker(self) -> Asker:
        return self._parts.asker(agents=self._agent, caches=self._parts.caches)

    def _agent(self, release: Release, caller: Caller | None, question: Question) -> Agent | None:
        doors = self.doors(self._parts, self._tools, question.tenant, question.principal)
        return agent_of(release, caller, question.acts, doors)

    def _waiting(self, run: Run, release: Release) -> Answer:
        with self._parts.database.read():
            calls = of_run(self._parts, run.id)
        told = ("call", "tool", "state", "why")
        actions: list[dict[str, Any]] = [{k: c[k] for k in told if c[k]} for c in calls]
        body: Any = run.events[0].body
        return Answer(
            run.id,
            body["position"],
            RunStatus.WAITING,
            "",
            (),
            None,
            release.digest,
            actions=actions,
        )


def _check(release: Release, feature: str) -> None:
    """Raise UsageError, before anything is recorded, where nothing can be acted upon."""
    if release.acting is None or release.models is None or CHOOSE not in release.models.tasks:
        raise UsageError(
            "the release lets no model act",
            f"publish one with `act` and models for the task {CHOOSE}: docs/how-to/acting.md",
        )
    if feature not in release.acting.tools:
        raise UsageError(
            f"there is no feature {feature[:80]!r}", f"one of: {', '.join(sorted(release.acting.tools))}"
        )
