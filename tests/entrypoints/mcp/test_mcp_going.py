"""How an answer goes is told while it is made, and who goes away ends it: over HTTP and over stdin, and the record says so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from tests.app.test_models import release
from tests.app.test_streaming import FILES, GOOD, QUESTION, Streaming, saying
from tests.patience import soon
from tests.served_world import on_loopback

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.events import EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.mcp import server, telling

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
ROOT = Path(__file__).resolve().parents[3]


class Pausing(Streaming):
    """After its first claim it says nothing more until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.say = saying(*GOOD)
        self.goes_on = threading.Event()

    def stream(self, request: Any, cancel: Any = None) -> Iterator[Any]:
        said = ""
        for delta in super().stream(request, cancel):
            yield delta
            said += delta.text
            if GOOD[1][0][:8] in said:
                assert self.goes_on.wait(200)


@dataclass
class World:
    ws: affidavit.Workspace
    model: Pausing
    key: str

    def kinds(self, run: str) -> list[EventKind]:
        return [e.kind for e in self.ws.parts.events.of_run(run)]

    def story(self, run: str) -> Mapping[str, Any]:
        soon(lambda: EventKind.RUN_FINISHED in self.kinds(run))
        return self.ws.runs.show(self.ws.parts.tenant(""), run, "user:alice")


def made(folder: Path) -> World:
    for name, content in FILES.items():
        (folder / "docs" / name).parent.mkdir(exist_ok=True)
        (folder / "docs" / name).write_text(str(content))
    (folder / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    ws = affidavit.init(folder / "ws", EmbedderSpec("none"))
    ws.import_people(folder / "p.jsonl")
    ws.add_source("folder", folder / "docs", "docs")
    ws.sync()
    model = Pausing()
    ws.parts.models.make = lambda target: model
    ws.publish(release())
    _, key = ws.credentials.make_key(ws.parts.tenant(""), "user:alice", "agent", 1, "operator:test")
    return World(ws, model, key)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = made(tmp_path)
    with found.ws:
        yield found


@asynccontextmanager
async def over_http(world: World, address: str, mode: Any) -> Any:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {world.key}"}) as http,
        Client(streamable_http_client(f"{address}/mcp", http_client=http), mode=mode, cache=None) as client,
    ):
        yield client


class Heard:
    """What the client was told of the progress."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.counts: list[float] = []
        self.claimed = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.counts.append(progress)
        self.said.append(message or "")
        if "claim 1" in (message or ""):
            self.claimed.set()

    @property
    def run(self) -> str:
        return self.said[0].partition(":")[0]


def interrupted(world: World, run: str) -> None:
    """That the record says: one claim was given, and then nobody listened."""
    story = world.story(run)
    assert story["given"]["incomplete"] == "interrupted"
    # the second was durable before it could not be given any more
    assert 1 <= len(story["given"]["claims"]) < len(GOOD)
    world.ws.verify()


# -- over HTTP


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_each_claim_is_told_of_when_it_is_on_record(
    world: World, mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "BEAT", 0.01)

    async def go(address: str) -> tuple[Heard, Any]:
        heard = Heard()
        async with over_http(world, address, mode) as client:
            asked = asyncio.create_task(
                client.call_tool("ask", {"question": QUESTION}, progress_callback=heard)
            )
            await heard.claimed.wait()
            durable = world.kinds(heard.run)
            assert EventKind.CLAIM_RELEASED in durable
            assert EventKind.ANSWER_RELEASED not in durable
            while not any("goes on" in one for one in heard.said):
                await asyncio.sleep(0.01)
            world.model.goes_on.set()
            return heard, await asked

    with on_loopback(make_app(world.ws)) as address:
        heard, answer = asyncio.run(go(address))
    assert answer.structured_content["run"] == heard.run
    assert len(answer.structured_content["claims"]) == len(GOOD)
    assert heard.counts == sorted(set(heard.counts))
    told = [one.partition(": ")[2] for one in heard.said if "goes on" not in one]
    assert told == ["begun", "claim 1 is on record", "claim 2 is on record", "claim 3 is on record"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_who_cancels_ends_the_answer_there(world: World, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed = threading.Event()

    async def watched(*given: Any) -> Any:
        try:
            return await telling.told(*given)
        finally:
            noticed.set()

    monkeypatch.setattr(server, "told", watched)

    async def go(address: str) -> str:
        heard = Heard()
        async with over_http(world, address, mode) as client:
            asked = asyncio.create_task(
                client.call_tool("ask", {"question": QUESTION}, progress_callback=heard)
            )
            await heard.claimed.wait()
            asked.cancel()
            assert await asyncio.to_thread(noticed.wait, 200)
            world.model.goes_on.set()
            assert (await client.list_tools()).tools  # the next request is served as any
        return heard.run

    with on_loopback(make_app(world.ws)) as address:
        run = asyncio.run(go(address))
        interrupted(world, run)


# -- over stdin and stdout

AGENT = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}]
from tests.app.test_streaming import GOOD
from tests.entrypoints.mcp.test_mcp_going import Pausing
from affidavit.app.models import ModelShop
from affidavit.entrypoints.cli import main
model = Pausing()
class Go:
    def wait(self, seconds):
        while not Path({go!r}).exists():
            time.sleep(0.01)
        return True
model.goes_on = Go()
ModelShop.at = lambda self, target: model
from affidavit.entrypoints.mcp import server, telling
async def watched(*given):
    try:
        return await telling.told(*given)
    finally:
        Path({go!r} + ".noticed").touch()
server.told = watched
main()
"""


