"""An agent that knows nothing but the server's address signs in: the official SDK's own client, at a real provider."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
import uvicorn
from joserfc import jws
from mcp.client import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from tests.patience import soon
from tests.served_world import LEAVE, LEAVE_SAYS, Served, begun

from affidavit.app.signin import SignIn
from affidavit.domain.clock import SystemClock
from affidavit.entrypoints.http.application import make_app

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
TOOLS = Path(__file__).resolve().parents[2] / "node" / "oidc"
OTHER = "https://payroll.example"
BACK = "http://127.0.0.1:1/back"


@dataclass
class World:
    """``served`` behind ``url``, whose people sign in at ``issuer``."""

    served: Served
    url: str
    issuer: str


@contextmanager
def provider(url: str) -> Iterator[str]:
    """The issuer of a real provider that makes tokens for ``url``, and for another application."""
    node = shutil.which("node")
    assert node, "node is not installed"
    client = {
        "client_id": "affidavit",
        "client_secret": "secret",
        "redirect_uris": [f"{url}/signin/callback"],
    }
    said = {"client": client, "people": {}, "resources": [url, OTHER]}
    with subprocess.Popen(
        [node, "provider.mjs"],
        cwd=TOOLS,
        env={**os.environ, "PROVIDER": json.dumps(said)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield str(json.loads(process.stdout.readline())["issuer"])
        finally:
            process.stdin.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if not (TOOLS / "node_modules").is_dir():
        pytest.skip("npm ci has not been run in tests/node/oidc")
    served = begun(tmp_path_factory.mktemp("agent"), SystemClock())
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with served.ws, provider(url) as issuer:
        app = make_app(served.ws, signin=SignIn(url, issuer, "affidavit", "secret", resource=url))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        soon(lambda: server.started)
        try:
            yield World(served, url, issuer)
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


class Kept:
    """Where the client keeps what it was given."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Person:
    """Somebody at a browser: signs in, agrees, and brings the code back."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: dict[str, list[str]] = {}
        self._answer: dict[str, str] = {}

    async def visit(self, address: str) -> None:
        self.asked = parse_qs(urlsplit(address).query)
        async with httpx2.AsyncClient() as browser:
            page = await browser.get(address)
            for _ in range(20):
                where = page.headers.get("location", "")
                if where.startswith(BACK):
                    self._answer = {k: v[0] for k, v in parse_qs(urlsplit(where).query).items()}
                    return
                if where:
                    page = await browser.get(urljoin(str(page.url), where))
                    continue
                (action,) = re.findall(r'<form[^>]* action="([^"]+)"', page.text)
                hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
                form = {**hidden, "login": self.name, "password": "anything"}
                page = await browser.post(urljoin(str(page.url), unescape(action)), data=form)
        raise AssertionError(f"it never came back: {page.text}")

    async def answer(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=self._answer["code"], state=self._answer["state"], iss=self._answer.get("iss")
        )


def signing_in(world: World, person: Person, kept: Kept, server: str = "") -> OAuthClientProvider:
    metadata = OAuthClientMetadata(
        client_name="an agent",
        redirect_uris=[BACK],  # type: ignore[list-item]
        grant_types=["authorization_code"],
        response_types=["code"],
    )
    return OAuthClientProvider(
        server or f"{world.url}/mcp",
        metadata,
        kept,
        person.visit,
        person.answer,
    )


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return found


def test_an_agent_signs_in_by_itself_and_asks_as_the_person(world: World) -> None:
    person, kept = Person("alice"), Kept()

    async def go() -> Any:
        async with (
            httpx2.AsyncClient(auth=signing_in(world, person, kept)) as http,
            Client(streamable_http_client(f"{world.url}/mcp", http_client=http), cache=None) as client,
        ):
            return await client.call_tool("ask", {"question": LEAVE})

    answer = asyncio.run(go())
    assert answer.structured_content["answer"] == LEAVE_SAYS
    run = answer.structured_content["run"]
    assert world.served.ws.runs.show(world.served.tenant, run, "user:alice")["question"] == LEAVE
    assert person.asked["resource"] == [world.url]
    assert person.asked["code_challenge_method"] == ["S256"]
    assert kept.client is not None
    assert kept.client.client_id != "affidavit"  # it registered by itself
    assert kept.tokens is not None
    assert claims(kept.tokens.access_token)["aud"] == world.url


def test_who_is_not_known_here_is_nobody(world: World) -> None:
    """Signed in at the provider, with a token for this server: and yet there is no such person."""
    person, kept = Person("mallory"), Kept()

    async def go() -> Any:
        async with (
            httpx2.AsyncClient(auth=signing_in(world, person, kept)) as http,
            Client(streamable_http_client(f"{world.url}/mcp", http_client=http), cache=None) as client,
        ):
            return (await client.list_tools()).tools, await client.call_tool("ask", {"question": LEAVE})

    tools, answer = asyncio.run(go())
    assert tools == []
    assert answer.is_error
    assert LEAVE_SAYS not in str(answer)


def test_a_token_for_another_application_opens_nothing(world: World) -> None:
    """The same person, the same provider, a good signature: made for somebody else."""

    async def elsewhere() -> str:
        """A token as the payroll application would be given it."""
        metadata = {"redirect_uris": [BACK], "token_endpoint_auth_method": "none"}
        async with httpx2.AsyncClient() as http:
            about = (await http.get(f"{world.issuer}/.well-known/openid-configuration")).json()
            made = (await http.post(about["registration_endpoint"], json=metadata)).json()
            # RFC 7636, appendix B
            verifier, challenge = (
                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            )
            query = {
                "client_id": made["client_id"],
                "response_type": "code",
                "redirect_uri": BACK,
                "scope": "openid question:ask",
                "state": "s",
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "resource": OTHER,
            }
            person = Person("alice")
            await person.visit(str(httpx2.URL(about["authorization_endpoint"], params=query)))
            form = {
                "grant_type": "authorization_code",
                "code": (await person.answer()).code,
                "redirect_uri": BACK,
                "client_id": made["client_id"],
                "code_verifier": verifier,
                "resource": OTHER,
            }
            found = (await http.post(about["token_endpoint"], data=form)).json()
            return str(found["access_token"])

    token = asyncio.run(elsewhere())
    assert claims(token)["aud"] == OTHER
    assert claims(token)["sub"] == "alice"
    before = world.served.ws.parts.log.head()
    found = httpx2.post(
        f"{world.url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}},
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"},
    )
    assert found.status_code == 401
    said = found.headers["WWW-Authenticate"]
    assert 'error="invalid_token"' in said
    where = re.findall(r'resource_metadata="([^"]+)"', said)
    about = httpx2.get(where[0]).json()
    assert (about["resource"], about["authorization_servers"]) == (world.url, [world.issuer])
    assert world.served.ws.parts.log.head() == before
