"""Pages for signing in and out. They work without scripts, styles or the console."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from affidavit.app.signin import CALLBACK, SignIn, SignInDesk
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, UnauthenticatedError
from affidavit.entrypoints.http.problems import status_of
from affidavit.entrypoints.http.sessions import FIELD, BySession, Sessions, local_path, sent
from affidavit.entrypoints.http.who import ByToken, Proof, tenant_of
from affidavit.store.credentials import CredentialKind

_ATTEMPT = "affidavit-signin"
SIGNED_OUT = "/signin/backchannel"
_SEE_OTHER = 303
_MINUTES = 10
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of each of these pages. Addresses hold sign-in links: no other site needs to know them."""
Show = Callable[[Request, str, str, int], Response]
"""Makes a page: the request, its title, its content as HTML, its status."""


def plain(request: Request, title: str, content: str, status: int) -> Response:
    """A page as bare as can be."""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title></head><body><main><h1>{escape(title)}</h1>{content}</main></body></html>",
        status,
    )


def add_sign_in(app: FastAPI, ws: Workspace, settings: SignIn, show: Show = plain) -> tuple[Proof, ...]:
    """Put the pages into ``app``, ``app.state.sessions`` for whoever makes forms, and give the proofs that they lead to."""
    settings.check()
    desk = SignInDesk(ws.parts, ws.people, settings) if settings.issuer else None
    sessions = app.state.sessions = Sessions(ws, settings)
    app.include_router(SignInPages(ws, sessions, settings, desk, show).router())
    by_session = BySession(ws, sessions, settings)
    return (by_session,) if desk is None else (by_session, ByToken(desk))


