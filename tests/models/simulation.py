"""Models that do what they are told, and time that passes only when somebody waits: whole calls without a second of waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from affidavit.domain.errors import ModelError
from affidavit.domain.routes import Routes, Target, load
from affidavit.models.course import Piece
from affidavit.models.deadline import Deadline
from affidavit.models.exchange import Exchange
from affidavit.models.plane import Plane
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Delta, Message, ModelInfo, Usage
from affidavit.runs.recorder import Run
from affidavit.testing.clock import SeededRandomness

T = TypeVar("T")
FOREVER = 1e9


class SimulatedStage:
    """Implements ``models.stage.Stage`` in one thread. ``work`` is run at once; how long it says to have taken (``spend``)
    decides when what it posts and what it gives are seen."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._inside: float | None = None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def now(self) -> float:
        return self._now

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Do it then."""
        heapq.heappush(self._due, (moment, next(self._numbers), what))

    def spend(self, seconds: float) -> None:
        """From within ``work``: this takes so long."""
        assert self._inside is not None
        self._inside += seconds

    def start(self, work: Callable[[], T], done: Callable[[T | ModelError], None]) -> None:
        self._inside = self._now
        outcome = work()
        self.at(self._inside, lambda: done(outcome))
        self._inside = None

    def post(self, inbox: SimpleQueue[T], item: T) -> None:
        assert self._inside is not None
        self.at(self._inside, lambda: inbox.put(item))

    def take(self, inbox: SimpleQueue[T], seconds: float) -> T | None:
        until = self._now + max(0.0, seconds)
        while inbox.empty() and self._due and self._due[0][0] <= until:
            self._now, _, what = heapq.heappop(self._due)
            what()
        if inbox.empty():
            self._now = until
            return None
        try:
            return inbox.get_nowait()
        except Empty:
            return None

    def settle(self) -> None:
        """Let everything that was begun come to its end."""
        while self._due:
            moment, _, what = heapq.heappop(self._due)
            self._now = max(self._now, moment)
            what()


@dataclass
class Step:
    """What a scripted model does once: after ``seconds`` it answers ``text``, or fails with ``kind``. ``after``: pieces that are
    streamed first, evenly over the time."""

    seconds: float = 0.0
    kind: str = ""
    text: str = "good"
    wait: float | None = None
    after: tuple[str, ...] = ()
    finish: str = "stop"


class Scripted:
    """Implements ``ChatModel``: one step of its script for each call, the last one for ever. ``asked``: (moment, request)."""

    def __init__(
        self, stage: SimulatedStage, script: Sequence[Step], *, local: bool = True, streaming: bool = True
    ) -> None:
        self._stage, self._script = stage, list(script)
        self.info = ModelInfo("scripted", "scripted", "strict", True, streaming, True, local)
        self.asked: list[tuple[float, ChatRequest]] = []

    def _step(self, request: ChatRequest) -> Step:
        self.asked.append((self._stage.now(), request))
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        step = self._step(request)
        self._stage.spend(step.seconds)
        return _given(step)

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        step = self._step(request)
        pieces = step.after if step.kind else (step.after or (step.text,))
        for piece in pieces:
            self._stage.spend(step.seconds / (len(pieces) + 1))
            yield Delta(piece)
        self._stage.spend(step.seconds / (len(pieces) + 1))
        yield Delta("", _given(step))

    def close(self) -> None:
        """Nothing to let go of."""


def _given(step: Step) -> ChatResult:
    if step.kind:
        raise ModelError(step.kind, f"told to: {step.kind}", wait=step.wait)
    return ChatResult(step.text, (), step.finish, Usage(7, 3), "scripted")


def target(**changes: Any) -> dict[str, Any]:
    """A target's content."""
    base = {
        "kind": "openai",
        "model": "m",
        "version": "1",
        "base_url": "http://h/v1",
        "local": True,
        "region": "",
    }
    return {**base, **changes}


def option(name: str, **changes: Any) -> dict[str, Any]:
    """A line of a task."""
    exact = {"temperature": "0", "top_p": "", "seed": 7, "max_tokens": 100, "timeout_ms": 4000, "attempts": 1}
    return {"target": name, **exact, **changes}


def content(
    names: Sequence[str], options: Sequence[Mapping[str, Any]] = (), **targets: Any
) -> dict[str, Any]:
    """Routes with the task ``answer`` over ``names`` in order."""
    return {
        "targets": {n: targets.get(n) or target(model=n) for n in names},
        "tasks": {"answer": {"options": list(options or map(option, names))}},
    }


def into(heard: list[str]) -> Callable[[Piece], bool]:
    """A sink that keeps what it hears and releases nothing."""

    def sink(piece: Piece) -> bool:
        heard.append(piece.text)
        return False

    return sink


ASKED = ChatRequest((Message("user", "What is a walrus?"),), 500, 30.0)


@dataclass
class World:
    """A plane over scripted models, by the names of their targets."""

    scripts: Mapping[str, Sequence[Step]]
    routes: Mapping[str, Any] = field(default_factory=dict)
    local: bool = True
    streaming: bool = True
    rules: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stage = SimulatedStage()
        self.exchange = Exchange(self.stage, SeededRandomness())
        self.models = {
            n: Scripted(self.stage, s, local=self.local, streaming=self.streaming)
            for n, s in self.scripts.items()
        }
        self.loaded: Routes = load(self.routes or content(list(self.scripts)))
        self.plane = Plane(self.loaded, self.model, self.exchange, self.rules)
        self.run = Run("run-x", 1, "ask", "0" * 64)

    def model(self, target: Target) -> Scripted:
        return self.models[target.name]

    def call(self, seconds: float = 10.0, **more: Any) -> Any:
        """A call of ``answer`` within so many seconds."""
        given = {"sensitivity": ["internal"], "deadline": Deadline.after(seconds, self.stage.now), **more}
        if "sink" in given:
            return self.plane.stream(self.run, "answer", ASKED, given.pop("sink"), **given)
        return self.plane.call(self.run, "answer", ASKED, **given)

    def count(self) -> dict[str, int]:
        """How often each model was asked."""
        return {n: len(m.asked) for n, m in self.models.items()}
