"""One question put to one target: its place, its permit, its money, its thread, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TypeAlias

from affidavit.domain.canonical import canonical
from affidavit.domain.errors import ModelError
from affidavit.domain.routes import Option, Settings, Target
from affidavit.models.breaker import Breaker, Permit
from affidavit.models.exchange import Exchange, Meter, Reservation
from affidavit.models.gate import Place, Ticket
from affidavit.models.outcome import Attempt
from affidavit.ports.model import Cancel, ChatModel, ChatRequest, ChatResult, plain

LARGEST = 2**20
"""Characters of an answer from which on it is no answer."""

_ALIVE = frozenset({"schema", "refused", "request"})
_NO_VERDICT = frozenset({"cancelled", "budget"})


@dataclass(frozen=True)
class Turn:
    """Attempt ``number`` has its place, or was refused it."""

    number: int


@dataclass(frozen=True)
class Words:
    """A piece of the stream of attempt ``number``."""

    number: int
    text: str


@dataclass(frozen=True)
class End:
    """Attempt ``number`` is over."""

    number: int
    outcome: ChatResult | ModelError


Message: TypeAlias = Turn | Words | End


@dataclass(eq=False)
class Progress:
    """How far a call has come with one option; it may use the time until ``until``. ``request``: what it is asked."""

    request: ChatRequest
    option: Option
    target: Target
    settings: Settings
    model: ChatModel
    until: float
    tries: int = 0


class Trying:
    """An attempt from its place in the queue to its end. Used by the call's own thread, but for ``_done``."""

    def __init__(
        self,
        exchange: Exchange,
        progress: Progress,
        number: int,
        inbox: SimpleQueue[Message],
        tenant: int,
        *,
        hedge: bool,
    ) -> None:
        self.progress, self.number, self.hedge = progress, number, hedge
        self.began = exchange.stage.now()
        self.started: float | None = None
        self.until = progress.until
        self._exchange, self._inbox = exchange, inbox
        self._cancel = Cancel()
        self._permits: list[Permit] = []
        self._reservation: Reservation | None = None
        self._ticket: Ticket = exchange.gate.enter(progress.target, tenant, lambda: inbox.put(Turn(number)))

    @property
    def place(self) -> Place:
        return self._ticket.place

    def start(self, task: str, meter: Meter | None, *, streaming: bool) -> None:
        """Its turn has come: ask. Raises ModelError if the breaker or the budget is against it."""
        now, settings = self._exchange.stage.now(), self.progress.settings
        permit = self._breaker.admit(now)
        if permit is None:
            raise ModelError("overloaded", "the target was found failing meanwhile")
        self._permits.append(permit)
        self.until = min(now + settings.timeout_ms / 1000, self.progress.until)
        exact = _exact(self.progress.request, settings, self.progress.model, self.until - now)
        if meter is not None:
            self._reservation = meter.reserve(task, self.progress.target, exact)
        if not self.hedge:
            self._exchange.tails(self.progress.target).asked()
        self.started = now
        self._exchange.stage.start(lambda: self._work(exact, streaming=streaming), self._done)

    def drop(self, kind: str) -> Attempt:
        """Wait for it no longer. ``kind`` is ``timeout`` or ``abandoned``; its thread ends when the adapter lets it."""
        self._cancel.set()
        now = self._exchange.stage.now()
        # A caller in a hurry must not make a target look broken to everybody else.
        fair = self.started is not None and 2000 * (now - self.started) >= self.progress.settings.timeout_ms
        self._verdict("timeout" if kind == "timeout" and fair else "cancelled")
        if self.started is None:
            self._exchange.gate.leave(self._ticket)
        return self.record(kind)

    def record(self, kind: str, result: ChatResult | None = None) -> Attempt:
        """As it stands in the record, ending now."""
        now = self._exchange.stage.now()
        turn = now if self.started is None else self.started
        usage = (-1, -1) if result is None else (result.usage.input, result.usage.output)
        return Attempt(
            self.progress.option.name,
            kind,
            round((now - turn) * 1000),
            round((turn - self.began) * 1000),
            self.hedge,
            *usage,
        )

    @property
    def _breaker(self) -> Breaker:
        return self._exchange.breaker(self.progress.target)

    # -- in the attempt's own thread

    def _work(self, request: ChatRequest, *, streaming: bool) -> ChatResult | ModelError:
        try:
            if streaming and self.progress.model.info.streaming:
                return _usable(self._stream(request), request)
            return _usable(self.progress.model.complete(request, self._cancel), request)
        except ModelError as error:
            return error

    def _stream(self, request: ChatRequest) -> ChatResult:
        """Hands each piece on. What is recorded and checked must be what was streamed."""
        told: list[str] = []
        size = 0
        for delta in self.progress.model.stream(request, self._cancel):
            if self._cancel.is_set:
                raise ModelError("cancelled", "the answer is not waited for")
            size += len(delta.text)
            if size > LARGEST:
                raise ModelError("schema", "the answer does not end")
            if delta.text:
                told.append(delta.text)
                self._exchange.stage.post(self._inbox, Words(self.number, delta.text))
            if delta.result is not None:
                if delta.result.text != "".join(told):
                    raise ModelError("schema", "the answer is not what was streamed")
                return delta.result
        raise ModelError("connection", "the stream ended before the answer did")

    def _done(self, outcome: ChatResult | ModelError) -> None:
        now = self._exchange.stage.now()
        if isinstance(outcome, ModelError):
            if outcome.wait is not None and 0 < outcome.wait < float("inf"):
                self._breaker.rest(now, outcome.wait)
            self._verdict(outcome.kind)
        else:
            self._exchange.tails(self.progress.target).took(now - (self.started or now))
            self._verdict("")
        self._exchange.gate.leave(self._ticket)
        try:
            if self._reservation is not None:
                self._reservation.settle(None if isinstance(outcome, ModelError) else outcome)
        finally:
            self._inbox.put(End(self.number, outcome))

    def _verdict(self, kind: str) -> None:
        """Tell the breaker, once: whichever of the two threads comes first."""
        try:
            permit = self._permits.pop()
        except IndexError:
            return
        if kind in _NO_VERDICT:
            self._breaker.unknown(permit)
        elif not kind or kind in _ALIVE:
            self._breaker.passed(permit)
        else:
            self._breaker.failed(permit, self._exchange.stage.now())


def _exact(request: ChatRequest, settings: Settings, model: ChatModel, seconds: float) -> ChatRequest:
    """``request`` with the option's own settings."""
    return replace(
        request,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=settings.seed if model.info.seed else None,
        max_tokens=min(request.max_tokens, settings.max_tokens),
        stop=settings.stop or request.stop,
        timeout=max(seconds, 0.001),
    )


def _usable(result: ChatResult, request: ChatRequest) -> ChatResult:
    """``result`` if it can stand in the record and is whole. Raises ModelError."""
    if len(result.text) + sum(len(c.arguments) for c in result.calls) > LARGEST:
        raise ModelError("schema", "the answer is too long")
    try:
        canonical(plain(result))
    except (TypeError, ValueError) as error:
        raise ModelError("schema", "the answer holds what is not Unicode or no number") from error
    if result.finish == "filtered":
        raise ModelError("refused", "the provider filtered the answer")
    if result.finish == "length" and request.schema is not None:
        raise ModelError("schema", "the answer was cut off at its longest")
    return result
