"""A small OpenID Connect provider on loopback: tokens of any content, signed as it is told, over real HTTP."""

from __future__ import annotations

import json
import re
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from affidavit.testing.clock import START

NOW = START // 1_000_000
Key = RSAKey | ECKey | OKPKey


@dataclass
class Registered:
    """A code that was given out, and what it is for."""

    nonce: str
    challenge: str
    redirect: str


@dataclass
class OidcProvider:
    """``claims`` is what the next ID token says besides what it must; a value of None takes a claim out."""

    issuer: str = ""
    client_id: str = "affidavit"
    secret: str = "s:ecr&t"
    keys: list[dict[str, Any]] = field(default_factory=list)
    key: Key = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    algorithm: str = "RS256"
    claims: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, Registered] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: bool = False
    token: str = ""
    info: dict[str, Any] | None = None
    """What is said of whoever holds an access token; None: nothing is."""

    def approve(self, address: str) -> str:
        """What the browser comes back with when somebody signs in at ``address``."""
        query = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = Registered(query["nonce"], query["code_challenge"], query["redirect_uri"])
        return "?" + urlencode({"code": code, "state": query["state"], "iss": self.issuer})

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token of ``claims`` and what every good one has."""
        said = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": "24400320",
            "iat": NOW,
            "exp": NOW + 300,
            **claims,
        }
        heading = {"alg": self.algorithm, "kid": self.key.kid, **header}
        kept = {k: v for k, v in said.items() if v is not None}
        return jwt.encode(
            {k: v for k, v in heading.items() if v is not None}, kept, self.key, algorithms=[heading["alg"]]
        )

    def discovery(self) -> dict[str, Any]:
        more = {} if self.info is None else {"userinfo_endpoint": f"{self.issuer}/me"}
        return {
            **more,
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/out?x=1",
            "authorization_response_iss_parameter_supported": True,
            **self.about,
        }

    def redeem(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """An ID token for a code, as RFC 7636 has it; None if something is not right."""
        assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", form.get("code_verifier", "")), "RFC 7636, 4.1"
        given = self.codes.pop(form.get("code", ""), None)
        challenge = (
            urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        )
        # RFC 6749, 2.3.1: both are form-encoded before they are joined
        right = "Basic " + _basic("affidavit:s%3Aecr%26t")
        if given is None or (given.challenge, given.redirect) != (challenge, form["redirect_uri"]):
            return None
        if authorization != right:
            return None
        return {
            "access_token": "at-1",
            "id_token": self.token or self.sign({"nonce": given.nonce, **self.claims}),
            "token_type": "Bearer",
        }


def _basic(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


@contextmanager
def providing() -> Iterator[OidcProvider]:
    """A provider that listens until the block ends."""
    provider = OidcProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked.append(path)
            pages: dict[str, Any] = {
                "/me": provider.info if self.headers.get("Authorization") == "Bearer at-1" else None,
                "/.well-known/openid-configuration": provider.discovery(),
                "/jwks": {"keys": provider.keys or [provider.key.as_dict(private=False)]},
            }
            self._answer(500 if provider.broken else 200, pages.get(path))

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {k: v[0] for k, v in parse_qs(body).items()}
            found = provider.redeem(form, self.headers.get("Authorization", ""))
            self._answer(200 if found else 400, found or {"error": "invalid_grant"})

        def _answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status if value is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
