"""MCP over streamable HTTP, in the same application: one path, POST alone, no sessions.

Every request proves who asks, so there is no session that somebody could take over: an id of one is refused as unknown, and a key
that is taken back is refused with the next request, in every process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    ForbiddenError,
    OverloadedError,
    UnauthenticatedError,
    UsageError,
)
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.drain import Drain
from affidavit.entrypoints.http.problems import status_of
from affidavit.entrypoints.http.routes import Who
from affidavit.entrypoints.http.streams import Places
from affidavit.entrypoints.mcp.listening import Terms
from affidavit.entrypoints.mcp.server import Request as Asked
from affidavit.entrypoints.mcp.server import make_server

PATH = "/mcp"
METADATA = "/.well-known/oauth-protected-resource"
SESSION = "Mcp-Session-Id"
_CALLER = "affidavit.caller"
_LARGEST = 1_000_000
_STREAMS = 8


@dataclass(frozen=True)
class Place:
    """How the world knows this server (RFC 9728): ``resource`` is what tokens must be made for, "" for the address a request came
    to; ``issuer`` makes them, "" where only API keys are known; ``origins``: pages of other sites that may ask from a browser."""

    resource: str = ""
    issuer: str = ""
    origins: frozenset[str] = frozenset()


class McpEndpoint:
    """An ASGI application for ``PATH``."""

    def __init__(
        self,
        ws: Workspace,
        who: Who,
        admission: Admission,
        place: Place | None = None,
        places: Places | None = None,
        drain: Drain | None = None,
    ) -> None:
        self._who = who
        self._place = place or Place()
        places, drain = places or Places(_STREAMS), drain or Drain()

        async def caller(context: Asked) -> Caller:
            request: Any = context.request
            found: Caller = request.scope[_CALLER]
            return found

        async def run(caller: Caller, work: Callable[[], Any]) -> Any:
            return await admission.run(caller.tenant.id, work, caller.principal)

        async def again(context: Asked) -> Caller:
            request: Any = context.request
            return await run_in_threadpool(self._who, request)

        def take(caller: Caller) -> Callable[[], None]:
            return places.take(caller.tenant.id, caller.principal)

        terms = Terms(again, take=take, over=lambda: drain.begun)
        self._server = make_server(ws, caller, run, terms)
        self._route = Route(PATH, endpoint=self)
        self._running: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Serves within."""
        self._running = StreamableHTTPSessionManager(
            self._server,
            stateless=True,
            # hosts are looked at around all of the application, origins here
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=_LARGEST,
        )
        async with self._running.run():
            yield
        self._running = None

    def routes(self) -> list[Route]:
        """The endpoint, and what says which tokens it takes."""
        return [
            self._route,
            Route(METADATA, endpoint=self.metadata, methods=["GET"]),
            Route(METADATA + PATH, endpoint=self.metadata, methods=["GET"]),
        ]

    async def metadata(self, request: Request) -> JSONResponse:
        """OAuth 2.0 Protected Resource Metadata."""
        issuers = [self._place.issuer] if self._place.issuer else []
        return JSONResponse(
            {
                "resource": self._resource(request),
                **({"authorization_servers": issuers} if issuers else {}),
                "bearer_methods_supported": ["header"],
                "resource_name": "affidavit",
            }
        )

    def _resource(self, request: Request) -> str:
        return self._place.resource or f"{str(request.base_url).rstrip('/')}{PATH}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope["route"] = self._route  # for the log: a route to an application does not say so by itself
        try:
            self._check(request)
            caller = await run_in_threadpool(self._who, request)
            # the id of the request is that of its run: a message makes one at most
            scope[_CALLER] = replace(caller, run=getattr(request.state, "id", ""))
        except AffidavitError as error:
            await self._refused(request, error)(scope, receive, send)
            return
        if self._running is None:
            raise RuntimeError("the endpoint serves within its lifespan")
        await self._running.handle_request(scope, receive, send)

    def _check(self, request: Request) -> None:
        """Before anybody is asked who they are. Raises UsageError, ForbiddenError, AccessDeniedError, UnauthenticatedError."""
        if request.method != "POST":
            raise UsageError(
                "only POST is answered here", "this server keeps no sessions and opens no streams of its own"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not self._same(request, origin):
            raise ForbiddenError(
                "this page may not ask here", "ask from a program, or have the origin allowed"
            )
        if SESSION in request.headers:
            raise AccessDeniedError("there is no such session", "every request stands for itself: send none")
        if "Authorization" not in request.headers:
            # a browser sends cookies by itself, also for pages of others: they are no proof here
            raise UnauthenticatedError("nobody is signed in", "send Authorization: Bearer …")

    def _same(self, request: Request, origin: str) -> bool:
        return origin in self._place.origins or urlsplit(origin).netloc == request.headers.get("Host", "")

    def _refused(self, request: Request, error: AffidavitError) -> JSONResponse:
        status = status_of(error)
        headers = {}
        if request.method != "POST":
            headers["Allow"] = "POST"
        if isinstance(error, OverloadedError):
            headers["Retry-After"] = str(error.after)
        if isinstance(error, UnauthenticatedError):
            resource = urlsplit(self._resource(request))
            where = f"{resource.scheme}://{resource.netloc}{METADATA}{resource.path.rstrip('/')}"
            # RFC 6750, 3.1: whoever sent nothing is told of no error
            wrong = ', error="invalid_token"' if "Authorization" in request.headers else ""
            headers["WWW-Authenticate"] = f'Bearer realm="affidavit"{wrong}, resource_metadata="{where}"'
        code = 405 if request.method != "POST" else status.value
        body = {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32600, "message": error.message, "data": error.as_dict()},
        }
        return JSONResponse(body, code, headers=headers)
