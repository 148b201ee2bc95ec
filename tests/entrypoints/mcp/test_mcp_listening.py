"""Who listens hears that what they are offered has changed, and nothing of what others are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged
from tests.acting_world import ActingWorld, begun
from tests.served_world import on_loopback

from affidavit.app.settings import LimitSettings, LogSettings, Settings
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.mcp import listening
from affidavit.testing.clock import FixedClock

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
TOOL = "tool:order.look"


@dataclass
class World:
    acting: ActingWorld
    address: str

    def key(self, name: str) -> tuple[str, str]:
        made, key = self.acting.ws.credentials.make_key(
            self.acting.tenant, f"user:{name}", "test", 1, "operator:test"
        )
        return made.id, key

    async def stop(self, *, again: bool = False) -> None:
        """Stop a tool of alice's, or let it go on."""
        controls = self.acting.ws.controls
        change = controls.revive if again else controls.kill
        await asyncio.to_thread(change, self.acting.tenant, TOOL, "operator:test", "to see")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    acting = begun(tmp_path_factory.mktemp("listening"), FixedClock())
    one = Settings(limits=LimitSettings(streams=2, person_per_minute=0), logs=LogSettings(requests=False))
    with (
        acting.ws,
        pytest.MonkeyPatch.context() as patched,
        on_loopback(make_app(acting.ws, one)) as address,
    ):
        patched.setattr(listening, "LOOK", 0.02)
        yield World(acting, address)


def within(world: World, key: str, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
            Client(streamable_http_client(f"{world.address}/mcp", http_client=http), cache=None) as client,
        ):
            return await work(client)

    return asyncio.run(go())


def test_a_tool_that_is_stopped_is_heard_of(world: World) -> None:
    async def work(client: Client) -> list[list[str]]:
        async with client.listen(tools_list_changed=True, resources_list_changed=True) as heard:
            assert heard.honored.tools_list_changed is True
            assert heard.honored.resources_list_changed is None
            lists = []
            for again in (False, True):
                await world.stop(again=again)
                assert await anext(aiter(heard)) == ToolsListChanged()
                lists.append([tool.name for tool in (await client.list_tools()).tools])
            return lists

    stopped, going = within(world, world.key("alice")[1], work)
    assert set(going) - set(stopped) == {"order-look_v1"}


def test_what_is_no_change_for_them_nobody_hears_of(world: World) -> None:
    """Erin may use no tool. What she hears first is what was changed for her, though another's came before."""
    ws, tenant = world.acting.ws, world.acting.tenant

    async def work(client: Client) -> tuple[Any, bool]:
        granted = False
        async with client.listen(tools_list_changed=True) as stream:

            async def hear() -> tuple[Any, bool]:
                return await anext(aiter(stream)), granted

            hearing = asyncio.create_task(hear())
            for again in (False, True):
                await world.stop(again=again)
                await client.list_tools()
            granted = True
            await asyncio.to_thread(ws.people.grant, tenant, "user:erin", "role:operator")
            return await hearing

    try:
        heard = within(world, world.key("erin")[1], work)
    finally:
        ws.people.grant(tenant, "user:erin", "role:operator", revoke=True)
    assert heard == (ToolsListChanged(), True)


def test_a_key_that_was_taken_back_hears_nothing_more(world: World) -> None:
    id, key = world.key("alice")

    async def work(client: Client) -> list[Any]:
        async with client.listen(tools_list_changed=True) as heard:
            await asyncio.to_thread(
                world.acting.ws.credentials.end_key, world.acting.tenant, id, "operator:test"
            )
            await world.stop()
            return [event async for event in heard]

    try:
        assert within(world, key, work) == []
    finally:
        asyncio.run(world.stop(again=True))


def test_listeners_have_as_many_places_as_there_are(world: World) -> None:
    async def work(client: Client) -> str:
        async with client.listen(tools_list_changed=True), client.listen(tools_list_changed=True):
            with pytest.raises(MCPError) as caught:
                async with client.listen(tools_list_changed=True):
                    raise AssertionError("there is no third place")
        while True:  # whoever goes gives the place back, as soon as it is noticed
            try:
                async with client.listen(tools_list_changed=True):
                    return caught.value.error.message
            except MCPError:
                await asyncio.sleep(0.01)

    assert "too many streams" in within(world, world.key("alice")[1], work)
