"""The course of one call: options in order, attempts, waits, a second call beside a slow one, one accepted answer or none.

Everything here runs in the caller's thread; attempts report through an inbox. So there is one place where an answer is
accepted, and it is left once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue

from affidavit.domain.errors import ModelError
from affidavit.domain.records import CLASSIFICATIONS
from affidavit.domain.routes import CONFIDENTIAL, Option, Task
from affidavit.models.attempt import Message, Progress, Trying, Turn, Words
from affidavit.models.exchange import Exchange, Meter, Models, Rule
from affidavit.models.gate import Place
from affidavit.models.outcome import GOOD, Attempt, Check, Decision, Judged, Outcome, detail
from affidavit.models.prices import told as amount
from affidavit.models.repair import once_more
from affidavit.models.routes import Shape, plan
from affidavit.ports.model import Cancel, ChatModel, ChatRequest, ChatResult

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
_POLL = 0.02
_CROWDED = frozenset({"busy", "breaker"})
_POOR = frozenset({"budget", "room"})
_COUNTS = frozenset({"breaker", "unavailable", "room"})
"""Reasons for leaving an option out that say why a call came to nothing; the others are the release's own will."""


@dataclass(frozen=True)
class Piece:
    """Words of an answer that is on its way, not checked. Another ``number`` than before: it begins anew, forget the rest."""

    number: int
    text: str


Sink = Callable[[Piece], bool]
"""Takes pieces; true once something of the answer has been released, so that it must not begin anew."""


@dataclass(frozen=True)
class Wanted:
    """One call, as the caller put it. ``until`` on the stage's clock."""

    tenant: int
    task: Task
    request: ChatRequest
    shape: Shape
    until: float
    check: Check | None = None
    cancel: Cancel | None = None
    meter: Meter | None = None
    sink: Sink | None = None


