"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): the same key and request get the same answer, from any process.

What is remembered goes after a day, and with the first erasure, since it holds answers; text of documents is not given again once
anything about who may read what has changed. Where a process died over a request, it
is asked anew only if nothing of it is on the record; else a person must look: nothing is ever done twice on a guess.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from affidavit.app.operations.operation import Asked, Caller, Operation, check
from affidavit.app.wiring import LOCKS
from affidavit.app.workspace import Workspace
from affidavit.domain.canonical import sha256
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    ArgumentsError,
    BusyError,
    ErasedError,
    ForbiddenError,
    InProgressError,
    NotRepeatableError,
    OverloadedError,
    PreconditionError,
    RefusedError,
    StoppedError,
    UnsupportedError,
    UsageError,
)
from affidavit.domain.events import EventKind
from affidavit.store.replies import Replies, Reply, ReplyState

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEPT = 86_400 * MICROSECONDS
_MOST = 1_000
"""Keys of one caller; the oldest is forgotten first."""
_BEFORE = (
    UsageError,
    AccessDeniedError,
    ForbiddenError,
    RefusedError,
    StoppedError,
    ErasedError,
    BusyError,
    OverloadedError,
    PreconditionError,
    UnsupportedError,
)
"""What is said instead of doing anything."""
_READING = frozenset({"questions.ask", "questions.search", "runs.explain", "runs.what_if", "runs.export"})
"""What gives text of documents, as far as it may be read at that moment."""
_RIGHTS = (
    EventKind.PERSON_CHANGED,
    EventKind.MEMBERSHIP_CHANGED,
    EventKind.GRANT_CHANGED,
    EventKind.SOURCE_CHANGED,
    EventKind.DOCUMENT_REMOVED,
    EventKind.ACCESS_CHANGED,
    EventKind.KILL_CHANGED,
)
_FORM = re.compile(r'"?([\x21\x23-\x5b\x5d-\x7e]{1,255})"?', re.ASCII)


