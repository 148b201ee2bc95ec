"""Sessions of browsers: a cookie says who asks, and what else is sent shows that a page of ours asked.

A page of another site can make a browser send our cookie, but neither read our pages nor say that it is ours. So whatever may
change something needs both: the browser's word that the request comes from here, and a token that only our pages hold.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.datastructures import FormData

from affidavit.app.operations.operation import Caller
from affidavit.app.signin import SignIn
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import ForbiddenError, UnauthenticatedError
from affidavit.entrypoints.http.who import tenant_of
from affidavit.store.credentials import CredentialKind

FIELD = "csrf"
HEADER = "X-CSRF-Token"
_COOKIE = "affidavit"
LOOK = "affidavit-look"
CLEARED = '"cache", "storage"'
"""Cookies are dropped by name: `"cookies"` would be every cookie of every host in the domain (Clear Site Data, 3.1)."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_LONGEST_NEXT = 2000
_FORM_FIELDS = 200


class Cookies:
    """How cookies are named and kept. ``public_url`` is how browsers reach us; "": as their requests say.

    With `__Host-` before its name browsers take the cookie from, and send it to, nobody but this very host, encrypted (RFC
    6265bis, 4.1.3). Only on plain http within one machine, where there is no encryption, it goes without.
    """

    def __init__(self, public_url: str = "") -> None:
        self._public = public_url.rstrip("/")

    def origin(self, request: Request) -> str:
        """Scheme, host and port of our own pages, as browsers write them."""
        parts = urlsplit(self._public or f"{request.url.scheme}://{request.headers.get('Host', '')}")
        return f"{parts.scheme}://{parts.netloc}".lower()

    def _plain(self, request: Request) -> bool:
        """Whether everything between the browser and us is this machine: by our address in its bar, and by the one at which
        the request came in, unless the operator says so (a container's port is published on this machine, say)."""
        parts, server = urlsplit(self.origin(request)), request.scope.get("server")
        here = bool(self._public) or (server is not None and _loopback(server[0]))
        return parts.scheme == "http" and here and _loopback(parts.hostname or "")

    def name(self, request: Request, what: str = _COOKIE) -> str:
        """The cookie's name."""
        return what if self._plain(request) else f"__Host-{what}"

    def get(self, request: Request, what: str = _COOKIE) -> str:
        """Its value, or ""."""
        return request.cookies.get(self.name(request, what), "")

    def set(self, request: Request, answer: Response, value: str, seconds: int, what: str = _COOKIE) -> None:
        """Raises ForbiddenError where it would travel unencrypted: no such cookie is made."""
        plain = self._plain(request)
        if not plain and not self.origin(request).startswith("https://"):
            raise ForbiddenError(
                "signing in needs https",
                "set server.public_url to an https address, or server.trusted_proxies; on one machine to http://127.0.0.1:PORT",
            )
        answer.set_cookie(
            self.name(request, what),
            value,
            max_age=seconds,
            path="/",
            secure=not plain,
            httponly=True,
            samesite="lax",
        )

    def drop(self, request: Request, answer: Response, what: str = _COOKIE) -> None:
        """Let the browser forget it."""
        answer.delete_cookie(
            self.name(request, what), path="/", secure=not self._plain(request), httponly=True, samesite="lax"
        )

    def check_from_here(self, request: Request) -> None:
        """Raises ForbiddenError unless the browser says that a page of ours sent this."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        # a page that sends no Referer sends the origin "null" (Fetch, 3.2): then the other header decides alone
        named = origin is not None and origin != "null"
        if (
            (site is not None and site != "same-origin")
            or (named and origin != self.origin(request))
            or (site is None and not named)
        ):
            raise ForbiddenError(
                "this was not sent by a page of ours", "go back to our page and send it from there"
            )


class Sessions:
    """Begins, knows and ends the sessions of browsers."""

    def __init__(self, ws: Workspace, settings: SignIn) -> None:
        self._ws = ws
        self._settings = settings
        self.cookies = Cookies(settings.public_url)
        self._key = ws.parts.signer.derived("csrf")

    def begin(self, request: Request, answer: Response, token: str) -> None:
        """Hand the browser the new session's secret; whatever session it had before ends."""
        self.cookies.set(request, answer, token, self._settings.hours * 3600)
        self._end_old(request)

    def end(self, request: Request, answer: Response) -> None:
        """Sign out, on record, and let the browser forget what it was shown."""
        for what in (_COOKIE, LOOK):
            self.cookies.drop(request, answer, what)
        answer.headers["Clear-Site-Data"] = CLEARED
        self._end_look(request)
        self._end_old(request)

    def _end_look(self, request: Request) -> None:
        token = self.cookies.get(request, LOOK)
        try:
            look = self._ws.looking.of(token)
            tenant = tenant_of(self._ws, look.tenant)
        except UnauthenticatedError:
            return  # there was none
        self._ws.looking.end(tenant, token)

    def _end_old(self, request: Request) -> None:
        try:
            old = self._ws.credentials.whose(self.cookies.get(request), CredentialKind.SESSION)
            tenant = tenant_of(self._ws, old.tenant)
        except UnauthenticatedError:
            return  # there was none
        self._ws.credentials.end(tenant, old.id, CredentialKind.SESSION, old.principal)

    def csrf(self, request: Request) -> str:
        """What the forms and scripts of a page carry: bound to the session, worthless without its cookie; "" without one."""
        token = self.cookies.get(request)
        return hmac.digest(self._key, token.encode(), "sha256").hex() if token else ""

    def check_ours(self, request: Request) -> None:
        """Raises ForbiddenError unless a page of ours sent this, in this very session."""
        self.cookies.check_from_here(request)
        said = str(request.headers.get(HEADER) or getattr(request.state, FIELD, ""))
        if not hmac.compare_digest(self.csrf(request).encode(), said.encode()):
            raise ForbiddenError(
                "this form is not of this session", "go back, reload the page and send it again"
            )


class BySession:
    """The cookie of a browser that signed in; for what may change something also that a page of ours asks."""

    def __init__(self, ws: Workspace, sessions: Sessions, settings: SignIn) -> None:
        self._ws = ws
        self._sessions = sessions
        self._idle = settings.idle

    def __call__(self, request: Request) -> Caller | None:
        token = self._sessions.cookies.get(request)
        if not token or "Authorization" in request.headers:
            return None
        found = self._ws.credentials.session(token, self._idle)
        if request.method not in _SAFE:
            self._sessions.check_ours(request)
        return Caller(tenant_of(self._ws, found.tenant), found.principal, "session", proof=found.id)


def csrf(request: Request) -> str:
    """``Sessions.csrf`` of the application at hand, for templates."""
    sessions: Sessions = request.app.state.sessions
    return sessions.csrf(request)


async def sent(request: Request, files: int = 0) -> FormData:
    """The form that a page sent. Its token counts from now on: call this before asking who it is."""
    form = await request.form(max_files=files, max_fields=_FORM_FIELDS)
    request.state.csrf = said if isinstance(said := form.get(FIELD), str) else ""
    return form


def local_path(text: str) -> str:
    """``text`` if it is the path of a page of ours, else the first page: an address could name any other site."""
    # what browsers take for another host: //host, /\host, and either with a tab or a line end inside
    if not text.startswith("/") or text[1:2] in ("/", "\\") or "\\" in text or not text.isprintable():
        return "/"
    return "/" if len(text) > _LONGEST_NEXT or text.startswith("/signin") else text


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
