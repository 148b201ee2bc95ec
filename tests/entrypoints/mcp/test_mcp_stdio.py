"""The official client over stdin and stdout, with the command as an agent would start it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from tests.served_world import LEAVE, LEAVE_SAYS, PAY, PAY_SAYS, Served, begun
from typer.testing import CliRunner

from affidavit.domain.clock import SystemClock
from affidavit.entrypoints.cli import app


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    world = begun(tmp_path_factory.mktemp("stdio"), SystemClock())  # as the process has that is started
    with world.ws:
        yield world


def within(
    served: Served,
    work: Callable[[Any], Awaitable[Any]],
    *arguments: str,
    mode: Any = "auto",
    **environment: str,
) -> Any:
    there = StdioServerParameters(
        command=sys.executable,
        args=["-m", "affidavit", "-w", str(served.ws.parts.folder), "mcp", *arguments],
        env={**environment, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )

    async def go() -> Any:
        async with Client(stdio_client(there), mode=mode, cache=None) as client:
            return await work(client)

    return asyncio.run(go())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_acts_for_whose_key_it_has(served: Served, tmp_path: Path, mode: Any) -> None:
    file = tmp_path / "agent.key"
    file.write_text(f"{served.keys['alice']}\nshown once, and kept nowhere\n")
    file.chmod(0o600)

    async def work(client: Any) -> tuple[list[str], Any, Any]:
        listed = await client.list_tools()
        return (
            sorted(tool.name for tool in listed.tools),
            await client.call_tool("ask", {"question": LEAVE}),
            await client.call_tool("ask", {"question": PAY}),
        )

    names, leave, pay = within(served, work, "--key-file", str(file), mode=mode)
    assert names == ["ask", "call_status", "get_document", "search"]
    assert leave.structured_content["answer"] == LEAVE_SAYS
    assert pay.structured_content["status"] == "refused"
    run = leave.structured_content["run"]
    assert served.ws.runs.show(served.tenant, run, "user:alice")["question"] == LEAVE


def test_a_key_in_the_environment_says_who_and_ends(served: Served) -> None:
    id, key = served.made("bob")

    async def work(client: Any) -> tuple[Any, str]:
        found = await client.call_tool("ask", {"question": PAY})
        await asyncio.to_thread(served.ws.credentials.end_key, served.tenant, id, "operator:test")
        with pytest.raises(MCPError) as caught:
            await client.call_tool("ask", {"question": PAY})
        return found, caught.value.message

    found, message = within(served, work, AFFIDAVIT_KEY=key)
    assert found.structured_content["answer"] == PAY_SAYS
    assert "no longer" in message


def test_a_service_speaks_for_those_it_may(served: Served) -> None:
    key = served.key("service:bot", acts_for=["group:staff"])

    async def work(client: Any) -> Any:
        return await client.call_tool("ask", {"question": LEAVE})

    found = within(served, work, "--as", "alice", AFFIDAVIT_KEY=key)
    assert found.structured_content["answer"] == LEAVE_SAYS


LOOK = '''
from affidavit import tool

@tool(effect="read")
def look(order: int) -> str:
    """Look an order up."""
    return "an order"
'''


def test_a_client_of_the_older_protocol_hears_that_its_tools_changed(tmp_path: Path) -> None:
    """Over stdin there is one client to a process, and it need not ask."""
    served = begun(tmp_path, SystemClock())
    folder = served.ws.parts.folder
    (folder / "shop.py").write_text(LOOK)
    (folder / "tools.toml").write_text('[[tools]]\nfile = "shop.py"\n')
    changed = asyncio.Event()

    async def hear(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            changed.set()

    there = StdioServerParameters(
        command=sys.executable,
        args=["-m", "affidavit", "-w", str(folder), "mcp"],
        env={"AFFIDAVIT_KEY": served.keys["bob"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )

    async def go() -> tuple[list[str], list[str]]:
        async with Client(stdio_client(there), mode="legacy", cache=None, message_handler=hear) as client:
            assert client.server_capabilities.tools
            assert client.server_capabilities.tools.list_changed is True
            before = await client.list_tools()
            await asyncio.to_thread(served.ws.people.grant, served.tenant, "user:bob", "role:reader")
            await asyncio.wait_for(changed.wait(), 200)
            after = await client.list_tools()
            return [tool.name for tool in before.tools], [tool.name for tool in after.tools]

    with served.ws:
        before, after = asyncio.run(go())
    assert set(after) - set(before) == {"look_v1"}


@pytest.mark.parametrize(
    ("arguments", "key", "said"),
    [
        ((), "", "a name alone proves nothing"),
        (("--as", "alice"), "", "a name alone proves nothing"),
        (("--key-file", "/nowhere"), "", "cannot be read"),
        (("--key-file", __file__), "", "holds no key"),
        (("--as", "bob"), "alice's", "does not speak for user:bob"),
        (("--as", "alice"), "not a key", "holds no key"),
        ((), "aff_key_aaaaaaaaaaaaaaaa_" + 43 * "x", "not valid"),
    ],
)
def test_nobody_is_served_for_nothing(
    served: Served, arguments: tuple[str, ...], key: str, said: str
) -> None:
    folder = str(served.ws.parts.folder)
    key = served.keys["alice"] if key == "alice's" else key
    done = CliRunner().invoke(app, ["-w", folder, "mcp", *arguments], env={"AFFIDAVIT_KEY": key})
    assert done.exit_code != 0
    assert said in done.output
    assert key == "" or key not in done.output
