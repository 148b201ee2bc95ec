"""Keys over the network: whoever holds one gets nothing by it that outlives it, and shuts out nobody who may do more."""

from __future__ import annotations

from typing import Any

import pytest

import affidavit
from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.domain.errors import ForbiddenError, UnauthenticatedError
from affidavit.store.credentials import CredentialKind
from affidavit.store.people import Tenant

DAVE = "operator:dave"


@pytest.fixture
def acme(workspace: affidavit.Workspace) -> Tenant:
    workspace.load_people([Entry(f"user:{name}", frozenset(), {}) for name in ("alice", "bob")], "acme")
    tenant = workspace.parts.tenant("acme")
    workspace.people.grant(tenant, "user:alice", "credential:change")
    workspace.people.grant(tenant, "user:bob", "role:admin")
    return tenant


def ask(ws: affidavit.Workspace, caller: Caller, name: str, /, **fields: Any) -> Any:
    return perform(ws, caller, TABLE[name], TABLE[name].takes.model_validate(fields))


def by_key(ws: affidavit.Workspace, tenant: Tenant, who: str, **limits: Any) -> Caller:
    made, _ = ws.credentials.make_key(tenant, who, "k", 3, DAVE, **limits)
    return Caller(tenant, who, "key", scopes=made.scopes, proof=made.id)


def test_what_a_stolen_key_makes_ends_with_it(workspace: affidavit.Workspace, acme: Tenant) -> None:
    thief = by_key(workspace, acme, "user:alice")
    successor = ask(workspace, thief, "keys.rotate", id=thief.proof, days=300)
    another = ask(workspace, thief, "keys.make", principal="user:alice", name="x", days=300)
    listed = ask(workspace, thief, "keys.list")["items"]
    assert {key["made_by"] for key in listed} == {"", thief.proof}
    assert len({key["expires"] for key in listed}) <= 2  # the first's, which rotation shortened
    admin = Caller(acme, "user:bob", "session")
    ended = ask(workspace, admin, "keys.end", id=thief.proof)["ended"]
    assert set(ended) == {thief.proof, successor["key"]["id"], another["key"]["id"]}
    for made in (successor, another):
        with pytest.raises(UnauthenticatedError):
            workspace.credentials.whose(made["secret"], CredentialKind.KEY)


def test_nobody_ends_the_key_of_whoever_may_do_more(workspace: affidavit.Workspace, acme: Tenant) -> None:
    bobs = by_key(workspace, acme, "user:bob")
    narrow = by_key(workspace, acme, "user:bob", scopes=["credential:change"])
    workspace.load_people([Entry("user:root", frozenset(), {})], "acme")
    workspace.people.grant(acme, "user:root", "role:admin")
    roots = by_key(workspace, acme, "user:root")
    for caller, id in ((Caller(acme, "user:alice", "session"), bobs.proof), (narrow, roots.proof)):
        with pytest.raises(ForbiddenError):
            ask(workspace, caller, "keys.end", id=id)
    assert ask(workspace, narrow, "keys.end", id=bobs.proof)  # one's own
    assert ask(workspace, Caller(acme, "user:bob", "session"), "keys.end", id=roots.proof)


def test_a_narrow_key_makes_none_for_others(workspace: affidavit.Workspace, acme: Tenant) -> None:
    narrow = by_key(workspace, acme, "user:bob", scopes=["credential:change", "question:ask"])
    for fields in (
        {"principal": "user:alice", "scopes": ["question:ask"]},
        {"principal": "user:bob", "scopes": ["question:ask", "document:read"]},
    ):
        with pytest.raises(ForbiddenError):
            ask(workspace, narrow, "keys.make", name="x", **fields)
    assert ask(workspace, narrow, "keys.make", name="x", principal="user:bob", scopes=["question:ask"])
