"""What the endpoint lets in, request by request, without a client that is polite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.served_world import LEAVE, Served, begun

from affidavit.app.operations.operation import Caller
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.who import ByKey, Identification
from affidavit.entrypoints.mcp.endpoint import McpEndpoint, Place
from affidavit.testing.clock import FixedClock

ACCEPT = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    world = begun(tmp_path_factory.mktemp("endpoint"), FixedClock())
    with world.ws:
        yield world


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[TestClient]:
    with TestClient(make_app(served.ws)) as made:
        yield made


def asked(method: str = "tools/list", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def post(client: TestClient, key: str, body: Any = None, **headers: str) -> Any:
    sent = {**ACCEPT, "Authorization": f"Bearer {key}", **headers}
    return client.post("/mcp", json=body or asked(), headers=sent)


def told(response: Any) -> Any:
    """The JSON-RPC answer, as JSON or as the one event of a stream."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("application/json"):
        return response.json()
    (data,) = [line for line in response.text.splitlines() if line.startswith("data: ")]
    return json.loads(data[6:])


def names(response: Any) -> list[str]:
    return sorted(tool["name"] for tool in told(response)["result"]["tools"])


def test_a_key_lists_tools(served: Served, client: TestClient) -> None:
    assert names(post(client, served.keys["alice"])) == ["ask", "call_status", "get_document", "search"]


def test_whoever_has_no_key_is_told_where_to_get_in(client: TestClient) -> None:
    for headers in ({}, {"Cookie": "__Host-affidavit=aff_session_x"}, {"Authorization": "Bearer aff_key_x"}):
        found = client.post("/mcp", json=asked(), headers={**ACCEPT, **headers})
        assert found.status_code == 401
        assert found.json()["error"]["data"]["code"] == "unauthenticated"
        said = found.headers["WWW-Authenticate"]
        where = said.partition('resource_metadata="')[2].rstrip('"')
        metadata = client.get(where).json()
        assert metadata["resource"] == "http://testserver/mcp"
        assert metadata["bearer_methods_supported"] == ["header"]


def test_what_a_browser_sends_by_itself_is_no_proof(served: Served) -> None:
    caller = Caller(served.tenant, "user:alice", "session")
    endpoint = McpEndpoint(served.ws, lambda request: caller, Admission(1, 1, 1))
    app = Starlette(routes=endpoint.routes(), lifespan=lambda app: endpoint.lifespan())
    with TestClient(app) as client:
        assert client.post("/mcp", json=asked(), headers={**ACCEPT, "Cookie": "s=1"}).status_code == 401
        assert post(client, "anything").status_code == 200


def test_a_session_is_nobodys(served: Served, client: TestClient) -> None:
    """There are none, so none can be taken over: neither one's own nor another's is known."""
    opening = asked(
        "initialize",
        protocolVersion="2025-06-18",
        capabilities={},
        clientInfo={"name": "t", "version": "1"},
    )
    opened = post(client, served.keys["alice"], opening)
    assert told(opened)["result"]["serverInfo"]["name"] == "affidavit"
    assert "Mcp-Session-Id" not in opened.headers
    for who in ("alice", "bob"):
        found = post(client, served.keys[who], **{"Mcp-Session-Id": "0123456789abcdef"})
        assert found.status_code == 404


def test_only_post_is_answered(served: Served, client: TestClient) -> None:
    for method in ("GET", "DELETE", "PUT", "OPTIONS"):
        found = client.request(method, "/mcp", headers=served.header("alice"))
        assert found.status_code == 405
        assert found.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://testserver", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://testserver.evil.example", 403),
        ("http://testserver@evil.example", 403),
        ("", 403),
    ],
)
def test_pages_of_others_may_not_ask(served: Served, client: TestClient, origin: str, status: int) -> None:
    assert post(client, served.keys["alice"], Origin=origin).status_code == status