class SignInPages:
    """Under /signin and /signout. ``desk`` is None where there is no provider."""

    def __init__(
        self, ws: Workspace, sessions: Sessions, settings: SignIn, desk: SignInDesk | None, show: Show = plain
    ) -> None:
        self._ws = ws
        self._sessions = sessions
        self._settings = settings
        self._desk = desk
        self._show = show

    def router(self) -> APIRouter:
        """Every page."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/signin", self._guarded(self._choose), methods=["GET"])
        router.add_api_route("/signin/link", self._guarded(self._link), methods=["GET"])
        router.add_api_route("/signin/link", self._posted(self._follow), methods=["POST"])
        router.add_api_route("/signout", self._guarded(self._leave), methods=["GET"])
        router.add_api_route("/signout", self._posted(self._left), methods=["POST"])
        if self._desk is not None:
            router.add_api_route("/signin/begin", self._guarded(self._begin), methods=["GET"])
            router.add_api_route(CALLBACK, self._guarded(self._back), methods=["GET"])
            router.add_api_route(SIGNED_OUT, self._posted(self._told), methods=["POST"])
        return router

    # -- what is there to sign in with

    def _choose(self, request: Request, form: dict[str, str]) -> Response:
        there = local_path(request.query_params.get("next", "/"))
        if self._desk is None:
            said = (
                "<p>There is no sign-in provider here. Whoever runs this server can give you a link that signs you in:</p>"
                "<pre>affidavit signin YOUR-NAME --by operator:THEIRS</pre>"
            )
        else:
            said = f'<p><a href="/signin/begin?next={quote(there, safe="")}">Sign in with {escape(self._provider())}</a></p>'
        if request.query_params.get("out") == "1":
            said = "<p>You are signed out here.</p>" + self._out_there(request) + said
        return self._show(request, "Sign in", said, 200)

    def _provider(self) -> str:
        return self._settings.issuer.partition("://")[2].partition("/")[0]

    def _out_there(self, request: Request) -> str:
        """A link, since a page of ours may send forms nowhere else."""
        url = (
            self._desk.provider.leaving(f"{self._sessions.cookies.origin(request)}/signin")
            if self._desk
            else ""
        )
        return f'<p><a href="{escape(url)}">Sign out of {escape(self._provider())} too</a></p>' if url else ""

    # -- links: looked at with GET, which programs that preview links do as well; used with POST

    def _link(self, request: Request, form: dict[str, str]) -> Response:
        token = request.query_params.get("token", "")
        link = self._ws.credentials.whose(token, CredentialKind.LINK)
        hidden = f'<input type="hidden" name="token" value="{escape(token)}">'
        said = (
            f"<p>This link signs this browser in as <strong>{escape(link.principal)}</strong> of "
            f"{escape(tenant_of(self._ws, link.tenant).name)}, once.</p>"
            f'<form method="post" action="/signin/link">{hidden}<button type="submit">Sign in</button></form>'
        )
        return self._show(request, "Sign in", said, 200)

    def _follow(self, request: Request, form: dict[str, str]) -> Response:
        self._sessions.cookies.check_from_here(request)  # nobody is signed in by a page of somebody else's
        _, token = self._ws.credentials.follow_link(form.get("token", ""), self._settings.hours)
        return self._in(request, token, "/")

    def _in(self, request: Request, token: str, there: str) -> Response:
        answer = RedirectResponse(local_path(there), _SEE_OTHER)
        self._sessions.begin(request, answer, token)
        return answer

    # -- the provider

    def _begin(self, request: Request, form: dict[str, str]) -> Response:
        url, kept = self._with_provider().begin(local_path(request.query_params.get("next", "/")))
        answer = RedirectResponse(url, _SEE_OTHER)
        self._sessions.cookies.set(request, answer, kept, _MINUTES * 60, _ATTEMPT)
        return answer

    def _back(self, request: Request, form: dict[str, str]) -> Response:
        kept = self._sessions.cookies.get(request, _ATTEMPT)
        came = self._with_provider().finish(kept, dict(request.query_params))
        _, token = self._ws.credentials.begin_session(
            came.tenant, came.principal, came.proof, self._settings.hours
        )
        answer = self._in(request, token, came.next)
        self._sessions.cookies.drop(request, answer, _ATTEMPT)
        return answer

    def _with_provider(self) -> SignInDesk:
        if self._desk is None:
            raise UnauthenticatedError("there is no sign-in provider here", "ask for a sign-in link")
        return self._desk

    def _told(self, request: Request, form: dict[str, str]) -> Response:
        """The provider itself says, not a browser, that somebody signed out there."""
        self._with_provider().signed_out(form.get("logout_token", ""))
        return Response(status_code=200)

    # -- out

    def _leave(self, request: Request, form: dict[str, str]) -> Response:
        hidden = f'<input type="hidden" name="{FIELD}" value="{self._sessions.csrf(request)}">'
        button = '<button type="submit">Sign out</button>'
        return self._show(
            request, "Sign out", f'<form method="post" action="/signout">{hidden}{button}</form>', 200
        )

    def _left(self, request: Request, form: dict[str, str]) -> Response:
        self._sessions.check_ours(request)
        answer = RedirectResponse("/signin?out=1", _SEE_OTHER)
        self._sessions.end(request, answer)
        return answer

    # -- every page

    def _guarded(self, page: Callable[[Request, dict[str, str]], Response]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            return self._answered(request, page, {})

        return endpoint

    def _posted(self, page: Callable[[Request, dict[str, str]], Response]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            form = {k: v for k, v in (await sent(request)).items() if isinstance(v, str)}
            return await run_in_threadpool(self._answered, request, page, form)

        return endpoint

    def _answered(
        self, request: Request, page: Callable[[Request, dict[str, str]], Response], form: dict[str, str]
    ) -> Response:
        try:
            answer = page(request, form)
        except AffidavitError as error:
            said = f'<p>{escape(error.message)}.</p><p>{escape(error.hint)}</p><p><a href="/signin">Start again</a></p>'
            answer = self._show(request, "You are not signed in", said, status_of(error).value)
            if request.url.path == CALLBACK:
                self._sessions.cookies.drop(request, answer, _ATTEMPT)
        for name, value in SECURITY.items():
            answer.headers.setdefault(name, value)
        return answer
