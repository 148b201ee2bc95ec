"""Who asks: what a request proves, and never what it merely says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastapi import Request

from affidavit.app.operations.operation import Caller
from affidavit.app.signin import SignInDesk
from affidavit.app.workspace import Workspace
from affidavit.domain.access import named
from affidavit.domain.errors import ForbiddenError, UnauthenticatedError
from affidavit.domain.roles import EVERYBODY
from affidavit.store.credentials import Credential, CredentialKind
from affidavit.store.people import Tenant

FOR = "Affidavit-For"
"""The header by which a service says for whom it asks; what it is believed is up to its key."""


class Proof(Protocol):
    """One way to prove who asks."""

    def __call__(self, request: Request) -> Caller | None:
        """Whoever it proves; None if the request does not try to in this way. Raises UnauthenticatedError, ForbiddenError."""
        ...


class ByKey:
    """``Authorization: Bearer aff_key_…``; a service with ``Affidavit-For: user:alice`` if its key lets it speak for her:
    for what everybody may do, or the actions that the key names."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def __call__(self, request: Request) -> Caller | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.startswith("aff_"):
            return None
        key = self._ws.credentials.whose(token.strip(), CredentialKind.KEY)
        tenant = tenant_of(self._ws, key.tenant)
        wanted = request.headers.get(FOR, "")
        if not wanted:
            return Caller(tenant, key.principal, "key", scopes=key.scopes, proof=key.id)
        return self._speaking(tenant, key, named(wanted))

    def _speaking(self, tenant: Tenant, key: Credential, person: str) -> Caller:
        parts = self._ws.parts
        with parts.database.read():
            head = parts.log.head()
            service = parts.scopes.identify(tenant.id, key.principal, head)
            spoken_for = parts.scopes.identify(tenant.id, person, head)
        if (
            not service.principals
            or not person.startswith("user:")
            or not spoken_for.principals & key.acts_for
        ):
            raise ForbiddenError(
                f"this key does not speak for {person}",
                "make one that does: affidavit key make … --acts-for PRINCIPAL",
            )
        # somebody among those it speaks for may be an administrator: their powers are lent by name alone
        scopes = EVERYBODY if key.scopes is None else key.scopes
        return Caller(tenant, person, "key", key.principal, scopes, proof=key.id)


class ByToken:
    """``Authorization: Bearer eyJ…``: an access token of the sign-in provider's, made for this server and nobody else."""

    def __init__(self, desk: SignInDesk) -> None:
        self._desk = desk

    def __call__(self, request: Request) -> Caller | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token.count(".") != 2:
            return None
        tenant, who, scopes = self._desk.bearer(token.strip())
        return Caller(tenant, who, "token", scopes=scopes)


def tenant_of(ws: Workspace, id: int) -> Tenant:
    """The tenant numbered ``id``."""
    found = next((t for t in ws.parts.people.tenants() if t.id == id), None)
    if found is None:
        raise UnauthenticatedError("this is not valid, or no longer", "sign in again")
    return found


class Identification:
    """Asks every proof in turn; the first that the request tries decides."""

    def __init__(self, proofs: Sequence[Proof]) -> None:
        self._proofs = tuple(proofs)

    def __call__(self, request: Request) -> Caller:
        """Whoever asks. Raises UnauthenticatedError."""
        for proof in self._proofs:
            caller = proof(request)
            if caller is not None:
                return caller
        raise UnauthenticatedError("nobody is signed in", "send an API key: Authorization: Bearer aff_key_…")