def test_pages_that_are_allowed_may(served: Served) -> None:
    place = Place("https://ask.example/mcp", "https://login.example", frozenset({"https://app.example"}))
    endpoint = McpEndpoint(served.ws, Identification((ByKey(served.ws),)), Admission(1, 1, 1), place)
    app = Starlette(routes=endpoint.routes(), lifespan=lambda app: endpoint.lifespan())
    with TestClient(app) as client:
        found = client.get("/.well-known/oauth-protected-resource").json()
        assert found["resource"] == "https://ask.example/mcp"
        assert found["authorization_servers"] == ["https://login.example"]
        key = served.keys["alice"]
        assert post(client, key, Origin="https://app.example").status_code == 200
        assert post(client, key, Origin="https://app.example.evil.example").status_code == 403


def test_a_key_that_is_taken_back_ends_with_the_next_request(served: Served, client: TestClient) -> None:
    id, key = served.made("alice")
    body = asked("tools/call", name="search", arguments={"question": LEAVE})
    assert told(post(client, key, body))["result"]["isError"] is False
    served.ws.credentials.end_key(served.tenant, id, "operator:test")
    before = served.ws.parts.log.head()
    assert post(client, key, body).status_code == 401
    assert served.ws.parts.log.head() == before


def test_a_key_is_good_for_what_it_was_made_for(served: Served, client: TestClient) -> None:
    key = served.key("alice", scopes=["question:ask"])
    assert names(post(client, key)) == ["ask", "search"]
    body = asked("tools/call", name="call_status", arguments={"call": "call-0000000000000000"})
    result = told(post(client, key, body))["result"]
    assert result["isError"] is True
    assert result["structuredContent"]["code"] == "forbidden"


def test_the_id_of_a_request_is_that_of_its_run(served: Served, client: TestClient) -> None:
    body = asked("tools/call", name="ask", arguments={"question": LEAVE})
    found = post(client, served.keys["alice"], body)
    assert told(found)["result"]["structuredContent"]["run"] == found.headers["X-Request-Id"]


def test_requests_are_counted_by_their_route(served: Served, client: TestClient) -> None:
    post(client, served.keys["alice"])
    served.ws.people.grant(served.tenant, "user:bob", "status:read")
    counts = client.get("/metrics", headers=served.header("bob")).text
    assert 'method="POST",route="/mcp",status="200"' in counts


def test_a_service_asks_for_whom_it_speaks_for(served: Served, client: TestClient) -> None:
    key = served.key("service:bot", acts_for=["group:staff"])
    body = asked("tools/call", name="ask", arguments={"question": LEAVE})
    given = told(post(client, key, body, **{"Affidavit-For": "alice"}))["result"]["structuredContent"]
    assert given["status"] == "answered"
    assert post(client, key, body, **{"Affidavit-For": "erin"}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"jsonrpc":"2.0"}', b"[" * 50_000])
def test_whatever_is_sent_breaks_nothing(served: Served, client: TestClient, body: bytes) -> None:
    headers = {**ACCEPT, **served.header("alice"), "Content-Type": "application/json"}
    name = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800","arguments":{}}}'
    assert client.post("/mcp", content=name, headers=headers).status_code < 500
    for more in ({}, {"MCP-Protocol-Version": "2026-07-28"}, {"MCP-Protocol-Version": "x"}):
        found = client.post("/mcp", content=body, headers={**headers, **more})
        assert 400 <= found.status_code < 500


@pytest.mark.parametrize("deep", [200, 5_000, 400_000])
@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
def test_what_is_deep_breaks_nothing(served: Served, client: TestClient, deep: int, version: str) -> None:
    where = "[" * deep + "]" * deep
    body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"question":"x","where":%s}}}'
    headers = {**ACCEPT, **served.header("alice"), "Content-Type": "application/json"}
    found = client.post(
        "/mcp", content=(body % where).encode(), headers={**headers, "MCP-Protocol-Version": version}
    )
    assert found.status_code < 500
    chat = {"model": "affidavit", "messages": [{"role": "user", "content": "x"}]}
    meta = client.post(
        "/v1/chat/completions",
        json={**chat, "metadata": {"affidavit_where": where[:200_000]}},
        headers=served.header("alice"),
    )
    assert meta.status_code == 400


def test_what_is_too_large_is_refused(served: Served, client: TestClient) -> None:
    body = asked("tools/call", name="ask", arguments={"question": "x" * 1_000_001})
    assert post(client, served.keys["alice"], body).status_code == 413
