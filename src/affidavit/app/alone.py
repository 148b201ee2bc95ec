"""What only one at a time may do, over all processes: a lock that goes with whoever holds it, however they end."""

from __future__ import annotations

import fcntl
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from affidavit.app.wiring import LOCKS

_TRIES = 20
_BETWEEN = 0.002
"""Seconds: whoever only looks whether a lock is held holds it for less."""


class Held:
    """A lock that is held until ``release``, from whichever thread, or until the process ends."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def release(self) -> None:
        """Let the next one."""
        self._file.close()


class Alone:
    """Locks of the workspace in ``folder``, by name: letters, digits and hyphens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / LOCKS

    def take(self, name: str) -> Held | None:
        """The lock ``name``; None while somebody else holds it."""
        self._folder.mkdir(exist_ok=True)
        file = (self._folder / f"{name}.lock").open("a+", encoding="utf-8")
        for _ in range(_TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_BETWEEN)
            else:
                return Held(file)
        file.close()
        return None

    def taken(self, name: str) -> bool:
        """Whether somebody holds it now."""
        with suppress(FileNotFoundError), (self._folder / f"{name}.lock").open("r+") as file:
            try:
                # shared: two who only look are not in each other's way
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
