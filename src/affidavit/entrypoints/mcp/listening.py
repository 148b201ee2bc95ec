"""A client that wants to know hears that the tools which its person is offered are other ones now: on a stream that it asks for
(`subscriptions/listen`), or in the protocol before that by itself, where a connection is one client's.

It hears that, and nothing else: what there is it asks for as ever. Nobody hears of a change that is none for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged, event_to_notification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, OverloadedError
from affidavit.entrypoints.mcp.offers import offers

Request = ServerRequestContext[Any, Any]
LOOK = 2.0
"""Seconds between looks at the log: whether anything has happened at all."""


def _anywhere(caller: Caller) -> Callable[[], None]:
    return lambda: None


@dataclass(frozen=True)
class Terms:
    """On which somebody may listen. ``take`` gives a place of theirs and what gives it back, or raises OverloadedError;
    ``over``: everybody is sent away; ``again`` proves once more who asks, before they hear anything. ``beside`` does something
    beside the requests of the one client there is, for as long as it is there; None where there are many."""

    again: Callable[[Request], Awaitable[Caller]]
    beside: Callable[[Callable[[], Coroutine[Any, Any, None]]], None] | None = None
    take: Callable[[Caller], Callable[[], None]] = field(default=_anywhere)
    over: Callable[[], bool] = field(default=lambda: False)


class Listening:
    """The streams of one server. ``who`` and ``run`` are as in ``make_server``."""

    def __init__(
        self,
        ws: Workspace,
        who: Callable[[Request], Awaitable[Caller]],
        run: Callable[[Caller, Callable[[], Any]], Awaitable[Any]],
        terms: Terms,
    ) -> None:
        self._ws = ws
        self._who = who
        self._run = run
        self._terms = terms
        self._watching = False

    async def beside(self, context: Request, caller: Caller) -> None:
        """Somebody asked which tools there are: from now on they hear when there are others, if they speak the protocol in which
        that is so."""
        beside = self._terms.beside
        if beside is None or self._watching or context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return
        self._watching = True
        head, known = await self._head(), await self._offered(caller)

        async def watch() -> None:
            try:
                async for _ in self._changes(context, caller, head, known):
                    await context.session.send_tool_list_changed()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the client has gone

        beside(watch)

    async def __call__(
        self, context: Request, given: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """One stream, until the client goes, the proof ends, or the server does."""
        try:
            caller = await self._who(context)
            give_back = self._terms.take(caller)
        except AffidavitError as error:
            raise MCPError(types.INTERNAL_ERROR, error.message, error.as_dict()) from error
        try:
            return await self._stream(context, caller, given)
        finally:
            give_back()

    async def _stream(
        self, context: Request, caller: Caller, given: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: context.request_id}
        tools = given.notifications.tools_list_changed is True
        head, known = await self._head(), await self._offered(caller)
        await self._say(
            context,
            types.SubscriptionsAcknowledgedNotification(
                params=types.SubscriptionsAcknowledgedNotificationParams(
                    notifications=types.SubscriptionFilter(tools_list_changed=tools or None), _meta=meta
                )
            ),
        )
        if tools:
            async for _ in self._changes(context, caller, head, known):
                await self._say(context, event_to_notification(ToolsListChanged(), meta))
        else:
            while not self._terms.over():
                await anyio.sleep(LOOK)
        return types.SubscriptionsListenResult(_meta=meta)

    async def _changes(
        self, context: Request, caller: Caller, head: int, known: str | None
    ) -> AsyncIterator[None]:
        """Each change of what ``caller`` is offered since it was ``known``, at ``head``: until the end, or that of the proof."""
        while not self._terms.over():
            await anyio.sleep(LOOK)
            before, head = head, await self._head()
            if head == before:
                continue
            found = await self._offered(caller)
            if found is None or found == known:
                continue
            try:
                caller, known = await self._terms.again(context), found
            except AffidavitError:
                return  # nobody is told anything for a proof that no longer holds
            yield

    async def _head(self) -> int:
        def look() -> int:
            with self._ws.parts.database.read():
                return self._ws.parts.log.head()

        return await anyio.to_thread.run_sync(look)

    async def _offered(self, caller: Caller) -> str | None:
        """Stands for what the caller is offered now; None where there is too much else to do to find out."""

        def look() -> str:
            listed = [offer.listed.model_dump_json() for offer in offers(self._ws, caller)]
            return hashlib.sha256("\n".join(listed).encode()).hexdigest()

        try:
            found: str = await self._run(caller, look)
        except OverloadedError:
            return None
        return found

    async def _say(self, context: Request, notification: Any) -> None:
        await context.session.send_notification(notification, related_request_id=context.request_id)
