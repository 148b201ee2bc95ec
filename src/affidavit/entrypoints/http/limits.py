"""How much is taken in: requests by the minute for each person and tenant, bytes and seconds for each request."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from affidavit.app.operations.operation import Caller
from affidavit.app.settings import LimitSettings
from affidavit.domain.errors import OverloadedError

_WINDOW = 60
"""Seconds in which a whole bucket fills."""
_MANY = 10_000
Now = Callable[[], float]


@dataclass(frozen=True)
class Level:
    """What is left in a bucket: whole requests, and seconds until there is one more than ``left``."""

    left: int
    after: int


class Buckets:
    """A token bucket for each key: ``most`` at once, and as many again each minute; 0 is no limit. For any thread."""

    def __init__(self, most: int, now: Now = time.monotonic) -> None:
        self.most = most
        self._now = now
        self._levels: dict[Hashable, tuple[float, float]] = {}
        self._guard = threading.Lock()

    def take(self, key: Hashable) -> tuple[bool, Level]:
        """Whether there was one to take, and what is left."""
        if not self.most:
            return True, Level(0, 0)
        with self._guard:
            now = self._now()
            level = self._level(key, now)
            taken = level >= 1
            level -= taken
            self._levels[key] = (level, now)
            if len(self._levels) > _MANY:
                self._tidy(now)
        return taken, Level(math.floor(level), math.ceil((1 - level % 1) * _WINDOW / self.most))

    def _level(self, key: Hashable, now: float) -> float:
        level, at = self._levels.get(key, (float(self.most), now))
        return min(float(self.most), level + (now - at) * self.most / _WINDOW)

    def _tidy(self, now: float) -> None:
        """Forget the full ones: they are as good as new."""
        self._levels = {
            key: (self._level(key, now), now) for key in self._levels if self._level(key, now) < self.most
        }


class Rated:
    """Tells who asks, as ``who`` does, and refuses whoever asks too often. The person counts, and all of the tenant together."""

    def __init__(
        self, who: Callable[[Request], Caller], limits: LimitSettings, now: Now = time.monotonic
    ) -> None:
        self._who = who
        self._person = Buckets(limits.person_per_minute, now)
        self._tenant = Buckets(limits.tenant_per_minute, now)

    def __call__(self, request: Request) -> Caller:
        """Whoever asks. Raises OverloadedError, and what ``who`` raises."""
        caller = self._who(request)
        request.state.tenant = caller.tenant.id
        tenant = caller.tenant.id
        self._take(request, "person", self._person, (tenant, caller.principal))
        self._take(request, "tenant", self._tenant, tenant)
        return caller

    def _take(self, request: Request, name: str, buckets: Buckets, key: Hashable) -> None:
        taken, level = buckets.take(key)
        if not buckets.most:
            return
        if name == "person" or not taken:  # how much all the others ask is nobody's business while it fits
            # draft-ietf-httpapi-ratelimit-headers
            request.state.headers["RateLimit-Policy"] = f'"{name}";q={buckets.most};w={_WINDOW}'
            request.state.headers["RateLimit"] = f'"{name}";r={level.left};t={level.after}'
        if not taken:
            whose = "you ask" if name == "person" else "your organisation asks"
            raise OverloadedError(
                f"{whose} more than {buckets.most} times a minute",
                f"ask again in {level.after} s",
                level.after,
                by_caller=True,
            )


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
