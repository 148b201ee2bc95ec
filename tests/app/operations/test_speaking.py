"""A service that speaks for somebody: what it does ends with its key."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

import affidavit
from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.domain.errors import ForbiddenError
from affidavit.entrypoints.http.application import make_app

_FIELDS = {
    "keys.make": {"principal": "user:alice", "name": "for later"},
    "keys.rotate": {},
    "looks.begin": {"person": "user:bob", "reason": "why not"},
}


@pytest.mark.parametrize("name", [row.name for row in TABLE if row.once])
def test_it_is_given_no_secret_that_outlives_its_key(workspace: affidavit.Workspace, name: str) -> None:
    people = [Entry(f"user:{n}", frozenset(), {}) for n in ("alice", "bob")]
    workspace.load_people([*people, Entry("service:bot", frozenset(), {})], "acme")
    acme = workspace.parts.tenant("acme")
    workspace.people.grant(acme, "user:alice", "role:admin")
    hers, _ = workspace.credentials.make_key(acme, "user:alice", "hers", 9, "operator:dave")
    before = workspace.parts.log.head()
    asked = TABLE[name].takes.model_validate(_FIELDS[name] or {"id": hers.id})
    with pytest.raises(ForbiddenError, match="speaks for"):
        perform(workspace, Caller(acme, "user:alice", "key", "service:bot"), TABLE[name], asked)
    assert workspace.parts.log.head() == before
    assert perform(workspace, Caller(acme, "user:alice", "session"), TABLE[name], asked)["secret"]


def test_it_has_an_administrators_powers_only_by_name(workspace: affidavit.Workspace) -> None:
    """It speaks for staff, and one of them is an administrator: it could else make itself one."""
    workspace.load_people(
        [Entry("user:alice", frozenset({"group:staff"}), {}), Entry("service:bot", frozenset(), {})]
    )
    tenant = workspace.parts.tenant("")
    workspace.people.grant(tenant, "user:alice", "role:admin")
    wish = {"name": "service:bot", "action": "audit:read"}
    with TestClient(make_app(workspace)) as client:
        for scopes, status in (
            (None, 403),
            (["run:read"], 403),
            (["run:read", "people:change", "audit:read"], 200),
        ):
            _, key = workspace.credentials.make_key(
                tenant, "service:bot", "x", 9, "operator:dave", scopes, ["group:staff"]
            )
            headers = {"Authorization": f"Bearer {key}", "Affidavit-For": "user:alice"}
            assert client.get("/v1/me", headers=headers).json()["principal"] == "user:alice"
            assert client.post("/v1/people/grant", headers=headers, json=wish).status_code == status
