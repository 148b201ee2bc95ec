"""Signing in with a provider: whose claims are whom here, and which groups they bring."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.adapters.guarded import Reach
from affidavit.adapters.oidc import Attempt, Client, Provider
from affidavit.app.binding import BindingDesk
from affidavit.app.credentials import LINK, CredentialDesk
from affidavit.app.people import PeopleDesk
from affidavit.app.provisioning import as_name
from affidavit.app.wiring import Parts
from affidavit.domain.access import principal
from affidavit.domain.errors import UnauthenticatedError, UnknownNameError, UsageError
from affidavit.domain.roles import ACTIONS, EVERYBODY
from affidavit.store.people import Tenant

MOST_GROUPS = 1000
_ADDRESSES = ("email", "preferred_username", "upn")
"""Claims whose values mean the same in capitals."""
CALLBACK = "/signin/callback"
OIDC = "oidc "
"""How the name of a session begins that a provider proved."""
_AS_SAID = (
    "issuer",
    "client_id",
    "tenant",
    "principal_claim",
    "groups_claim",
    "groups_prefix",
    "create",
)


@dataclass(frozen=True)
class SignIn:
    """How people sign in. Without an ``issuer`` there are sign-in links only.

    ``public_url`` is how browsers reach us. ``principal_claim`` says who somebody is; "": the address in ``email`` if the
    provider vouches for it, else ``sub``. Groups that ``groups_claim`` lists are ours with ``groups_prefix`` before their names:
    each sign-in brings the groups with that prefix in line, and no others. ``create`` lets in whom nobody knew before.
    ``resource`` is the audience that access tokens for the API must name; "": none is accepted. Sessions last ``hours``, and end
    when left alone for ``idle`` minutes. ``role_groups`` are those that come with grants, and that the provider may change;
    ``reach`` is what besides public addresses may be connected to for the provider.
    """

    public_url: str = ""
    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    tenant: str = ""
    principal_claim: str = ""
    groups_claim: str = ""
    groups_prefix: str = ""
    create: bool = False
    resource: str = ""
    hours: int = 8
    idle: int = 60
    role_groups: tuple[str, ...] = ()
    reach: Reach = True

    @classmethod
    def of(
        cls,
        said: Mapping[str, Any],
        public_url: str,
        client_secret: str,
        role_groups: tuple[str, ...] = (),
        reach: Reach = True,
    ) -> SignIn:
        """As the settings' section `signin` says, by the names there. An empty ``resource`` is ``public_url``."""
        settings = cls(
            public_url.rstrip("/"),
            client_secret=client_secret,
            resource=said["resource"] or public_url.rstrip("/"),
            hours=said["session_hours"],
            idle=said["idle_minutes"],
            role_groups=role_groups,
            reach=reach,
            **{name: said[name] for name in _AS_SAID},
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Raises UsageError for what cannot be meant so."""
        if self.issuer and not (self.client_id and self.public_url):
            raise UsageError(
                "sign-in with a provider needs signin.client_id and server.public_url",
                "register the client there; it comes back to public_url" + CALLBACK,
            )
        if self.issuer and self.groups_claim and not self.groups_prefix:
            raise UsageError(
                "signin.groups_claim needs signin.groups_prefix",
                'groups whose names begin with it are the provider\'s, all others yours: groups_prefix = "sso-"',
            )
        if self.resource and self.resource == self.client_id:
            raise UsageError(
                "signin.resource is signin.client_id", "a token that says who signed in is no key to the API"
            )


@dataclass(frozen=True)
class Arrival:
    """Somebody who signed in. ``proof`` is what their session is known by when the provider signs them out."""

    tenant: Tenant
    principal: str
    next: str
    proof: str


class SignInDesk:
    """Signs people in with the provider of ``settings``."""

    def __init__(
        self, parts: Parts, people: PeopleDesk, settings: SignIn, provider: Provider | None = None
    ) -> None:
        settings.check()
        self._parts = parts
        self._people = people
        self._credentials = CredentialDesk(parts)
        self._bindings = BindingDesk(parts)
        self._settings = settings
        client = Client(
            settings.client_id, settings.client_secret, settings.public_url.rstrip("/") + CALLBACK
        )
        self.provider = provider or Provider(settings.issuer, client, parts.clock, reach=settings.reach)
        self._key = parts.signer.derived("sign-in")
        names = (settings.principal_claim,) if settings.principal_claim else ("email", "email_verified")
        self._wanted = tuple(n for n in (*names, settings.groups_claim) if n)

    # -- a browser leaves and comes back

    def begin(self, next: str) -> tuple[str, str]:
        """Where the browser goes, and what it must bring back in a cookie. Raises ProviderError."""
        attempt = Attempt(*(self._word() for _ in range(3)))
        said = [attempt.state, attempt.nonce, attempt.verifier, next, self._parts.clock.now()]
        packed = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
        return self.provider.address(attempt), f"{packed}.{self._seal(packed)}"

    def finish(self, kept: str, answer: Mapping[str, str]) -> Arrival:
        """Whoever came back, known here and in their groups. ``kept`` is the cookie, ``answer`` the address's parameters.

        Raises UnauthenticatedError, UnknownNameError, ProviderError.
        """
        packed, _, seal = kept.partition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(packed).encode()):
            raise UnauthenticatedError("this browser did not begin to sign in", "start again: /signin")
        state, nonce, verifier, next, began = json.loads(base64.urlsafe_b64decode(packed))
        if not 0 <= self._parts.clock.now() - began < LINK:
            raise UnauthenticatedError("signing in took too long", "start again: /signin")
        claims = self.provider.redeem(Attempt(state, nonce, verifier), answer, self._wanted)
        tenant, who = self._parts.tenant(self._settings.tenant), self.whose(claims)
        groups, prefix = self._groups(claims)
        issuer, subject = self._settings.issuer, claims["sub"]
        try:
            self._bindings.check(tenant, who, issuer, subject)
        except UnauthenticatedError as error:
            self._bindings.refused(tenant, who, issuer, error.message)
            raise
        try:
            self._people.arrive(
                tenant,
                who,
                groups,
                prefix,
                create=self._settings.create,
                role_groups=self._settings.role_groups,
            )
        except UnknownNameError as error:
            raise UnauthenticatedError(
                f"you signed in as {who}, whom nobody made known here", "ask an administrator to add you"
            ) from error
        self._bindings.bind(tenant, who, issuer, subject)
        sid = claims.get("sid")
        proof = f"{OIDC}{self._mark(claims['sub'])} {self._mark(sid if isinstance(sid, str) else '')}"
        return Arrival(tenant, who, next, proof)

    def signed_out(self, token: str) -> int:
        """End the sessions of whoever the provider says signed out there; how many.

        Raises UnauthenticatedError, ProviderError.
        """
        subject, sid = self.provider.signed_out(token)
        tenant, whose, which = self._parts.tenant(self._settings.tenant), self._mark(subject), self._mark(sid)

        def theirs(proof: str) -> bool:
            begins, _, ends = proof.removeprefix(OIDC).partition(" ")
            return proof.startswith(OIDC) and (not subject or begins == whose) and (not sid or ends == which)

        return self._credentials.end_sessions(tenant, theirs, "provider")

    def _mark(self, text: str) -> str:
        """Stands for what the provider calls somebody: the record holds no more names than it must."""
        return hmac.digest(self._key, f"mark {text}".encode(), "sha256").hex()[:16]

    def _word(self) -> str:
        """43 characters that nobody guesses, of those that a code verifier may have (RFC 7636, 4.1)."""
        return base64.urlsafe_b64encode(self._parts.randomness.token(32)).decode().rstrip("=")

    def _seal(self, packed: str) -> str:
        return hmac.digest(self._key, packed.encode(), "sha256").hex()

    # -- an application sends a token

    def bearer(self, token: str) -> tuple[Tenant, str, frozenset[str] | None]:
        """Whose access token this is, and for which actions if it names any of ours.

        Raises UnauthenticatedError, ProviderError.
        """
        if not self._settings.resource:
            raise UnauthenticatedError("access tokens are not accepted here", "send an API key")
        claims = self.provider.access(token, self._settings.resource)
        said = claims.get("scope", claims.get("scp", ""))
        words = frozenset(said.split() if isinstance(said, str) else ())
        scopes = words & {*EVERYBODY, *ACTIONS}
        tenant, who = self._parts.tenant(self._settings.tenant), self.whose(claims)
        with self._parts.database.read():
            known = self._parts.people.facts(tenant.id, who, self._parts.log.head()) is not None
        if known:  # of a stranger nothing is kept
            self._bindings.bind(tenant, who, self._settings.issuer, claims["sub"])
        return tenant, who, scopes or None

    # -- claims

    def whose(self, claims: Mapping[str, Any]) -> str:
        """The principal that ``claims`` are about. Raises UnauthenticatedError."""
        name = self._settings.principal_claim or ("email" if claims.get("email_verified") is True else "sub")
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise UnauthenticatedError(
                f"the provider does not say who you are: no {name}",
                "the claim is set by signin.principal_claim",
            )
        if name == "email":
            if claims.get("email_verified") is not True:
                raise UnauthenticatedError(
                    "the provider does not vouch for your address",
                    "confirm it there, or set signin.principal_claim",
                )
        elif not self._settings.principal_claim and "@" in value:
            # where addresses are names, an account that merely looks like an address must not be taken for its owner's
            raise UnauthenticatedError("the provider does not vouch for your address", "confirm it there")
        try:
            return principal(f"user:{as_name(value) if name in _ADDRESSES else value}")
        except UsageError as error:
            raise UnauthenticatedError(
                f"the provider calls you by a name that nobody can have here: {error.message}",
                "the claim is set by signin.principal_claim",
            ) from error

    def _groups(self, claims: Mapping[str, Any]) -> tuple[frozenset[str], str]:
        """The groups that they bring, and the prefix of all groups that are the provider's to say."""
        name = self._settings.groups_claim
        if not name:
            return frozenset(), ""
        said = claims.get(name, [])
        elsewhere = claims.get("_claim_names")
        if name not in claims and isinstance(elsewhere, dict) and name in elsewhere:
            raise UnauthenticatedError(
                "you are in more groups than the provider sends",
                "let it send only the groups of this application",
            )
        if isinstance(said, str):
            said = [said]
        if not isinstance(said, list) or len(said) > MOST_GROUPS:
            raise UnauthenticatedError(
                "the provider's groups are no list of names", "see signin.groups_claim"
            )
        prefix = f"group:{self._settings.groups_prefix}"
        return frozenset(g for one in said if isinstance(one, str) and (g := _named(prefix + one))), prefix


def _named(group: str) -> str:
    """``group`` if it can be one here, else "": one that nobody can name opens nothing."""
    try:
        return principal(group)
    except UsageError:
        return ""
