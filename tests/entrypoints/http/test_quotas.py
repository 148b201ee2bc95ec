"""How much may be asked for in a day, by one and by all of an organisation, whichever process they ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.acting_world import Outside, tools_of
from tests.server_world import FILES, QUESTION, World, people

import affidavit
from affidavit.app.settings import LimitSettings, QuotaSettings, Settings
from affidavit.domain.clock import MICROSECONDS
from affidavit.store.counting import FILE
from affidavit.testing.clock import FixedClock

Write = Callable[[dict[str, str | bytes]], Path]
ASK = {"question": QUESTION}
DAY = 86_400


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder(FILES), "docs", "acme")
    workspace.sync("", "acme")
    return world


def quotas(**most: int) -> Settings:
    return Settings(
        limits=LimitSettings(person_per_minute=0, tenant_per_minute=0), quotas=QuotaSettings(**most)
    )


def ask(client: TestClient, headers: dict[str, str]) -> Any:
    return client.post("/v1/search", headers=headers, json=ASK)


def test_a_quota_holds_in_every_process_and_after_a_restart_until_midnight(
    world: World, clock: FixedClock
) -> None:
    alice, settings = world.key("alice"), quotas(person_questions=3)
    with world.client(settings) as one, world.client(settings) as other:
        for client, left in ((one, 2), (other, 1), (one, 0)):
            answer = ask(client, alice)
            assert answer.status_code == 200
            assert answer.headers["RateLimit-Policy"] == f'"person-questions";q=3;w={DAY}'
            assert answer.headers["RateLimit"].startswith(f'"person-questions";r={left};t=')
        head = world.ws.parts.log.head()
        for client in (one, other):
            refused = ask(client, alice)
            assert (refused.status_code, refused.json()["code"]) == (429, "quota")
            assert refused.json()["type"] == "urn:affidavit:error:quota"
            assert "midnight" in refused.json()["hint"]
        assert world.ws.parts.log.head() == head  # nothing was done
        assert ask(one, world.key("mallory")).status_code == 200
        assert one.get("/v1/me", headers=alice).status_code == 200  # of something else there is enough
    with world.client(settings) as restarted:
        after = int(ask(restarted, alice).headers["Retry-After"])
        assert 1 <= after <= DAY
        clock.advance((after - 1) * MICROSECONDS)
        assert ask(restarted, alice).status_code == 429
        clock.advance(MICROSECONDS)
        assert ask(restarted, alice).status_code == 200


def test_all_of_an_organisation_share_its_quota_and_no_other_one_feels_it(world: World) -> None:
    with world.client(quotas(tenant_requests=4)) as client:
        for name in ("alice", "mallory", "dave", "alice"):
            answer = client.get("/v1/me", headers=world.key(name))
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers  # what the others ask is nobody's business while it fits
        for name in ("alice", "dave"):
            refused = client.get("/v1/me", headers=world.key(name))
            assert (refused.status_code, refused.json()["code"]) == (429, "quota")
            assert '"tenant-requests";r=0' in refused.headers["RateLimit"]
        assert client.get("/v1/me", headers=world.key("gina", "globex")).status_code == 200


def test_requests_and_minutes_and_days_are_told_together(world: World) -> None:
    settings = Settings(
        limits=LimitSettings(person_per_minute=5, tenant_per_minute=0),
        quotas=QuotaSettings(person_requests=9, person_questions=7),
    )
    with world.client(settings) as client:
        answer = ask(client, world.key("alice"))
        policy = f'"person";q=5;w=60, "person-requests";q=9;w={DAY}, "person-questions";q=7;w={DAY}'
        assert answer.headers["RateLimit-Policy"] == policy
        assert [p.split(";")[1] for p in answer.headers["RateLimit"].split(", ")] == ["r=4", "r=8", "r=6"]


def test_what_is_refused_by_one_limit_counts_against_none(world: World) -> None:
    settings = Settings(
        limits=LimitSettings(person_per_minute=2, tenant_per_minute=0),
        quotas=QuotaSettings(person_requests=50),
    )
    with world.client(settings) as client:
        answers = [client.get("/v1/me", headers=world.key("alice")) for _ in range(10)]
    assert [a.status_code for a in answers] == [200] * 2 + [429] * 8
    assert '"person-requests";r=48;' in answers[-1].headers["RateLimit"]


def test_a_question_on_any_surface_is_one(world: World) -> None:
    alice = world.key("alice")
    with world.client(quotas(person_questions=2)) as client:
        body = {"model": "affidavit", "messages": [{"role": "user", "content": QUESTION}]}
        assert client.post("/v1/chat/completions", headers=alice, json=body).status_code == 200
        assert client.get("/", headers=alice).status_code == 200
        streamed = client.post("/v1/ask", headers={**alice, "Accept": "text/event-stream"}, json=ASK)
        assert '"person-questions";r=0' in streamed.headers["RateLimit"]
        late = client.post("/v1/ask", headers={**alice, "Accept": "text/event-stream"}, json=ASK)
        assert (late.status_code, late.json()["code"]) == (429, "quota")
        last = client.post("/v1/chat/completions", headers=alice, json=body)
        assert last.status_code == 429 and int(last.headers["Retry-After"]) >= 1


def test_a_repeated_request_is_answered_from_memory_and_counts_once(world: World) -> None:
    headers = {**world.key("alice"), "Idempotency-Key": "k"}
    with world.client(quotas(person_questions=1)) as client:
        assert [ask(client, headers).status_code for _ in range(3)] == [200] * 3
        assert ask(client, world.key("alice")).status_code == 429


def test_tool_calls_are_counted(world: World) -> None:
    tenant = world.ws.parts.tenant("acme")
    world.ws.tools.add(*tools_of(Outside()))
    world.ws.people.grant(tenant, "user:alice", "role:operator")
    with world.client(quotas(person_calls=1)) as client:
        call = {"arguments": {"order": 7}}
        alice = world.key("alice")
        assert client.post("/v1/tools/order.look/call", headers=alice, json=call).status_code == 200
        refused = client.post("/v1/tools/order.look/call", headers=alice, json=call)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota")
        assert ask(client, alice).status_code == 200
    for file in world.ws.parts.folder.glob(f"{FILE}*"):
        file.unlink()
    with world.client(quotas(person_calls=1)) as client:
        assert client.post("/v1/tools/order.look/call", headers=alice, json=call).status_code == 429


def test_whoever_looks_as_somebody_else_pays_themselves(world: World) -> None:
    settings = quotas(person_requests=3)
    ws, tenant = world.ws, world.ws.parts.tenant("acme")
    ws.people.grant(tenant, "user:dave", "role:admin")
    service = "service:bot"
    ws.load_people([affidavit.app.people.Entry(service, frozenset(), {})], "acme")
    made = ws.credentials.make_key(tenant, service, "x", 9, "operator:test", acts_for=["group:staff"])[1]
    speaking = {"Authorization": f"Bearer {made}", "Affidavit-For": "user:alice"}
    with world.client(settings) as client:
        # who is spoken for has asked
        assert client.get("/v1/me", headers=speaking).status_code == 200
        shown = client.get("/v1/limits", headers=world.key("alice")).json()["items"]
        assert [(i["name"], i["most"], i["left"]) for i in shown] == [("person-requests", 3, 1)]


def test_what_is_left_is_told_to_whom_it_concerns(world: World) -> None:
    settings = Settings(quotas=QuotaSettings(person_questions=5, tenant_calls=9))
    with world.client(settings) as client:
        mine = client.get("/v1/limits", headers=world.key("alice")).json()["items"]
        assert [i["name"] for i in mine] == ["person", "person-questions"]
        ask(client, world.key("alice"))
        mine = client.get("/v1/limits", headers=world.key("alice")).json()["items"]
        assert [i["left"] for i in mine if i["seconds"] == DAY] == [4]
        world.ws.people.grant(world.ws.parts.tenant("acme"), "user:dave", "status:read")
        whole = client.get("/v1/limits", headers=world.key("dave")).json()["items"]
        assert [i["name"] for i in whole] == ["person", "tenant", "person-questions", "tenant-calls"]
    with world.client() as unlimited:
        assert unlimited.get("/v1/limits", headers=world.key("alice")).json()["items"] == []


def test_a_lost_file_is_counted_anew_from_the_list_of_runs(world: World) -> None:
    alice, settings = world.key("alice"), quotas(person_questions=4, tenant_questions=9, person_requests=99)
    with world.client(settings) as client:
        for _ in range(3):
            ask(client, alice)
    for file in world.ws.parts.folder.glob(f"{FILE}*"):
        file.unlink()
    with world.client(settings) as client:
        shown = {i["name"]: i["left"] for i in client.get("/v1/limits", headers=alice).json()["items"]}
        assert shown == {"person-requests": 95, "person-questions": 1}
        assert [ask(client, alice).status_code for _ in range(2)] == [200, 429]


def test_the_file_names_nobody_and_there_is_none_without_limits(world: World) -> None:
    with world.client() as client:
        ask(client, world.key("alice"))
    assert not list(world.ws.parts.folder.glob(f"{FILE}*"))
    with world.client(quotas(person_requests=9)) as client:
        ask(client, world.key("alice"))
    found = b"".join(f.read_bytes() for f in world.ws.parts.folder.glob(f"{FILE}*"))
    assert found and b"alice" not in found


def test_a_stranger_is_not_counted(world: World) -> None:
    with world.client(quotas(tenant_requests=1)) as client:
        for _ in range(5):
            assert client.get("/v1/me").status_code == 401
            assert client.get("/v1/me", headers={"Authorization": "Bearer aff_key_x"}).status_code == 401
        assert client.get("/v1/me", headers=world.key("alice")).status_code == 200
