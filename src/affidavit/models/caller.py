"""The plane for one question: who asks is known, and what each call cost goes on record beside it."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Protocol

from affidavit.domain.canonical import Json
from affidavit.models.deadline import Deadline
from affidavit.models.exchange import Meter
from affidavit.models.outcome import Check, Outcome
from affidavit.models.plane import Plane
from affidavit.ports.model import ChatRequest
from affidavit.runs.recorder import Run

CHARGED = "model."
"""Steps called ``model.TASK`` hold the ``charges`` of a call in their output."""


class CountingMeter(Meter, Protocol):
    """A meter that remembers."""

    def taken(self) -> list[Json]:
        """The charges since the last time, in the order in which they were settled."""
        ...


class Caller:
    """Asks models for one run. Not shared between runs."""

    def __init__(self, plane: Plane, meter: CountingMeter | None) -> None:
        self._plane = plane
        self._meter = meter
        self._calls = 0

    def call(
        self,
        run: Run,
        task: str,
        request: ChatRequest,
        *,
        sensitivity: Iterable[str],
        deadline: Deadline,
        check: Check,
        options: Set[int] | None = None,
    ) -> Outcome:
        """``Plane.call``, with what it cost as a step of its own: a replay pays nothing."""
        meter = self._meter
        outcome = self._plane.call(
            run,
            task,
            request,
            sensitivity=sensitivity,
            deadline=deadline,
            check=check,
            meter=meter,
            options=options,
        )
        self._calls += 1
        run.effect(
            f"{CHARGED}{task}",
            {"call": self._calls},
            lambda: {"charges": [] if meter is None else meter.taken()},
        )
        return outcome
