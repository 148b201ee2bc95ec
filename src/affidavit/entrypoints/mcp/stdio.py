"""`affidavit mcp`: the MCP server over stdin and stdout, for agents on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import anyio
import typer
from fastapi import Request
from mcp.server.stdio import stdio_server

from affidavit.app.config import environment
from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.access import named
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import TenantOption, WorkspaceOption, errors, find_workspace
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.who import FOR, ByKey
from affidavit.entrypoints.mcp.server import Request as Asked
from affidavit.entrypoints.mcp.server import make_server
from affidavit.entrypoints.output import Output

KEY = "AFFIDAVIT_KEY"
KEY_FILE = "AFFIDAVIT_KEY_FILE"
_HANDS, _QUEUE = 4, 64
"""Requests at a time, and waiting: one agent has no more to ask at once."""


def mcp(
    user: Annotated[
        str, typer.Option("--as", help=f"For whom the agent acts. Without it: whose key ${KEY} holds.")
    ] = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
) -> None:
    """Serve MCP on stdin and stdout: search, ask, documents and the tools that somebody may use.

    Who sits at the machine may name anybody with `--as`; with a key it is whose key it is, and ends when the key does. A
    service's key that speaks for people takes `--as` too.

    Example, as an MCP client's configuration: `{"command": "affidavit", "args": ["-w", "DIR", "mcp", "--as", "alice"]}`
    """
    out = Output(False)
    with errors(out), open_workspace(find_workspace(workspace)) as ws:
        anyio.run(_serve, ws, _who(ws, user, tenant))


def _who(ws: Workspace, user: str, tenant: str) -> Callable[[], Caller]:
    """Says who it is, anew each time. Raises UsageError, UnknownNameError, UnauthenticatedError."""
    key = environment(KEY)
    if key:
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
    if not user:
        raise UsageError("for whom?", f"--as USER, or a key in ${KEY}")
    here = ws.parts.tenant(tenant)
    caller = Caller(here, ws.tools.known(here, user), "machine")
    return lambda: caller


async def _serve(ws: Workspace, who: Callable[[], Caller]) -> None:
    admission = Admission(_HANDS, _QUEUE, _QUEUE)

    async def caller(context: Asked) -> Caller:
        return await anyio.to_thread.run_sync(who)

    async def run(caller: Caller, work: Callable[[], Any]) -> Any:
        return await admission.run(caller.tenant.id, work)

    server = make_server(ws, caller, run)
    try:
        async with stdio_server() as (reads, writes):
            await server.run(reads, writes, server.create_initialization_options())
    finally:
        admission.close()  # what was begun is finished, or ends where nobody listens: the workspace is open until then
