"""Keys, links and sessions: good for what they say, until they end, and on record."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import affidavit
from affidavit.app.credentials import DAY, HOUR, LINK, MINUTE
from affidavit.app.erasure import Target
from affidavit.app.people import Entry
from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    ForbiddenError,
    LogDamagedError,
    UnauthenticatedError,
    UnknownNameError,
    UsageError,
)
from affidavit.store.credentials import CredentialKind
from affidavit.store.people import Tenant
from affidavit.testing.clock import FixedClock

DAVE = "operator:dave"
Workspace = affidavit.Workspace


@pytest.fixture
def acme(workspace: Workspace) -> Tenant:
    people = ("user:alice", "user:bob", "service:bot")
    workspace.load_people([Entry(p, frozenset(), {}) for p in people], "acme")
    return workspace.parts.tenant("acme")


def refused(ws: Workspace, token: str, kind: CredentialKind) -> bool:
    with pytest.raises(UnauthenticatedError) as caught:
        ws.credentials.whose(token, kind)
    assert not token or token not in caught.value.message
    return True


def test_a_key_is_its_owners_until_it_expires(workspace: Workspace, acme: Tenant, clock: FixedClock) -> None:
    made, token = workspace.credentials.make_key(
        acme, "service:bot", "ci", 3, DAVE, ["question:ask"], ["user:alice"]
    )
    assert workspace.credentials.whose(token, CredentialKind.KEY) == made
    assert made.scopes == frozenset({"question:ask"})
    assert made.acts_for == {"user:alice"}
    clock.advance(3 * DAY - 1)
    assert workspace.credentials.whose(token, CredentialKind.KEY).principal == "service:bot"
    clock.advance(1)
    assert refused(workspace, token, CredentialKind.KEY)
    assert workspace.credentials.keys(acme)[0]["expired"]


def test_ids_are_words_that_the_log_takes(workspace: Workspace, acme: Tenant) -> None:
    for _ in range(40):  # of ids that may begin with a digit, some would
        workspace.credentials.make_key(acme, "alice", "x", 1, DAVE)
    assert len(workspace.credentials.keys(acme)) == 40


def test_the_secret_is_kept_nowhere(workspace: Workspace, acme: Tenant) -> None:
    _, token = workspace.credentials.make_key(acme, "alice", "x", 1, DAVE)
    secret = token.rpartition("_")[2].encode()[-20:]
    workspace.parts.database.scrub()
    files = [p for p in workspace.parts.folder.rglob("*") if p.is_file()]
    assert files
    assert not any(secret in p.read_bytes() for p in files)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"),
        lambda t: t.replace("_key_", "_session_"),
        lambda t: t + " ",
        lambda t: t.upper(),
        lambda t: "",
        lambda t: "aff_key_" + "a" * 16 + "_" + "A" * 43,
    ],
)
def test_what_is_not_quite_the_token_is_refused(
    workspace: Workspace, acme: Tenant, change: Callable[[str], str]
) -> None:
    _, token = workspace.credentials.make_key(acme, "alice", "x", 1, DAVE)
    for kind in CredentialKind:
        assert refused(workspace, change(token), kind)
    assert refused(workspace, token, CredentialKind.SESSION)


def test_a_rotated_key_overlaps_with_the_new_one_as_long_as_stated(
    workspace: Workspace, acme: Tenant, clock: FixedClock
) -> None:
    desk = workspace.credentials
    old, first = desk.make_key(acme, "service:bot", "ci", 30, DAVE, ["question:ask"], ["user:alice"])
    new, second = desk.rotate_key(acme, old.id, DAVE, 90, 2)
    assert (new.principal, new.name, new.scopes, new.acts_for) == (
        old.principal,
        old.name,
        old.scopes,
        old.acts_for,
    )
    assert new.id != old.id
    clock.advance(2 * HOUR - 1)
    assert desk.whose(first, CredentialKind.KEY).id == old.id
    clock.advance(1)
    assert refused(workspace, first, CredentialKind.KEY)
    assert desk.whose(second, CredentialKind.KEY).id == new.id
    workspace.verify()


def test_rotating_never_lengthens_and_may_end_at_once(workspace: Workspace, acme: Tenant) -> None:
    desk = workspace.credentials
    old, first = desk.make_key(acme, "alice", "x", 1, DAVE)
    desk.rotate_key(acme, old.id, DAVE, 90, 7 * 24)
    assert desk.whose(first, CredentialKind.KEY).expires == old.expires
    new, second = desk.rotate_key(acme, old.id, DAVE, 90, 0)
    assert refused(workspace, first, CredentialKind.KEY)
    assert {k["id"] for k in desk.keys(acme)} >= {new.id}
    with pytest.raises(UnknownNameError):
        desk.rotate_key(acme, old.id, DAVE, 90)
    with pytest.raises(UsageError):
        desk.rotate_key(acme, new.id, DAVE, 90, 169)
    assert desk.whose(second, CredentialKind.KEY)
    workspace.verify()


def test_only_who_may_change_credentials_does(workspace: Workspace, acme: Tenant) -> None:
    desk = workspace.credentials
    made, _ = desk.make_key(acme, "alice", "x", 1, DAVE)
    for by in ("user:alice", "alice", "", "operator:", "service:bot"):
        for act in (
            lambda by=by: desk.make_key(acme, "alice", "y", 1, by),
            lambda by=by: desk.rotate_key(acme, made.id, by, 1),
            lambda by=by: desk.end_key(acme, made.id, by),
            lambda by=by: desk.make_link(acme, "bob", by),
            lambda by=by: desk.sign_out(acme, "bob", by),
        ):
            with pytest.raises(AccessDeniedError):
                act()
    workspace.people.grant(acme, "user:alice", "credential:change")
    desk.end_key(acme, made.id, "alice")
    assert desk.keys(acme) == []


def test_another_tenants_key_is_not_there(workspace: Workspace, acme: Tenant) -> None:
    made, token = workspace.credentials.make_key(acme, "alice", "x", 1, DAVE)
    globex = workspace.people.ensure_tenant("globex")
    with pytest.raises(UnknownNameError):
        workspace.credentials.end_key(globex, made.id, DAVE)
    with pytest.raises(UnknownNameError):
        workspace.credentials.rotate_key(globex, made.id, DAVE, 1)
    assert workspace.credentials.keys(globex) == []
    assert workspace.credentials.whose(token, CredentialKind.KEY)


@pytest.mark.parametrize(
    "ask",
    [
        {"principal": "group:staff"},
        {"principal": "anyone"},
        {"days": 0},
        {"days": 367},
        {"scopes": ["everything"]},
        {"acts_for": ["user:alice"], "principal": "user:bob"},
        {"acts_for": ["anyone"], "principal": "service:bot"},
        {"principal": "user:nobody"},
        {"name": "x" * 257},
        {"name": "a\nb"},
    ],
)
def test_what_no_key_can_be(workspace: Workspace, acme: Tenant, ask: dict[str, Any]) -> None:
    good: dict[str, Any] = {"principal": "alice", "name": "x", "days": 1, "by": DAVE}
    with pytest.raises(UsageError):
        workspace.credentials.make_key(acme, **{**good, **ask})


# -- links and sessions


def test_a_link_signs_in_once(workspace: Workspace, acme: Tenant) -> None:
    link = workspace.credentials.make_link(acme, "alice", DAVE)
    session, token = workspace.credentials.follow_link(link, 8)
    assert session.principal == "user:alice"
    assert workspace.credentials.session(token, 60).id == session.id
    with pytest.raises(UnauthenticatedError):
        workspace.credentials.follow_link(link, 8)
    workspace.verify()


def test_of_two_who_follow_a_link_at_once_one_is_signed_in(workspace: Workspace, acme: Tenant) -> None:
    link = workspace.credentials.make_link(acme, "alice", DAVE)

    def follow(_: int) -> bool:
        try:
            return bool(workspace.credentials.follow_link(link, 8))
        except UnauthenticatedError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(follow, range(8))) == 1
    assert len(workspace.credentials.sessions(acme)) == 1


def test_a_link_is_good_for_ten_minutes_and_people_only(
    workspace: Workspace, acme: Tenant, clock: FixedClock
) -> None:
    link = workspace.credentials.make_link(acme, "alice", DAVE)
    clock.advance(LINK)
    with pytest.raises(UnauthenticatedError):
        workspace.credentials.follow_link(link, 8)
    with pytest.raises(UsageError):
        workspace.credentials.make_link(acme, "service:bot", DAVE)


def test_a_session_ends_by_itself(workspace: Workspace, acme: Tenant, clock: FixedClock) -> None:
    desk = workspace.credentials
    _, token = desk.begin_session(acme, "user:alice", "oidc", 2)
    for _ in range(4):
        clock.advance(29 * MINUTE)
        assert desk.session(token, 30)
    clock.advance(29 * MINUTE)
    with pytest.raises(UnauthenticatedError):  # two hours are over
        desk.session(token, 30)


def test_a_session_left_alone_ends(workspace: Workspace, acme: Tenant, clock: FixedClock) -> None:
    desk = workspace.credentials
    _, token = desk.begin_session(acme, "user:alice", "oidc", 8)
    clock.advance(30 * MINUTE)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            desk.session(token, 30)


def test_signing_out_everywhere(workspace: Workspace, acme: Tenant) -> None:
    desk = workspace.credentials
    tokens = [desk.begin_session(acme, "user:alice", "oidc", 8)[1] for _ in range(3)]
    link = desk.make_link(acme, "alice", DAVE)
    _, others = desk.begin_session(acme, "user:bob", "oidc", 8)
    _, key = desk.make_key(acme, "alice", "x", 1, DAVE)
    assert [s["principal"] for s in desk.sessions(acme, "user:alice")] == ["user:alice"] * 3
    assert desk.sign_out(acme, "alice", "user:alice") == 4
    assert all(refused(workspace, token, CredentialKind.SESSION) for token in tokens)
    assert refused(workspace, link, CredentialKind.LINK)
    assert desk.session(others, 30)
    assert desk.whose(key, CredentialKind.KEY)
    assert desk.sessions(acme, "user:alice") == []
    workspace.verify()


def test_another_process_sees_the_end_at_once(workspace: Workspace, acme: Tenant, clock: FixedClock) -> None:
    made, token = workspace.credentials.begin_session(acme, "user:alice", "oidc", 8)
    with affidavit.open(workspace.parts.folder) as other:
        other.parts.clock = clock
        assert other.credentials.whose(token, CredentialKind.SESSION).id == made.id
        workspace.credentials.sign_out(acme, "alice", DAVE)
        assert refused(other, token, CredentialKind.SESSION)


def test_whoever_is_removed_and_comes_back_has_nothing(workspace: Workspace, acme: Tenant) -> None:
    desk = workspace.credentials
    _, session = desk.begin_session(acme, "user:alice", "oidc", 8)
    _, key = desk.make_key(acme, "alice", "x", 1, DAVE)
    workspace.people.remove(acme, "user:alice")
    workspace.load_people([Entry("user:alice", frozenset(), {})], "acme")
    assert refused(workspace, session, CredentialKind.SESSION)
    assert refused(workspace, key, CredentialKind.KEY)
    workspace.verify()


# -- the record


def _erase(ws: Workspace, tenant: Tenant) -> dict[str, object]:
    return ws.erasing.erase(tenant, Target("person", "user:alice"), "operator:dpo", "request 17")


def test_an_erased_person_leaves_neither_name_nor_way_in(workspace: Workspace, acme: Tenant) -> None:
    desk = workspace.credentials
    workspace.load_people([Entry("user:alice", frozenset(), {"desk": "narwhalroom"})], "acme")
    _, key = desk.make_key(acme, "alice", "narwhalkey", 1, DAVE)
    _, session = desk.begin_session(acme, "user:alice", "oidc", 8)
    desk.rotate_key(acme, desk.keys(acme)[0]["id"], DAVE, 5, 1)
    desk.make_key(acme, "service:bot", "bot", 1, DAVE, acts_for=["user:alice"])
    report = _erase(workspace, acme)
    assert report["credentials"] == 3
    assert {"what": "keys", "count": 1} in [{k: r[k] for k in ("what", "count")} for r in report["remains"]]  # type: ignore[attr-defined]
    assert refused(workspace, session, CredentialKind.SESSION)
    assert refused(workspace, key, CredentialKind.KEY)
    kept = workspace.parts.database.all("SELECT principal, name, digest FROM credentials")
    assert sorted(kept)[:3] == [("", "", "")] * 3
    assert b"narwhalkey" not in b"".join(p.read_bytes() for p in workspace.parts.folder.glob("*.db*"))
    workspace.verify()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE credentials SET principal = 'user:bob'",
        "UPDATE credentials SET scopes = 'null'",
        "UPDATE credentials SET acts_for = '[\"group:staff\"]'",
        "UPDATE credentials SET expires = expires + 1",
        "UPDATE credentials SET digest = replace(digest, '0', '1')",
        "UPDATE credentials SET kind = 'session'",
        "UPDATE credentials SET until = 4611686018427387904",
        "DELETE FROM credentials",
        "INSERT INTO credentials SELECT 'cx', tenant, kind, principal, name, digest, scopes, acts_for, expires, since, "
        "until, seen, made_by FROM credentials LIMIT 1",
    ],
)
def test_a_row_changed_by_hand_is_found(workspace: Workspace, acme: Tenant, sql: str) -> None:
    made, _ = workspace.credentials.make_key(acme, "service:bot", "x", 5, DAVE, ["question:ask"])
    workspace.credentials.rotate_key(acme, made.id, DAVE, 5, 0)
    workspace.verify()
    with workspace.parts.database.write():
        workspace.parts.database.run(sql)
    with pytest.raises(LogDamagedError):
        workspace.verify()


def test_an_erased_row_put_to_use_again_is_found(workspace: Workspace, acme: Tenant) -> None:
    workspace.credentials.make_key(acme, "alice", "x", 5, DAVE)
    _erase(workspace, acme)
    workspace.verify()
    with workspace.parts.database.write():
        workspace.parts.database.run("UPDATE credentials SET principal = 'user:bob'")
    with pytest.raises(LogDamagedError):
        workspace.verify()


def test_redaction_leaves_credentials_as_they_are(workspace: Workspace, acme: Tenant) -> None:
    rules = [{"name": "email"}, {"name": "people", "pattern": "alice"}]
    workspace.keeping.set_redaction(acme, rules, DAVE)
    workspace.load_people([Entry("user:alice@example.com", frozenset(), {})], "acme")
    made, token = workspace.credentials.make_key(acme, "alice@example.com", "alice@example.com", 5, DAVE)
    assert workspace.credentials.whose(token, CredentialKind.KEY) == made
    workspace.verify()


def test_errors_are_ours(workspace: Workspace, acme: Tenant) -> None:
    with pytest.raises(AffidavitError):
        workspace.credentials.follow_link("aff_link_nonsense", 8)


# -- keys that make keys


def test_a_key_ends_with_the_one_that_made_it(workspace: Workspace, acme: Tenant, clock: FixedClock) -> None:
    desk = workspace.credentials
    first, _ = desk.make_key(acme, "bob", "first", 3, DAVE)
    second, _ = desk.make_key(acme, "bob", "second", 90, DAVE, made_by=first.id)
    third, token = desk.rotate_key(acme, second.id, DAVE, 90, made_by=second.id)
    other, _ = desk.make_key(acme, "bob", "other", 3, DAVE)
    assert (second.made_by, third.made_by, other.made_by) == (first.id, second.id, "")
    assert second.expires == third.expires == first.expires  # none outlives what it was made by
    clock.advance(MINUTE)
    desk.end_key(acme, second.id, DAVE, alone=True)
    assert desk.whose(token, CredentialKind.KEY)
    assert desk.end_key(acme, first.id, DAVE) == [first.id, third.id]  # also through one that has ended
    assert refused(workspace, token, CredentialKind.KEY)
    assert [key["id"] for key in desk.keys(acme)] == [other.id]
    with pytest.raises(UnauthenticatedError):
        desk.make_key(acme, "bob", "late", 1, DAVE, made_by=first.id)
    workspace.verify()


def test_rotating_at_once_and_removing_end_what_was_made_too(workspace: Workspace, acme: Tenant) -> None:
    desk = workspace.credentials
    stolen, _ = desk.make_key(acme, "bob", "stolen", 3, DAVE)
    desk.make_key(acme, "bob", "the thief's", 3, DAVE, made_by=stolen.id)
    new, _ = desk.rotate_key(acme, stolen.id, DAVE, 3, 0)
    assert [key["id"] for key in desk.keys(acme)] == [new.id]
    desk.make_key(acme, "service:bot", "the thief's", 3, DAVE, made_by=new.id)
    workspace.people.remove(acme, "user:bob")
    assert desk.keys(acme) == []
    workspace.verify()


@pytest.mark.parametrize(
    "wider",
    [
        {"scopes": None},
        {"scopes": ["credential:change", "question:ask"]},
        {"scopes": ["credential:change"], "acts_for": ["user:alice"]},
        {"scopes": ["credential:change"], "principal": "bob"},
    ],
)
def test_no_key_makes_one_that_can_do_more(workspace: Workspace, acme: Tenant, wider: dict[str, Any]) -> None:
    key, _ = workspace.credentials.make_key(
        acme, "service:bot", "x", 3, DAVE, ["credential:change"], ["user:bob"]
    )
    good: dict[str, Any] = {"principal": "service:bot", "scopes": ["credential:change"]}
    workspace.credentials.make_key(acme, name="y", days=3, by=DAVE, made_by=key.id, **good)
    with pytest.raises(ForbiddenError):
        workspace.credentials.make_key(acme, name="y", days=3, by=DAVE, made_by=key.id, **{**good, **wider})


def test_nobody_changes_the_credentials_of_whoever_may_do_more(workspace: Workspace, acme: Tenant) -> None:
    desk, people = workspace.credentials, workspace.people
    people.grant(acme, "user:alice", "credential:change")
    people.join(acme, "user:bob", "admins")
    people.grant(acme, "group:admins", "role:admin")
    bobs, _ = desk.make_key(acme, "bob", "x", 1, DAVE)
    acts: list[Callable[[str], object]] = [
        lambda by: desk.make_link(acme, "bob", by),
        lambda by: desk.make_key(acme, "bob", "y", 1, by),
        lambda by: desk.make_key(acme, "service:bot", "y", 1, by, acts_for=["user:bob"]),
        lambda by: desk.rotate_key(acme, bobs.id, by, 1, 24),
        lambda by: desk.sign_out(acme, "bob", by),
        lambda by: desk.end_key(acme, bobs.id, by),
    ]
    for act in acts:
        with pytest.raises(AccessDeniedError):
            act("user:alice")
    people.grant(acme, "user:alice", "role:admin")
    for act in acts:
        act("user:alice")
