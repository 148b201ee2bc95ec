"""Looking as somebody else: what they see, nothing changed, everything on record, and it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

import affidavit
from affidavit.app.looking import LASTS, READING
from affidavit.app.operations.operation import LOOKING, Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.domain.errors import AccessDeniedError, ForbiddenError, UsageError
from affidavit.domain.events import EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.routes import Routes
from affidavit.runs.recorder import Run
from affidavit.testing.clock import FixedClock


@pytest.fixture
def acme(workspace: affidavit.Workspace) -> affidavit.Workspace:
    people = [Entry(f"user:{n}", frozenset(), {}) for n in ("alice", "bob", "carol")]
    workspace.load_people(people, "acme")
    workspace.people.grant(workspace.parts.tenant("acme"), "user:carol", "role:admin")
    return workspace


@pytest.fixture
def carol(acme: affidavit.Workspace) -> Iterator[TestClient]:
    """Carol, an administrator, over HTTP."""
    tenant = acme.parts.tenant("acme")
    _, key = acme.credentials.make_key(tenant, "user:carol", "test", 30, "operator:test")
    with TestClient(make_app(acme), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def _begin(client: TestClient, person: str = "alice") -> str:
    given = client.post("/v1/looks", json={"person": person, "reason": "the handbook is gone"})
    assert given.status_code == 200, given.text
    secret: str = given.json()["secret"]
    return secret


def test_whoever_looks_sees_what_the_person_sees_and_that_is_on_record(
    acme: affidavit.Workspace, carol: TestClient
) -> None:
    run = acme.ask("What is my run?", "alice").run
    look = {"Affidavit-Look": _begin(carol)}
    assert carol.get("/v1/me").json()["principal"] == "user:carol"
    seen = carol.get("/v1/me", headers=look).json()
    assert (seen["principal"], seen["by"]) == ("user:alice", "user:carol")
    assert "question:ask" not in seen["may"]
    assert "run:read" in seen["may"]
    assert carol.get(f"/v1/runs/{run}", headers=look).status_code == 200
    told = acme.looking.newest(acme.parts.tenant("acme"), 10)
    assert [(t["what"], t["by"], t["as"], t["operation"]) for t in told] == [
        ("look.saw", "user:carol", "user:alice", "runs.show"),
        ("look.saw", "user:carol", "user:alice", "me.show"),
        ("look.began", "user:carol", "user:alice", ""),
    ]
    assert told[-1]["reason"] == "the handbook is gone"
    acme.verify()


def test_nothing_can_be_changed_while_looking(acme: affidavit.Workspace) -> None:
    acme.people.grant(acme.parts.tenant("acme"), "user:alice", "role:admin")
    caller = Caller(acme.parts.tenant("acme"), "user:alice", LOOKING, "user:carol")
    before = acme.parts.log.head()
    for operation in TABLE:
        if operation.changes or operation.method.value != "GET":
            asked = operation.takes.model_validate(operation.example)
            with pytest.raises(ForbiddenError):
                perform(acme, caller, operation, asked)
    assert acme.parts.log.head() == before


def test_it_ends_by_itself_and_by_hand(
    acme: affidavit.Workspace, carol: TestClient, clock: FixedClock
) -> None:
    tenant = acme.parts.tenant("acme")
    token = _begin(carol)
    acme.looking.end(tenant, token)
    acme.looking.end(tenant, token)
    assert carol.get("/v1/me", headers={"Affidavit-Look": token}).json()["principal"] == "user:carol"
    token = _begin(carol)
    clock.advance(LASTS)
    assert carol.get("/v1/me", headers={"Affidavit-Look": token}).json()["principal"] == "user:carol"
    assert [t["what"] for t in acme.looking.newest(tenant, 10)] == ["look.began", "look.ended", "look.began"]


def test_a_look_is_good_for_whoever_began_it_while_they_may(
    acme: affidavit.Workspace, carol: TestClient
) -> None:
    tenant = acme.parts.tenant("acme")
    look = {"Affidavit-Look": _begin(carol)}
    _, bobs = acme.credentials.make_key(tenant, "user:bob", "test", 30, "operator:test")
    as_bob = {"Authorization": f"Bearer {bobs}", **look}
    assert carol.get("/v1/me", headers=as_bob).json()["principal"] == "user:bob"
    assert carol.get("/v1/me", headers={"Authorization": "", **look}).status_code == 401
    acme.people.grant(tenant, "user:carol", "role:admin", revoke=True)
    assert carol.get("/v1/me", headers=look).json()["principal"] == "user:carol"


def test_a_key_for_little_looks_at_little(acme: affidavit.Workspace, carol: TestClient) -> None:
    tenant = acme.parts.tenant("acme")
    scopes = {"access:look", "run:read"}
    _, key = acme.credentials.make_key(tenant, "user:carol", "few", 30, "operator:test", scopes)
    carol.headers["Authorization"] = f"Bearer {key}"
    acme.people.grant(tenant, "user:alice", "role:auditor")
    seen = carol.get("/v1/me", headers={"Affidavit-Look": _begin(carol)}).json()
    assert seen["may"] == ["run:read"]


@pytest.mark.parametrize("person", ["carol", "group:staff", "service:bot", "nobody"])
def test_nobody_looks_as_themself_or_as_no_person(acme: affidavit.Workspace, person: str) -> None:
    with pytest.raises(UsageError):
        acme.looking.begin(acme.parts.tenant("acme"), "user:carol", person, "to see")


def test_it_needs_the_grant_and_a_reason(acme: affidavit.Workspace) -> None:
    tenant = acme.parts.tenant("acme")
    with pytest.raises(AccessDeniedError):
        acme.looking.begin(tenant, "user:bob", "alice", "to see")
    with pytest.raises(UsageError):
        acme.looking.begin(tenant, "user:carol", "alice", "  ")
    assert not list(acme.parts.events.of_kind(EventKind.AUDIT_PERFORMED))


def test_a_look_of_another_tenant_is_none(acme: affidavit.Workspace, carol: TestClient) -> None:
    globex = acme.people.ensure_tenant("globex")
    acme.load_people([Entry("user:carol", frozenset(), {}), Entry("user:gina", frozenset(), {})], "globex")
    acme.people.grant(globex, "user:carol", "role:admin")
    _, token = acme.looking.begin(globex, "user:carol", "gina", "to see")
    assert carol.get("/v1/me", headers={"Affidavit-Look": token}).json()["tenant"] == "acme"
    assert acme.looking.of(token).person == "user:gina"


def test_following_a_run_is_looked_at_once(acme: affidavit.Workspace, carol: TestClient) -> None:
    """Else each note of it would be news to follow, and the log would grow by itself."""
    tenant = acme.parts.tenant("acme")
    begun = Run("run-aaaaaaaaaaaaaaaa", tenant.id, "ask", acme.parts.release().digest)
    begun.start({"principal": "user:alice"})
    acme.parts.log.write(begun.flush)
    app = carol.app
    routes = Routes(acme, lambda r: caller, lambda r: caller, *[None] * 4)  # type: ignore[arg-type]
    caller = Caller(tenant, "user:alice", LOOKING, "user:carol", READING)
    request = Request({"type": "http", "app": app, "headers": []})
    row = TABLE["runs.events"]
    for _ in range(3):
        routes._look(request, row, row.takes(run=begun.id), -1)
    told = acme.looking.newest(tenant, 10)
    assert [t["operation"] for t in told] == ["runs.events"]
