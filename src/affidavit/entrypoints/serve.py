"""`affidavit serve`: the workspace over HTTP."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, start_http_server
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from affidavit.app.config import MULTIPROCESS, tell_children
from affidavit.app.settings import Settings, concerns, host_and_port, load
from affidavit.app.workspace import Workspace
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import WorkspaceOption, errors, find_workspace
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.logs import Metrics, RequestLog, WebServerLog, together
from affidavit.entrypoints.output import Output

_BACKLOG = 2048
_CONNECTIONS = 2_000
"""Open at once, in each process."""
_IDLE = 10
"""Seconds that a connection is kept for the next request."""
_BEGINNING = 120
"""Seconds in which a process must give a sign of life: on a busy machine one that begins needs some of them."""


class Arriving(H11Protocol):
    """HTTP/1.1 whose requests must arrive: a connection over which a head comes byte by byte is ended."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is None:
            seconds = getattr(self.config, "receive_seconds", _IDLE)
            self._late = self.loop.call_later(seconds, self.transport.close)

    def _arrived(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class ServerConfig(Config):
    """uvicorn's settings of ours."""

    def __init__(self, settings: Settings, app: Any, *, factory: bool) -> None:
        server, limits = settings.server, settings.limits
        self.receive_seconds = limits.receive_seconds
        self.logs = settings.logs
        super().__init__(
            app,
            host=server.host,
            port=server.port,
            http=Arriving,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            workers=server.workers,
            proxy_headers=bool(server.trusted_proxies),
            forwarded_allow_ips=list(server.trusted_proxies),
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            backlog=_BACKLOG,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=limits.drain_seconds,
            timeout_worker_healthcheck=_BEGINNING,
            ssl_certfile=settings.path(server.tls_certificate) if server.tls_certificate else None,
            ssl_keyfile=settings.path(server.tls_key_file) if server.tls_key_file else None,
            h11_max_incomplete_event_size=limits.header_bytes,
            factory=factory,
        )

    def configure_logging(self) -> None:
        """What the web server says is said in our form, in each process."""
        said = logging.getLogger("uvicorn")
        said.handlers = [WebServerLog(RequestLog(self.logs))]
        said.setLevel(logging.WARNING)
        said.propagate = False


def application(folder: Path, settings: Settings) -> FastAPI:
    """The application of one process of several, with the workspace open until the process ends, or the one that began it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return make_app(open_workspace(folder), settings)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns when it is gone, also when it was killed
        os.kill(os.getpid(), signal.SIGTERM)


def listening(settings: Settings) -> socket.socket:
    """A socket at the address that ``settings`` say. Raises UsageError."""
    host, port = settings.server.host, settings.server.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"nobody can listen at {host} port {port}: {error.strerror}", "choose another: --host, --port"
        ) from error
    # what is accepted inherits it; without it an answer of two writes waits 40 ms for the acknowledgement of the first
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def run(ws: Workspace, settings: Settings, listener: socket.socket, say: Callable[[str], None]) -> None:
    """Serve until told to stop, then finish what was begun. ``say`` is told where what is counted is shown."""
    if settings.server.workers == 1:
        metrics = Metrics()
        with _shown(settings, lambda: metrics.registry, say):
            app = make_app(ws, settings, metrics=metrics)
            Server(ServerConfig(settings, app, factory=False)).run([listener])
        return
    with TemporaryDirectory(prefix="affidavit-metrics-") as counts:
        tell_children(MULTIPROCESS, counts)
        with _shown(settings, together, say):
            config = ServerConfig(settings, partial(application, ws.parts.folder, settings), factory=True)
            Multiprocess(config, [listener]).run()


@contextmanager
def _shown(
    settings: Settings, registry: Callable[[], CollectorRegistry], say: Callable[[str], None]
) -> Iterator[None]:
    """Show what is counted to Prometheus, if the settings say where. Raises UsageError."""
    if not settings.server.metrics:
        yield
        return
    host, port = host_and_port(settings.server.metrics)
    try:
        server, thread = start_http_server(port, host, registry())
    except OSError as error:
        raise UsageError(
            f"nobody can listen at {settings.server.metrics}: {error.strerror}",
            "choose another server.metrics",
        ) from error
    say(f"metrics at http://{host}:{server.server_port}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen at.", show_default=False)] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The port; 0 takes a free one.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes over the one workspace.", show_default=False)
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings", help="The settings; default: server.toml in the workspace.", show_default=False
        ),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the workspace: API, console, MCP and an OpenAI-compatible endpoint on one port.

    What is not said here is as `server.toml` in the workspace says, else http://127.0.0.1:8080; `affidavit config check` looks it
    over. Stopped (Ctrl-C, SIGTERM), it takes nothing new, finishes what was begun, and ends with status 0.

    Example: `affidavit serve --port 8080`, then open http://127.0.0.1:8080
    """
    out = Output(False)
    with errors(out), open_workspace(find_workspace(workspace)) as ws:
        settings = load(ws.parts.folder, settings_file)
        said = {"host": host, "port": port, "workers": workers}
        given = {name: value for name, value in said.items() if value is not None}
        settings = replace(settings, server=replace(settings.server, **given))  # type: ignore[arg-type]
        for concern in concerns(settings):
            out.warn(f"warning: {concern}")
        with listening(settings) as listener:
            scheme = "https" if settings.server.tls_certificate else "http"
            name = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
            out.say(f"serving {ws.parts.folder} at {scheme}://{name}:{listener.getsockname()[1]}")
            # uvicorn raises the signal that stopped it once more when it has finished: by then there is nothing left to stop
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _nothing)
            run(ws, settings, listener, out.say)


def _nothing(number: int, frame: object) -> None:
    """Take no notice."""
