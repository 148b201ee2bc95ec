"""An agent with an access token of the sign-in provider's: made for this server, or for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.oidc_provider import OidcProvider, providing
from tests.served_world import LEAVE, LEAVE_SAYS, begun

from affidavit.app.signin import SignIn
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
HERE = "https://ask.acme.example"
ASK = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": {"question": LEAVE}},
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, OidcProvider]]:
    served = begun(tmp_path_factory.mktemp("token"), FixedClock())
    with served.ws, providing() as provider:
        signin = SignIn(
            HERE, provider.issuer, provider.client_id, provider.secret, principal_claim="login", resource=HERE
        )
        with TestClient(make_app(served.ws, signin=signin), base_url=HERE) as client:
            yield client, provider


def ask(client: TestClient, token: str) -> Any:
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
    }
    return client.post("/mcp", json=ASK, headers=headers)


def test_a_token_for_this_server_is_its_owners(at: tuple[TestClient, OidcProvider]) -> None:
    client, provider = at
    token = provider.sign({"aud": HERE, "client_id": "an-agent", "login": "alice"})
    assert LEAVE_SAYS in ask(client, token).text


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://other.example"}, {"aud": "affidavit"}, {"aud": None}, {"exp": 1}, {"sub": "an-agent"}],
)
def test_a_token_for_another_is_refused(at: tuple[TestClient, OidcProvider], claims: dict[str, Any]) -> None:
    client, provider = at
    token = provider.sign({"aud": HERE, "client_id": "an-agent", "login": "alice", **claims})
    found = ask(client, token)
    assert found.status_code == 401
    assert LEAVE_SAYS not in found.text
    where = found.headers["WWW-Authenticate"].partition('resource_metadata="')[2].rstrip('"')
    assert where == f"{HERE}/.well-known/oauth-protected-resource"
    told = client.get(where).json()
    assert told["resource"] == HERE
    assert told["authorization_servers"] == [provider.issuer]