class Owner:
    """This process, as others can tell whether it still lives: by a lock that goes with it. ``name`` is its name."""

    def __init__(self, ws: Workspace) -> None:
        self._folder = ws.parts.folder / LOCKS
        self._folder.mkdir(exist_ok=True)
        self.name = ws.parts.randomness.token(8).hex()
        self._lock = os.open(self._path(self.name), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _path(self, name: str) -> Path:
        return self._folder / f"server-{name}.lock"

    def lives(self, name: str) -> bool:
        """Whether the process called ``name`` does."""
        if name == self.name:
            return True
        try:
            file = self._path(name).open("r+")
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            self._path(name).unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """It ends."""
        self._path(self.name).unlink(missing_ok=True)
        os.close(self._lock)


class Once:
    """Does each request that has a key once. Safe to share between threads."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._rows = Replies(ws.parts.database)
        self._made: Owner | None = None
        self._guard = threading.Lock()

    @property
    def _owner(self) -> Owner:
        with self._guard:
            if self._made is None:
                self._made = Owner(self._ws)
            return self._made

    def trim(self) -> None:
        """Forget what is a day old."""
        with self._ws.parts.database.write():
            self._rows.trim(self._ws.parts.clock.now() - _KEPT)

    def close(self) -> None:
        """This process answers no more."""
        if self._made is not None:
            self._made.close()
            self._made = None

    def do(
        self, key: str, caller: Caller, operation: Operation[Any], asked: Asked, work: Callable[[], Any]
    ) -> tuple[Any, bool]:
        """What ``work`` gives, or what it gave when the same was asked with ``key`` before, and whether that was so.

        Raises ArgumentsError if another request had the key, InProgressError while it is being answered, NotRepeatableError where
        nobody can say how it came out; and what ``work`` raises.
        """
        match = _FORM.fullmatch(key)
        if match is None:
            raise UsageError(f"{KEY} is not a key", "send 1 to 255 visible characters, for example a UUID")
        check(self._ws, caller, operation.action)
        said = json.dumps([operation.name, asked.model_dump(mode="json")], sort_keys=True)
        mine = Reply(
            caller.tenant.id,
            sha256(json.dumps([caller.principal, caller.by, _sorted(caller.scopes)]).encode()),
            sha256(match[1].encode()),
            sha256(said.encode()),
            caller.run,
            self._owner.name,
            ReplyState.BEGUN,
            "",
            self._ws.parts.clock.now(),
        )
        known = self._begin(mine, operation)
        if known is not None:
            return json.loads(known.answer), True
        return self._first(mine, operation, work), False

    def _begin(self, mine: Reply, operation: Operation[Any]) -> Reply | None:
        """What is known already, None where it is ours to do."""
        with self._ws.parts.database.write():
            self._rows.trim(mine.at - _KEPT)
            known = self._rows.get(mine.tenant, mine.caller, mine.key)
            if known is not None and not self._anew(known, mine, operation):
                return known
            self._rows.put(mine)
            self._rows.trim(mine.at - _KEPT, (mine.tenant, mine.caller), _MOST)
        return None

    def _anew(self, known: Reply, mine: Reply, operation: Operation[Any]) -> bool:
        """Whether to ask again although the key is known."""
        if known.request != mine.request:
            raise ArgumentsError(f"this {KEY} was used for another request", "use a new key for each request")
        if known.state is ReplyState.DONE:
            if operation.once:
                raise NotRepeatableError("this was done, and what it gave is shown once", "make a new one")
            if operation.name in _READING and self._rights_changed(mine.tenant, known.at):
                raise NotRepeatableError(
                    "this was answered, and who may read what has changed since", "ask again with a new key"
                )
            return False
        if known.state is ReplyState.BEGUN and self._owner.lives(known.owner):
            raise InProgressError("the same request is being answered", "ask again in a moment")
        if operation.makes_run and not self._ws.parts.events.of_run(known.run):
            return True  # it broke off before anything was recorded, and nothing is done that is not
        raise NotRepeatableError(
            "the same request broke off, and how far it came is not known",
            f"look at what was done (run {known.run}, if it made one), then use a new key",
        )

    def _rights_changed(self, tenant: int, at: int) -> bool:
        """Whether anything about who may read what did after ``at``."""
        for kind in _RIGHTS:
            newest = takewhile(lambda e: e.at > at, self._ws.parts.events.of_kind(kind, newest_first=True))
            if any(event.tenant in (0, tenant) for event in newest):
                return True
        return False

    def _first(self, mine: Reply, operation: Operation[Any], work: Callable[[], Any]) -> Any:
        state: ReplyState | None = ReplyState.UNKNOWN
        answer = ""
        try:
            found = given(operation, work())
            state, answer = ReplyState.DONE, "" if operation.once else json.dumps(found)
        except AffidavitError as error:
            if self._untouched(mine, operation, error):
                state = None
            raise
        finally:
            # what goes wrong here leaves a row that a person must look at; the error under way tells more
            with suppress(AffidavitError), self._ws.parts.database.write():
                if state is None:
                    self._rows.forget(mine)
                else:
                    self._rows.settle(mine, state, answer)
        return found

    def _untouched(self, mine: Reply, operation: Operation[Any], error: AffidavitError) -> bool:
        """Whether ``error`` came before anything was done, so that the next try may do it."""
        if operation.makes_run:
            return not self._ws.parts.events.of_run(mine.run)
        return isinstance(error, _BEFORE)


def _sorted(scopes: frozenset[str] | None) -> list[str] | None:
    return None if scopes is None else sorted(scopes)


def given(operation: Operation[Any], found: Any) -> Any:
    """``found`` as JSON of the form that ``operation`` declares."""
    adapter: TypeAdapter[Any] = TypeAdapter(operation.gives)
    return adapter.dump_python(adapter.validate_python(found), mode="json")
