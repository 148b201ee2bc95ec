"""The application: routes, the order in which a request is looked at, and what every answer carries."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from affidavit.app.operations.operation import Caller, check
from affidavit.app.operations.table import TABLE
from affidavit.app.settings import LimitSettings, LogSettings, Settings
from affidavit.app.signin import SignIn
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, DiskFullError, OverloadedError, WorkspaceError
from affidavit.domain.version import VERSION
from affidavit.entrypoints.console.mount import mount, show
from affidavit.entrypoints.http import problems
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.around import Around, hosts_of
from affidavit.entrypoints.http.drain import Drain
from affidavit.entrypoints.http.idempotency import Once
from affidavit.entrypoints.http.limits import Limits, Rated
from affidavit.entrypoints.http.logs import CONTENT_TYPE, Metrics, RequestLog
from affidavit.entrypoints.http.looking import Looking
from affidavit.entrypoints.http.openai.router import OpenAI
from affidavit.entrypoints.http.routes import Routes, Who
from affidavit.entrypoints.http.scim import add_scim
from affidavit.entrypoints.http.sessions import Cookies
from affidavit.entrypoints.http.signin import add_sign_in
from affidavit.entrypoints.http.streams import Follows, Places, Told
from affidavit.entrypoints.http.who import ByKey, Identification, Proof
from affidavit.entrypoints.mcp.endpoint import McpEndpoint, Place
from affidavit.runs.recorder import new_run_id

_LEAST_SPACE = 16 * 2**20
"""Bytes free without which nothing is begun: a commit needs some."""

_IN_PROCESS = Settings(
    limits=LimitSettings(person_per_minute=0, tenant_per_minute=0), logs=LogSettings(requests=False)
)


def make_app(
    ws: Workspace,
    settings: Settings | None = None,
    more: Sequence[Proof] = (),
    log: RequestLog | None = None,
    metrics: Metrics | None = None,
    signin: SignIn | None = None,
) -> FastAPI:
    """The server over ``ws``. ``more`` are further ways to prove who asks, ``signin`` how people
    sign in if not as the settings say. Without ``settings`` requests for any host are
    answered, as many as come, and nothing is said of them: for whoever calls it in the same process."""
    hosts = hosts_of(settings) if settings else frozenset[str]()
    settings = settings or _IN_PROCESS
    limits = settings.limits
    admission = Admission(limits.hands, limits.queue, limits.total, 1, limits.person_queue)
    drain, places, once = Drain(), Places(limits.streams, limits.person_streams), Once(ws)
    metrics = metrics or Metrics()
    metrics.gauge("affidavit_http_waiting", "Requests that wait for a hand.", lambda: admission.waiting)
    metrics.gauge("affidavit_http_streams", "Open event streams.", lambda: sum(places.open.values()))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        drain.watch()
        once.trim()
        async with mcp.lifespan():
            yield
        drain.begin()
        if "works" in ws.__dict__:
            await run_in_threadpool(ws.works.close, limits.drain_seconds)
        admission.close()
        once.close()
        rates.close()

    app = FastAPI(
        title="affidavit",
        version=VERSION,
        summary="Answers over an organisation's own documents, with proof.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # what is known of requests is in the log and at /metrics; asking whether there is more to tell takes time each time
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_exception_handler(AffidavitError, problems.of_error)
    app.add_exception_handler(RequestValidationError, problems.of_validation)
    app.add_exception_handler(HTTPException, problems.of_http)
    signing = signin or SignIn.of(
        asdict(settings.signin),
        settings.server.public_url,
        settings.client_secret,
        settings.directory.role_groups,
        settings.network.allow_private,
    )
    proofs = (*more, *add_sign_in(app, ws, signing, show), ByKey(ws))
    app.state.looking = looking = Looking(ws, proofs, Cookies(signing.public_url))
    again = Identification((looking, *proofs))
    rates = Limits(ws.parts, settings)
    who = Rated(again, rates)
    follows = Follows(places, lambda: _head(ws), drain)
    app.include_router(Routes(ws, who, again, admission, once, Told(places), follows).router(TABLE))
    add_scim(app, ws, who, admission, settings.directory.role_groups)
    app.include_router(OpenAI(ws, who, admission, once, places).router())
    mcp = McpEndpoint(ws, who, admission, Place(signing.resource, signing.issuer), places, drain)
    app.router.routes.extend(mcp.routes())
    _health(app, ws, drain)
    _metrics(app, ws, who, metrics)
    mount(app, ws, who, admission)
    app.add_middleware(
        Around,
        settings=settings,
        new_id=lambda: new_run_id(ws.parts.randomness),
        log=log or RequestLog(settings.logs),
        metrics=metrics,
        hosts=hosts,
    )
    return app


def _head(ws: Workspace) -> int:
    with ws.parts.database.read():
        return ws.parts.log.head()


def _health(app: FastAPI, ws: Workspace, drain: Drain) -> None:
    @app.get("/healthz", include_in_schema=False)
    def alive() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", include_in_schema=False)
    def ready() -> JSONResponse:
        """The workspace can be read and written, and nobody has told us to stop."""
        if drain.begun:
            raise OverloadedError("the server is shutting down", "ask another")
        _head(ws)
        _writable(ws)
        return JSONResponse({"status": "ready"})


def _writable(ws: Workspace) -> None:
    """Raises WorkspaceError, DiskFullError: no answer can be given that is not recorded first."""
    path = ws.parts.database.path
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise WorkspaceError("the workspace cannot be written", "check the folder's owner and disk")
    if shutil.disk_usage(path.parent).free < _LEAST_SPACE:
        raise DiskFullError("the disk that holds the workspace is full", "free some space")


def _metrics(app: FastAPI, ws: Workspace, who: Who, metrics: Metrics) -> None:
    @app.get("/metrics", include_in_schema=False)
    def show(request: Request) -> Response:
        """Counts for Prometheus: those of the tenant of whoever asks."""
        caller: Caller = who(request)
        check(ws, caller, "status:read")
        return Response(metrics.text(caller.tenant.id), media_type=CONTENT_TYPE)
