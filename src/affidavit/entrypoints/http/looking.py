"""Who only looks as somebody else: an administrator who began a look, and still may."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, Response

from affidavit.app.looking import LASTS, LOOK
from affidavit.app.operations.operation import LOOKING, Caller, may
from affidavit.app.workspace import Workspace
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UnauthenticatedError
from affidavit.entrypoints.http.sessions import LOOK as _COOKIE
from affidavit.entrypoints.http.sessions import Cookies
from affidavit.entrypoints.http.who import Proof
from affidavit.store.people import Tenant

HEADER = "Affidavit-Look"


class Looking:
    """A proof before all others: the look's secret beside what proves who looks, by one of ``proofs``.

    A look that has ended, or that is not theirs, is as if it were not there: a cookie may be older than the look.
    """

    def __init__(self, ws: Workspace, proofs: Sequence[Proof], cookies: Cookies) -> None:
        self._ws = ws
        self._proofs = tuple(proofs)
        self._cookies = cookies

    def __call__(self, request: Request) -> Caller | None:
        token = self.token(request)
        if not token:
            return None
        own = next((caller for proof in self._proofs if (caller := proof(request)) is not None), None)
        if own is None:
            return None
        try:
            look = self._ws.looking.of(token)
        except UnauthenticatedError:
            return None
        if (look.tenant, look.by) != (own.tenant.id, own.principal) or not may(self._ws, own, LOOK):
            return None
        scopes = self._ws.looking.reading(own.scopes)
        request.state.look_until = look.until
        return Caller(own.tenant, look.person, LOOKING, own.principal, scopes)

    def token(self, request: Request) -> str:
        """The secret of the look, "" if there is none."""
        return request.headers.get(HEADER, "") or self._cookies.get(request, _COOKIE)

    def begin(self, request: Request, answer: Response, secret: str) -> None:
        """Let the browser look from now on."""
        self._cookies.set(request, answer, secret, LASTS // MICROSECONDS, _COOKIE)

    def end(self, request: Request, answer: Response, tenant: Tenant) -> None:
        """Let it look no longer. Whoever holds the look may end it: nothing but its secret is needed."""
        self._ws.looking.end(tenant, self.token(request))
        self._cookies.drop(request, answer, _COOKIE)
