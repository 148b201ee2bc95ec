"""The application: routes, the order in which a request is looked at, and what every answer carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from affidavit.app.operations.table import TABLE
from affidavit.app.signin import SignIn
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError
from affidavit.domain.version import VERSION
from affidavit.entrypoints.console.mount import mount, show
from affidavit.entrypoints.http import problems
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.looking import Looking
from affidavit.entrypoints.http.routes import Routes
from affidavit.entrypoints.http.scim import add_scim
from affidavit.entrypoints.http.signin import add_sign_in
from affidavit.entrypoints.http.who import ByKey, Identification, Proof
from affidavit.runs.recorder import new_run_id

ID = "X-Request-Id"


@dataclass(frozen=True)
class Limits:
    """How much is done at once: ``hands`` at a time, ``queue`` waiting for each tenant, ``total`` in all."""

    hands: int = 4
    queue: int = 32
    total: int = 256
    body: int = 1_000_000
    """Bytes of one request."""


def make_app(
    ws: Workspace, limits: Limits | None = None, more: Sequence[Proof] = (), signin: SignIn | None = None
) -> FastAPI:
    """The server over ``ws``. ``more`` are further ways to prove who asks, ``signin`` says how people sign in."""
    limits = limits or Limits()
    admission = Admission(limits.hands, limits.queue, limits.total)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        admission.close()

    app = FastAPI(
        title="affidavit",
        version=VERSION,
        summary="Answers over an organisation's own documents, with proof.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(AffidavitError, problems.of_error)
    app.add_exception_handler(RequestValidationError, problems.of_validation)
    app.add_exception_handler(HTTPException, problems.of_http)
    proofs = (*more, *add_sign_in(app, ws, signin or SignIn(), show), ByKey(ws))
    who = Identification((Looking(ws, proofs), *proofs))
    app.include_router(Routes(ws, who, admission).router(TABLE))
    add_scim(app, ws, who, admission)
    _health(app, ws)
    mount(app, ws, who, admission)
    _middle(app, ws)
    return app


def _health(app: FastAPI, ws: Workspace) -> None:
    @app.get("/healthz", include_in_schema=False)
    def alive() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", include_in_schema=False)
    def ready() -> JSONResponse:
        """The workspace can be read."""
        with ws.parts.database.read():
            ws.parts.log.head()
        return JSONResponse({"status": "ready"})


def _middle(app: FastAPI, ws: Workspace) -> None:
    @app.middleware("http")
    async def around(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.id = new_run_id(ws.parts.randomness)
        request.state.headers = {}
        answer = await go_on(request)
        for name, value in request.state.headers.items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers.setdefault("X-Content-Type-Options", "nosniff")
        answer.headers[ID] = request.state.id
        return answer
