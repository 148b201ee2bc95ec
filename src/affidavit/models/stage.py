"""Where calls take place: threads and a steady clock. A test puts its own time here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

from affidavit.domain.errors import ModelError

T = TypeVar("T")
BROKE = ModelError("server", "the adapter failed with an error of its own", "its traceback is on stderr")
"""What an attempt has come to whose code raised what the port does not allow."""


class Stage(Protocol):
    """Time and threads, as the plane needs them."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def start(self, work: Callable[[], T], done: Callable[[T | ModelError], None]) -> None:
        """Run ``work`` beside the caller, then ``done`` with what it gave, in any thread and without fail."""
        ...

    def post(self, inbox: SimpleQueue[T], item: T) -> None:
        """From within ``work``: hand something to whoever takes from ``inbox``."""
        ...

    def take(self, inbox: SimpleQueue[T], seconds: float) -> T | None:
        """The next item of ``inbox``, None if there is none for so long."""
        ...


class Threads:
    """The real one: a daemon thread for each attempt. How many there are at once is bounded by the gate, since an attempt keeps
    its place until its thread has ended, however long ago its call was given up."""

    def now(self) -> float:
        return time.monotonic()

    def start(self, work: Callable[[], T], done: Callable[[T | ModelError], None]) -> None:
        def run() -> None:
            outcome: T | ModelError = BROKE
            try:
                outcome = work()
            finally:
                done(outcome)

        try:
            threading.Thread(target=run, name="model", daemon=True).start()
        except RuntimeError:  # the operating system has no more threads to give
            done(ModelError("overloaded", "no thread could be started", "lower the targets' concurrency"))

    def post(self, inbox: SimpleQueue[T], item: T) -> None:
        inbox.put(item)

    def take(self, inbox: SimpleQueue[T], seconds: float) -> T | None:
        try:
            return inbox.get(timeout=max(0.0, seconds))
        except Empty:
            return None
