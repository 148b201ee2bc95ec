"""An OpenID Connect provider: where it signs people in, and what its tokens say, checked before anything in them is believed.

OpenID Connect Core 1.0 (3.1.3.7), Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (issuer in the answer), RFC 9068 (access tokens).
"""

from __future__ import annotations

import base64
import hmac
import json
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from affidavit.adapters.guarded import ForbiddenAddressError, Reach
from affidavit.adapters.guarded import client as guarded_client
from affidavit.domain.clock import MICROSECONDS, Clock
from affidavit.domain.errors import ProviderError, UnauthenticatedError

# RFC 9864 renames what providers go on sending
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)

ALGORITHMS: Mapping[str, tuple[type[Any], str]] = {
    "RS256": (RSAKey, ""),
    "ES256": (ECKey, "P-256"),
    "EdDSA": (OKPKey, "Ed25519"),
}
"""What a token may be signed with: the kind of key, and its curve. Neither `none` nor anything that shares a secret."""
SKEW = 60
"""Seconds that the provider's clock and ours may be apart."""
SIGNED_OUT = "http://schemas.openid.net/event/backchannel-logout"
LONGEST_TOKEN = 32_768
_LONGEST_LIFE = 86_400
_SECONDS = 10.0
_FRESH = 3600 * MICROSECONDS
_AGAIN = 30 * MICROSECONDS
"""How often at most the provider is asked for its keys because of a token that names one we do not know."""
_DOWN = 5 * MICROSECONDS
"""How long it is not asked again after it gave no answer: strangers could else have every thread wait for it."""
_PATIENCE = 2.0
"""Seconds that one waits for what another thread is asking."""
_SMALLEST_RSA = 2048
Key = RSAKey | ECKey | OKPKey


@dataclass(frozen=True)
class Client:
    """What the provider knows us by. ``secret`` is "" for a public client."""

    id: str
    secret: str
    redirect: str


