"""The plane for one question: who asks is known, and what each call cost goes on record beside it."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Protocol

from affidavit.domain.canonical import Json
from affidavit.models.deadline import Deadline
from affidavit.models.exchange import Meter
from affidavit.models.outcome import Check, Outcome
from affidavit.models.plane import Parts, Plane
from affidavit.ports.model import ChatRequest
from affidavit.runs.recorder import Run
from affidavit.runs.replay import ReplayDivergenceError

CHARGED = "model."
"""Steps called ``model.TASK`` hold the ``charges`` of a call in their output."""

EMBED = "embed"
"""The task of an embedding endpoint."""


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
        outcome = self._plane.call(
            run,
            task,
            request,
            sensitivity=sensitivity,
            deadline=deadline,
            check=check,
            meter=self._meter,
            options=options,
        )
        self._charge(run, task)
        return outcome

    def stream(
        self,
        run: Run,
        task: str,
        request: ChatRequest,
        parts: Parts,
        *,
        sensitivity: Iterable[str],
        deadline: Deadline,
        check: Check,
        options: Set[int] | None = None,
    ) -> Outcome:
        """``Plane.flow`` with its cost, which is recorded also if ``parts`` raise: what was asked by then was paid for."""
        try:
            outcome = self._plane.flow(
                run,
                task,
                request,
                parts,
                sensitivity=sensitivity,
                deadline=deadline,
                check=check,
                meter=self._meter,
                options=options,
            )
        except ReplayDivergenceError:
            raise
        except BaseException:
            self._charge(run, task)
            raise
        self._charge(run, task)
        return outcome

    def _charge(self, run: Run, task: str) -> None:
        meter = self._meter
        self._calls += 1
        run.effect(
            f"{CHARGED}{task}",
            {"call": self._calls},
            lambda: {"charges": [] if meter is None else meter.taken()},
        )
