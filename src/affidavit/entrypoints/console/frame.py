"""The frame of the console: who looks, what they may see, one look for every page.

A module of pages has one function ``add(console)`` and handlers of ordinary, not asynchronous, Python:

    def add(console: Console) -> None:
        console.page("/approvals", inbox, Nav("Approvals", "Work", "approval:read"))
        console.form("/approvals/{id}/approve", approve)         # POST; the CSRF token was checked before
        console.notices(approved="Approved. The call is made now.")

    def inbox(visit: Visit) -> Response:
        found = visit.ask("approvals.list", limit=50)             # performs the operation as the caller
        return visit.page("approvals.html", "Approvals", items=found["items"], may=visit.may("approval:resolve"))

    def approve(visit: Visit) -> Response:
        visit.ask("approvals.resolve", id=visit.path["id"], reason=visit.form["reason"])
        return visit.go("/approvals", "approved")                 # redirects; the notice is shown once

``visit.query``, ``visit.form`` and ``visit.path`` are dicts of str (``visit.values(name)``: every value of a field of the form).
An AffidavitError becomes a page with its message and hint. Templates extend ``base.html`` and fill ``{% block main %}``; a form
that changes something is ``<form method="post" action="…">{{ csrf }}…``. Whatever an expression prints is escaped and its
invisible characters shown; nothing inside a page may be ``|safe``, ``style="…"`` or ``on…="…"`` (the CSP refuses the latter two).
List the module in ``pages.py``. Classes to use are in ``static/console.css``; macros in ``templates/parts.html``; charts in
``charts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.routing import Route

from affidavit.app.operations.operation import Caller, Table, perform
from affidavit.app.operations.versions import only_if
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import (
    AffidavitError,
    ArgumentsError,
    OverloadedError,
    SecondPersonError,
    UnauthenticatedError,
)
from affidavit.domain.version import VERSION
from affidavit.entrypoints.console import charts, filters
from affidavit.entrypoints.console.assets import Assets
from affidavit.entrypoints.console.visible import exact, said, shown, visible
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.problems import status_of
from affidavit.entrypoints.http.routes import Who
from affidavit.entrypoints.http.sessions import FIELD, csrf, local_path, sent

THEME = "affidavit_theme"
THEMES = ("auto", "light", "dark")
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""What every page carries. ``same-origin``: addresses hold names of documents, which no other site needs to know."""


@dataclass(frozen=True)
class Nav:
    """An entry of the navigation, shown to whoever may do ``action``; ``count`` tells how much of it waits for them."""

    label: str
    group: str
    action: str
    path: str = ""
    count: Callable[[Visit], str] | None = None


Handler = Callable[["Visit"], Response]


class Console:
    """Pages over ``ws``; ``who`` tells who looks, ``admission`` when it is their turn."""

    def __init__(self, ws: Workspace, who: Who, admission: Admission, table: Table) -> None:
        self.ws = ws
        self.table = table
        self.assets = Assets()
        self.routes: list[Route] = list(self.assets.routes)
        self.nav: list[Nav] = []
        self.said: dict[str, str] = {}
        self._who = who
        self._admission = admission
        self._templates = self._environment()

    def page(self, path: str, handler: Handler, nav: Nav | None = None) -> None:
        """A page at ``path``, in the navigation if ``nav`` says so."""
        if nav is not None:
            self.nav.append(replace(nav, path=nav.path or path))
        self._route(path, handler, "GET")

    def form(self, path: str, handler: Handler) -> None:
        """What a form is sent to."""
        self._route(path, handler, "POST")

    def notices(self, **texts: str) -> None:
        """What may be said once after something was done. Only these texts are ever shown, whatever an address asks for."""
        self.said.update(texts)

    def render(
        self, request: Request, template: str, title: str, status: int = 200, **context: Any
    ) -> Response:
        """A page for anybody."""
        theme = request.cookies.get(THEME, "auto")
        text = self._templates.get_template(template).render(
            {
                "title": title,
                "theme": theme if theme in THEMES else "auto",
                "here": request.url.path,
                "visit": None,
                "notice": "",
                **context,
            }
        )
        return guarded(HTMLResponse(text, status))

    def failed(self, request: Request, error: AffidavitError, visit: Visit | None = None) -> Response:
        """The page that says what went wrong, and what to do about it."""
        status = status_of(error)
        stranger = isinstance(error, UnauthenticatedError) and "Authorization" not in request.headers
        if stranger and request.method == "GET":
            return guarded(RedirectResponse(f"/signin?next={quote(_local(request), safe='')}", 303))
        answer = self.render(
            request,
            "error.html",
            status.phrase,
            status.value,
            error=error,
            id=getattr(request.state, "id", ""),
            visit=visit,
        )
        if isinstance(error, OverloadedError):
            answer.headers["Retry-After"] = str(error.after)
        return answer

    def not_found(self, request: Request, status: HTTPStatus) -> Response:
        """The page for an address that leads nowhere."""
        error = AffidavitError("There is nothing at this address.", "Go back, or start from the first page.")
        return self.render(request, "error.html", status.phrase, status.value, error=error, id="")

    def _route(self, path: str, handler: Handler, method: str) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                # whoever asks by a cookie must show the form's token too: the proof of the session checks that
                form = await sent(request) if method == "POST" else FormData()
                # it may wait for the disk or the sign-in provider: nobody else should
                caller = await run_in_threadpool(self._who, request)
                return await self._admission.run(
                    caller.tenant.id,
                    lambda: self._visit(request, caller, form, handler),
                    caller.principal,
                )
            except AffidavitError as error:
                return self.failed(request, error)

        self.routes.append(Route(path, endpoint, methods=[method]))

    def _visit(self, request: Request, caller: Caller, form: FormData, handler: Handler) -> Response:
        visit = Visit(self, request, caller, form)
        try:
            return guarded(handler(visit))
        except SecondPersonError:
            return guarded(visit.go("/approvals#proposals", "proposed"))
        except AffidavitError as error:
            return self.failed(request, error, visit if visit.known else None)

    def _environment(self) -> Environment:
        environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            loader=PackageLoader("affidavit.entrypoints.console"),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            exact=exact, said=said, visible=visible, segment=lambda t: quote(t, safe=""), **filters.FILTERS
        )
        environment.globals.update(static=self.assets.url, version=VERSION, charts=charts)
        return environment