@dataclass(frozen=True)
class Attempt:
    """What one browser remembers between leaving for the provider and coming back: random, and used once."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """RFC 7636, 4.2: S256."""
        return base64.urlsafe_b64encode(sha256(self.verifier.encode()).digest()).decode().rstrip("=")


class Provider:
    """One issuer. Safe to share between threads; what it says of itself is kept for an hour."""

    def __init__(
        self,
        issuer: str,
        client: Client,
        clock: Clock,
        http: Callable[[], httpx.Client] | None = None,
        reach: Reach = True,
    ) -> None:
        self.issuer = issuer
        self._client = client
        self._clock = clock
        self._open = http or (lambda: guarded_client(reach, _SECONDS))
        self._lock = threading.RLock()  # asking for the keys asks where they are
        self._said: tuple[int, dict[str, Any]] | None = None
        self._keys: tuple[int, list[dict[str, Any]]] | None = None
        self._failed: int | None = None

    # -- signing in

    def address(self, attempt: Attempt) -> str:
        """Where a browser is sent to sign in. Raises ProviderError."""
        query = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.redirect,
            "scope": "openid profile email",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with(self._endpoint("authorization_endpoint"), query)

    def leaving(self, back: str) -> str:
        """Where a browser is sent to sign out there too, and come ``back``; "" if the provider offers nothing of the kind."""
        if not self.about().get("end_session_endpoint"):
            return ""
        query = {"client_id": self._client.id, "post_logout_redirect_uri": back}
        return _with(self._endpoint("end_session_endpoint"), query)

    def redeem(
        self, attempt: Attempt, answer: Mapping[str, str], wanted: Collection[str] = ()
    ) -> dict[str, Any]:
        """The claims of whoever signed in, from the parameters that the browser came back with. What is ``wanted`` and not in
        the ID token is asked for (OpenID Connect Core, 5.3): many providers put little into tokens.

        Raises UnauthenticatedError if they are not those of ``attempt``, or say no; ProviderError.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise _refused("the answer belongs to another sign-in")
        about = self.about()
        if answer.get("iss", self.issuer) != self.issuer or (
            about.get("authorization_response_iss_parameter_supported") is True and "iss" not in answer
        ):
            raise _refused("the answer is another provider's")
        if "error" in answer or not answer.get("code"):
            raise _refused("the provider did not sign you in")
        found = self._tokens(answer["code"], attempt.verifier)
        claims = self.identity(found["id_token"], attempt.nonce)
        if all(name in claims for name in wanted) or not self.about().get("userinfo_endpoint"):
            return claims
        return self._more(claims, found.get("access_token"))

    def _more(self, claims: dict[str, Any], token: object) -> dict[str, Any]:
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return claims
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        said = self._ask("GET", self._endpoint("userinfo_endpoint"), None, headers)
        if said.get("sub") != claims["sub"]:
            raise _refused("the provider tells of somebody else")
        return {**said, **claims}

    def _tokens(self, code: str, verifier: str) -> dict[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect,
            "code_verifier": verifier,
        }
        headers = {"Accept": "application/json"}
        client = self._client
        ways = self.about().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if client.secret and "client_secret_basic" in ways:
            pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            fields["client_id"] = client.id
            if client.secret:
                fields["client_secret"] = client.secret
        found = self._ask("POST", self._endpoint("token_endpoint"), fields, headers)
        if not isinstance(found.get("id_token"), str):
            raise _refused("the provider gave no identity for the code")
        return found

    # -- tokens

    def identity(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that was made for us and for this sign-in. Raises UnauthenticatedError, ProviderError."""
        claims = self._claims(token, self._client.id)
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", self._client.id) != self._client.id or (several and "azp" not in claims):
            raise _refused("the token was made for another application")
        if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(
            claims["nonce"].encode(), nonce.encode()
        ):
            raise _refused("the token belongs to another sign-in")
        return claims

    def access(self, token: str, resource: str) -> dict[str, Any]:
        """The claims of an access token for ``resource`` that a person's application sends. Raises as ``identity``."""
        claims = self._claims(token, resource)
        if "nonce" in claims or claims["sub"] in (claims.get("client_id"), claims.get("azp")):
            raise _refused("this is no access token of a person")
        return claims

    def signed_out(self, token: str) -> tuple[str, str]:
        """Whom the provider signed out, and of which of their sessions there; either may be "", which is any.

        OpenID Connect Back-Channel Logout 1.0, 2.6. Raises UnauthenticatedError, ProviderError.
        """
        claims = self._claims(token, self._client.id, anonymous=True)
        events, subject, session = (claims.get(name) for name in ("events", "sub", "sid"))
        if "nonce" in claims or not isinstance(events, dict) or not isinstance(events.get(SIGNED_OUT), dict):
            raise _refused("this is no word of the provider's that somebody signed out")
        if not (isinstance(subject or "", str) and isinstance(session or "", str) and (subject or session)):
            raise _refused("the token does not say whose it is")
        return subject or "", session or ""

    def _claims(self, token: str, audience: str, *, anonymous: bool = False) -> dict[str, Any]:
        header = _header(token)
        algorithm = str(header.get("alg"))
        if algorithm not in ALGORITHMS or "crit" in header:
            raise _refused("the token is not signed in a way that is accepted")
        key = self._key(header.get("kid"), algorithm)
        try:
            claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError) as error:
            raise _refused("the token is not the provider's") from error
        self._check(claims, audience)
        if not anonymous and (not isinstance(claims.get("sub"), str) or not claims["sub"]):
            raise _refused("the token does not say whose it is")
        return claims

    def _check(self, claims: dict[str, Any], audience: str) -> None:
        """RFC 7519, 4.1. Everything that is required is required to be there."""
        now = self._clock.now() // MICROSECONDS
        expires, issued, after = (claims.get(k) for k in ("exp", "iat", "nbf"))
        meant_for = claims.get("aud")
        if claims.get("iss") != self.issuer:
            raise _refused("the token is another provider's")
        if not (meant_for == audience or (isinstance(meant_for, list) and audience in meant_for)):
            raise _refused("the token was made for another application")
        if not _number(expires) or expires + SKEW <= now:
            raise _refused("the token has expired")
        if not _number(issued) or not now - _LONGEST_LIFE - SKEW <= issued <= now + SKEW:
            raise _refused("the token was not issued just now")
        if after is not None and (not _number(after) or after > now + SKEW):
            raise _refused("the token is not valid yet")

    # -- keys

    def _key(self, id: object, algorithm: str) -> Key:
        """The provider's key for ``algorithm`` that a token names; without a name the only one there is."""
        found = self._fitting(self._known_keys(), id, algorithm)
        if not found and self._ask_again():
            found = self._fitting(self._known_keys(), id, algorithm)
        if len(found) != 1:
            raise _refused("the token is signed with a key that the provider does not have")
        return found[0]

    def _known_keys(self) -> list[dict[str, Any]]:
        with self._alone():
            if self._keys is None or self._clock.now() - self._keys[0] >= _FRESH:
                self._keys = (self._clock.now(), self._fetch_keys())
            return self._keys[1]

    def _ask_again(self) -> bool:
        """Forget the keys, if they are old enough that strangers' tokens cannot make us ask all the time."""
        with self._alone():
            if self._keys is None or self._clock.now() - self._keys[0] < _AGAIN:
                return False
            self._keys = None
            return True

    def _fetch_keys(self) -> list[dict[str, Any]]:
        found = self._look_up(self._endpoint("jwks_uri")).get("keys")
        if not isinstance(found, list):
            raise ProviderError(f"{self.issuer} gives no keys", "check signin.issuer")
        return [key for key in found if isinstance(key, dict)]

    @staticmethod
    def _fitting(keys: list[dict[str, Any]], id: object, algorithm: str) -> list[Key]:
        kind, curve = ALGORITHMS[algorithm]
        out: list[Key] = []
        for one in keys:
            if one.get("use", "sig") != "sig" or one.get("alg", algorithm) != algorithm or "d" in one:
                continue
            if one.get("kty") != kind.key_type or (curve and one.get("crv") != curve):
                continue
            if id is not None and one.get("kid") != id:
                continue
            try:
                key = import_key({k: v for k, v in one.items() if k not in ("key_ops", "x5c", "x5t", "x5u")})
            except (JoseError, ValueError, TypeError):
                continue  # of a kind that is not known here: the others may be
            if isinstance(key, kind) and not (
                isinstance(key, RSAKey) and key.raw_value.key_size < _SMALLEST_RSA
            ):
                out.append(key)
        return out

    # -- what it says of itself

    def about(self) -> dict[str, Any]:
        """Its discovery document. Raises ProviderError."""
        with self._alone():
            if self._said is None or self._clock.now() - self._said[0] >= _FRESH:
                said = self._look_up(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
                if said.get("issuer") != self.issuer:
                    raise ProviderError(
                        f"{self.issuer} calls itself by another name", "signin.issuer is what its tokens say"
                    )
                self._said = (self._clock.now(), said)
            return self._said[1]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread asks for all. Raises ProviderError where that takes long."""
        if not self._lock.acquire(timeout=_PATIENCE):
            raise ProviderError(
                f"the sign-in provider {self.issuer} answers slowly", "try again a little later"
            )
        try:
            yield
        finally:
            self._lock.release()

    def _look_up(self, url: str) -> dict[str, Any]:
        """What it says of itself to everybody."""
        if self._failed is not None and 0 <= self._clock.now() - self._failed < _DOWN:
            raise ProviderError(
                f"the sign-in provider {self.issuer} cannot be asked", "try again a little later"
            )
        try:
            return self._ask("GET", url)
        except ProviderError:
            self._failed = self._clock.now()
            raise

    def _endpoint(self, name: str) -> str:
        """An address of the provider's, encrypted unless the whole provider is on plain http."""
        url = self.about().get(name)
        plain = self.issuer.startswith("http://")
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        if parts.scheme not in (("https", "http") if plain else ("https",)) or not parts.hostname:
            raise ProviderError(f"{self.issuer} has no {name}", "check signin.issuer")
        return str(url)

    def _ask(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            with self._open() as http:
                answer = http.request(method, url, data=fields, headers=headers)
                found = answer.json() if answer.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            private = isinstance(error.__cause__, ForbiddenAddressError)
            raise ProviderError(
                f"the sign-in provider {self.issuer} cannot be asked",
                "its address is not public: network.allow_private in server.toml"
                if private
                else "try again a little later",
            ) from error
        if method == "POST" and 400 <= answer.status_code < 500:
            raise _refused("the provider does not take the code")
        if not isinstance(found, dict):
            raise ProviderError(
                f"the sign-in provider {self.issuer} answers with HTTP {answer.status_code}",
                "check signin.issuer",
            )
        return found


def _header(token: str) -> dict[str, Any]:
    """A compact JWS's header, believed for nothing but the choice of a key. Raises UnauthenticatedError."""
    try:
        first = token.partition(".")[0].encode("ascii")
        found = json.loads(base64.urlsafe_b64decode(first + b"=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        found = None
    if len(token) > LONGEST_TOKEN or token.count(".") != 2 or not isinstance(found, dict):
        raise _refused("this is no token")
    return found


def _number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a time as tokens have it: not NaN, which nothing is later than, and not true."""
    return type(value) is int or (type(value) is float and abs(value) < 2**53)


def _with(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"you are not signed in: {why}", "start again: /signin")
