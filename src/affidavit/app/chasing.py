"""Views of the log that are brought up to its end behind whoever looks at them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from affidavit.domain.errors import AffidavitError


class Chase:
    """One thread at a time that calls ``step`` until it says that nothing is left. What goes wrong is met again by whoever looks
    next, who is told of it."""

    def __init__(self, name: str, step: Callable[[], int]) -> None:
        self._name = name
        self._step = step
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False

    def begin(self) -> None:
        """Unless it is under way."""
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Until nothing is left, if it is under way."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """End it after the step that it is at."""
        self._closing = True
        self.wait()
        self._closing = False

    def _run(self) -> None:
        with suppress(AffidavitError):
            while not self._closing and self._step():
                pass
