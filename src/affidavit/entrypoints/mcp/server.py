"""The protocol: what there is for whoever asks, and using it. The same over HTTP and stdio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import mcp_types as types
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, UnauthenticatedError, UsageError
from affidavit.domain.version import VERSION
from affidavit.entrypoints.mcp import prompts, resources
from affidavit.entrypoints.mcp.listening import Listening, Terms
from affidavit.entrypoints.mcp.offers import find, offers
from affidavit.entrypoints.mcp.results import NOTICE
from affidavit.entrypoints.mcp.telling import Tell, told
from affidavit.runs.recorder import new_run_id

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
_PRIVATE = CacheHint(ttl_ms=0, scope="private")
"""One person's list is nobody else's, and rights change at any moment."""


def make_server(ws: Workspace, who: Who, run: Runner[Any], terms: Terms) -> Server[Any]:
    """The server over ``ws``; ``terms`` are those of listening for changes."""
    listening = Listening(ws, who, run, terms)
    serving = _Serving(ws, who, run, listening)
    return Server(
        NAME,
        version=VERSION,
        title="affidavit",
        instructions=INSTRUCTIONS,
        on_list_tools=serving.tools,
        on_call_tool=serving.call,
        on_list_resources=serving.resources,
        on_list_resource_templates=serving.templates,
        on_read_resource=serving.read,
        on_list_prompts=serving.prompts,
        on_get_prompt=serving.prompt,
        on_completion=serving.complete,
        on_subscriptions_listen=listening,
        cache_hints={
            "tools/list": _PRIVATE,
            "resources/list": _PRIVATE,
            "resources/read": _PRIVATE,
            "prompts/list": _PRIVATE,
        },
        get_tool_input_schema=lambda name: None,
    )


class _Serving:
    """The requests of the protocol, each for whoever makes it."""

    def __init__(self, ws: Workspace, who: Who, run: Runner[Any], listening: Listening) -> None:
        self._ws = ws
        self._listening = listening
        self._who = who
        self._run = run

    # -- tools

    async def tools(
        self, context: Request, given: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        caller = await self._known(context)
        await self._listening.beside(context, caller)  # before: what changes meanwhile is heard of
        found = await self._given(caller, lambda caller: list(offers(self._ws, caller)))
        return types.ListToolsResult(tools=[offer.listed for offer in found])

    async def call(self, context: Request, given: types.CallToolRequestParams) -> types.CallToolResult:
        caller = await self._known(context)

        async def work(tell: Tell) -> types.CallToolResult:
            return await self._given(caller, lambda caller: self._use(caller, given, tell))

        return await told(context.session, caller.run, work, lambda: self._going(caller.run))

    def _going(self, run: str) -> str:
        """How a request stands that takes long: the call that it made, if it has made one, can be asked about from then on."""
        with self._ws.parts.database.read():
            calls = self._ws.tools.calls.of_run(run)
        return f"{calls[-1].name} is {calls[-1].state.value}" if calls else "goes on"

    def _use(self, caller: Caller, given: types.CallToolRequestParams, tell: Tell) -> types.CallToolResult:
        offer = find(self._ws, given.name)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {given.name[:80]}")
        return offer.use(self._ws, caller, given.arguments or {}, tell)

    # -- documents

    async def resources(
        self, context: Request, given: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        cursor = (given.cursor if given else None) or ""
        return await self._done(context, lambda caller: resources.listed(self._ws, caller, cursor))

    async def templates(
        self, context: Request, given: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return resources.templates()

    async def read(
        self, context: Request, given: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        return await self._done(context, lambda caller: resources.read(self._ws, caller, given.uri))

    # -- prompts

    async def prompts(
        self, context: Request, given: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        return await self._done(context, lambda caller: prompts.prompts(self._ws, caller))

    async def prompt(self, context: Request, given: types.GetPromptRequestParams) -> types.GetPromptResult:
        arguments = given.arguments or {}
        return await self._done(
            context, lambda caller: prompts.prompt(self._ws, caller, given.name, arguments)
        )

    async def complete(self, context: Request, given: types.CompleteRequestParams) -> types.CompleteResult:
        return await self._done(context, lambda caller: self._completed(caller, given))

    def _completed(self, caller: Caller, given: types.CompleteRequestParams) -> types.CompleteResult:
        name, value = given.argument.name, given.argument.value
        known = (given.context.arguments if given.context else None) or {}
        more = False
        if isinstance(given.ref, types.PromptReference):
            values = prompts.completed(self._ws, caller, given.ref.name, name, value)
        elif given.ref.uri == resources.TEMPLATE:
            values, more = resources.completed(self._ws, caller, name, value, known)
        else:
            values = []
        return types.CompleteResult(completion=types.Completion(values=values, has_more=more))

    # -- whoever asks

    async def _done(self, context: Request, work: Callable[[Caller], T]) -> T:
        return await self._given(await self._known(context), work)

    async def _given(self, caller: Caller, work: Callable[[Caller], T]) -> T:
        try:
            return await self._run(caller, lambda: work(caller))  # type: ignore[no-any-return]
        except AffidavitError as error:
            raise _told(error) from error

    async def _known(self, context: Request) -> Caller:
        """Whoever asks; what they ask for has an id of its own before it begins."""
        try:
            caller = await self._who(context)
        except AffidavitError as error:
            raise _told(error) from error
        return replace(caller, run=caller.run or new_run_id(self._ws.parts.randomness))


def _told(error: AffidavitError) -> MCPError:
    code = types.INTERNAL_ERROR
    if isinstance(error, UnauthenticatedError):
        code = UNAUTHENTICATED
    elif isinstance(error, UsageError):
        code = types.INVALID_PARAMS
    return MCPError(code, error.message, error.as_dict())
