"""How much is taken in, and that one cannot keep another waiting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message
from tests.patience import LONG
from tests.server_world import World, people

import affidavit
from affidavit.app.settings import LimitSettings, Settings
from affidavit.domain.errors import OverloadedError
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.limits import limited

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def world(workspace: affidavit.Workspace) -> World:
    return people(workspace)


def test_who_asks_too_often_is_told_when_to_come_back_and_others_are_not_kept(world: World) -> None:
    with world.client(Settings(limits=LimitSettings(person_per_minute=3, tenant_per_minute=5))) as client:
        alice, mallory, gina = world.key("alice"), world.key("mallory"), world.key("gina", "globex")
        for left in (2, 1, 0):
            answer = client.get("/v1/me", headers=alice)
            assert answer.status_code == 200
            assert answer.headers["RateLimit"].startswith(f'"person";r={left};t=')
            assert answer.headers["RateLimit-Policy"] == '"person";q=3;w=60'
        refused = client.get("/v1/me", headers=alice)
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert [client.get("/v1/me", headers=mallory).status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/v1/me", headers=gina).status_code == 200
        assert client.get("/v1/me").status_code == 401


def test_a_body_has_so_many_bytes_and_no_more(world: World) -> None:
    with world.client(Settings(limits=LimitSettings(body_bytes=2_000))) as client:
        headers = {**world.key("alice"), "Content-Type": "application/json"}
        large = b'{"question": "' + b"x" * 3_000 + b'"}'
        for body in (large, iter([large[:1_500], large[1_500:]])):
            answer = client.post("/v1/ask", headers=headers, content=body)
            assert (answer.status_code, answer.json()["title"]) == (413, "Request Entity Too Large")
            assert answer.headers["Connection"] == "close"
        assert client.post("/v1/ask", headers=headers, content=b"{" * 1_000).status_code == 422


def test_a_request_arrives_in_time_or_not_at_all() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def go() -> None:
        with pytest.raises(HTTPException) as caught:
            await limited(never, 10, 0.01)()
        assert caught.value.status_code == 408

    asyncio.run(go())


# -- whose turn it is


async def _served(hands: int, asked: list[int], queue: int) -> tuple[list[int], list[int]]:
    """The tenants in the order in which they were served, and those that were refused."""
    admission = Admission(hands, queue, 1_000)
    order: list[int] = []
    refused: list[int] = []
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    async def one(tenant: int) -> None:
        try:
            await admission.run(tenant, lambda: None)
        except OverloadedError:
            refused.append(tenant)

    # nobody is served before all have asked: what is measured is the order, not the speed
    turns = admission._turn

    async def turn(tenant: int, person: str) -> None:
        await turns(tenant, person)
        order.append(tenant)
        await closed

    admission._turn = turn  # type: ignore[method-assign]
    tasks = []
    for tenant in asked:
        tasks.append(asyncio.create_task(one(tenant)))
        await asyncio.sleep(0)
    closed.set_result(None)
    await asyncio.gather(*tasks)
    admission.close()
    return order, refused


@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 4),
    st.integers(0, 4),
)
def test_a_flood_delays_another_tenant_by_one_piece_of_work_a_hand(
    hands: int, flood: int, others: int, more: int
) -> None:
    """Whoever comes after the flood waits for what is in the hands, then for one of the flood between two of their own."""
    asked = [1] * (hands + flood) + [2] * others + [1] * more
    order, refused = asyncio.run(_served(hands, asked, 1_000))
    assert not refused and sorted(order) == sorted(asked)
    after = order[hands:]
    for n in range(others):
        place = [i for i, tenant in enumerate(after) if tenant == 2][n]
        assert place <= 2 * n + 1


def test_what_does_not_fit_is_refused_and_the_others_are_not() -> None:
    order, refused = asyncio.run(_served(1, [1] * 10 + [2], 3))
    assert refused == [1] * 6
    assert order.count(2) == 1


def test_whoever_goes_away_takes_no_hand_along() -> None:
    async def go() -> None:
        admission = Admission(1, 10, 10)
        busy = asyncio.create_task(admission.run(1, lambda: time.sleep(0.05)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(admission.run(2, lambda: None))
        await asyncio.sleep(0)
        assert admission.waiting == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert admission.waiting == 0
        await busy
        assert await admission.run(3, lambda: 7) == 7
        admission.close()
        with pytest.raises(OverloadedError):
            await admission.run(1, lambda: None)

    asyncio.run(go())


def test_work_without_end_in_every_hand_of_one_tenant_keeps_no_other_waiting() -> None:
    async def go() -> None:
        admission = Admission(2, 10, 10, spare=1)
        over = threading.Event()
        busy = [asyncio.create_task(admission.run(1, over.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        assert admission.waiting == 3  # the spare hand is none of theirs
        try:
            async with asyncio.timeout(60):
                for n in range(3):
                    assert await admission.run(2, lambda n=n: n) == n  # type: ignore[misc]
            assert admission.waiting == 3
        finally:
            over.set()
        assert await asyncio.gather(*busy) == [True] * 5
        assert await admission.run(1, lambda: 7) == 7
        assert (admission._free, dict(admission._held)) == (3, {})
        admission.close()

    asyncio.run(go())


# -- fairness between many


class Busy:
    """An admission of which every hand holds work that ends when it is told to."""

    def __init__(self, hands: int, spare: int, own: int = 0) -> None:
        self.admission = Admission(hands, 1_000, 10_000, spare, own)
        self.tasks: list[asyncio.Task[None]] = []
        self.running: list[tuple[int, str]] = []
        self._ends: deque[threading.Event] = deque()

    async def ask(self, tenant: int, person: str = "") -> None:
        """Ask, and see it begin, wait or be refused."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            end = threading.Event()

            def begun() -> None:
                self.running.append((tenant, person))
                self._ends.append(end)

            loop.call_soon_threadsafe(begun)
            end.wait()

        self.tasks.append(asyncio.create_task(self.admission.run(tenant, work, person)))
        await asyncio.sleep(0)
        await self._settled()

    async def _settled(self) -> None:
        """Whoever has a hand has begun."""
        async with asyncio.timeout(LONG):
            while sum(self.admission._held.values()) != len(self._ends):
                await asyncio.sleep(0.001)

    async def complete(self) -> None:
        """The piece of work that began first ends; another one, if any may, has begun."""
        self._ends.popleft().set()
        await self._settled()

    async def end(self) -> None:
        while self._ends:
            await self.complete()
        assert not self.admission.waiting
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not self.admission._held and not self.admission._hers and not self.admission._waiting
        self.admission.close()


