"""The step recorder: a run is a numbered list of named steps, kept in memory until it is made durable."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affidavit.domain.canonical import Json
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

    def _add(self, kind: EventKind, facts: Mapping[str, int | str], body: Json) -> None:
        self._pending.append(Event(kind, self.tenant, self.id, facts, body))

    def start(self, body: Mapping[str, Json]) -> None:
        """Who asks for what; first of all."""
        self._add(EventKind.RUN_STARTED, {"journey": self.journey, "release": self.release}, body)

    def step(self, name: str, input: Json, output: Json) -> int:
        """One outside effect or decision of the flow; its number, from 1."""
        self._steps += 1
        facts: dict[str, int | str] = {"step": self._steps, "name": name}
        self._add(EventKind.STEP_RECORDED, facts, {"input": input, "output": output})
        return self._steps

    def effect(self, name: str, input: Json, compute: Callable[[], Json]) -> Any:
        """The output of a step that the flow cannot work out again from the workspace alone: ``compute`` gives it."""
        output = compute()
        self.step(name, input, output)
        return output

    def decide(self, action: str, effect: str, body: Mapping[str, Json]) -> None:
        """A decision made within the latest step. Its body, and that there was one, is for auditors only."""
        self._decisions += 1
        self._add(EventKind.DECISION_MADE, {"step": self._steps, "action": action, "effect": effect}, body)

    def release_answer(self, status: RunStatus, body: Mapping[str, Json]) -> None:
        """What the person is about to be given."""
        self._add(EventKind.ANSWER_RELEASED, {"status": status.value}, body)

    def finish(self, status: str, body: Mapping[str, Json]) -> None:
        """The end. How many decisions were made stands in the body: the header goes into an asker's proof."""
        facts: dict[str, int | str] = {"status": status, "steps": self._steps}
        self._add(EventKind.RUN_FINISHED, facts, {**body, "decisions": self._decisions})

    @property
    def events(self) -> Sequence[Event]:
        """What has been collected and is not durable yet, in the order in which it is written.

        Decisions come last: a proof of an answer names positions, and how far those of a run lie apart must not tell
        an asker how much was denied.
        """
        return sorted(self._pending, key=lambda e: e.kind is EventKind.DECISION_MADE)

    def flush(self, transaction: Transaction) -> int:
        """Append what has collected; the last position. Call ``flushed`` once the commit has succeeded."""
        position = transaction.next_position - 1
        for event in self.events:
            position = transaction.append(event)
        return position

    def flushed(self) -> None:
        """The commit is durable: forget what it holds."""
        self._pending.clear()
