"""Runs the guards of a release over a text: each within its time, each failing closed, in the order the release says."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from affidavit.domain.guard_core import NAME, STREAMED, find
from affidavit.domain.guard_policy import GuardPolicy, GuardStep
from affidavit.domain.guards import Finding, Outcome, Stage, Verdict, strictest, take_out
from affidavit.policy.guards import Decided, decide
from affidavit.ports.guard import Guard

_AT_ONCE = 16
"""Calls of one guard that may be under way; those that outlast their time stay among them until they come back."""


@dataclass(frozen=True)
class Judged:
    """What the guards of a stage made of a text. ``text`` is what may be used: empty after ``refuse``, without what was
    found after
    ``redact``, else as it was. ``outcomes`` in the order of the steps; those after a refusal did not run."""

    verdict: Verdict
    text: str
    outcomes: tuple[Outcome, ...]

    @property
    def cost(self) -> int:
        """Microseconds of all guards together."""
        return sum(o.cost for o in self.outcomes)


@dataclass(frozen=True)
class Found:
    """What a guard of others said of one text, or how it ``failed`` (a word of ``Outcome.failed``, "" if it did not)."""

    findings: tuple[Finding, ...]
    failed: str = ""


Asking = Callable[[GuardStep, str, Callable[[], Found]], Found]
"""Stands between a step with its text and the guard that would be asked: a record puts itself here."""
Remove = Callable[[str, Sequence[Finding]], str]


def _at_once(step: GuardStep, text: str, ask: Callable[[], Found]) -> Found:
    return ask()


class Guards:
    """The guards at hand, by name; ``core`` is always there and needs no entry. Safe to share between threads."""

    def __init__(self, guards: Mapping[str, Guard] | None = None) -> None:
        self._guards = dict(guards or {})
        self._slots = {name: threading.BoundedSemaphore(_AT_ONCE) for name in self._guards}

    def judge(
        self,
        policy: GuardPolicy,
        stage: Stage,
        text: str,
        *,
        local: bool = False,
        asking: Asking = _at_once,
        remove: Remove = take_out,
    ) -> Judged:
        """Pass ``text`` through the steps of ``stage``; each sees what the one before left. Never raises for a guard's sake.

        With ``local`` no guard is asked that would let the text leave the machine: it fails as ``remote``. ``remove`` takes out
        what is to be redacted.
        """
        outcomes: list[Outcome] = []
        for step in policy.steps(stage):
            outcome, decided = self._step(step, stage, text, local, asking)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.REFUSE:
                return Judged(Verdict.REFUSE, "", tuple(outcomes))
            if decided is not None and decided.redact:
                text = remove(text, decided.redact)
        return Judged(strictest(o.verdict for o in outcomes), text, tuple(outcomes))

    def close(self) -> None:
        """Close every guard."""
        for guard in self._guards.values():
            guard.close()

    def _step(
        self, step: GuardStep, stage: Stage, text: str, local: bool, asking: Asking
    ) -> tuple[Outcome, Decided | None]:
        begun = time.perf_counter_ns()
        try:
            findings = self._found(step, stage, text, local, asking)
        except _FailedError as failed:
            verdict = Verdict.REFUSE if step.failure is Verdict.REDACT else step.failure
            outcome = Outcome(
                step.guard, verdict, f"{step.guard}: {failed.how}", (), _since(begun), failed.how
            )
            return outcome, None
        decided = decide(step, findings)
        return Outcome(step.guard, decided.verdict, decided.reason, tuple(findings), _since(begun)), decided

    def _found(
        self, step: GuardStep, stage: Stage, text: str, local: bool, asking: Asking
    ) -> Sequence[Finding]:
        if step.guard == NAME:
            return find(text, set(step.verdicts), hosts=step.hosts, patterns=step.patterns)
        said = asking(step, text, lambda: self._asked(step, stage, text, local))
        if said.failed:
            raise _FailedError(said.failed)
        if not all(0 <= f.start <= f.end <= len(text) for f in said.findings):
            raise _FailedError("error")
        return said.findings

    def _asked(self, step: GuardStep, stage: Stage, text: str, local: bool) -> Found:
        guard = self._guards.get(step.guard)
        if guard is None:
            return Found((), "missing")
        if local and not guard.info.local:
            return Found((), "remote")
        try:
            return Found(tuple(self._in_time(guard, self._slots[step.guard], step, stage, text)))
        except _FailedError as failed:
            return Found((), failed.how)

    def _in_time(
        self, guard: Guard, slots: threading.BoundedSemaphore, step: GuardStep, stage: Stage, text: str
    ) -> Sequence[Finding]:
        """The guard's findings. It runs on a thread of its own, because a library that hangs cannot be told to stop."""
        if not slots.acquire(blocking=False):
            raise _FailedError("timeout")
        came: queue.SimpleQueue[Sequence[Finding] | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                came.put(tuple(guard.check(text, stage, step.timeout)))
            except Exception:  # noqa: BLE001 - whatever a guard of others raises means that it did not judge
                came.put(None)
            finally:
                slots.release()

        threading.Thread(target=work, name=f"guard-{step.guard}", daemon=True).start()
        try:
            findings = came.get(timeout=step.timeout)
        except queue.Empty:
            raise _FailedError("timeout") from None
        if findings is None:
            raise _FailedError("error")
        return findings


class _FailedError(Exception):
    """A guard gave no judgement; ``how`` is a word of ``Outcome.failed``."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


def _since(begun: int) -> int:
    return (time.perf_counter_ns() - begun) // 1000


def streamable(step: GuardStep) -> bool:
    """Whether ``step`` can watch an answer while it grows; others judge it when it is whole."""
    own = {rule.name for rule in step.patterns}
    return step.guard == NAME and set(step.verdicts) <= STREAMED | own
