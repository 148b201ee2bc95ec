"""Carrying out one attempt of a call: in a thread of its own with a deadline, its result held against the contract."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue

from affidavit.domain.canonical import Json
from affidavit.domain.conceal import Concealer
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
        return job.end
    return End(
        Outcome.UNCLEAR, why=f"no answer within {context.seconds:g} s", cause="timeout", retryable=True
    )


def _once(entry: Entry, arguments: Mapping[str, Json], context: Context) -> End:
    """No secret is in what this returns, whatever the tool let slip; words are cut only after it was taken out of them."""
    concealer = Concealer(context.secrets)
    try:
        if context.attempt > 1 and entry.contract.idempotency is Idempotency.CHECK_FIRST:
            done, result = entry.callee.check(arguments, context)
            if done:
                return _checked(entry, result, concealer)
        return _checked(entry, entry.callee.run(arguments, context), concealer)
    except ToolError as error:
        outcome = Outcome.REFUSED if error.happened is False else Outcome.UNCLEAR
        cause = "refused" if outcome is Outcome.REFUSED else "no_answer"
        return End(outcome, why=_words(error, concealer), cause=cause, retryable=error.retryable)
    except AffidavitError as error:
        return End(Outcome.UNCLEAR, why=_words(error, concealer), cause="no_answer", retryable=True)
    except BaseException as error:  # noqa: BLE001  # a tool is others' code; SystemExit in it must not end a worker silently
        return End(
            Outcome.UNCLEAR,
            why=_told(error, concealer),
            cause="no_answer",
            retryable=True,
        )


def _checked(entry: Entry, result: Json, concealer: Concealer) -> End:
    try:
        entry.result.check(result)
    except ArgumentsError:
        return End(Outcome.ODD, why=_odd(entry, result, concealer), cause="result_invalid")
    return End(Outcome.DONE, concealer.value(result))


def _odd(entry: Entry, result: Json, concealer: Concealer) -> str:
    """What is wrong with a result, said of one without secrets: such words quote it, and are cut."""
    try:
        entry.result.check(concealer.value(result))
    except ArgumentsError as error:
        return error.message
    except RecursionError:
        return f"{entry.contract.key}, its result: nested too deep"
    return f"{entry.contract.key}, its result: a secret stands where something else was promised"


def _words(error: AffidavitError, concealer: Concealer) -> str:
    return concealer.text(f"{error.message}{f' ({error.hint})' if error.hint else ''}")[:_MOST_WORDS]


def _told(error: BaseException, concealer: Concealer) -> str:
    """The words of an exception that may be of any class: to ask it for them runs its code."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  # others' code
        said = "it has no words"
    return concealer.text(f"{type(error).__name__}: {said}")[:_MOST_WORDS]
