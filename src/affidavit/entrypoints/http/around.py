"""What every request and every answer goes through: an id, limits, the right host, headers that protect, a line in the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affidavit.app.settings import Settings, local
from affidavit.entrypoints.http import problems
from affidavit.entrypoints.http.limits import limited, too_large
from affidavit.entrypoints.http.logs import Metrics, RequestLog, Served, fault
from affidavit.entrypoints.http.streams import ListenerGoneError

ID = "X-Request-Id"
PROBES = ("/healthz", "/readyz")
"""Asked by machines that know no name of ours."""
PROTECTING = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Unless an answer says otherwise: the console's pages have a policy of their own."""
HSTS = "max-age=31536000; includeSubDomains"
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def hosts_of(settings: Settings) -> frozenset[str]:
    """The names that requests may be for, in small letters; empty for any."""
    server = settings.server
    if server.public_url:
        return frozenset({urlsplit(server.public_url).netloc.lower()})
    return _LOCAL if local(server.host) else frozenset()


class Around:
    """The outermost layer of the application. ``new_id`` makes ids."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        new_id: Callable[[], str],
        log: RequestLog,
        metrics: Metrics,
        hosts: frozenset[str],
    ) -> None:
        self._app = app
        self._limits = settings.limits
        self._new_id = new_id
        self._log = log
        self._metrics = metrics
        self._hosts = hosts
        self._headers = {**PROTECTING, **({"Strict-Transport-Security": HSTS} if settings.https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        state.update(id=self._new_id(), headers={}, tenant=0)
        answer = _Answer(send, state, self._headers)
        request = Request(scope)
        began = time.monotonic()
        wrong = ""
        try:
            refused = self._refused(request)
            if refused is not None:
                await problems.of_http(request, refused)(scope, receive, answer.send)
            else:
                limits = self._limits
                took = limited(receive, limits.body_bytes, limits.receive_seconds)
                await self._app(scope, took, answer.send)
        except ListenerGoneError:
            pass  # and nobody hears what we would say
        except Exception as error:  # noqa: BLE001  # the last resort: one shape, and no words of the error in the log
            wrong = fault(error)
            await self._last(request, error, receive, answer)
        finally:
            served = Served(
                scope["method"],
                _route(scope),
                answer.status,
                time.monotonic() - began,
                state["id"],
                state["tenant"],
                wrong,
                request.client.host if request.client else "",
            )
            self._metrics.served(served)
            self._log.served(served)

    async def _last(self, request: Request, error: Exception, receive: Receive, answer: _Answer) -> None:
        if answer.status:
            return  # it has begun, and cannot be taken back; the web server cuts it off
        said: Response
        said = (
            problems.of_http(request, error)
            if isinstance(error, HTTPException)
            else problems.of_fault(request)
        )
        await said(request.scope, receive, answer.send)

    def _refused(self, request: Request) -> HTTPException | None:
        """Why the request goes no further."""
        if (
            self._hosts
            and request.scope["path"] not in PROBES
            and not self._known(request.headers.get("Host", ""))
        ):
            return HTTPException(421, "this server does not answer for that host")
        size = request.headers.get("Content-Length", "0")
        if not size.isascii() or not size.isdecimal():
            return HTTPException(400, "the Content-Length is no number")
        if len(size) > 18 or int(size) > self._limits.body_bytes:
            return too_large(self._limits.body_bytes)
        return None

    def _known(self, host: str) -> bool:
        host = host.lower()
        if self._hosts is _LOCAL:  # whatever the port: nobody else's name leads to this machine alone
            host = host if host.endswith("]") else host.rpartition(":")[0] or host
        return host in self._hosts


class _Answer:
    """Sends an answer on with what every answer has."""

    def __init__(self, send: Send, state: dict[str, Any], headers: dict[str, str]) -> None:
        self._send = send
        self._state = state
        self._headers = headers
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in {**self._headers, **self._state["headers"]}.items():
                headers.setdefault(name, value)
            headers[ID] = self._state["id"]
        await self._send(message)


def _route(scope: Scope) -> str:
    """The template of the path, ``-`` where none fits: what was sent may hold anything."""
    found = scope.get("route")
    if found is None and "endpoint" in scope:  # not every kind of route says that it was taken
        routes = scope["app"].routes
        found = next((r for r in routes if getattr(r, "endpoint", None) is scope["endpoint"]), None)
    path = getattr(found, "path", "")
    return path if isinstance(path, str) and path else "-"
