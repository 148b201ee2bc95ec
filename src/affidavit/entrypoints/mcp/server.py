"""The protocol: which tools there are for whoever asks, and using one. The same over HTTP and stdio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import mcp_types as types
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, UnauthenticatedError
from affidavit.domain.version import VERSION
from affidavit.entrypoints.mcp.offers import find, offers
from affidavit.entrypoints.mcp.results import NOTICE

T = TypeVar("T")
Request = ServerRequestContext[Any, Any]
Who = Callable[[Request], Awaitable[Caller]]
"""Who asks this very request. Raises UnauthenticatedError, ForbiddenError."""
Runner = Callable[[Caller, Callable[[], T]], Awaitable[T]]
"""Does a piece of work in a thread, when it is the caller's turn. Raises OverloadedError, and what the work raises."""

UNAUTHENTICATED = -32001
"""An implementation's own error (JSON-RPC 2.0, 5.1), for a proof that no longer holds where no HTTP status can say so."""
NAME = "affidavit"
INSTRUCTIONS = (
    "Search and ask over an organisation's documents, and its tools, for one person: you are given what they may read and do "
    "what they may do, and everything is on record. "
    f"{NOTICE} Cite the documents that an answer comes with. A refusal means that nothing which they may read answers it. "
    "A call may come back waiting for a person's yes, or denied: its result says what to do."
)


def make_server(ws: Workspace, who: Who, run: Runner[Any]) -> Server[Any]:
    """The server over ``ws``."""

    async def on_list(context: Request, given: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        caller = await _known(who, context)
        try:
            found = await run(caller, lambda: list(offers(ws, caller)))
        except AffidavitError as error:
            raise _told(error) from error
        return types.ListToolsResult(tools=[offer.listed for offer in found])

    async def on_call(context: Request, given: types.CallToolRequestParams) -> types.CallToolResult:
        caller = await _known(who, context)
        try:
            return await run(caller, lambda: _use(ws, caller, given))  # type: ignore[no-any-return]
        except AffidavitError as error:
            raise _told(error) from error

    return Server(
        NAME,
        version=VERSION,
        title="affidavit",
        instructions=INSTRUCTIONS,
        on_list_tools=on_list,
        on_call_tool=on_call,
        # one person's list is nobody else's, and rights change at any moment
        cache_hints={"tools/list": CacheHint(ttl_ms=0, scope="private")},
        get_tool_input_schema=lambda name: None,
    )


async def _known(who: Who, context: Request) -> Caller:
    try:
        return await who(context)
    except AffidavitError as error:
        raise _told(error) from error


def _use(ws: Workspace, caller: Caller, given: types.CallToolRequestParams) -> types.CallToolResult:
    offer = find(ws, given.name)
    if offer is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {given.name[:80]}")
    return offer.use(ws, caller, given.arguments or {})


def _told(error: AffidavitError) -> MCPError:
    code = UNAUTHENTICATED if isinstance(error, UnauthenticatedError) else types.INTERNAL_ERROR
    return MCPError(code, error.message, error.as_dict())
