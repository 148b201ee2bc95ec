"""The model plane: every question to a model goes through here, and is one step of its run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from affidavit.domain.canonical import Json, digest
from affidavit.domain.errors import UsageError
from affidavit.domain.routes import TASKS, Routes, Task
from affidavit.models.course import Course, Piece, Sink, Wanted
from affidavit.models.deadline import Deadline
from affidavit.models.exchange import Exchange, Meter, Models, Rule
from affidavit.models.outcome import Check, Outcome
from affidavit.models.routes import shape, step_input
from affidavit.ports.model import Cancel, ChatRequest
from affidavit.runs.recorder import Run

STEP = "model"
"""The name of the step."""


@dataclass(frozen=True)
class Parts:
    """How the pieces of a stream become parts that can be used before the whole is there: ``cut`` takes a piece and gives the
    parts that are complete by it; ``take`` uses one and says whether something was released, so that the answer must not begin
    anew. ``name`` is that of their steps."""

    name: str
    cut: Callable[[Piece], Sequence[Json]]
    take: Callable[[Any], bool]


class Plane:
    """The routes of one release over what the process shares. Cheap to make; safe for threads.

    ``models`` gives the model at a target, ``rules`` the deterministic ones by name.
    """

    def __init__(
        self, routes: Routes, models: Models, exchange: Exchange, rules: Mapping[str, Rule] | None = None
    ) -> None:
        self._routes, self._models, self._exchange = routes, models, exchange
        self._rules = dict(rules or {})
        self._lock = threading.Lock()
        self._asked: WeakKeyDictionary[Run, Counter[str]] = WeakKeyDictionary()

    def call(
        self,
        run: Run,
        task: str,
        request: ChatRequest,
        *,
        sensitivity: Iterable[str],
        deadline: Deadline,
        traits: Iterable[str] = (),
        check: Check | None = None,
        cancel: Cancel | None = None,
        meter: Meter | None = None,
        options: Set[int] | None = None,
    ) -> Outcome:
        """An answer that passed ``check``, or an exhausted outcome; not later than ``deadline`` (but for the time ``check``
        takes). ``sensitivity``: the classifications of all text in the request. ``options``: only those of the task at these
        places, None for all. Never raises ModelError.

        In a replay the outcome comes from the record, and nobody is asked.
        """
        return self._step(
            run, task, request, sensitivity, deadline, traits, check, cancel, meter, None, options
        )

    def stream(
        self,
        run: Run,
        task: str,
        request: ChatRequest,
        sink: Sink,
        *,
        sensitivity: Iterable[str],
        deadline: Deadline,
        traits: Iterable[str] = (),
        check: Check | None = None,
        cancel: Cancel | None = None,
        meter: Meter | None = None,
        options: Set[int] | None = None,
    ) -> Outcome:
        """``call``, with pieces of the answer handed to ``sink`` as they come, in the caller's thread. They are not checked
        and nothing is released here: only the outcome is an answer. While ``sink`` says that nothing was released, a
        failure begins anew with another target; afterwards it ends the call (``cut``). In a replay the whole answer is one piece.
        """
        told: list[Piece] = []

        def telling(piece: Piece) -> bool:
            told.append(piece)
            return sink(piece)

        outcome = self._step(
            run, task, request, sensitivity, deadline, traits, check, cancel, meter, telling, options
        )
        if outcome.result is not None and outcome.result.text and not told:
            sink(Piece(1, outcome.result.text))
        return outcome

    def flow(
        self,
        run: Run,
        task: str,
        request: ChatRequest,
        parts: Parts,
        *,
        sensitivity: Iterable[str],
        deadline: Deadline,
        check: Check | None = None,
        meter: Meter | None = None,
        options: Set[int] | None = None,
    ) -> Outcome:
        """``stream`` for answers that are used in parts: ``parts.cut`` makes parts of the pieces, each of which is a step of
        its own and goes to ``parts.take``. In a replay the parts come from the record too, so that ``take`` is told the same."""
        given, wanted = self._put(run, task, request, sensitivity, deadline, (), check, None, meter, options)

        def compute(tell: Callable[[Json], bool]) -> Json:
            def sink(piece: Piece) -> bool:
                kept = False
                for part in parts.cut(piece):
                    kept = tell(part) or kept
                return kept

            return self._course(replace(wanted, sink=sink))

        return Outcome.from_json(run.flow(STEP, given, parts.name, compute, parts.take))

    def _step(
        self,
        run: Run,
        name: str,
        request: ChatRequest,
        sensitivity: Iterable[str],
        deadline: Deadline,
        traits: Iterable[str],
        check: Check | None,
        cancel: Cancel | None,
        meter: Meter | None,
        sink: Sink | None,
        options: Set[int] | None,
    ) -> Outcome:
        given, wanted = self._put(
            run, name, request, sensitivity, deadline, traits, check, cancel, meter, options
        )
        said: Any = run.effect(STEP, given, lambda: self._course(replace(wanted, sink=sink)))
        return Outcome.from_json(said)

    def _put(
        self,
        run: Run,
        name: str,
        request: ChatRequest,
        sensitivity: Iterable[str],
        deadline: Deadline,
        traits: Iterable[str],
        check: Check | None,
        cancel: Cancel | None,
        meter: Meter | None,
        options: Set[int] | None,
    ) -> tuple[dict[str, Json], Wanted]:
        """What identifies the call in the record, and the call."""
        task = self._task(name)
        if options is not None:
            task = replace(task, options=tuple(o for n, o in enumerate(task.options) if n in options))
        seen = shape(request, sensitivity, traits)
        until = self._exchange.stage.now() + deadline.left
        given = step_input(task, request, seen)
        wanted = Wanted(run.tenant, task, request, seen, until, check, cancel, meter)
        return {**given, "again": self._again(run, given)}, wanted

    def _course(self, wanted: Wanted) -> Json:
        return Course(self._exchange, self._models, self._rules, wanted).run().as_json()

    def _task(self, name: str) -> Task:
        if name not in TASKS:
            raise UsageError(f"there is no task {name!r}", f"there are {', '.join(TASKS)}")
        return self._routes.tasks.get(name) or Task(name, (), frozenset(), "")

    def _again(self, run: Run, given: Mapping[str, Json]) -> int:
        """How often this run has asked the very same before: each time has an answer of its own in the record."""
        key = digest(given)
        with self._lock:
            asked = self._asked.setdefault(run, Counter())
            asked[key] += 1
            return asked[key] - 1
