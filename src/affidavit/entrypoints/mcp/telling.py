"""A piece of work that a client waits for: how it goes is told meanwhile, and it ends where the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from mcp.server.session import ServerSession

from affidavit.entrypoints.http.streams import ListenerGoneError

T = TypeVar("T")
Tell = Callable[[str], None]
"""Says how it goes, in words of ours alone. Called in the thread that works; raises ListenerGoneError when nobody listens."""

BEAT = 10.0
"""Seconds after which somebody who waits hears that it goes on."""


async def told(
    session: ServerSession, run: str, work: Callable[[Tell], Awaitable[T]], going: Callable[[], str]
) -> T:
    """What ``work`` gives. Whoever asked for progress hears that ``run`` has begun, what is told, and meanwhile how it is
    ``going``, which is looked up in a thread.

    Cancelled, it comes back at once; what works on in a thread ends when it next has something to tell.
    """
    loop = asyncio.get_running_loop()
    said: asyncio.Queue[str | None] = asyncio.Queue()
    gone = False

    def tell(message: str) -> None:
        if gone:
            raise ListenerGoneError
        loop.call_soon_threadsafe(said.put_nowait, f"{run}: {message}")

    said.put_nowait(f"{run}: begun")
    reporting = asyncio.create_task(_report(session, said, lambda: f"{run}: {going()}"))
    try:
        found = await work(tell)
        said.put_nowait(None)
        await reporting  # what was told comes before what came of it
        return found
    finally:
        gone = True
        reporting.cancel()


async def _report(session: ServerSession, said: asyncio.Queue[str | None], going: Callable[[], str]) -> None:
    """Progress counts what was said: the protocol wants a number that grows, and nobody knows the end of an answer."""
    count = 0
    message: str | None
    while True:
        try:
            async with asyncio.timeout(BEAT):
                message = await said.get()
        except TimeoutError:
            message = await asyncio.to_thread(going)
        if message is None:
            return
        count += 1
        try:
            await session.report_progress(count, None, message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # nobody is there: that the work is not wanted any more is said by cancelling it


def claims(tell: Tell) -> Callable[[Any], None]:
    """Is given each claim as it becomes durable; what it says stays with the answer, which is data."""
    count = 0

    def given(claim: Any) -> None:
        nonlocal count
        count += 1
        tell(f"claim {count} is on record")

    return given
