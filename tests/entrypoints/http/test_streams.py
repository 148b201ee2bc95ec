"""Answers that come as they are made, over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message
from tests.app.test_models import release
from tests.app.test_streaming import FILES as WALRUS
from tests.app.test_streaming import GOOD, Streaming, written
from tests.app.test_streaming import QUESTION as ASK_WALRUS
from tests.server_world import ANSWER, FILES, QUESTION, World, events, people

import affidavit
from affidavit.app.operations import follow
from affidavit.app.settings import LimitSettings, Settings
from affidavit.domain.errors import OverloadedError
from affidavit.domain.events import EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.streams import Places
from affidavit.events.read import Recorded
from affidavit.runs.recorder import Run

Write = Callable[[dict[str, str | bytes]], Path]
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder({**FILES, "walrus.md": WALRUS["leave.md"]}), "docs", "acme")
    workspace.sync("", "acme")
    return world


def test_claims_come_before_the_answer_and_are_on_record_under_the_requests_id(world: World) -> None:
    with world.client() as client:
        answer = client.post("/v1/ask", headers={**world.key("alice"), **STREAM}, json={"question": QUESTION})
        assert answer.headers["content-type"].startswith("text/event-stream")
        said = events(answer.text)
    assert [name for name, _, _ in said] == ["claim", "answer"]
    assert said[0][2]["text"] == said[1][2]["answer"] == ANSWER
    assert said[0][2]["run"] == said[1][2]["run"] == answer.headers["X-Request-Id"]
    assert world.ws.parts.events.of_run(answer.headers["X-Request-Id"])


def test_the_id_of_a_request_is_its_runs_and_never_the_clients(world: World) -> None:
    wanted = {"X-Request-Id": "run-aaaaaaaaaaaaaaaa"}
    with world.client() as client:
        for path in ("ask", "search"):
            found = client.post(
                f"/v1/{path}", headers={**world.key("alice"), **wanted}, json={"question": QUESTION}
            )
            assert found.json()["run"] == found.headers["X-Request-Id"] != wanted["X-Request-Id"]


def test_of_what_is_read_too(world: World) -> None:
    with world.client() as client:
        wish = {"source": "docs", "document": "leave.md"}
        read = client.get("/v1/document", params=wish, headers=world.key("alice"))
        assert read.status_code == 200
        assert world.ws.parts.events.of_run(read.headers["X-Request-Id"])


def test_no_part_says_where_something_is_on_the_servers_disk(world: World) -> None:
    with world.client() as client:
        answer = client.post("/v1/ask", headers={**world.key("alice"), **STREAM}, json={"question": QUESTION})
    assert str(world.ws.parts.folder.parent) not in answer.text
    assert events(answer.text)[0][2]["citations"][0]["location"]


def test_what_is_refused_before_anything_was_said_is_refused_by_its_status(world: World) -> None:
    with world.client() as client:
        body = {"question": QUESTION, "as_of": "never"}
        answer = client.post("/v1/ask", headers={**world.key("alice"), **STREAM}, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "usage")
        assert client.post("/v1/ask", headers=STREAM, json={"question": QUESTION}).status_code == 401


def test_a_refusal_says_the_same_as_where_there_is_nothing(world: World) -> None:
    with world.client() as client:
        answer = client.post(
            "/v1/ask", headers={**world.key("mallory"), **STREAM}, json={"question": QUESTION}
        )
    ((name, _, said),) = events(answer.text)
    assert (name, said["status"], said["refusal"]["reason"]) == ("answer", "refused", "not_enough_evidence")


def test_who_goes_away_ends_the_answer_there_and_the_record_says_so(world: World) -> None:
    model = Streaming()
    model.say = lambda request: written(request, GOOD)
    world.ws.parts.models.make = lambda target: model
    world.ws.publish(release())
    told: list[Message] = []
    body = json.dumps({"question": ASK_WALRUS}).encode()
    app = make_app(world.ws)

    async def go() -> None:
        heard = asyncio.Event()

        async def receive() -> Message:
            if not told and not heard.is_set():
                heard.set()
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            told.append(message)
            if b"event: claim" in message.get("body", b""):
                gone.set()
                await asyncio.sleep(0)  # cancelled here

        gone = asyncio.Event()
        headers = {"host": "localhost", "content-type": "application/json", **STREAM, **world.key("alice")}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "POST",
            "path": "/v1/ask",
            "raw_path": b"/v1/ask",
            "root_path": "",
            "query_string": b"",
            "scheme": "http",
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
            "http_version": "1.1",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(go())
    start = next(m for m in told if m["type"] == "http.response.start")
    run = dict(start["headers"])[b"x-request-id"].decode()
    kinds = [e.kind for e in world.ws.parts.events.of_run(run)]
    claims = kinds.count(EventKind.CLAIM_RELEASED)
    given = world.ws.runs.show(world.ws.parts.tenant("acme"), run, "user:alice")["given"]
    assert 1 <= claims <= 3
    assert EventKind.RUN_FINISHED in kinds
    assert claims == 3 or given["incomplete"] == "interrupted"
    assert len(given["claims"]) == claims


def begun(world: World) -> Run:
    """A run of alice's that goes on."""
    ws = world.ws
    run = Run("run-bbbbbbbbbbbbbbbb", ws.parts.tenant("acme").id, "ask", ws.parts.release().digest)
    run.start({"principal": "user:alice", "question": "?", "position": 0})
    run.step("guard", {}, {})
    run.release_claim({"text": "One.", "citations": [], "overrules": []})
    ws.parts.log.write(run.flush_begun)
    return run