@pytest.mark.parametrize(("hands", "spare"), [(4, 1), (1, 1), (2, 0)])
def test_two_tenants_in_every_hand_keep_a_third_waiting_for_three_pieces_of_work_at_most(
    hands: int, spare: int
) -> None:
    async def go() -> None:
        busy = Busy(hands, spare)
        for tenant in [1] * 30 + [2] * 30 + [3]:
            await busy.ask(tenant)
        assert 3 not in [tenant for tenant, _ in busy.running]
        begun = len(busy.running)
        for _ in range(
            1 if hands == 4 else 3
        ):  # with few hands the others have nothing in hand either when one ends
            await busy.complete()
        assert 3 in [tenant for tenant, _ in busy.running[begun:]]  # before the fifty that came earlier
        await busy.end()

    asyncio.run(go())


@pytest.mark.parametrize("tenants", [3, 7])
def test_of_tenants_that_have_nothing_in_hand_each_waits_for_the_others_like_it(tenants: int) -> None:
    async def go() -> None:
        busy = Busy(3, 1)
        for tenant in [1] * 20 + [2] * 20:
            await busy.ask(tenant)
        newcomers = list(range(10, 10 + tenants))
        for tenant in newcomers:
            await busy.ask(tenant)
        begun = len(busy.running)
        for _ in range(tenants + 2):  # two of them are the others', when those have nothing in hand any more
            await busy.complete()
        assert [tenant for tenant, _ in busy.running[begun:] if tenant not in (1, 2)] == newcomers
        await busy.end()

    asyncio.run(go())


def test_one_person_keeps_a_colleague_waiting_for_one_piece_of_work() -> None:
    async def go() -> None:
        busy = Busy(3, 1)
        for _ in range(20):
            await busy.ask(1, "alice")
        await busy.ask(1, "carol")
        await busy.ask(1, "bob")
        begun = len(busy.running)
        await busy.complete()
        await busy.complete()
        assert busy.running[begun:] == [(1, "carol"), (1, "bob")]
        await busy.end()

    asyncio.run(go())


def test_one_person_does_not_fill_the_queue_of_their_organisation() -> None:
    async def go() -> None:
        busy = Busy(1, 0, own=2)
        for _ in range(5):
            await busy.ask(1, "alice")
        refused = [task for task in busy.tasks if task.done()]
        assert len(refused) == 2 and isinstance(refused[0].exception(), OverloadedError)
        await busy.ask(1, "bob")
        assert busy.admission.waiting == 3
        await busy.end()

    asyncio.run(go())
