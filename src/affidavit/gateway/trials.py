"""Putting a tool on trial: its author's cases, carried out against a sandbox, each promise of its contract looked for a breach.

A module of tools is tested with five lines of its own::

    @contextmanager
    def sandbox():
        with TemporaryDirectory() as folder:
            configure({"folder": folder})
            yield lambda: rows()  # all that a call could change, without times and random ids

    cases = [Case(refund, {"order": 7, "cents": 500})]

Every look at a tool begins with a sandbox of its own. Credentials are canaries: ``canary-NAME-`` and letters.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import Any

from affidavit.domain.canonical import Json
from affidavit.domain.conceal import forms
from affidavit.domain.errors import ArgumentsError
from affidavit.domain.tools import Contract, Effect, Idempotency
from affidavit.gateway.contracts import Context, Entry, Registry, Tool
from affidavit.gateway.execution import End, Outcome, attempt
from affidavit.gateway.schemas import as_json

PROPERTIES = ("result", "effect", "limits", "time", "secrets", "twice", "together", "killed", "undo")
"""What is looked at: the result fits the contract; a read changes nothing and a refusal neither; values at the limits and
hostile texts are done or refused; it keeps its time; secrets stay inside; one key twice, at the same time, and after the process
died at any line in between is as once; undo puts everything back."""
HOSTILE = (
    "",
    " ",
    "'; DROP TABLE x; --",
    "../../etc/passwd",
    "a\r\nBcc: x@y.example",
    "\u202e\u0000",
    "-rf",
    "ä" * 300,
)
_ANY = object()
_MOST_DEATHS = 40
_GRACE = 30.0
_WORDS = 300
State = Callable[[], object]
Sandbox = Callable[[], AbstractContextManager[State]]


@dataclass(frozen=True)
class Case:
    """One use of ``tool``. ``refused``: it must not be done, and change nothing. ``result``: what must come back."""

    tool: Tool
    arguments: Mapping[str, Any]
    refused: bool = False
    result: Any = _ANY


@dataclass(frozen=True)
class Check:
    """``verdict``: ``holds``, ``finding``, or ``untested`` where it does not apply. ``case`` counts from 1."""

    tool: str
    case: int
    property: str
    verdict: str
    why: str = ""


class _Untestable(Exception):  # noqa: N818  # no error: it does not apply
    """Why a property cannot be looked at."""


@dataclass(frozen=True)
class _World:
    """A sandbox in which the case is carried out. ``slips`` collects where a secret was seen."""

    entry: Entry
    state: State
    slips: list[str]

    def seen(self) -> str:
        """All that a call could change, as text."""
        text = json.dumps(as_json(self.state()), sort_keys=True, default=repr)
        self._look("what the sandbox holds", text)
        return text

    def call(self, arguments: Mapping[str, Json], key: str = "key-1", number: int = 1) -> End:
        """One attempt, watched."""
        return self._watched(self.entry, arguments, key, number)

    def undo(self, entry: Entry, arguments: Mapping[str, Json]) -> End:
        return self._watched(entry, arguments, "key-undo", 1)

    def check(self, arguments: Mapping[str, Json], key: str = "key-1") -> tuple[bool, Json]:
        return self.entry.callee.check(arguments, _context(self.entry.contract, key, 2))

    def _watched(self, entry: Entry, arguments: Mapping[str, Json], key: str, number: int) -> End:
        printed, logged = io.StringIO(), io.StringIO()
        handler = logging.StreamHandler(logged)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                end = attempt(entry, arguments, _context(entry.contract, key, number))
        finally:
            root.setLevel(level)
            root.removeHandler(handler)
        self._look("its result", json.dumps(end.result, default=repr))
        self._look("its error", end.why)
        self._look("what it prints", printed.getvalue())
        self._look("what it logs", logged.getvalue())
        return end

    def _look(self, where: str, text: str) -> None:
        for name in self.entry.contract.secrets:
            # the gateway has put its own mark where it met the secret as it is
            if any(form in text for form in (f"[secret {name}]", *forms(canary(name)))):
                self.slips.append(f"the secret {name} is in {where}")


def canary(name: str) -> str:
    """The credential ``name`` as a tool on trial is given it."""
    return f"canary-{name}-QvYzwKtJhRbXfLmN"


def _context(contract: Contract, key: str, number: int) -> Context:
    secrets = {name: canary(name) for name in contract.secrets}
    return Context(key, number, contract.timeout / 1_000, "sandbox", "user:tester", secrets)


class Trial:
    """One case on trial. ``registry`` holds the tools of its module, for ``undo``."""

    def __init__(self, number: int, case: Case, sandbox: Sandbox, registry: Registry) -> None:
        self._number, self._case, self._sandbox, self._registry = number, case, sandbox, registry
        self._entry = registry.named(case.tool.contract.key, date.min)
        self._contract = case.tool.contract
        self._arguments: dict[str, Json] = dict(case.arguments)
        self._slips: list[str] = []
        self._slow = False
        self._alone: tuple[str, str] | None = None

    def run(self) -> Iterator[Check]:
        """Every property in turn; after a case that does not even do what its author says, nothing more."""
        try:
            self._entry.arguments.check(self._arguments)
        except ArgumentsError as error:
            # refused by the contract before the tool is asked: as good as by the tool
            yield self._said("result", "" if self._case.refused else error.message)
            return
        first = self._problem(self._result)
        yield self._said("result", first)
        if first:
            yield from self._kept()
            return
        for name in ("effect", "limits", "twice", "together", "killed", "undo"):
            try:
                yield self._said(name, self._problem(getattr(self, f"_{name}")))
            except _Untestable as reason:
                yield Check(self._contract.key, self._number, name, "untested", str(reason))
        yield from self._kept()

    def _kept(self) -> Iterator[Check]:
        """What was watched in every call."""
        yield self._said(
            "time", f"no end within its timeout of {self._contract.timeout} ms" if self._slow else ""
        )
        if self._contract.secrets:
            yield self._said("secrets", self._slips[0] if self._slips else "")
        else:
            yield Check(self._contract.key, self._number, "secrets", "untested", "it is given none")

    def _said(self, name: str, problem: str) -> Check:
        verdict = "finding" if problem else "holds"
        return Check(self._contract.key, self._number, name, verdict, problem[:_WORDS])

    def _problem(self, look: Callable[[], str]) -> str:
        try:
            return look()
        except _Untestable:
            raise
        except Exception as error:  # noqa: BLE001  # the sandbox is others' code: its faults are findings, not ours
            return f"the sandbox or the tool's check failed: {type(error).__name__}: {error}"

    @contextlib.contextmanager
    def _world(self) -> Iterator[_World]:
        with self._sandbox() as state:
            yield _World(self._entry, state, self._slips)

    def _ended(self, end: End) -> str:
        """How an attempt ended, in words; remembers slow ones."""
        self._slow = self._slow or end.cause == "timeout"
        return f"{end.outcome.value}{f', {end.why}' if end.why else ''}"

    def _once(self) -> str:
        """What one undisturbed call leaves behind."""
        with self._world() as world:
            world.call(self._arguments)
            return world.seen()

    # -- the properties

    def _result(self) -> str:
        with self._world() as world:
            end = world.call(self._arguments)
        ended = self._ended(end)
        wanted = Outcome.REFUSED if self._case.refused else Outcome.DONE
        if end.outcome is not wanted:
            return f"should be {wanted.value}, ended {ended}"
        if self._case.result is not _ANY and end.result != as_json(self._case.result):
            return f"should return {self._case.result!r}, returned {end.result!r}"
        return ""

    def _effect(self) -> str:
        with self._world() as world:
            before = world.seen()
            end = world.call(self._arguments)
            changed = world.seen() != before
        if end.outcome is Outcome.REFUSED and changed:
            return "it says that nothing happened, and something did"
        if self._contract.effect is Effect.READ and changed:
            return "it only reads, says its contract, and it changes something"
        return ""

    def _limits(self) -> str:
        tried = 0
        for name, value in _edges(self._contract):
            arguments = {**self._arguments, name: value}
            try:
                self._entry.arguments.check(arguments)
            except ArgumentsError:
                continue  # the contract keeps it away
            tried += 1
            with self._world() as world:
                before = world.seen()
                end = world.call(arguments)
                changed = world.seen() != before
            ended = self._ended(end)
            if end.outcome not in (Outcome.DONE, Outcome.REFUSED):
                return (
                    f"{name}={str(value)[:40]!r} ended {ended}; refuse it with ToolError, or in the contract"
                )
            if end.outcome is Outcome.REFUSED and changed:
                return f"{name}={str(value)[:40]!r} was refused, and something happened"
        if not tried:
            raise _Untestable("no argument has limits, and none is free text")
        return ""

    def _twice(self) -> str:
        self._repeatable()
        with self._world() as world:
            if self._contract.idempotency is Idempotency.CHECK_FIRST and world.check(self._arguments)[0]:
                return "its check says done before anything was"
            first = world.call(self._arguments)
            after = world.seen()
            second = world.call(self._arguments, number=2)
            if world.seen() != after:
                return f"the second call with one key changed something (it ended {self._ended(second)})"
            if second.outcome is not first.outcome:
                return f"the second call with one key ended {self._ended(second)}"
            keyed = self._contract.idempotency in (Idempotency.BY_KEY, Idempotency.CHECK_FIRST)
            if keyed and second.result != first.result:
                return f"one key, two results: {first.result!r} and {second.result!r}"
            if (
                self._contract.idempotency is Idempotency.CHECK_FIRST
                and world.check(self._arguments, "key-2")[0]
            ):
                return "its check says done for a key that was never used"
        return ""

    def _together(self) -> str:
        self._repeatable()
        if self._contract.idempotency is Idempotency.CHECK_FIRST:
            raise _Untestable("who checks first is never called twice at a time")
        alone = self._stable()
        with self._world() as world:
            start = threading.Barrier(2)

            def call() -> None:
                start.wait(_GRACE)
                attempt(self._entry, self._arguments, _context(self._contract, "key-1", 1))

            threads = [threading.Thread(target=call, daemon=True) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(self._contract.timeout / 1_000 + _GRACE)
            if world.seen() != alone:
                return "two calls with one key at the same time are not as one"
        return ""

    def _killed(self) -> str:
        self._repeatable()
        if not hasattr(os, "fork"):
            raise _Untestable("this system cannot fork a process to kill it")
        alone = self._stable()
        for line in range(_MOST_DEATHS):
            with self._world() as world:
                finished = self._dies(line)
                end = world.call(self._arguments, number=2)
                if world.seen() != alone:
                    where = (
                        "after it was done and before that was recorded"
                        if finished
                        else f"at line {line + 1} it runs"
                    )
                    return f"killed {where} and tried again is not as once (it ended {self._ended(end)})"
            if finished:
                return ""
        return ""

    def _dies(self, line: int) -> bool:
        """Call the tool in a process of its own that ends as if by kill -9 at the ``line``-th line of the tool's own code, or
        when it is done; whether it was done."""
        child = os.fork()
        if child == 0:
            # nothing of what the parent has open is tidied up: that is what a kill is like
            # (and no thread of the parent is here: the tool runs in this one)
            try:
                killer = _killer(self._case.tool.function.__code__.co_filename, line)
                threading.settrace(killer)
                sys.settrace(killer)
                self._entry.callee.run(self._arguments, _context(self._contract, "key-1", 1))
            finally:
                os._exit(0)
        until = time.monotonic() + self._contract.timeout / 1_000 + _GRACE
        while time.monotonic() < until:
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                return os.WIFEXITED(status)
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True

    def _undo(self) -> str:
        if not self._contract.undo or self._case.refused:
            raise _Untestable("it names no undo tool" if not self._contract.undo else "nothing is done")
        by = self._registry.get(self._contract.undo)
        if by is None:
            return f"its undo tool {self._contract.undo} is not in this module"
        with self._world() as world:
            before = world.seen()
            end = world.call(self._arguments)
            given: Mapping[str, Json] = end.result if isinstance(end.result, Mapping) else {}
            known = {**self._arguments, **given}
            arguments = {name: known[name] for name in by.contract.arguments if name in known}
            try:
                by.arguments.check(arguments)
            except ArgumentsError as error:
                return (
                    f"its result and arguments do not give {by.contract.key} what it needs: {error.message}"
                )
            undone = world.undo(by, arguments)
            if undone.outcome is not Outcome.DONE:
                return f"{by.contract.key} ended {self._ended(undone)}"
            if world.seen() != before:
                return f"after {by.contract.key} not everything is as before"
        return ""

    def _repeatable(self) -> None:
        if self._contract.effect is Effect.READ:
            raise _Untestable("it only reads")
        if self._contract.idempotency is Idempotency.NONE:
            raise _Untestable("its contract says that it is never called twice")
        if self._case.refused:
            raise _Untestable("nothing is done")

    def _stable(self) -> str:
        """What one call leaves behind, if two sandboxes agree about it. Raises ValueError."""
        self._alone = self._alone or (self._once(), self._once())
        if self._alone[0] != self._alone[1]:
            raise ValueError(
                "one call leaves two sandboxes in different states: leave times and random ids out"
            )
        return self._alone[0]


def _killer(file: str, line: int) -> Callable[..., Any]:
    """A trace function that ends the process at the ``line``-th line run in ``file``."""
    left = [line]

    def trace(frame: Any, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != file:
            return None
        if event == "line":
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return trace

    return trace


def _edges(contract: Contract) -> Iterator[tuple[str, Json]]:
    """Values at the limits of each argument, and hostile texts where a text is free."""
    properties: Any = contract.parameters.get("properties") or {}
    for name, schema in properties.items():
        if schema.get("type") == "integer":
            yield from ((name, schema[bound]) for bound in ("minimum", "maximum") if bound in schema)
        elif schema.get("type") == "string":
            yield from ((name, text) for text in HOSTILE)
            if "maxLength" in schema:
                yield name, "x" * schema["maxLength"]


def examine(cases: Sequence[Case], sandbox: Sandbox, tools: Sequence[Tool]) -> Iterator[Check]:
    """Every property of every case. Raises UnknownNameError for a case of a tool that is not among ``tools``."""
    registry = Registry(tools)
    for number, case in enumerate(cases, 1):
        yield from Trial(number, case, sandbox, registry).run()
