"""Back-pressure: so many calls at once per target and per tenant, a queue with an end, and turns by tenant."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from affidavit.domain.routes import Target


class Place(Enum):
    """Where a ticket stands. REFUSED: the queue was full."""

    WAITING = "waiting"
    INSIDE = "inside"
    REFUSED = "refused"
    LEFT = "left"


@dataclass(eq=False)
class Ticket:
    """One call's place. ``called`` is run, from whatever thread made room, when ``place`` becomes INSIDE or REFUSED."""

    target: str
    tenant: int
    called: Callable[[], None]
    place: Place = Place.WAITING


@dataclass
class _Lane:
    """One target's. ``waiting``: tickets by tenant, the tenant whose turn it is first."""

    concurrency: int
    per_tenant: int
    longest: int
    inside: Counter[int] = field(default_factory=Counter)
    waiting: OrderedDict[int, deque[Ticket]] = field(default_factory=OrderedDict)

    @property
    def queued(self) -> int:
        return sum(map(len, self.waiting.values()))


class Gate:
    """Shared by all calls of a process. Nothing here blocks: who waits is called. ``per_tenant``: calls of one tenant at once
    over all targets."""

    def __init__(self, per_tenant: int = 64) -> None:
        self._per_tenant = per_tenant
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._everywhere: Counter[int] = Counter()

    def enter(self, target: Target, tenant: int, called: Callable[[], None]) -> Ticket:
        """A ticket that is INSIDE, WAITING, or REFUSED. Whatever it is, ``leave`` with it once, later."""
        key = target.key
        ticket = Ticket(key, tenant, called)
        with self._lock:
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane(target.concurrency, target.per_tenant, target.queue)
            if not lane.waiting.get(tenant) and self._room(lane, tenant):
                self._admit(lane, ticket)
                return ticket
            refused = _join(lane, ticket)
        if refused is not None and refused is not ticket:
            refused.called()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Out of the queue, or out altogether; who is next is called."""
        with self._lock:
            lane = self._lanes[ticket.target]
            if ticket.place is Place.INSIDE:
                lane.inside[ticket.tenant] -= 1
                self._everywhere[ticket.tenant] -= 1
            elif ticket.place is Place.WAITING:
                _forget(lane, ticket)
            ticket.place = Place.LEFT
            admitted = [t for each in self._lanes.values() for t in self._fill(each)]
        for other in admitted:
            other.called()

    def standing(self, target: Target) -> tuple[int, int]:
        """(calls inside, calls waiting)."""
        with self._lock:
            lane = self._lanes.get(target.key)
            return (0, 0) if lane is None else (lane.inside.total(), lane.queued)

    def _room(self, lane: _Lane, tenant: int) -> bool:
        return (
            lane.inside.total() < lane.concurrency
            and lane.inside[tenant] < lane.per_tenant
            and self._everywhere[tenant] < self._per_tenant
        )

    def _admit(self, lane: _Lane, ticket: Ticket) -> None:
        ticket.place = Place.INSIDE
        lane.inside[ticket.tenant] += 1
        self._everywhere[ticket.tenant] += 1

    def _fill(self, lane: _Lane) -> list[Ticket]:
        """Admit who may come in now: one of each tenant in turn."""
        admitted = []
        while (tenant := next((t for t in lane.waiting if self._room(lane, t)), None)) is not None:
            ticket = lane.waiting[tenant].popleft()
            lane.waiting.move_to_end(tenant)
            if not lane.waiting[tenant]:
                del lane.waiting[tenant]
            self._admit(lane, ticket)
            admitted.append(ticket)
        return admitted


def _join(lane: _Lane, ticket: Ticket) -> Ticket | None:
    """Queue ``ticket``; the one that is refused for it, if the queue is full: the newest of whichever tenant has most waiting,
    so that nobody can keep the others out."""
    lane.waiting.setdefault(ticket.tenant, deque()).append(ticket)
    if lane.queued <= lane.longest:
        return None
    greedy = max(lane.waiting, key=lambda t: (len(lane.waiting[t]), t == ticket.tenant))
    refused = lane.waiting[greedy][-1]
    _forget(lane, refused)
    refused.place = Place.REFUSED
    return refused


def _forget(lane: _Lane, ticket: Ticket) -> None:
    lane.waiting[ticket.tenant].remove(ticket)
    if not lane.waiting[ticket.tenant]:
        del lane.waiting[ticket.tenant]
