"""A question on its way: its claims as each becomes durable, then its answer. Asked in a thread, read in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from affidavit.app.operations.operation import Operation
from affidavit.app.operations.questions import AskInput, stream
from affidavit.app.operations.table import TABLE
from affidavit.domain.answer import GivenClaim
from affidavit.entrypoints.http.admission import Admission

Ask = Callable[[Operation[AskInput]], Any]


class GoneError(Exception):
    """Whoever asked is not there any more: the answer ends where it is, and its record says so."""


class Flow:
    """One question, which ``ask`` asks with the row of the table that it is given. Iterate over it once, to the end or until
    whoever asked has gone: then ``close``. Not ``streamed`` it has no claims but those of its answer."""

    def __init__(
        self, admission: Admission, tenant: int, ask: Ask, *, streamed: bool, person: str = ""
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[GivenClaim | None] = asyncio.Queue()
        self._gone = False
        row = replace(
            TABLE["questions.ask"],
            function=lambda ws, caller, asked: stream(ws, caller, asked, self._given if streamed else None),
        )
        self._task = asyncio.create_task(admission.run(tenant, partial(ask, row), person))
        self._task.add_done_callback(lambda _: self._queue.put_nowait(None))

    def _given(self, claim: GivenClaim) -> None:
        """In the thread that asks."""
        if self._gone:
            raise GoneError
        self._loop.call_soon_threadsafe(self._queue.put_nowait, claim)

    async def next(self) -> GivenClaim | None:
        """The next claim; None after the last, when ``answer`` is there."""
        return await self._queue.get()

    async def claims(self) -> AsyncIterator[GivenClaim]:
        """Those that are still to come."""
        while (claim := await self.next()) is not None:
            yield claim

    def answer(self) -> dict[str, Any]:
        """What came of it, after the last claim. Raises what asking raised."""
        found: dict[str, Any] = self._task.result()
        return found

    async def close(self) -> None:
        """Nobody reads on: what is not given yet will not be."""
        self._gone = True
        if not self._task.done():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        elif not self._task.cancelled():
            self._task.exception()  # which was told, or nobody is there to be told
