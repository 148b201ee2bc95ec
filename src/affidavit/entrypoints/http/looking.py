"""Who only looks as somebody else: an administrator who began a look, and still may."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from affidavit.app.looking import LOOK
from affidavit.app.operations.operation import LOOKING, Caller, may
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import UnauthenticatedError
from affidavit.entrypoints.http.who import Proof

HEADER, COOKIE = "Affidavit-Look", "affidavit-look"


class Looking:
    """A proof before all others: the look's secret beside what proves who looks, by one of ``proofs``.

    A look that has ended, or that is not theirs, is as if it were not there: a cookie may be older than the look.
    """

    def __init__(self, ws: Workspace, proofs: Sequence[Proof]) -> None:
        self._ws = ws
        self._proofs = tuple(proofs)

    def __call__(self, request: Request) -> Caller | None:
        token = token_of(request)
        if not token:
            return None
        own = self.own(request)
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

    def own(self, request: Request) -> Caller | None:
        """Who asks, whomever they look as."""
        return next((caller for proof in self._proofs if (caller := proof(request)) is not None), None)


def token_of(request: Request) -> str:
    """The secret of the look, "" if there is none."""
    return request.headers.get(HEADER, "") or request.cookies.get(COOKIE, "")