def ended(world: World, run: Run) -> None:
    run.decide("document:read", "forbid", {"principal": "user:alice"})
    run.release_claim({"text": "Two.", "citations": [], "overrules": []})
    run.finish("answered", {})
    world.ws.parts.log.write(run.flush)


def kinds(found: Any) -> list[str]:
    return [item["kind"] for item in found["items"]]


def test_a_run_is_shown_to_its_asker_and_in_full_to_an_auditor(world: World) -> None:
    run = begun(world)
    path = f"/v1/runs/{run.id}/events"
    with world.client() as client:
        first = client.get(path, headers=world.key("alice")).json()
        assert (kinds(first), first["ended"]) == (["claim.released"], False)
        ended(world, run)
        whole = client.get(path, headers=world.key("alice")).json()
        assert (kinds(whole), whole["ended"]) == (["claim.released", "claim.released", "run.finished"], True)
        assert "decisions" not in json.dumps(whole)
        after = {"after": first["items"][0]["position"]}
        rest = client.get(path, params=after, headers=world.key("alice")).json()
        assert kinds(rest) == ["claim.released", "run.finished"]
        everything = client.get(path, headers=world.key("dave")).json()
        assert kinds(everything) == [
            "run.started",
            "step.recorded",
            "claim.released",
            "claim.released",
            "run.finished",
            "decision.made",
        ]
        assert all(item["body"] is None for item in everything["items"] if item["kind"] != "claim.released")
        for stranger in (world.key("mallory"), world.key("gina", "globex")):
            assert client.get(path, headers=stranger).status_code == 404
            assert client.get(path, headers={**stranger, **STREAM}).status_code == 404


def test_a_key_without_the_scope_does_not_see_what_its_owner_may_audit(world: World) -> None:
    run = begun(world)
    _, key = world.ws.credentials.make_key(
        world.ws.parts.tenant("acme"), "user:dave", "narrow", 1, "operator:test", {"run:read"}
    )
    with world.client() as client:
        path = f"/v1/runs/{run.id}/events"
        assert client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 404


def test_a_follower_is_told_what_comes_and_goes_on_where_it_was(world: World) -> None:
    run = begun(world)
    path = f"/v1/runs/{run.id}/events"
    with world.client() as client:
        # the whole answer is read at once here: what comes while it is read comes from another thread
        later = threading.Timer(0.3, ended, (world, run))
        later.start()
        said = events(client.get(path, headers={**world.key("alice"), **STREAM}).text)
        later.join()
        assert [name for name, _, _ in said] == ["claim.released", "claim.released", "run.finished"]
        assert all(id == data["position"] for _, id, data in said)
        resumed = {**world.key("alice"), **STREAM, "Last-Event-ID": str(said[0][1])}
        assert events(client.get(path, headers=resumed).text) == said[1:]


def test_a_follower_whose_key_is_taken_back_hears_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(world)
    tenant = world.ws.parts.tenant("acme")
    key = world.key("alice")
    id = world.ws.credentials.keys(tenant)[0]["id"]
    taken = threading.Thread(target=lambda: world.ws.credentials.end_key(tenant, id, "operator:test"))
    shown = follow._event

    def and_then_take_it_back(ws: affidavit.Workspace, event: Recorded) -> dict[str, Any]:
        if taken.ident is None:
            taken.start()
        return shown(ws, event)

    monkeypatch.setattr(follow, "_event", and_then_take_it_back)
    with world.client() as client:
        said = events(client.get(f"/v1/runs/{run.id}/events", headers={**key, **STREAM}).text)
    taken.join()
    assert said[-1][0] == "problem" and said[-1][2]["code"] == "unauthenticated"


def test_one_person_does_not_take_all_streams_of_their_organisation() -> None:
    places = Places(3, own=2)
    first, _ = places.take(1, "alice"), places.take(1, "alice")
    with pytest.raises(OverloadedError, match="yours"):
        places.take(1, "alice")
    places.take(2, "alice")  # of another organisation
    places.take(1, "bob")
    with pytest.raises(OverloadedError, match="organisation"):
        places.take(1, "carol")
    first()
    first()
    places.take(1, "alice")
    with pytest.raises(OverloadedError, match="yours"):
        places.take(1, "alice")
    assert places.open == {1: 3, 2: 1}


def test_a_tenant_has_so_many_streams_and_no_more(world: World) -> None:
    places = Places(2)
    first, _ = places.take(1), places.take(1)
    with pytest.raises(OverloadedError):
        places.take(1)
    places.take(2)
    first()
    first()  # twice is once
    places.take(1)
    with pytest.raises(OverloadedError):
        places.take(1)
    settings = Settings(limits=LimitSettings(streams=1))
    with world.client(settings) as client:
        for _ in range(3):  # a stream that has ended gives its place back
            answer = client.post(
                "/v1/ask", headers={**world.key("alice"), **STREAM}, json={"question": QUESTION}
            )
            assert answer.status_code == 200
