"""`affidavit mcp`: the MCP server over stdin and stdout, for agents on this machine."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, cast

import anyio
import typer
from anyio.abc import TaskGroup, TaskStatus
from fastapi import Request
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server

from affidavit.app.config import environment
from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.access import named
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import INTERRUPTED, WorkspaceOption, errors, find_workspace
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.who import FOR, ByKey
from affidavit.entrypoints.mcp.listening import Terms
from affidavit.entrypoints.mcp.server import Request as Asked
from affidavit.entrypoints.mcp.server import make_server
from affidavit.entrypoints.output import Output

KEY = "AFFIDAVIT_KEY"
KEY_FILE = "AFFIDAVIT_KEY_FILE"
_MOST = 65_536
_LONGEST = 1_000_000
"""Bytes of one message, as over HTTP."""
_HANDS, _QUEUE = 4, 64
"""Requests at a time, and waiting: one agent has no more to ask at once."""


def mcp(
    user: Annotated[
        str, typer.Option("--as", help="For whom a service's key speaks. A person's key needs no name.")
    ] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", help=f"A file with the key; default: ${KEY_FILE}, or ${KEY}.", show_default=False
        ),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve MCP on stdin and stdout: search, ask, documents and the tools that somebody may use.

    An agent acts for whose key it has, no longer than the key is good and no further than its scopes; a name alone proves
    nothing. `affidavit key make alice --name agent --by operator:me > agent.key` makes one.

    Example, as an MCP client's configuration: `{"command": "affidavit", "args": ["-w", "DIR", "mcp", "--key-file", "agent.key"]}`
    """
    out = Output(False)
    with errors(out), open_workspace(find_workspace(workspace)) as ws:
        key = _key(key_file, out)
        who = _who(ws, key, user)
        interrupted = anyio.run(_serve, ws, who)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _key(key_file: Path | None, out: Output) -> str:
    """The key that this agent was given. Raises UsageError, which never shows it."""
    said = environment(KEY_FILE)
    path = key_file or (Path(said) if said else None)
    if path is None:
        return environment(KEY)
    try:
        with path.open(encoding="utf-8") as file:
            words = file.read(_MOST).split()
            others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & (stat.S_IRGRP | stat.S_IROTH)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read", "affidavit key make USER --name agent --by operator:NAME > FILE"
        ) from error
    if others:
        out.warn(f"warning: {path} can be read by others: chmod 600 {path}")
    found = [word for word in words if word.startswith("aff_key_")]
    if len(found) != 1:
        raise UsageError(
            f"{path} holds no key of affidavit's",
            "affidavit key make USER --name agent --by operator:NAME > FILE",
        )
    return found[0]


def _who(ws: Workspace, key: str, user: str) -> Callable[[], Caller]:
    """Says who it is, anew each time. Raises UsageError, UnknownNameError, UnauthenticatedError."""
    if not key:
        raise UsageError(
            "whose agent is this? a name alone proves nothing",
            f"affidavit key make USER --name agent --by operator:NAME > FILE, then --key-file FILE, or the key in ${KEY}",
        )
    spoken_for = [(FOR.lower().encode(), named(user).encode())] if user else []
    headers = [(b"authorization", f"Bearer {key}".encode()), *spoken_for]
    request = Request({"type": "http", "headers": headers})
    proof = ByKey(ws)

    def by_key() -> Caller:
        found = proof(request)
        if found is None:
            raise UsageError(f"${KEY} holds no key of affidavit's", "affidavit key make … prints one")
        return found

    by_key()
    return by_key


async def _serve(ws: Workspace, who: Callable[[], Caller]) -> bool:
    """Serve until the client hangs up, or somebody interrupts; whether that was so.

    What was begun then is finished, or ends where nobody listens any more: its record is whole when this returns.
    """
    admission = Admission(_HANDS, _QUEUE, _QUEUE)

    async def caller(context: Asked) -> Caller:
        return await anyio.to_thread.run_sync(who)

    async def run(caller: Caller, work: Callable[[], Any]) -> Any:
        return await admission.run(caller.tenant.id, work)

    interrupted: list[int] = []
    lines = cast("anyio.AsyncFile[str]", Lines(sys.stdin.fileno()))
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_stop, tasks.cancel_scope, interrupted)
            server = make_server(ws, caller, run, Terms(caller, lambda work: _beside(tasks, work)))
            options = server.create_initialization_options(NotificationOptions(tools_changed=True))
            async with stdio_server(lines) as (reads, writes):
                await server.run(reads, writes, options)
            tasks.cancel_scope.cancel()
    except* (BrokenPipeError, anyio.BrokenResourceError):
        pass  # the client reads no more: it has gone
    finally:
        admission.close()
    return bool(interrupted)


def _beside(tasks: TaskGroup, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    tasks.start_soon(work)


async def _stop(
    scope: anyio.CancelScope,
    interrupted: list[int],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            interrupted.append(number)
            scope.cancel()


class Lines:
    """What comes over a descriptor, line by line. Waiting for the next can be cancelled, as a thread that reads cannot."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def __aiter__(self) -> AsyncIterator[str]:
        waiting = b""
        while data := await self._read():
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")
            if len(waiting) > _LONGEST:
                return  # no request is so long: whoever sends that is hung up on

    async def _read(self) -> bytes:
        try:
            await anyio.wait_readable(self._descriptor)
        except PermissionError:
            pass  # a file: it never makes us wait
        return os.read(self._descriptor, _MOST)
