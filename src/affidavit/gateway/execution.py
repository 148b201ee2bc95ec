"""Carrying out one attempt of a call: in a thread of its own with a deadline, its result held against the contract."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from queue import SimpleQueue
from typing import Any

from affidavit.domain.canonical import Json
from affidavit.domain.errors import AffidavitError, ArgumentsError, ToolError
from affidavit.domain.tools import Idempotency
from affidavit.gateway.contracts import Context, Entry

_MOST_WORDS = 2_000


UNCLEAR = frozenset({"no_answer", "timeout", "lease_expired"})
"""Causes after which a tool may have done what it was asked for."""


class Outcome(str, Enum):
    """How an attempt ended: done; ``refused``, nothing happened for sure; ``unclear``, nobody can say; ``odd``, it was done but
    what came back is not what the contract promises."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    ODD = "odd"


@dataclass(frozen=True)
class End:
    """The end of an attempt. ``why`` in words, "" where it was done."""

    outcome: Outcome
    result: Json = None
    why: str = ""
    cause: str = ""
    retryable: bool = False


class _Job:
    """One attempt on its way through a thread; ``end`` holds once ``done`` is set."""

    def __init__(self, entry: Entry, arguments: Mapping[str, Json], context: Context) -> None:
        self._given = entry, arguments, context
        self.done = threading.Event()
        self.end = End(Outcome.UNCLEAR)

    def run(self) -> None:
        self.end = _once(*self._given)
        self.done.set()


class _Hands:
    """Threads that carry out attempts, a few of them kept for the next: to start one takes longer than most tools."""

    KEPT = 4

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[_Job]] = []
        os.register_at_fork(after_in_child=self._idle.clear)  # a child has none of its parent's threads

    def take(self, job: _Job) -> None:
        """Begin ``job`` in a thread that does nothing else."""
        try:
            queue = self._idle.pop()
        except IndexError:
            queue = SimpleQueue()
            threading.Thread(target=self._work, args=(queue,), name="affidavit-tool", daemon=True).start()
        queue.put(job)

    def _work(self, queue: SimpleQueue[_Job]) -> None:
        while True:
            queue.get().run()
            if len(self._idle) >= self.KEPT:
                return
            self._idle.append(queue)


_HANDS = _Hands()


def attempt(entry: Entry, arguments: Mapping[str, Json], context: Context) -> End:
    """Run the tool once, for at most ``context.seconds``. Never raises but for Ctrl-C: whatever a tool does is an end.

    A thread cannot be stopped from outside: one that is too slow is left alone, and what it still does is unknown.
    """
    job = _Job(entry, arguments, context)
    _HANDS.take(job)
    if job.done.wait(context.seconds):
        return _without(job.end, context.secrets)
    return End(
        Outcome.UNCLEAR, why=f"no answer within {context.seconds:g} s", cause="timeout", retryable=True
    )


def _once(entry: Entry, arguments: Mapping[str, Json], context: Context) -> End:
    try:
        if context.attempt > 1 and entry.contract.idempotency is Idempotency.CHECK_FIRST:
            done, result = entry.callee.check(arguments, context)
            if done:
                return _checked(entry, result)
        return _checked(entry, entry.callee.run(arguments, context))
    except ToolError as error:
        outcome = Outcome.REFUSED if error.happened is False else Outcome.UNCLEAR
        cause = "refused" if outcome is Outcome.REFUSED else "no_answer"
        return End(outcome, why=_words(error), cause=cause, retryable=error.retryable)
    except AffidavitError as error:
        return End(Outcome.UNCLEAR, why=_words(error), cause="no_answer", retryable=True)
    except BaseException as error:  # noqa: BLE001  # a tool is others' code; SystemExit in it must not end a worker silently
        return End(
            Outcome.UNCLEAR,
            why=f"{type(error).__name__}: {error}"[:_MOST_WORDS],
            cause="no_answer",
            retryable=True,
        )


def _checked(entry: Entry, result: Json) -> End:
    try:
        entry.result.check(result)
    except ArgumentsError as error:
        return End(Outcome.ODD, why=error.message, cause="result_invalid")
    return End(Outcome.DONE, result)


def _words(error: AffidavitError) -> str:
    return f"{error.message}{f' ({error.hint})' if error.hint else ''}"[:_MOST_WORDS]


def _without(end: End, secrets: Mapping[str, str]) -> End:
    """``end`` with no secret in it, whatever the tool let slip."""
    if not any(secrets.values()):
        return end
    return replace(end, result=scrubbed(end.result, secrets), why=scrubbed(end.why, secrets))


def scrubbed(value: Any, secrets: Mapping[str, str]) -> Any:
    """``value`` with each secret replaced by its name, in texts and in names of fields."""
    if isinstance(value, str):
        for name, secret in secrets.items():
            if secret:
                value = value.replace(secret, f"[secret {name}]")
        return value
    if isinstance(value, Mapping):
        return {scrubbed(k, secrets): scrubbed(v, secrets) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed(one, secrets) for one in value]
    return value
