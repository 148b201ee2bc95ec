"""Who is served next when there is more to do than hands: bounded queues, fair between tenants, and within one between people.

A hand that becomes free goes to the tenant, of those that wait, that has the fewest already, and there to the person who has the
fewest; between equals in turn. So whoever has nothing in hand waits for as many pieces of work to end as others like them wait,
however much anybody else asks for and however long it takes. What does not fit is refused at once with the time to come back
at, which costs nothing, instead of late, which costs everybody.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from affidavit.domain.errors import OverloadedError

T = TypeVar("T")
_AFTER = 1
"""Seconds until it is worth while to ask again."""
_Place: TypeAlias = "asyncio.Future[None]"


class _Queue:
    """Those of one tenant who wait, by person."""

    def __init__(self) -> None:
        self._people: OrderedDict[str, deque[_Place]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._people.values()))

    def of(self, person: str) -> int:
        """How many places ``person`` has."""
        return len(self._people.get(person, ()))

    def add(self, person: str, place: _Place) -> None:
        self._people.setdefault(person, deque()).append(place)

    def next(self, held: Callable[[str], int]) -> tuple[str, _Place]:
        """The first place of the person who has the fewest hands; they are the last in turn now."""
        person = min(self._people, key=held)
        places = self._people.pop(person)
        place = places.popleft()
        if places:
            self._people[person] = places
        return person, place

    def forget(self, person: str, place: _Place) -> None:
        places = self._people.get(person)
        if places and place in places:
            places.remove(place)
            if not places:
                del self._people[person]


class Admission:
    """``hands`` pieces of work at a time; ``queue`` waiting for each tenant, ``own`` of them for each person, ``total`` in all.
    ``spare`` hands more are for tenants that have nothing in hand. Belongs into one event loop."""

    def __init__(self, hands: int, queue: int, total: int, spare: int = 0, own: int = 0) -> None:
        self._threads = ThreadPoolExecutor(hands + spare, thread_name_prefix="affidavit-http")
        self._free = hands + spare
        self._spare = spare
        self._held: Counter[int] = Counter()
        self._hers: Counter[tuple[int, str]] = Counter()
        self._queue = queue
        self._own = own or queue
        self._total = total
        self._waiting: OrderedDict[int, _Queue] = OrderedDict()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def run(self, tenant: int, work: Callable[[], T], person: str = "") -> T:
        """Do ``work`` in a thread at the turn of ``tenant``'s ``person``. Raises OverloadedError, or what ``work`` raises."""
        await self._turn(tenant, person)
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        # whoever asked may go away meanwhile; the hand is free only when the work is done
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done, tenant, person))
        return await asyncio.wrap_future(job)

    async def _turn(self, tenant: int, person: str) -> None:
        if self._closed:
            raise OverloadedError(
                "the server is shutting down", "ask again; another process will answer", _AFTER
            )
        if self._fits(tenant):
            self._take(tenant, person)
            return
        mine = self._waiting.get(tenant)
        if mine is not None and (len(mine) >= self._queue or mine.of(person) >= self._own):
            whose = "your" if mine.of(person) >= self._own else "your organisation's"
            raise OverloadedError(
                f"too many of {whose} requests are waiting already",
                "ask again a little later",
                _AFTER,
                by_caller=True,
            )
        if self.waiting >= self._total:
            raise OverloadedError("the server has too much to do", "ask again a little later", _AFTER)
        place: _Place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, _Queue()).add(person, place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._done(tenant, person)  # its turn came in the same moment as it went away
            else:
                self._forget(tenant, person, place)
            raise

    def _fits(self, tenant: int) -> bool:
        return self._free > self._spare or (self._free > 0 and not self._held[tenant])

    def _take(self, tenant: int, person: str) -> None:
        self._free -= 1
        self._held[tenant] += 1
        self._hers[tenant, person] += 1

    def _done(self, tenant: int, person: str) -> None:
        """A hand is free: it is given on."""
        self._free += 1
        less(self._held, tenant)
        less(self._hers, (tenant, person))
        while fitting := [one for one in self._waiting if self._fits(one)]:
            chosen = min(fitting, key=self._held.__getitem__)
            queue = self._waiting.pop(chosen)
            whose, place = queue.next(lambda who: self._hers[chosen, who])  # noqa: B023  # called at once
            if queue:
                self._waiting[chosen] = queue  # behind its equals
            if not place.done():
                self._take(chosen, whose)
                place.set_result(None)
                return

    def _forget(self, tenant: int, person: str, place: _Place) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None:
            queue.forget(person, place)
            if not queue:
                del self._waiting[tenant]

    def close(self) -> None:
        """Refuse what comes now and finish what was begun."""
        self._closed = True
        self._threads.shutdown(wait=True)


def less(counts: Counter[T], key: T) -> None:
    """One less; what is none is forgotten."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
