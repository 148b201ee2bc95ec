"""What every request and answer goes through."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.server_world import FILES, QUESTION, World, people

import affidavit
from affidavit.app.settings import LogSettings, ServerSettings, Settings
from affidavit.domain.errors import UnauthenticatedError
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.around import PROTECTING
from affidavit.entrypoints.http.logs import RequestLog, fault

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder(FILES), "docs", "acme")
    workspace.sync("", "acme")
    return world


def test_every_answer_is_protected_and_has_an_id(world: World) -> None:
    ids = set()
    with world.client() as client:
        for path in ("/v1/me", "/nothing", "/healthz", "/v1/openapi.json"):
            answer = client.get(path)
            assert {name: answer.headers[name] for name in PROTECTING} == PROTECTING
            assert "Strict-Transport-Security" not in answer.headers
            ids.add(answer.headers["X-Request-Id"])
        own = client.get("/v1/me", headers=world.key("alice"))
        assert own.headers["Cache-Control"] == "private, no-cache"
    assert len(ids) == 4


def test_behind_https_browsers_are_told_to_keep_to_it(world: World) -> None:
    settings = Settings(server=ServerSettings(public_url="https://ask.example.com"))
    with world.client(settings) as client:
        headers = {"Host": "ask.example.com"}
        assert "max-age" in client.get("/v1/me", headers=headers).headers["Strict-Transport-Security"]


@pytest.mark.parametrize(
    ("server", "host", "status"),
    [
        (ServerSettings(), "localhost:8080", 401),
        (ServerSettings(), "127.0.0.1:1", 401),
        (ServerSettings(), "[::1]:8080", 401),
        (ServerSettings(), "[::1]", 401),
        (ServerSettings(), "evil.example", 421),
        (ServerSettings(), "localhost.evil.example", 421),
        (ServerSettings(), "", 421),
        (ServerSettings(public_url="https://ask.example.com"), "ask.example.com", 401),
        (ServerSettings(public_url="https://ask.example.com"), "ASK.example.com", 401),
        (ServerSettings(public_url="https://ask.example.com"), "localhost", 421),
        (ServerSettings(public_url="https://ask.example.com:444"), "ask.example.com:444", 401),
        (ServerSettings(public_url="https://ask.example.com:444"), "ask.example.com", 421),
        (ServerSettings(host="0.0.0.0"), "anything", 401),
    ],
)
def test_a_request_is_for_this_host_or_not_answered(
    world: World, server: ServerSettings, host: str, status: int
) -> None:
    with world.client(Settings(server=server)) as client:
        answer = client.get("/v1/me", headers={"Host": host})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/readyz", headers={"Host": host}).status_code == 200


def test_a_content_length_is_a_number(world: World) -> None:
    with world.client() as client:
        for length in ("x", "-1", "٣".encode().hex() + "z", "9" * 40):
            answer = client.post("/v1/ask", headers={"Content-Length": length}, content=b"")
            assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"question": ' + b"9" * 100_000 + b"}",
        b'{"question": "\\ud800"}',
        b"\xff",
        b'{"a":1,"a":2}',
    ],
)
def test_hostile_json_is_a_problem_of_who_sent_it(world: World, body: bytes) -> None:
    with world.client() as client:
        headers = {**world.key("alice"), "Content-Type": "application/json"}
        answer = client.post("/v1/ask", headers=headers, content=body)
        assert answer.status_code in (400, 422), answer.text[:200]
        assert answer.headers["content-type"] == "application/problem+json"


def lines(said: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_not_there(world: World, method: str) -> None:
    with world.client() as client:
        assert client.request(method, "/v1/me", headers=world.key("alice")).status_code == 405


def test_the_log_says_what_was_done_and_nothing_that_was_said(world: World) -> None:
    said = io.StringIO()
    log = RequestLog(LogSettings(), said)
    secret = "walrus-secret"
    with TestClient(make_app(world.ws, log=log)) as client:
        alice = world.key("alice")
        client.post("/v1/ask", headers=alice, json={"question": f"{QUESTION} {secret}"})
        client.get(f"/v1/runs/run-{'a' * 16}", headers=alice, params={"q": secret})
        client.get(f"/{secret}", headers={"User-Agent": secret, "Authorization": f"Bearer {secret}"})
        client.request(secret.upper(), "/v1/me", headers=alice)
    assert [(e["method"], e["route"], e["status"], e["tenant"]) for e in lines(said)] == [
        ("POST", "/v1/ask", 200, 1),
        ("GET", "/v1/runs/{run}", 404, 1),
        ("GET", "-", 404, 0),
        ("OTHER", "/v1/me", 405, 0),
    ]
    assert {"at", "event", "method", "ms", "route", "run", "status", "tenant"} == set(lines(said)[0])
    text = said.getvalue()
    for never in (secret, "alice", "annual", world.keys["alice@acme"], "acme"):
        assert never not in text


def test_a_fault_is_one_shape_outside_and_a_place_without_words_in_the_log(world: World) -> None:
    said = io.StringIO()
    app = make_app(world.ws, log=RequestLog(LogSettings(), said))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("what alice asked")

    with TestClient(app) as client:
        answer = client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "fault")
    assert "alice" not in answer.text + said.getvalue()
    (entry,) = lines(said)
    assert entry["fault"].startswith("RuntimeError at ") and "test_around.py" in entry["fault"]
    assert answer.json()["instance"] == entry["run"] == answer.headers["X-Request-Id"]


def test_every_route_is_named_by_its_template(world: World) -> None:
    said = io.StringIO()
    with TestClient(make_app(world.ws, log=RequestLog(LogSettings(), said))) as client:
        asked = (
            "/",
            "/runs/run-aaaaaaaaaaaaaaaa",
            "/.well-known/oauth-protected-resource",
            "/nothing/at/all",
        )
        for path in asked:
            client.get(path, headers=world.key("alice"))
    assert [e["route"] for e in lines(said)] == ["/", "/runs/{run}", asked[2], "-"]


def test_the_log_has_addresses_where_it_is_told_to(world: World) -> None:
    said = io.StringIO()
    log = RequestLog(LogSettings(addresses=True), said)
    with TestClient(make_app(world.ws, log=log), client=("192.0.2.7", 1)) as client:
        client.get("/healthz", headers={"X-Forwarded-For": "198.51.100.1"})
    assert lines(said)[0]["address"] == "192.0.2.7"


def test_a_log_of_text_and_one_of_faults_alone(world: World) -> None:
    said = io.StringIO()
    with TestClient(make_app(world.ws, log=RequestLog(LogSettings(format="text"), said))) as client:
        client.get("/healthz")
    assert "request method=GET route=/healthz status=200" in said.getvalue()
    quiet = io.StringIO()
    with TestClient(make_app(world.ws, log=RequestLog(LogSettings(requests=False), quiet))) as client:
        client.get("/healthz")
    assert not quiet.getvalue()
    assert fault(UnauthenticatedError("x")) == "UnauthenticatedError at nowhere"


def test_metrics_are_for_who_may_and_of_their_tenant_alone(world: World) -> None:
    world.ws.people.grant(world.ws.parts.tenant("globex"), "user:gina", "status:read")
    with world.client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=world.key("alice")).status_code == 403
        for _ in range(3):
            client.post("/v1/search", headers=world.key("alice"), json={"question": QUESTION})
        shown = client.get("/metrics", headers=world.key("dave"))
        assert shown.headers["content-type"].startswith("text/plain")
        line = 'affidavit_http_requests_total{method="POST",route="/v1/search",status="200",tenant="1"} 3.0'
        assert line in shown.text.splitlines()
        assert "affidavit_http_request_seconds_bucket" in shown.text
        hers = client.get("/metrics", headers=world.key("gina", "globex")).text
        assert 'tenant="1"' not in hers and "/v1/search" not in hers
        for never in ("alice", "acme", "leave"):
            assert never not in shown.text


def test_not_ready_while_it_stops_or_nothing_can_be_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.client() as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        monkeypatch.setattr("affidavit.entrypoints.http.application.os.access", lambda path, mode: False)
        assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (500, 200)
        monkeypatch.undo()
        monkeypatch.setattr("affidavit.entrypoints.http.application._LEAST_SPACE", 2**62)
        assert client.get("/readyz").status_code == 507
        monkeypatch.undo()
        monkeypatch.setattr("affidavit.entrypoints.http.drain.Drain.begun", True)
        stopping = client.get("/readyz")
        assert (stopping.status_code, stopping.headers["Retry-After"]) == (503, "1")