def agent(world: World) -> tuple[list[str], Path]:
    """The command, whose model pauses until a file is there; the file."""
    go = world.ws.parts.folder.parent / "go"
    code = textwrap.dedent(AGENT.format(root=str(ROOT), go=str(go)))
    return [sys.executable, "-c", code, "-w", str(world.ws.parts.folder), "mcp"], go


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_who_cancels_over_stdin_ends_the_answer_there(world: World, mode: Any) -> None:
    (command, *arguments), go_on = agent(world)
    there = StdioServerParameters(
        command=command,
        args=arguments,
        env={"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "AFFIDAVIT_KEY": world.key},
    )

    async def go() -> str:
        heard = Heard()
        async with Client(stdio_client(there), mode=mode, cache=None) as client:
            asked = asyncio.create_task(
                client.call_tool("ask", {"question": QUESTION}, progress_callback=heard)
            )
            await heard.claimed.wait()
            asked.cancel()
            await asyncio.to_thread(soon, go_on.with_suffix(".noticed").exists)
            assert (await client.list_tools()).tools  # the next request is served as any
            go_on.touch()
            await asyncio.to_thread(world.story, heard.run)
        return heard.run

    interrupted(world, asyncio.run(go()))


def line(id: int, method: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n"


@pytest.mark.parametrize("how", ["interrupt", "terminate", "hang up", "kill"])
def test_however_it_ends_the_record_is_honest(world: World, how: str) -> None:
    command, go_on = agent(world)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AFFIDAVIT_KEY": world.key},
    )
    assert process.stdin
    assert process.stdout
    opening = {"capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    process.stdin.write(line(1, "initialize", protocolVersion="2025-06-18", **opening))
    process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
    asked = {"name": "ask", "arguments": {"question": QUESTION}, "_meta": {"progressToken": "p"}}
    process.stdin.write(line(2, "tools/call", **asked))
    process.stdin.flush()
    run = ""
    for said in process.stdout:
        message = json.loads(said).get("params", {}).get("message", "")
        run = message.partition(":")[0]
        if "claim 1" in message:
            break
    if how == "interrupt":
        process.send_signal(signal.SIGINT)
    elif how == "terminate":
        process.send_signal(signal.SIGTERM)
    elif how == "hang up":
        process.stdin.close()
    else:
        process.kill()
    if how != "kill":
        soon(go_on.with_suffix(".noticed").exists)
        go_on.touch()
    status = process.wait(200)
    assert process.stderr
    said = process.stderr.read()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert "Traceback" not in said
    assert status == {"interrupt": 130, "terminate": 130, "hang up": 0, "kill": -9}[how]
    if how == "kill":
        story = world.ws.runs.show(world.ws.parts.tenant(""), run, "user:alice")
        assert (story["status"], story["given"]["incomplete"]) == ("unfinished", "unfinished")
        assert len(story["given"]["claims"]) == 1
        world.ws.verify()
    else:
        interrupted(world, run)
