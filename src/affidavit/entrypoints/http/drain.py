"""Ending well: told to stop, the server takes nothing new and finishes what was begun; to probes it is not ready any more."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """Whether the end has begun. ``watch`` belongs into the event loop's thread, ``begin`` anywhere in it."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the server was told to stop."""
        return self._begun.is_set()

    async def wait(self) -> None:
        """Until it is told to."""
        await self._begun.wait()

    def begin(self) -> None:
        """Stop."""
        self._begun.set()

    def watch(self) -> None:
        """Notice the signals that end the server, and pass them on to whoever else handles them.

        The web server ends its connections only after the last answer is complete, and answers that go on until somebody tells
        them to end would wait for it for ever.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before) and before is not signal.default_int_handler:
                signal.signal(number, _both(loop, self.begin, before))


def _both(
    loop: asyncio.AbstractEventLoop, begin: Callable[[], None], before: Callable[[int, FrameType | None], Any]
) -> Callable[[int, FrameType | None], Any]:
    def handle(number: int, frame: FrameType | None) -> Any:
        loop.call_soon_threadsafe(begin)
        return before(number, frame)

    return handle
