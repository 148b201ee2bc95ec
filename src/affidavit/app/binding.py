"""Which account of the sign-in provider's somebody is: set when they first sign in, and from then on the only one that is them.

Providers give an address, or a name, to the next person who joins; the pair of issuer and subject they never do (OpenID Connect
Core, 5.7). Without this whoever is given a former colleague's address would be them here.
"""

from __future__ import annotations

from affidavit.app.authority import authorise, is_operator
from affidavit.app.credentials import CHANGE, DAY, CredentialDesk
from affidavit.app.noting import note
from affidavit.app.wiring import Parts
from affidavit.domain.access import named
from affidavit.domain.canonical import canonical, sha256
from affidavit.domain.errors import AccessDeniedError, UnauthenticatedError
from affidavit.events.log import Transaction
from affidavit.store.credentials import Credential, CredentialKind
from affidavit.store.people import Tenant

REFUSED = "signin.refused"
_LASTS = 100 * 366 * DAY


class BindingDesk:
    """Sets, checks and lifts bindings. Each is a credential of its kind: a row, on record, that ends when the person goes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._credentials = CredentialDesk(parts)
        self._rows = self._credentials.rows

    def check(self, tenant: Tenant, who: str, issuer: str, subject: str) -> bool:
        """Whether ``who`` is bound to this account already; False if neither of the two is bound to anything.

        Raises UnauthenticatedError if one of them is, to another.
        """
        digest = _digest(issuer, subject)
        for one in self._rows.of(tenant.id, CredentialKind.BOUND, who):
            if one.digest == digest:
                return True
            raise UnauthenticatedError(
                f"{who} signed in here before with another account",
                "if both are yours, ask an administrator: affidavit people unbind",
            )
        if self._rows.bound(tenant.id, digest) is not None:
            raise UnauthenticatedError(
                "your account signed in here before under another name",
                "ask an administrator: affidavit people unbind",
            )
        return False

    def bind(self, tenant: Tenant, who: str, issuer: str, subject: str) -> None:
        """``who`` is this account from now on, if they were none. Raises UnauthenticatedError as ``check``."""
        if self.check(tenant, who, issuer, subject):
            return
        id, now = self._credentials.new_id(), self._parts.clock.now()
        digest = _digest(issuer, subject)
        made = Credential(
            id,
            tenant.id,
            CredentialKind.BOUND,
            who,
            issuer,
            digest,
            frozenset(),
            frozenset(),
            now + _LASTS,
            0,
        )

        def write(tx: Transaction) -> None:
            if not self.check(tenant, who, issuer, subject):  # another process may have been quicker
                self._credentials.put(tx, made, who)

        self._parts.log.write(write)

    def refused(self, tenant: Tenant, who: str, issuer: str, why: str) -> None:
        """Put on record that somebody came as ``who`` and was not them."""
        note(self._parts, tenant, REFUSED, "provider", {"principal": who, "issuer": issuer, "why": why})

    def unbind(self, tenant: Tenant, who: str, by: str) -> int:
        """Whoever signs in as ``who`` next is them; how many bindings ended. Their sessions end too.

        Raises AccessDeniedError.
        """
        who, by = named(who), authorise(self._parts, tenant, by, CHANGE)
        self._credentials.check_not_above(tenant, by, who)
        found = self._rows.of(tenant.id, CredentialKind.BOUND, who)
        for one in found:
            self._credentials.end(tenant, one.id, CredentialKind.BOUND, by)
        if found:
            self._credentials.sign_out(tenant, who, by)
        return len(found)

    def unbind_all(self, tenant: Tenant, issuer: str, by: str) -> int:
        """The same for everybody who is bound to an account of ``issuer``; how many. Only whoever sits at the machine says so.

        Raises AccessDeniedError.
        """
        if not is_operator(by):
            raise AccessDeniedError("a provider is changed at the machine", "--by operator:NAME")
        found = [one for one in self._rows.of(tenant.id, CredentialKind.BOUND) if one.name == issuer]
        return sum(self.unbind(tenant, one.principal, by) for one in found)


def _digest(issuer: str, subject: str) -> str:
    return sha256(canonical([issuer, subject]))
