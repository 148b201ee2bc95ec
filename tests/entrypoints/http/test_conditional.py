"""Conditional requests (RFC 9110, 13; RFC 6585, 3): what one has is not sent again, and what changed meanwhile is not changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server_world import FILES, World, people

import affidavit
from affidavit.app.operations.operation import Method
from affidavit.app.operations.table import TABLE
from affidavit.domain.clock import MICROSECONDS
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock

Write = Callable[[dict[str, str | bytes]], Path]
DOCUMENT = {"source": "docs", "document": "leave.md"}


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder(FILES), "docs", "acme")
    workspace.sync("", "acme")
    workspace.people.grant(workspace.parts.tenant("acme"), "user:dave", "role:admin")
    return world


def test_who_has_it_is_not_sent_it_again(world: World, clock: FixedClock) -> None:
    dave = world.key("dave")
    with world.client() as client:
        for path in ("/v1/mode", "/v1/status", "/v1/sources", "/v1/sources/docs", "/v1/policy", "/v1/people"):
            first = client.get(path, headers=dave)
            tag = first.headers["ETag"]
            clock.advance(5 * MICROSECONDS)
            for said in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
                again = client.get(path, headers={**dave, "If-None-Match": said})
                assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), path
            for said in ('"x"', "", tag[:-2], tag.strip('W/"')):
                assert client.get(path, headers={**dave, "If-None-Match": said}).status_code == 200


def test_a_document_that_one_has_is_read_on_record_and_not_sent_again(world: World) -> None:
    with world.client() as client:
        first = client.get("/v1/document", params=DOCUMENT, headers=world.key("alice"))
        tag = {"If-None-Match": first.headers["ETag"]}
        again = client.get("/v1/document", params=DOCUMENT, headers={**world.key("alice"), **tag})
        assert (again.status_code, again.content) == (304, b"")
        assert world.ws.parts.events.of_run(again.headers["X-Request-Id"])
        # the tag opens nothing: who may not read it is told what everybody is told of what is not there
        for said in ({}, tag, {"If-None-Match": "*"}):
            refused = client.get("/v1/document", params=DOCUMENT, headers={**world.key("mallory"), **said})
            assert refused.status_code == 404 and "ETag" not in refused.headers
        world.ws.people.load(world.ws.parts.tenant("acme"), [], remove_missing=True)
        gone = client.get("/v1/document", params=DOCUMENT, headers={**world.key("alice"), **tag})
        assert gone.status_code in (401, 403, 404)


def test_what_changed_meanwhile_is_not_changed(world: World) -> None:
    dave = world.key("dave")
    body = {"mode": "live", "reason": "the tools were tried"}
    with world.client() as client:
        tag = client.get("/v1/mode", headers=dave).headers["ETag"]
        head = world.ws.parts.log.head()
        wrong = client.put("/v1/mode", json=body, headers={**dave, "If-Match": '"0"'})
        assert (wrong.status_code, wrong.json()["code"]) == (412, "precondition")
        assert world.ws.parts.log.head() == head
        assert client.put("/v1/mode", json=body, headers={**dave, "If-Match": tag}).status_code == 200
        late = client.put("/v1/mode", json={**body, "mode": "read-only"}, headers={**dave, "If-Match": tag})
        assert late.status_code == 412
        assert client.get("/v1/mode", headers=dave).json() == {"mode": "live"}
        weak = {**dave, "If-Match": "W/" + client.get("/v1/mode", headers=dave).headers["ETag"]}
        assert client.put("/v1/mode", json=body, headers=weak).status_code == 412
        assert client.put("/v1/mode", json=body, headers={**dave, "If-Match": "*"}).status_code == 200
        assert client.put("/v1/mode", json=body, headers=dave).status_code == 200


def test_a_condition_that_cannot_be_checked_is_refused_and_the_grant_comes_first(world: World) -> None:
    with world.client() as client:
        asked = {"question": "?"}
        answer = client.post("/v1/ask", json=asked, headers={**world.key("alice"), "If-Match": '"0"'})
        assert (answer.status_code, answer.json()["code"]) == (400, "usage")
        body = {"mode": "live", "reason": "x"}
        for said in ('"0"', "*"):
            answer = client.put("/v1/mode", json=body, headers={**world.key("alice"), "If-Match": said})
            assert answer.status_code == 403


def test_who_replaces_the_policy_says_what_they_looked_at(world: World) -> None:
    dave = world.key("dave")
    body = {"rules": {"a.cedar": ""}, "reason": "x"}
    with world.client() as client:
        missing = client.put("/v1/policy", json=body, headers=dave)
        assert (missing.status_code, missing.json()["code"]) == (428, "precondition")
        assert client.put("/v1/policy", json=body, headers=world.key("alice")).status_code == 403
        # there are two organisations: nobody publishes for both, whatever they looked at
        assert client.put("/v1/policy", json=body, headers={**dave, "If-Match": "*"}).status_code == 403


def test_the_same_request_sent_again_with_its_key_is_answered_as_before(world: World) -> None:
    dave = world.key("dave")
    body = {"mode": "live", "reason": "x"}
    with world.client() as client:
        tag = client.get("/v1/mode", headers=dave).headers["ETag"]
        headers = {**dave, "If-Match": tag, "Idempotency-Key": "k"}
        first = client.put("/v1/mode", json=body, headers=headers)
        again = client.put("/v1/mode", json=body, headers=headers)
        assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
        # what was refused for its condition may be tried again under its key
        late = {**headers, "Idempotency-Key": "l"}
        body = {"mode": "read-only", "reason": "x"}
        assert client.put("/v1/mode", json=body, headers=late).status_code == 412
        now = client.get("/v1/mode", headers=dave).headers["ETag"]
        assert client.put("/v1/mode", json=body, headers={**late, "If-Match": now}).status_code == 200


def test_the_schema_tells_where_conditions_can_be_made(world: World) -> None:
    paths = make_app(world.ws).openapi()["paths"]
    for row in TABLE:
        said = paths[f"/v1{row.path}"][row.method.value.lower()]
        names = {p["name"] for p in said.get("parameters", []) if p["in"] == "header"}
        assert ("If-None-Match" in names) == (row.method is Method.READ)
        assert ("If-Match" in names) == bool(row.guards)
        assert ("304" in said["responses"]) == (row.method is Method.READ)
        assert ("428" in said["responses"]) == row.guarded
