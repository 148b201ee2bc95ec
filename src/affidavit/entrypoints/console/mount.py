"""The console in the application."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

from affidavit.app.operations.table import TABLE
from affidavit.app.workspace import Workspace
from affidavit.entrypoints.console.frame import Console
from affidavit.entrypoints.console.pages import ADDING
from affidavit.entrypoints.http import problems
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.routes import VERSION, Who


def show(request: Request, title: str, content: str, status: int) -> Response:
    """A page for whoever is not signed in, around ``content``, which is HTML of ours."""
    console: Console = request.app.state.console
    return console.render(request, "plain.html", title, status, content=Markup(content))  # noqa: S704


def mount(app: FastAPI, ws: Workspace, who: Who, admission: Admission) -> Console:
    """Add every page to ``app``, and pages instead of JSON for a browser that asks for what is not there."""
    console = Console(ws, who, admission, TABLE)
    for add in ADDING:
        add(console)
    app.router.routes.extend(console.routes)
    app.state.console = console

    async def missing(request: Request, error: Exception) -> Response:
        if (
            not isinstance(error, HTTPException)
            or "text/html" not in request.headers.get("Accept", "")
            or request.url.path.startswith(f"/{VERSION}/")
        ):
            return problems.of_http(request, error)
        return console.not_found(request, HTTPStatus(error.status_code))

    app.add_exception_handler(HTTPException, missing)
    return console
