"""How much is taken in: requests by the minute and by the day for each person and tenant, bytes and seconds for each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from affidavit.app.operations.operation import Caller, Operation
from affidavit.app.settings import LimitSettings, QuotaSettings, Settings
from affidavit.app.wiring import Parts
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import OverloadedError, QuotaError
from affidavit.store.counting import DAY, Bound, Counting, Level
from affidavit.store.runs import Runs

MINUTE = 60 * MICROSECONDS
_ASKING, _CALLING = "question:ask", "tool:call"
_KNOWN = 10_000
_JOURNEYS = {
    "ask": ("questions",),
    "search": ("questions",),
    "embed": ("questions",),
    "call": ("calls",),
    "act": ("calls",),
    "read": (),
}
"""What a run is counted as, beside one request, where the counters were lost."""


@dataclass(frozen=True)
class Limit:
    """``name`` is what the headers call it; ``what`` is counted, by the minute ("") or by the day."""

    name: str
    bound: Bound

    @property
    def own(self) -> bool:
        """Whether it is one person's."""
        return self.name.startswith("person")

    def policy(self) -> str:
        """As RateLimit-Policy has it (draft-ietf-httpapi-ratelimit-headers-11)."""
        return f'"{self.name}";q={self.bound.most};w={self.bound.window // MICROSECONDS}'

    def level(self, level: Level) -> str:
        """As RateLimit has it."""
        return f'"{self.name}";r={level.left};t={level.after}'

    def error(self, level: Level) -> OverloadedError:
        """What whoever asks for more is told."""
        whose = "you ask" if self.own else "your organisation asks"
        if not self.bound.daily:
            message = f"{whose} more than {self.bound.most} times a minute"
            return OverloadedError(message, f"ask again in {level.after} s", level.after, by_caller=True)
        what = self.name.partition("-")[2]
        return QuotaError(
            f"{whose} for more than {self.bound.most} {what} a day",
            "ask again after midnight UTC, or ask whoever runs this server for more",
            level.after,
            by_caller=True,
        )


class Limits:
    """The limits that the settings set, counted for all processes together."""

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self._parts = parts
        self._limits: LimitSettings = settings.limits
        self._quotas: QuotaSettings = settings.quotas
        self.counting = Counting(parts.folder, self._recorded)
        # who asks often must not be looked up as a pseudonym each time
        self._mark = lru_cache(_KNOWN)(lambda tenant, who: parts.mark("limit", tenant, who)[:32])

    def of(self, tenant: int, who: str, what: str) -> list[Limit]:
        """Those on ``what`` ("requests", "questions", "calls") of ``who`` and of their tenant."""
        found = []
        for whose, key in (("person", self._key(tenant, who)), ("tenant", self._key(tenant))):
            if what == "requests" and (most := getattr(self._limits, f"{whose}_per_minute")):
                found.append(Limit(whose, Bound(key, most, MINUTE)))
            if most := getattr(self._quotas, f"{whose}_{what}"):
                found.append(Limit(f"{whose}-{what}", Bound(f"{key} {what}", most, DAY)))
        return found

    def _key(self, tenant: int, who: str = "") -> str:
        return f"{tenant} {self._mark(tenant, who)}" if who else str(tenant)

    def take(self, limits: list[Limit]) -> Iterator[tuple[Limit, Level, bool]]:
        """One of each: what is left, and whether that one forbids it (then none was taken)."""
        if limits:
            levels, full = self.counting.take([one.bound for one in limits], self._now())
            for n, (limit, level) in enumerate(zip(limits, levels, strict=True)):
                yield limit, level, n == full

    def left(self, limits: list[Limit]) -> list[Level]:
        """What is left of each."""
        return self.counting.levels([one.bound for one in limits], self._now()) if limits else []

    def _now(self) -> int:
        return self._parts.clock.now()

    def _recorded(self, since: int) -> Iterator[tuple[str, int]]:
        """What the list of runs says of the day that began at ``since``. Each run was one request at least."""
        found: dict[str, int] = {}
        with self._parts.database.read():
            first = self._parts.log.position_at(since - 1) + 1
            for tenant, who, journey, count in Runs(self._parts.database).counted(first):
                for what in ("requests", *_JOURNEYS[journey]) if who and journey in _JOURNEYS else ():
                    for key in (self._key(tenant), self._key(tenant, who)):
                        found[f"{key} {what}"] = found.get(f"{key} {what}", 0) + count
        yield from found.items()

    def close(self) -> None:
        """Let go of the file."""
        self.counting.close()


class _Meter:
    """Counts what one request does. Whoever looks as somebody else does so at their own expense."""

    def __init__(self, limits: Limits, caller: Caller, headers: dict[str, str]) -> None:
        self._limits = limits
        self._tenant = caller.tenant.id
        self._who = caller.by if caller.looking else caller.principal
        self._headers = headers

    def take(self, what: str) -> None:
        """Count one of ``what``. Raises OverloadedError, QuotaError."""
        refused: OverloadedError | None = None
        for limit, level, full in self._limits.take(self._limits.of(self._tenant, self._who, what)):
            if limit.own or full:  # how much all the others ask is nobody's business while it fits
                for name, said in (("RateLimit-Policy", limit.policy()), ("RateLimit", limit.level(level))):
                    self._headers[name] = f"{self._headers[name]}, {said}" if name in self._headers else said
            if full:
                refused = limit.error(level)
        if refused is not None:
            raise refused

    def charge(self, operation: Operation[Any]) -> None:
        """Count it as what it is, if it is counted at all. Raises QuotaError."""
        if operation.changes and operation.action in (_ASKING, _CALLING):
            self.take("questions" if operation.action == _ASKING else "calls")

    def used(self, *, whole: bool) -> list[dict[str, Any]]:
        """Each limit, what is left of it and in how many seconds there is more."""
        wanted = [
            limit
            for what in ("requests", "questions", "calls")
            for limit in self._limits.of(self._tenant, self._who, what)
            if limit.own or whole
        ]
        return [
            {
                "name": limit.name,
                "most": limit.bound.most,
                "seconds": limit.bound.window // MICROSECONDS,
                "left": level.left,
                "after": level.after,
            }
            for limit, level in zip(wanted, self._limits.left(wanted), strict=True)
        ]


class Rated:
    """Tells who asks, as ``who`` does, and refuses whoever asks too often. The person counts, and all of the tenant together."""

    def __init__(self, who: Callable[[Request], Caller], limits: Limits) -> None:
        self._who = who
        self._limits = limits

    def __call__(self, request: Request) -> Caller:
        """Whoever asks. Raises OverloadedError, and what ``who`` raises."""
        caller = self._who(request)
        request.state.tenant = caller.tenant.id
        meter = _Meter(self._limits, caller, request.state.headers)
        meter.take("requests")
        return replace(caller, meter=meter)


def too_large(most: int) -> HTTPException:
    """What whoever sends more than ``most`` bytes is told."""
    return HTTPException(413, f"the body has more than {most} bytes", {"Connection": "close"})


def limited(receive: Receive, most: int, seconds: float) -> Receive:
    """``receive`` that takes at most ``most`` bytes in ``seconds``; what comes after the body is none of its business."""
    left, whole = most, False
    deadline = time.monotonic() + seconds

    async def take() -> Message:
        nonlocal left, whole
        if whole:
            return await receive()  # waits for the other side to go away
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(
                408, f"the request did not arrive within {seconds:g} s", {"Connection": "close"}
            ) from error
        left -= len(message.get("body", b""))
        if left < 0:
            raise too_large(most)
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return take