@dataclass
class Visit:
    """One request of one person to one page."""

    console: Console
    request: Request
    caller: Caller
    sent: FormData
    _extra: dict[str, str] = field(default_factory=dict)

    @cached_property
    def me(self) -> dict[str, Any]:
        """Who it is: tenant, principal, groups, roles, and what they may do."""
        found: dict[str, Any] = self.ask("me.show")
        return found

    @property
    def known(self) -> bool:
        """Whether the navigation can be shown: whoever is no longer known here sees nothing of it."""
        try:
            return bool(self.me)
        except AffidavitError:
            return False

    def may(self, action: str) -> bool:
        """Whether they may do ``action``."""
        return action in self.me["may"]

    def ask(self, name: str, /, **fields: Any) -> Any:
        """Perform the operation ``name`` as the caller. Raises ForbiddenError, ArgumentsError, and what it raises."""
        return self._perform(name, fields, None)

    def ask_if(self, version: str, name: str, /, **fields: Any) -> Any:
        """As ``ask``, if what it changes is still the ``version`` that was looked at. Raises PreconditionError if not."""
        return self._perform(name, fields, version)

    def _perform(self, name: str, fields: dict[str, Any], version: str | None) -> Any:
        operation = self.console.table[name]
        try:
            asked = operation.takes.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "form"
            raise ArgumentsError(
                f"{where}: {first['msg']}", "go back, change it and send it again"
            ) from error
        ws, table = self.console.ws, self.console.table
        condition = None if version is None else only_if(ws, self.caller, table, operation, asked, version)
        return perform(ws, self.caller, operation, asked, only_if=condition)

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the address in braces."""
        return self.request.path_params

    @cached_property
    def query(self) -> dict[str, str]:
        """The address's parameters."""
        return dict(self.request.query_params)

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of the form that are text, with the line ends of our own machines."""
        return {k: _lines(v) for k, v in self.sent.items() if isinstance(v, str)}

    def values(self, name: str) -> list[str]:
        """Every value of one field of the form."""
        return [_lines(v) for v in self.sent.getlist(name) if isinstance(v, str)]

    def page(self, template: str, title: str, status: int = 200, /, **context: Any) -> Response:
        """A page in the frame."""
        asked_for = self.query.get("said", "")
        return self.console.render(
            self.request,
            template,
            title,
            status,
            visit=self,
            notice=self.console.said.get(asked_for, ""),
            csrf=self.csrf,
            **context,
        )

    @property
    def csrf(self) -> Markup:
        """The hidden field that shows that a form of ours was sent."""
        return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf(self.request))

    @property
    def token(self) -> str:
        """What scripts send in the header ``X-CSRF-Token``."""
        return csrf(self.request)

    @property
    def nav(self) -> dict[str, list[Nav]]:
        """The entries that they may use, by group."""
        out: dict[str, list[Nav]] = {}
        for entry in self.console.nav:
            if self.may(entry.action):
                out.setdefault(entry.group, []).append(entry)
        return out

    def waiting(self, *groups: str) -> list[dict[str, Any]]:
        """Changes of these groups of operations that take two people and wait for the second; each with what it does."""
        if self.caller.looking:
            return []
        found = self.ask("proposals.list", limit=200)["items"]
        return [
            {**one, "does": self.console.table[one["operation"]].summary}
            for one in found
            if not groups or one["operation"].partition(".")[0] in groups
        ]

    def at(self, path: str) -> bool:
        """Whether this page belongs to the entry of the navigation at ``path``."""
        here = self.request.url.path
        return here == path or (path != "/" and here.startswith(f"{path}/"))

    def do(self, name: str, path: str, notice: str, /, **fields: Any) -> Response:
        """Perform ``name`` as the caller, then on to ``path``, where ``notice`` is shown."""
        self.ask(name, **fields)
        return self.go(path, notice)

    def go(self, path: str, notice: str = "") -> Response:
        """On to another page of ours, where ``notice`` is shown."""
        if notice and notice not in self.console.said:
            raise ValueError(f"there is no notice {notice}")
        mark = ("&" if "?" in path else "?") + f"said={notice}" if notice else ""
        before, hash, fragment = path.partition("#")
        return RedirectResponse(before + mark + hash + fragment, 303)


def guarded(answer: Response) -> Response:
    """``answer`` with what every page carries; what it says itself stands."""
    for name, value in SECURITY.items():
        answer.headers.setdefault(name, value)
    return answer


def _local(request: Request) -> str:
    return local_path(request.url.path + (f"?{request.url.query}" if request.url.query else ""))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
