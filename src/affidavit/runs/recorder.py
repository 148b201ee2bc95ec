"""The step recorder: a run is a numbered list of named steps, kept in memory until it is made durable."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affidavit.domain.canonical import Json, digest
from affidavit.domain.clock import Randomness
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import RunStatus
from affidavit.events.log import Transaction


def new_run_id(randomness: Randomness) -> str:
    """An unguessable id: 80 bits, base 32."""
    return "run-" + base64.b32encode(randomness.token(10)).decode().lower()


class Run:
    """Collects one run's events; ``flush`` writes what has collected inside a transaction.

    A step's ``input`` and ``output`` are canonical JSON: whole, since replay compares them. What the flow gets from
    outside itself (a model's numbers) it gets through ``effect``, so that replay can answer it from the record.
    """

    def __init__(self, id: str, tenant: int, journey: str, release: str) -> None:
        self.id = id
        self.tenant = tenant
        self.journey = journey
        self.release = release
        self._pending: list[Event] = []
        self._steps = 0
        self._decisions = 0
        self._claims: list[Mapping[str, Json]] = []
        self._begun = False
        self._ended = False
        self._reused: list[str] = []

    def _add(self, kind: EventKind, facts: Mapping[str, int | str], body: Json) -> None:
        self._pending.append(Event(kind, self.tenant, self.id, facts, body))

    def start(self, body: Mapping[str, Json]) -> None:
        """Who asks for what; first of all."""
        self._add(EventKind.RUN_STARTED, {"journey": self.journey, "release": self.release}, body)

    def step(self, name: str, input: Json, output: Json, cost: int | None = None) -> int:
        """One outside effect or decision of the flow; its number, from 1. ``cost``: microseconds, which no replay compares."""
        self._steps += 1
        facts: dict[str, int | str] = {"step": self._steps, "name": name}
        body: dict[str, Json] = {"input": input, "output": output}
        self._add(EventKind.STEP_RECORDED, facts, body if cost is None else {**body, "cost": cost})
        return self._steps

    def effect(self, name: str, input: Json, compute: Callable[[], Json]) -> Any:
        """The output of a step that the flow cannot work out again from the workspace alone: ``compute`` gives it."""
        output = compute()
        self.step(name, input, output)
        return output

    def flow(
        self,
        name: str,
        input: Json,
        part: str,
        compute: Callable[[Callable[[Json], bool]], Json],
        take: Callable[[Any], bool],
    ) -> Any:
        """``effect`` whose output has parts that come before it is whole. ``compute`` hands each to the function it is given:
        it becomes a step called ``part`` of its own, then ``take`` has it, whose word goes back to ``compute``. What ``take``
        records stands between the parts, in a replay as well."""
        of, count = digest(input), 0

        def tell(said: Json) -> bool:
            nonlocal count
            count += 1
            self.step(part, {"of": of, "n": count}, said)
            return take(said)

        output = compute(tell)
        self.step(name, input, output)
        return output

    def release_claim(self, body: Mapping[str, Json]) -> None:
        """A claim that the person is about to be given before the answer is whole."""
        self._claims.append(body)
        self._add(EventKind.CLAIM_RELEASED, {"claim": len(self._claims)}, body)

    @property
    def claims(self) -> Sequence[Mapping[str, Json]]:
        """What ``release_claim`` was told, in order."""
        return self._claims

    def decide(self, action: str, effect: str, body: Mapping[str, Json]) -> None:
        """A decision made within the latest step. Its body, and that there was one, is for auditors only."""
        self._decisions += 1
        self._add(EventKind.DECISION_MADE, {"step": self._steps, "action": action, "effect": effect}, body)

    def release_answer(self, status: RunStatus, body: Mapping[str, Json]) -> None:
        """What the person is about to be given."""
        self._add(EventKind.ANSWER_RELEASED, {"status": status.value}, body)

    def reuse(self, what: str) -> None:
        """Note that ``what`` was known from before: the end of the record says so, and no replay compares it."""
        if what not in self._reused:
            self._reused.append(what)

    def finish(self, status: str, body: Mapping[str, Json]) -> None:
        """The end. How many decisions were made stands in the body: the header goes into an asker's proof."""
        facts: dict[str, int | str] = {"status": status, "steps": self._steps}
        self._ended = True
        cached: dict[str, Json] = {"cached": list(self._reused)} if self._reused else {}
        self._add(EventKind.RUN_FINISHED, facts, {**body, **cached, "decisions": self._decisions})

    @property
    def events(self) -> Sequence[Event]:
        """What has been collected and is not durable yet, in the order in which it is written.

        Decisions come last: a proof of an answer names positions, and how far those of a run lie apart must not tell
        an asker how much was denied.
        """
        return sorted(self._pending, key=lambda e: e.kind is EventKind.DECISION_MADE)

    @property
    def taken(self) -> int:
        """The number of the latest step, 0 before the first."""
        return self._steps

    @property
    def begun(self) -> bool:
        """Whether some of it may be on the log already, by ``flush_begun``."""
        return self._begun

    @property
    def ended(self) -> bool:
        """Whether ``finish`` was called."""
        return self._ended

    def flush(self, transaction: Transaction) -> int:
        """Append what has collected; the last position. Call ``flushed`` once the commit has succeeded."""
        return self._append(transaction, self.events)

    def flush_begun(self, transaction: Transaction) -> int:
        """Append what has collected and is not on the log yet, but for decisions, which wait for the end: see ``events``.

        To be called again and at last followed by ``flush``, without ``flushed``. The log itself says how much it has, so that
        whoever was interrupted between a commit and hearing of it writes nothing twice.
        """
        self._begun = True
        return self._append(transaction, [e for e in self.events if e.kind is not EventKind.DECISION_MADE])

    def _append(self, transaction: Transaction, events: Sequence[Event]) -> int:
        position = transaction.next_position - 1
        for event in events[transaction.written(self.id) if self._begun else 0 :]:
            position = transaction.append(event)
        return position

    def flushed(self) -> None:
        """The commit is durable: forget what it holds."""
        self._pending.clear()
