"""Who is served next when there is more to do than hands: bounded queues, one for each tenant, served in turn.

A tenant that asks for a hundred things at once waits behind itself; the others wait for one of its requests at most. What does
not fit is refused at once with the time to come back at, which costs nothing, instead of late, which costs everybody.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from affidavit.domain.errors import OverloadedError

T = TypeVar("T")
_AFTER = 1
"""Seconds until it is worth while to ask again."""


class Admission:
    """``hands`` pieces of work at a time; ``queue`` waiting for each tenant, ``total`` in all. ``spare`` hands more are for
    tenants that have nothing in hand: however long the work of the others takes, they need not wait for it."""

    def __init__(self, hands: int, queue: int, total: int, spare: int = 0) -> None:
        self._threads = ThreadPoolExecutor(hands + spare, thread_name_prefix="affidavit-http")
        self._free = hands + spare
        self._spare = spare
        self._held: Counter[int] = Counter()
        self._queue = queue
        self._total = total
        self._waiting: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def run(self, tenant: int, work: Callable[[], T]) -> T:
        """Do ``work`` in a thread when it is ``tenant``'s turn. Raises OverloadedError, or what ``work`` raises."""
        await self._turn(tenant)
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        # whoever asked may go away meanwhile; the hand is free only when the work is done
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done, tenant))
        return await asyncio.wrap_future(job)

    async def _turn(self, tenant: int) -> None:
        if self._closed:
            raise OverloadedError(
                "the server is shutting down", "ask again; another process will answer", _AFTER
            )
        if self._fits(tenant):
            self._take(tenant)
            return
        if len(self._waiting.get(tenant, ())) >= self._queue:
            raise OverloadedError(
                "too many of your requests are waiting already",
                "ask again a little later",
                _AFTER,
                by_caller=True,
            )
        if self.waiting >= self._total:
            raise OverloadedError("the server has too much to do", "ask again a little later", _AFTER)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._done(tenant)  # its turn came in the same moment as it went away
            else:
                self._forget(tenant, place)
            raise

    def _fits(self, tenant: int) -> bool:
        return self._free > self._spare or (self._free > 0 and not self._held[tenant])

    def _take(self, tenant: int) -> None:
        self._free -= 1
        self._held[tenant] += 1

    def _done(self, tenant: int) -> None:
        """A hand is free: the tenant that waited longest for its turn, of those that may have it, has it."""
        self._free += 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        while (next_one := next(filter(self._fits, self._waiting), None)) is not None:
            places = self._waiting.pop(next_one)
            place = places.popleft()
            if places:
                self._waiting[next_one] = places  # behind the others
            if not place.done():
                self._take(next_one)
                place.set_result(None)
                return

    def _forget(self, tenant: int, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(tenant)
        if places and place in places:
            places.remove(place)
            if not places:
                del self._waiting[tenant]

    def close(self) -> None:
        """Refuse what comes now and finish what was begun."""
        self._closed = True
        self._threads.shutdown(wait=True)
