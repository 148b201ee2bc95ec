"""Answers that come as they are made: server-sent events (HTML Living Standard, 9.2) of a question, and of a run followed.

A question asked for as a stream is answered in one of the hands of `Admission`, as any other; who only follows holds no thread:
one of them looks at the log for all.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from affidavit.domain.errors import AffidavitError, OverloadedError
from affidavit.entrypoints.http import problems
from affidavit.entrypoints.http.admission import less
from affidavit.entrypoints.http.drain import Drain

MEDIA_TYPE = "text/event-stream"
LAST = "Last-Event-ID"
HEARTBEAT = 15.0
"""Seconds after which a comment is sent: so often proxies want to hear something, and so soon we hear that nobody listens."""
_SOON = 10.0
"""Seconds in which an answer that fails does so with a status of its own, before the stream has begun."""
_LOOK = 0.25
_COMMENT = b": still here\n\n"
Part = Callable[[Any], None]


class ListenerGoneError(Exception):
    """Nobody listens any more: the answer ends where it is."""


def wanted(request: Request) -> bool:
    """Whether the request asks for events."""
    return MEDIA_TYPE in request.headers.get("Accept", "").lower()


def event(name: str, data: Any, id: int | None = None) -> bytes:
    """One event on the wire."""
    head = "" if id is None else f"id: {id}\n"
    # JSON escapes line ends, so the data is one line
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class Events(StreamingResponse):
    """A stream that calls ``end`` when it ends, however it does."""

    def __init__(self, content: AsyncIterator[bytes], end: Callable[[], None]) -> None:
        # nginx holds answers back unless told not to
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self.headers["Content-Type"] = f"{MEDIA_TYPE}; charset=utf-8"
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


class Places:
    """Open streams, at most ``most`` of each tenant and ``own`` of each person."""

    def __init__(self, most: int, own: int = 0) -> None:
        self._most = most
        self._own = own or most
        self._open: Counter[int] = Counter()
        self._hers: Counter[tuple[int, str]] = Counter()

    @property
    def open(self) -> Mapping[int, int]:
        """How many of each tenant are open."""
        return self._open

    def take(self, tenant: int, person: str = "") -> Callable[[], None]:
        """A place, and what gives it back. Raises OverloadedError."""
        mine = (tenant, person)
        for whose, full in (
            ("yours", self._hers[mine] >= self._own),
            ("your organisation", self._open[tenant] >= self._most),
        ):
            if full:
                raise OverloadedError(
                    f"too many streams of {whose} are open",
                    "close one, or ask again later",
                    5,
                    by_caller=True,
                )
        self._open[tenant] += 1
        self._hers[mine] += 1
        given = False

        def give_back() -> None:
            nonlocal given
            if not given:
                given = True
                less(self._open, tenant)
                less(self._hers, mine)

        return give_back


class _Line:
    """What was said and not yet sent. ``say`` belongs into any thread; the rest into the event loop's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._said: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._gone = threading.Event()

    def part(self, part: Any) -> None:
        """A part of the answer, as JSON. Raises ListenerGoneError."""
        if self._gone.is_set():
            raise ListenerGoneError
        self.say(event("claim", part))

    def say(self, data: bytes | None) -> None:
        """Send ``data``; None ends the stream."""
        with suppress(RuntimeError):  # the loop has ended, and with it the stream
            self._loop.call_soon_threadsafe(self._said.put_nowait, data)

    def hang_up(self) -> None:
        """Nobody listens."""
        self._gone.set()

    async def next(self, seconds: float) -> bytes | None:
        """What is said next, a comment where nothing is for so long, None at the end."""
        try:
            async with asyncio.timeout(seconds):
                return await self._said.get()
        except TimeoutError:
            return _COMMENT


