"""`subscriptions/listen`: a client that wants to know hears that the tools which its person is offered are other ones now.

It hears that, and nothing else: what there is it asks for as ever. Nobody hears of a change that is none for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged, event_to_notification

from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, OverloadedError
from affidavit.entrypoints.mcp.offers import offers

Request = ServerRequestContext[Any, Any]
LOOK = 2.0
"""Seconds between looks at the log: whether anything has happened at all."""


def _anywhere(tenant: int) -> Callable[[], None]:
    return lambda: None


@dataclass(frozen=True)
class Terms:
    """On which somebody may listen. ``take`` gives a place of the tenant's and what gives it back, or raises OverloadedError;
    ``over``: everybody is sent away; ``again`` proves once more who asks, before they hear anything."""

    again: Callable[[Request], Awaitable[Caller]]
    take: Callable[[int], Callable[[], None]] = field(default=_anywhere)
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

    async def __call__(
        self, context: Request, given: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """One stream, until the client goes, the proof ends, or the server does."""
        try:
            caller = await self._who(context)
            give_back = self._terms.take(caller.tenant.id)
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
        while not self._terms.over():
            await anyio.sleep(LOOK)
            before, head = head, await self._head()
            if not tools or head == before:
                continue
            found = await self._offered(caller)
            if found is None or found == known:
                continue
            try:
                caller, known = await self._terms.again(context), found
            except AffidavitError:
                break  # nobody is told anything for a proof that no longer holds
            await self._say(context, event_to_notification(ToolsListChanged(), meta))
        return types.SubscriptionsListenResult(_meta=meta)

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