class Course:
    """``run`` it once."""

    def __init__(self, exchange: Exchange, models: Models, rules: Mapping[str, Rule], wanted: Wanted) -> None:
        self._exchange, self._stage = exchange, exchange.stage
        self._models, self._rules, self._wanted = models, rules, wanted
        allowed, self._decisions = plan(wanted.task, wanted.shape)
        self._options = deque(allowed)
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._trying: dict[int, Trying] = {}
        self._attempts: list[Attempt] = []
        self._resume: tuple[float, Progress] | None = None
        self._numbers = 0
        self._hedged = self._kept = self._repaired = False
        self._speaking = 0
        self._ends: list[str] = []
        self._outcome: Outcome | None = None

    def run(self) -> Outcome:
        """Until an answer is accepted, nothing is left to ask, time is up, or the caller cancels."""
        try:
            while self._outcome is None:
                self._advance()
        finally:
            # also when the caller's check or sink raises
            self._drop(list(self._trying.values()))
        return self._outcome

    def _advance(self) -> None:
        now = self._stage.now()
        if self._cancelled:
            self._end("cancelled")
        elif now >= self._wanted.until:
            self._end("deadline")
        elif self._trying:
            self._listen(now)
        elif self._resume is None:
            self._next()
        elif now >= self._resume[0]:
            progress, self._resume = self._resume[1], None
            self._ask_again(progress)
        else:
            self._pause(now, self._resume[0])

    @property
    def _cancelled(self) -> bool:
        return self._wanted.cancel is not None and self._wanted.cancel.is_set

    # -- listening

    def _listen(self, now: float) -> None:
        hedge_at = self._hedge_at()
        moments = [t.until for t in self._trying.values()]
        said = self._pause(now, min(moments if hedge_at is None else [*moments, hedge_at]))
        trying = None if said is None else self._trying.get(said.number)
        if said is not None and trying is not None:
            self._hear(trying, said)
        # checked whatever was said: a target that drips words for ever is late too
        now = self._stage.now()
        for late in [t for t in self._trying.values() if now >= t.until]:
            if late.number in self._trying:
                self._late(late)
        if hedge_at is not None and now >= hedge_at and self._outcome is None:
            self._hedge()

    def _pause(self, now: float, until: float) -> Message | None:
        """What is said meanwhile. A caller's Cancel has no bell, so it is looked at now and then."""
        seconds = min(until, self._wanted.until) - now
        if self._wanted.cancel is not None:
            seconds = min(seconds, _POLL)
        return self._stage.take(self._inbox, max(0.0, seconds))

    def _hear(self, trying: Trying, said: Message) -> None:
        if isinstance(said, Turn):
            self._turn(trying)
        elif isinstance(said, Words):
            self._words(trying, said.text)
        elif isinstance(said.outcome, ModelError):
            self._failed(trying, said.outcome)
        else:
            self._answered(trying, said.outcome)

    def _turn(self, trying: Trying) -> None:
        """It has its place, or is refused it."""
        if trying.place is Place.WAITING or trying.started is not None or self._cancelled:
            return
        if trying.place is Place.REFUSED:
            self._crowded(trying, "busy", "too many calls are waiting")
            return
        try:
            wanted = self._wanted
            trying.start(wanted.task.name, wanted.meter, streaming=wanted.sink is not None)
        except ModelError as error:
            self._crowded(trying, "budget" if error.kind == "budget" else "breaker", error.message)

    def _words(self, trying: Trying, text: str) -> None:
        if not self._speaking:
            self._speaking = trying.number
            self._drop([t for t in self._trying.values() if t is not trying])
        self._tell(trying.number, text)

    def _tell(self, number: int, text: str) -> None:
        sink = self._wanted.sink
        if sink is not None and text and sink(Piece(number, text)):
            self._kept = True

    def _late(self, trying: Trying) -> None:
        if trying.started is None:
            self._crowded(trying, "busy", "its turn did not come in time")
        else:
            self._over(trying, trying.drop("timeout"))
            self._after(trying, "timeout", "not within its time")

    # -- asking

    def _next(self) -> None:
        """The next option, or the end. One at a time: whether the caller has cancelled is looked at between."""
        if self._options:
            option = self._options.popleft()
            if not self._affordable(option):
                return
            if option.target is None:
                self._rule(option)
            elif (progress := self._progress(option)) is not None:
                self._decide(option, "asked", "next" if self._ends else "first")
                self._ask(progress)
        elif not self._ends:
            self._end("no_route")
        elif _POOR.issuperset(self._ends):
            self._end("spent")
        else:
            self._end("busy" if _CROWDED.issuperset(self._ends) else "failed")

    def _affordable(self, option: Option) -> bool:
        """Whether as much is left as ``option`` wants there to be, or False and the reason on record."""
        wanted, meter = option.conditions.room, self._wanted.meter
        left = meter.room(self._wanted.task.name) if wanted and meter is not None else None
        if left is None or left >= wanted:
            return True
        self._skip(option, "room", f"{amount(left)} are left, and it is for when {amount(wanted)} are")
        return False

    def _progress(self, option: Option) -> Progress | None:
        """What is needed to ask ``option``, or None and the reason on record."""
        if option.target is None or option.settings is None:
            return None
        now = self._stage.now()
        if not self._exchange.breaker(option.target).ready(now):
            self._skip(option, "breaker", "it failed lately, or asked for quiet")
            return None
        try:
            model = self._models(option.target)
        except ModelError as error:
            self._skip(option, "unavailable", error.message)
            return None
        unfit = self._unfit(model)
        if unfit is not None:
            self._skip(option, *unfit)
            return None
        # an equal share of the time for each that is left: nobody can use up the time of those behind
        behind = sum(
            o.target is not None and self._exchange.breaker(o.target).ready(now) for o in self._options
        )
        until = now + (self._wanted.until - now) / (1 + behind)
        return Progress(self._wanted.request, option, option.target, option.settings, model, until)

    def _unfit(self, model: ChatModel) -> tuple[str, str] | None:
        level = self._wanted.shape.level
        if level >= CONFIDENTIAL and not model.info.local:
            return (
                "sensitivity",
                f"{CLASSIFICATIONS[level]} text, and the model is not local whatever the release says",
            )
        if self._wanted.request.tools and not model.info.tools:
            return "tools", "the model has no tools"
        return None

    def _ask(self, progress: Progress, *, hedge: bool = False) -> Trying:
        self._numbers += 1
        progress.tries += 1
        trying = Trying(
            self._exchange, progress, self._numbers, self._inbox, self._wanted.tenant, hedge=hedge
        )
        self._trying[trying.number] = trying
        self._turn(trying)
        return trying

    def _ask_again(self, progress: Progress) -> None:
        """Unless it can no longer be had: it may have been stopped while we waited."""
        try:
            self._models(progress.target)
        except ModelError as error:
            self._skip(progress.option, "unavailable", error.message)
            return
        self._ask(progress)

    def _rule(self, option: Option) -> None:
        """A deterministic answer, here and now."""
        rule, began = self._rules.get(option.name), self._stage.now()
        if rule is None:
            self._skip(option, "unavailable", "there is no such rule in this process")
            return
        self._decide(option, "asked", "next" if self._ends else "first")
        result = rule(self._wanted.request)
        taken = round((self._stage.now() - began) * 1000)
        self._attempts.append(Attempt(option.name, "", taken, 0, False))
        judged = Judged(False, "abstained") if result is None else self._judge(option, result)
        if result is not None and judged.ok:
            self._numbers += 1
            self._tell(self._numbers, result.text)
            self._accept(option, result)
        else:
            self._leave(option, judged.reason, judged.detail)

    # -- a second call beside a slow one

    def _hedge_at(self) -> float | None:
        if self._hedged or self._speaking or len(self._trying) != 1:
            return None
        (trying,) = self._trying.values()
        hedge = trying.progress.option.hedge
        if hedge is None or trying.started is None:
            return None
        slow = self._exchange.tails(trying.progress.target).slow(hedge.percentile)
        return None if slow is None else trying.started + max(slow, hedge.least_ms / 1000)

    def _hedge(self) -> None:
        self._hedged = True
        trying = next(iter(self._trying.values()), None)
        if trying is None or trying.progress.option.hedge is None:
            return
        if not self._exchange.tails(trying.progress.target).hedge():
            return
        beside: Progress | None = trying.progress
        if trying.progress.option.hedge.to == "next":
            following = self._options.popleft() if self._options else None
            able = following is not None and self._affordable(following)
            beside = self._progress(following) if following is not None and able else None
        if beside is None:
            return
        self._decide(beside.option, "hedged", "slow")
        second = self._ask(beside, hedge=True)
        if second.place is Place.WAITING:
            self._crowded(second, "busy", "a second call does not queue")

    # -- endings

    def _answered(self, trying: Trying, result: ChatResult) -> None:
        self._over(trying, trying.record("", result))
        option = trying.progress.option
        judged = self._judge(option, result)
        if not judged.ok:
            if not self._repair(trying, judged):
                self._after(trying, judged.reason, judged.detail, again=False)
            return
        if self._speaking != trying.number:
            self._tell(trying.number, result.text)
        self._accept(option, result)

    def _repair(self, trying: Trying, judged: Judged) -> bool:
        """Ask the same target once more for an answer that had the wrong form: once in a call, and not when another is on
        its way or something of it was released. True if it is asked."""
        wanted, progress = self._wanted, trying.progress
        now = self._stage.now()
        if judged.reason != "schema" or wanted.request.schema is None or self._repaired or self._trying:
            return False
        if (self._kept and self._speaking == trying.number) or now >= progress.until:
            return False
        self._repaired, self._speaking = True, 0
        progress.request = once_more(wanted.request)
        self._decide(progress.option, "repaired", judged.reason, judged.detail)
        self._resume = now, progress
        return True

    def _judge(self, option: Option, result: ChatResult) -> Judged:
        check = self._wanted.check
        try:
            judged = GOOD if check is None else check(result)
        except ModelError as error:
            return Judged(False, error.kind, error.message)
        if judged.ok and option.confidence and (judged.confidence or 0.0) < option.confidence:
            return Judged(False, "low_confidence", f"{judged.confidence} of {option.confidence}")
        return judged

    def _accept(self, option: Option, result: ChatResult) -> None:
        self._drop(list(self._trying.values()))
        self._decide(option, "accepted", "checked" if self._wanted.check is not None else "unchecked")
        self._outcome = self._result(result, option.name, "")

    def _failed(self, trying: Trying, error: ModelError) -> None:
        self._over(trying, trying.record(error.kind))
        self._after(trying, error.kind, error.message, again=error.retryable, wait=error.wait)

    def _crowded(self, trying: Trying, why: str, told: str) -> None:
        """It was not asked at all."""
        trying.drop("abandoned")
        del self._trying[trying.number]
        if self._trying:
            self._decide(trying.progress.option, "skipped", why, told)
        else:
            self._leave(trying.progress.option, why, told)

    def _over(self, trying: Trying, attempt: Attempt) -> None:
        del self._trying[trying.number]
        self._attempts.append(attempt)

    def _after(
        self, trying: Trying, why: str, told: str, *, again: bool = True, wait: float | None = None
    ) -> None:
        """``trying`` came to nothing: wait for the other, try once more, or go on."""
        if self._speaking == trying.number:
            self._speaking = 0
            if self._kept:
                self._leave(trying.progress.option, why, told)
                self._end("cut")
                return
        progress = trying.progress
        if self._trying:
            self._decide(progress.option, "failed", why, told)
            return
        now = self._stage.now()
        pause = self._backoff(progress.tries, wait)
        if again and progress.tries < progress.settings.attempts and now + pause < progress.until:
            self._decide(progress.option, "retried", why, told)
            self._resume = now + pause, progress
        else:
            self._leave(progress.option, why, told)

    def _backoff(self, tries: int, wait: float | None) -> float:
        """Seconds: anywhere up to a bound that doubles ("full jitter"), but no less than what was asked for."""
        pause = self._exchange.chance() * min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))
        return pause if wait is None or not wait > pause else wait

    def _leave(self, option: Option, why: str, told: str = "") -> None:
        self._ends.append(why)
        self._decide(option, "escalated", why, told)

    def _skip(self, option: Option, why: str, told: str) -> None:
        if why in _COUNTS:
            self._ends.append(why)
        self._decide(option, "skipped", why, told)

    def _end(self, reason: str) -> None:
        self._drop(list(self._trying.values()))
        self._decisions.append(Decision("", "ended", reason))
        self._outcome = self._result(None, "", reason)

    def _drop(self, those: Iterable[Trying]) -> None:
        for trying in those:
            del self._trying[trying.number]
            kind = "timeout" if self._stage.now() >= self._wanted.until else "abandoned"
            attempt = trying.drop(kind)
            if trying.started is not None:
                self._attempts.append(attempt)

    def _decide(self, option: Option, what: str, why: str, told: str = "") -> None:
        self._decisions.append(Decision(option.name, what, why, detail(told)))

    def _result(self, result: ChatResult | None, option: str, reason: str) -> Outcome:
        return Outcome(result, option, reason, tuple(self._decisions), tuple(self._attempts))