class Told:
    """A question that is answered in parts."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def answer(
        self,
        request: Request,
        whose: tuple[int, str],
        work: Callable[[Part], Any],
        run: Callable[[Callable[[], Any]], Any],
    ) -> Events:
        """The stream of what ``work`` tells and gives; ``run`` has it done in a thread.

        Raises what ``work`` raises, if it does so soon and before the first part; later it is an event ``problem``.
        """
        give_back = self._places.take(*whose)
        line = _Line()
        job = asyncio.ensure_future(run(lambda: work(line.part)))

        def over(done: asyncio.Future[Any]) -> None:
            if not done.cancelled():
                done.exception()  # looked at below, if anybody still listens
            line.say(None)

        job.add_done_callback(over)

        def end() -> None:
            line.hang_up()
            give_back()
            job.cancel()  # if its turn has not come, it need not come

        try:
            first = await self._first(request, line, job)
        except BaseException:
            end()
            raise
        return Events(self._events(request, line, job, first), end)

    async def _first(self, request: Request, line: _Line, job: asyncio.Future[Any]) -> bytes | None:
        waited = 0.0
        while waited < _SOON:
            said = await line.next(1.0)
            if said is None:
                if not job.cancelled() and (error := job.exception()) is not None:
                    raise error
                return None
            if said is not _COMMENT:
                return said
            waited += 1.0
            if await request.is_disconnected():
                raise ListenerGoneError
        return _COMMENT

    async def _events(
        self, request: Request, line: _Line, job: asyncio.Future[Any], said: bytes | None
    ) -> AsyncIterator[bytes]:
        while said is not None:
            yield said
            said = await line.next(HEARTBEAT)
        error = None if job.cancelled() else job.exception()
        if error is None:
            yield event("answer", job.result())
        elif isinstance(error, AffidavitError):
            yield event("problem", json.loads(bytes(problems.of_error(request, error).body)))
        else:
            yield event("problem", json.loads(bytes(problems.of_fault(request).body)))
            raise error


class _Following:
    """One listener of a run: ``look`` gives what came after a position, and whether there will be more."""

    def __init__(self, look: Callable[[int], Mapping[str, Any]], after: int, line: _Line) -> None:
        self.look = look
        self.after = after
        self.line = line
        self.looked_at = float("-inf")
        self.head = -2

    def tell(self, request: Request) -> bool:
        """Say what came; False at the end."""
        try:
            found = self.look(self.after)
        except AffidavitError as error:
            self.line.say(event("problem", json.loads(bytes(problems.of_error(request, error).body))))
            self.line.say(None)
            return False
        for item in found["items"]:
            self.after = item["position"]
            self.line.say(event(item["kind"], item, item["position"]))
        if found["ended"]:
            self.line.say(None)
        return not found["ended"]


class Follows:
    """Follows runs for listeners: one thread looks at the log, and only when it has grown, for all of them."""

    def __init__(self, places: Places, head: Callable[[], int], drain: Drain) -> None:
        self._places = places
        self._head = head
        self._drain = drain
        self._all: dict[_Following, Request] = {}
        self._task: asyncio.Task[None] | None = None

    async def follow(
        self, request: Request, whose: tuple[int, str], after: int, look: Callable[[int], Mapping[str, Any]]
    ) -> Events:
        """The stream of what ``look`` finds, now and later. Raises what it raises at first."""
        with suppress(ValueError):
            after = max(after, int(request.headers.get(LAST, "")[:20]))
        give_back = self._places.take(*whose)
        line = _Line()
        one = _Following(look, after, line)

        def end() -> None:
            give_back()
            self._all.pop(one, None)

        try:
            await asyncio.to_thread(look, after)  # so that whoever may not is told by a status
        except BaseException:
            end()
            raise
        self._all[one] = request
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_for_all())
        return Events(self._events(line), end)

    async def _events(self, line: _Line) -> AsyncIterator[bytes]:
        yield _COMMENT
        ending = asyncio.ensure_future(self._drain.wait())
        ending.add_done_callback(lambda done: None if done.cancelled() else line.say(None))
        try:
            while (said := await line.next(HEARTBEAT)) is not None:
                yield said
        finally:
            ending.cancel()

    async def _look_for_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._all and not self._drain.begun:
            over = await asyncio.to_thread(self._look, list(self._all.items()), loop.time())
            for one in over:
                self._all.pop(one, None)
            await asyncio.sleep(_LOOK)

    def _look(self, everyone: list[tuple[_Following, Request]], now: float) -> list[_Following]:
        """Those that are over. Whoever was looked for long ago is again: a key may have expired."""
        over = []
        head = self._head()
        for one, request in everyone:
            if head != one.head or now - one.looked_at > HEARTBEAT:
                one.head, one.looked_at = head, now
                if not one.tell(request):
                    over.append(one)
        return over
