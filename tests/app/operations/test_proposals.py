"""Four eyes: what takes two people is done when the second says so, once, as the first's, and on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

import affidavit
from affidavit.app.erasure import Target
from affidavit.app.operations.operation import Asked, Caller, Method, Operation, Table, perform
from affidavit.app.operations.proposals import PROPOSALS, PROPOSING, OneProposal
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.app.proposals import LASTS
from affidavit.domain.errors import (
    AccessDeniedError,
    ForbiddenError,
    LogDamagedError,
    SecondPersonError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import EventKind
from affidavit.domain.roles import ACTIONS
from affidavit.entrypoints.http.application import make_app
from affidavit.store.people import Tenant
from affidavit.testing.clock import FixedClock

DAVE = "operator:dave"


class Mode(Asked):
    mode: str


def _set(ws: affidavit.Workspace, caller: Caller, asked: Mode) -> dict[str, Any]:
    return {"mode": ws.controls.set_mode(caller.tenant, asked.mode, caller.principal, "a trial")}


CHANGE = Operation(
    "modes.try", "mode:change", Method.CHANGE, "/try", "Try.", Mode, dict, _set, {"mode": "live"}
)
ROWS: dict[str, Operation[Any]] = {row.name: row for row in PROPOSALS}
CONFIRM, DECLINE, LIST = (ROWS[f"proposals.{name}"] for name in ("confirm", "decline", "list"))


def one(id: str) -> OneProposal:
    return OneProposal(id=id, reason="thought over")


@pytest.fixture
def acme(workspace: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    monkeypatch.setattr(PROPOSING, "table", Table((CHANGE,), PROPOSALS))
    people = [Entry(f"user:{n}", frozenset(), {}) for n in ("alice", "bob", "carol")]
    workspace.load_people([*people, Entry("service:bot", frozenset(), {})], "acme")
    tenant = workspace.parts.tenant("acme")
    for who in ("user:alice", "user:bob", "service:bot"):
        workspace.people.grant(tenant, who, "mode:change")
    workspace.proposals.require(tenant, ["mode:change", "people:change"], DAVE)
    return tenant


@pytest.fixture(autouse=True)
def verified(workspace: affidavit.Workspace) -> Iterator[None]:
    yield
    workspace.verify()


def proposed(ws: affidavit.Workspace, caller: Caller, mode: str = "live") -> str:
    with pytest.raises(SecondPersonError) as caught:
        perform(ws, caller, CHANGE, Mode(mode=mode))
    assert "mode:change" in caught.value.hint
    assert ws.controls.mode(caller.tenant) == "read-only"
    return caught.value.proposal


def confirm(ws: affidavit.Workspace, caller: Caller, id: str) -> Any:
    return perform(ws, caller, CONFIRM, one(id))


def test_it_is_done_when_somebody_else_says_so(workspace: affidavit.Workspace, acme: Tenant) -> None:
    alice, bob = Caller(acme, "user:alice", "session"), Caller(acme, "user:bob", "session")
    id = proposed(workspace, alice)
    assert [(p["id"], p["yours"]) for p in perform(workspace, bob, LIST, LIST.takes())["items"]] == [
        (id, False)
    ]
    assert confirm(workspace, bob, id)["result"] == {"mode": "live"}
    assert workspace.controls.mode(acme) == "live"
    with pytest.raises(UnknownNameError):
        confirm(workspace, bob, id)
    assert perform(workspace, bob, LIST, LIST.takes())["items"] == []


@pytest.mark.parametrize(
    "second",
    [
        {"principal": "user:alice"},
        {"principal": "user:alice", "via": "key"},
        {"principal": "user:carol"},
        {"principal": "user:nobody"},
        {"principal": "service:bot"},
        {"principal": "user:bob", "by": "service:bot"},
        {"principal": "user:bob", "scopes": frozenset({"run:read"})},
    ],
    ids=str,
)
def test_who_is_no_second_person(
    workspace: affidavit.Workspace, acme: Tenant, second: dict[str, Any]
) -> None:
    alice = Caller(acme, "user:alice", "session")
    id = proposed(workspace, alice)
    with pytest.raises((ForbiddenError, UnknownNameError)):
        confirm(workspace, replace(alice, **second), id)
    assert workspace.controls.mode(acme) == "read-only"
    if second["principal"] != "user:alice":
        with pytest.raises((ForbiddenError, UnknownNameError)):
            perform(workspace, replace(alice, **second), DECLINE, one(id))
    assert len(workspace.proposals.waiting(acme)) == 1


def test_whoever_asked_must_still_be_allowed_to(workspace: affidavit.Workspace, acme: Tenant) -> None:
    bob = Caller(acme, "user:bob", "session")
    id = proposed(workspace, Caller(acme, "user:alice", "session"))
    workspace.people.grant(acme, "user:alice", "mode:change", revoke=True)
    with pytest.raises(ForbiddenError):
        confirm(workspace, bob, id)
    narrow = proposed(workspace, Caller(acme, "service:bot", "key", scopes=frozenset({"mode:change"})))
    assert confirm(workspace, bob, narrow)["result"] == {"mode": "live"}


def test_it_waits_a_week_and_can_be_declined_or_taken_back(
    workspace: affidavit.Workspace, acme: Tenant, clock: FixedClock
) -> None:
    alice, bob = Caller(acme, "user:alice", "session"), Caller(acme, "user:bob", "session")
    for who in (alice, bob):
        id = proposed(workspace, alice)
        assert proposed(workspace, alice) == id  # asking again is asking once
        perform(workspace, who, DECLINE, one(id))
        with pytest.raises(UnknownNameError):
            confirm(workspace, bob, id)
    id = proposed(workspace, alice)
    clock.advance(LASTS)
    with pytest.raises(UnknownNameError):
        confirm(workspace, bob, id)
    assert workspace.controls.mode(acme) == "read-only"


def test_another_tenants_is_not_there(workspace: affidavit.Workspace, acme: Tenant) -> None:
    id = proposed(workspace, Caller(acme, "user:alice", "session"))
    workspace.load_people([Entry("user:gina", frozenset(), {})], "globex")
    globex = workspace.parts.tenant("globex")
    workspace.people.grant(globex, "user:gina", "role:admin")
    gina = Caller(globex, "user:gina", "session")
    assert perform(workspace, gina, LIST, LIST.takes())["items"] == []
    for operation in (CONFIRM, DECLINE):
        with pytest.raises(UnknownNameError):
            perform(workspace, gina, operation, one(id))
    assert perform(workspace, gina, CHANGE, Mode(mode="live")) == {"mode": "live"}  # nothing takes two there


def test_only_whoever_sits_at_the_machine_says_what_takes_two(
    workspace: affidavit.Workspace, acme: Tenant
) -> None:
    workspace.people.grant(acme, "user:alice", "role:admin")
    for by in ("user:alice", "alice", ""):
        with pytest.raises(AccessDeniedError):
            workspace.proposals.require(acme, [], by)
    with pytest.raises(UsageError):
        workspace.proposals.require(acme, ["question:ask"], DAVE)
    assert workspace.proposals.require(acme, [], DAVE) == []
    assert perform(workspace, Caller(acme, "user:alice", "session"), CHANGE, Mode(mode="live"))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE proposals SET principal = 'user:bob'",
        'UPDATE proposals SET asked = \'{"mode":"read-only"}\'',
        "UPDATE proposals SET operation = 'people.grant'",
        "UPDATE proposals SET state = 'confirmed'",
        "DELETE FROM proposals",
        "UPDATE four_eyes SET actions = '[]'",
        "DELETE FROM four_eyes",
    ],
)
def test_a_row_changed_by_hand_is_found(workspace: affidavit.Workspace, acme: Tenant, sql: str) -> None:
    proposed(workspace, Caller(acme, "user:alice", "session"))
    kept = {t: workspace.parts.database.all(f"SELECT * FROM {t}") for t in ("proposals", "four_eyes")}
    with workspace.parts.database.write():
        workspace.parts.database.run(sql)
    with pytest.raises(LogDamagedError):
        workspace.verify()
    with workspace.parts.database.write():
        for table, rows in kept.items():
            workspace.parts.database.run(f"DELETE FROM {table}")
            marks = ", ".join("?" * len(rows[0]))
            workspace.parts.database.many(f"INSERT INTO {table} VALUES ({marks})", rows)


def test_an_erased_person_leaves_nothing_that_waits(workspace: affidavit.Workspace, acme: Tenant) -> None:
    id = proposed(workspace, Caller(acme, "user:alice", "session"))
    workspace.erasing.erase(acme, Target("person", "user:alice"), "operator:dpo", "request 17")
    with pytest.raises(UnknownNameError):
        confirm(workspace, Caller(acme, "user:bob", "session"), id)
    assert workspace.parts.database.all("SELECT principal, asked FROM proposals") == [("", "")]


def test_over_http(workspace: affidavit.Workspace, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PROPOSING, "table", TABLE)
    _, key = workspace.credentials.make_key(acme, "user:alice", "x", 9, DAVE)
    with TestClient(make_app(workspace), headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/v1/proposals").json() == {"items": [], "next": None}
        assert client.post("/v1/proposals/paaaaaaaaaaaaaaa/confirm", json={}).status_code == 404
        workspace.people.grant(acme, "user:alice", "people:change")
        refused = client.get("/scim/v2/Users")  # a directory's address is no way around it
        assert (refused.status_code, "takes two" in refused.json()["detail"]) == (403, True)


def test_a_secret_goes_to_whoever_asked_and_never_to_the_second_person(
    workspace: affidavit.Workspace, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PROPOSING, "table", TABLE)
    workspace.proposals.require(acme, ["credential:change", "access:look"], DAVE)
    for who in ("user:alice", "user:bob"):
        workspace.people.grant(acme, who, "role:admin")
    alice, bob = Caller(acme, "user:alice", "session"), Caller(acme, "user:bob", "session")
    for name, fields in (
        ("keys.make", {"principal": "user:alice", "name": "mine"}),
        ("looks.begin", {"person": "user:carol", "reason": "she asked me to"}),
    ):
        operation = TABLE[name]
        wanted = operation.takes.model_validate(fields)
        with pytest.raises(SecondPersonError) as caught:
            perform(workspace, alice, operation, wanted)
        said = confirm(workspace, bob, caught.value.proposal)
        assert "aff_" not in str(said) and said.get("result") is None
        with pytest.raises(SecondPersonError):  # bob's yes was to alice's wish, not to one of his own
            perform(workspace, bob, operation, wanted)
        assert "aff_" in perform(workspace, alice, operation, wanted)["secret"]
        with pytest.raises(SecondPersonError):  # and to one of hers
            perform(workspace, alice, operation, wanted)


def test_every_action_that_can_be_granted_can_take_two(workspace: affidavit.Workspace, acme: Tenant) -> None:
    assert workspace.proposals.require(acme, ACTIONS, DAVE) == sorted(ACTIONS)


# -- both are looked at again when it comes to be done


def _key(ws: affidavit.Workspace, tenant: Tenant, who: str, **limits: Any) -> Caller:
    made, _ = ws.credentials.make_key(tenant, who, "k", 3, DAVE, **limits)
    return Caller(tenant, who, "key", scopes=made.scopes, proof=made.id)


def _session(ws: affidavit.Workspace, tenant: Tenant, who: str) -> Caller:
    made, _ = ws.credentials.begin_session(tenant, who, "link", 8)
    return Caller(tenant, who, "session", proof=made.id)


def _spoken(ws: affidavit.Workspace, tenant: Tenant) -> Caller:
    ws.people.join(tenant, "user:alice", "staff")
    made, _ = ws.credentials.make_key(
        tenant, "service:bot", "k", 3, DAVE, ["mode:change"], acts_for=["group:staff"]
    )
    return Caller(tenant, "user:alice", "key", "service:bot", made.scopes, proof=made.id)


def _again(ws: affidavit.Workspace, tenant: Tenant) -> None:
    """alice is removed, and made known again with what she had."""
    ws.people.remove(tenant, "user:alice")
    ws.load_people([Entry("user:alice", frozenset(), {})], "acme")


TAKEN_BACK: dict[str, tuple[Any, Any]] = {
    "key": (
        lambda ws, t: _key(ws, t, "user:alice"),
        lambda ws, t, who: ws.credentials.end_key(t, who.proof, DAVE),
    ),
    "session": (
        lambda ws, t: _session(ws, t, "user:alice"),
        lambda ws, t, who: ws.credentials.sign_out(t, "alice", DAVE),
    ),
    "person": (lambda ws, t: Caller(t, "user:alice", "token"), lambda ws, t, who: _again(ws, t)),
    "grant": (
        lambda ws, t: Caller(t, "user:alice", "token"),
        lambda ws, t, who: ws.people.grant(t, "user:alice", "mode:change", revoke=True),
    ),
    "speaker": (_spoken, lambda ws, t, who: ws.people.remove(t, "service:bot")),
    "spoken for": (_spoken, lambda ws, t, who: ws.people.leave(t, "user:alice", "staff")),
}


@pytest.mark.parametrize("what", TAKEN_BACK)
def test_what_somebody_asked_by_still_holds_when_it_is_done(
    workspace: affidavit.Workspace, acme: Tenant, what: str
) -> None:
    asking, taken_back = TAKEN_BACK[what]
    alice = asking(workspace, acme)
    id = proposed(workspace, alice)
    taken_back(workspace, acme, alice)
    with pytest.raises(ForbiddenError, match="this is not done"):
        confirm(workspace, Caller(acme, "user:bob", "session"), id)
    assert workspace.controls.mode(acme) == "read-only"
    assert workspace.parts.database.all("SELECT state FROM proposals") == [("void",)]
    with pytest.raises(UnknownNameError):  # nor later, when it is given back
        confirm(workspace, Caller(acme, "user:bob", "session"), id)


def test_leaving_the_browser_takes_nothing_back(workspace: affidavit.Workspace, acme: Tenant) -> None:
    alice, bob = _session(workspace, acme, "user:alice"), _key(workspace, acme, "user:bob")
    id = proposed(workspace, alice)
    workspace.credentials.sign_out(acme, "alice", "user:alice")
    assert confirm(workspace, bob, id)["result"] == {"mode": "live"}
    event = next(iter(workspace.parts.events.of_kind(EventKind.PROPOSAL_CHANGED, newest_first=True)))
    assert workspace.parts.events.body(event)["checked"] == {
        "asked": {"by": "user:alice", "proof": alice.proof},
        "agreed": {"by": "user:bob", "proof": bob.proof},
    }


def test_asked_again_by_what_holds_it_waits_anew(workspace: affidavit.Workspace, acme: Tenant) -> None:
    first, second = _key(workspace, acme, "user:alice"), _key(workspace, acme, "user:alice")
    id = proposed(workspace, first)
    assert proposed(workspace, second) == id
    workspace.credentials.end_key(acme, first.proof, DAVE)
    assert proposed(workspace, second) != id


YES_TAKEN_BACK: dict[str, Any] = {
    "key": lambda ws, t, who: ws.credentials.end_key(t, who.proof, DAVE),
    "role": lambda ws, t, who: ws.people.grant(t, "user:bob", "role:admin", revoke=True),
    "person": lambda ws, t, who: ws.people.remove(t, "user:bob"),
    "erased": lambda ws, t, who: ws.erasing.erase(t, Target("person", "user:bob"), "operator:dpo", "17"),
}


@pytest.mark.parametrize("what", YES_TAKEN_BACK)
def test_a_yes_still_holds_when_the_secret_is_given(
    workspace: affidavit.Workspace, acme: Tenant, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(PROPOSING, "table", TABLE)
    workspace.proposals.require(acme, ["credential:change"], DAVE)
    for who in ("user:alice", "user:bob"):
        workspace.people.grant(acme, who, "role:admin")
    alice, bob = _session(workspace, acme, "user:alice"), _key(workspace, acme, "user:bob")
    operation = TABLE["keys.make"]
    wanted = operation.takes.model_validate({"principal": "user:alice", "name": "mine"})
    with pytest.raises(SecondPersonError) as caught:
        perform(workspace, alice, operation, wanted)
    confirm(workspace, bob, caught.value.proposal)
    YES_TAKEN_BACK[what](workspace, acme, bob)
    with pytest.raises(SecondPersonError):
        perform(workspace, alice, operation, wanted)
