"""SCIM 2.0 as RFC 7644, Entra ID and Okta speak it: people and groups come, change and go, and nobody else changes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

import affidavit
from affidavit.app.people import REFUSED, Entry
from affidavit.app.provisioning import to_id
from affidavit.app.scimpatch import filtered
from affidavit.app.settings import DirectorySettings, LimitSettings, Settings
from affidavit.domain.errors import ProvisioningError
from affidavit.domain.events import EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.store.people import Tenant

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
UNLIMITED = LimitSettings(person_per_minute=0, tenant_per_minute=0)
BJENSEN = {  # RFC 7644, 3.3
    "schemas": [USER],
    "userName": "bjensen",
    "externalId": "bjensen",
    "name": {"formatted": "Ms. Barbara J Jensen III", "familyName": "Jensen", "givenName": "Barbara"},
}


@pytest.fixture
def acme(workspace: affidavit.Workspace) -> Tenant:
    people = [
        Entry("user:alice", frozenset({"group:staff"}), {"desk": "4b"}),
        Entry("user:bob", frozenset(), {}),
        Entry("service:directory", frozenset(), {}),
    ]
    workspace.load_people(people, "acme")
    tenant = workspace.parts.tenant("acme")
    workspace.people.grant(tenant, "service:directory", "people:change")
    return tenant


def key(ws: affidavit.Workspace, tenant: Tenant, who: str, scopes: list[str] | None = None) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {ws.credentials.make_key(tenant, who, 'x', 9, 'operator:dave', scopes)[1]}"
    }


@pytest.fixture
def scim(workspace: affidavit.Workspace, acme: Tenant) -> Iterator[TestClient]:
    headers = key(workspace, acme, "service:directory", ["people:change"])
    with TestClient(
        make_app(workspace), base_url="https://ask.example.com/scim/v2", headers=headers
    ) as client:
        yield client
    workspace.verify()


def patched(scim: TestClient, path: str, *operations: dict[str, Any]) -> Any:
    return scim.patch(path, json={"schemas": [PATCH], "Operations": list(operations)})


def find(scim: TestClient, kind: str, filter: str) -> list[dict[str, Any]]:
    answer = scim.get(kind, params={"filter": filter})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["Resources"]
    assert answer.json()["totalResults"] == len(found)
    return found


def user(scim: TestClient, name: str) -> dict[str, Any]:
    return find(scim, "/Users", f'userName eq "{name}"')[0]


def groups(ws: affidavit.Workspace, acme: Tenant, who: str) -> list[str]:
    found: list[str] = ws.people.show(acme, who)["groups"]
    return found


def test_a_directory_makes_nobody_what_it_is_not_itself(
    workspace: affidavit.Workspace, acme: Tenant, scim: TestClient
) -> None:
    """Its key would else be an administrator's: it could put whom it likes into the administrators' group."""
    desk = workspace.people
    workspace.load_people([Entry("user:carol", frozenset({"group:chiefs"}), {})], "acme")
    desk.grant(acme, "group:chiefs", "role:admin")
    desk.grant(acme, "user:erin", "audit:read")
    scim.post("/Groups", json={"displayName": "outer", "members": []})
    desk.join(acme, "group:outer", "chiefs")
    bob, carol = user(scim, "bob"), user(scim, "carol")
    add = {"op": "add", "path": "members", "value": [{"value": bob["id"]}]}
    out = {"op": "remove", "path": "members", "value": [{"value": carol["id"]}]}
    for name in ("chiefs", "outer"):
        (group,) = find(scim, "/Groups", f'displayName eq "{name}"')
        refused = patched(scim, f"/Groups/{group['id']}", add)
        assert (refused.status_code, "comes with grants" in refused.text) == (403, True)
        whole = {"displayName": name, "members": [{"value": bob["id"]}]}
        assert scim.put(f"/Groups/{group['id']}", json=whole).status_code == 403
        assert scim.delete(f"/Groups/{group['id']}").status_code == 403
    (chiefs,) = find(scim, "/Groups", 'displayName eq "chiefs"')
    assert patched(scim, f"/Groups/{chiefs['id']}", out).status_code == 403
    assert [m["value"] for m in chiefs["members"] if m["type"] == "User"] == [carol["id"]]
    assert scim.post("/Users", json={"userName": "erin"}).status_code == 403
    assert "group:chiefs" not in groups(workspace, acme, "user:bob")
    events = workspace.parts.events
    noted = [
        events.body(e) for e in events.of_kind(EventKind.AUDIT_PERFORMED) if e.facts["action"] == REFUSED
    ]
    assert {one["by"] for one in noted} == {"service:directory"}
    assert len(noted) == 7
    # whom the directory lets go is let go, whatever they were, and comes back by somebody who may say so
    off = {"op": "replace", "path": "active", "value": False}
    desk.grant(acme, "user:carol", "audit:read")
    assert patched(scim, f"/Users/{carol['id']}", off).status_code == 200
    assert patched(scim, f"/Users/{carol['id']}", {**off, "value": True}).status_code == 403
    desk.grant(acme, "service:directory", "role:admin")
    wide = key(workspace, acme, "service:directory")
    assert (
        patched(scim, f"/Users/{carol['id']}", {**off, "value": True}).status_code == 403
    )  # the key is for less
    scim.headers.update(wide)
    assert patched(scim, f"/Users/{carol['id']}", {**off, "value": True}).status_code == 200
    assert (
        patched(scim, f"/Groups/{chiefs['id']}", add).status_code == 403
    )  # nor is that an administrator's wish


def test_a_directory_changes_a_group_that_comes_with_grants_where_the_settings_name_it(
    workspace: affidavit.Workspace, acme: Tenant
) -> None:
    desk = workspace.people
    workspace.load_people([Entry("user:carol", frozenset({"group:chiefs"}), {})], "acme")
    desk.grant(acme, "group:chiefs", "role:auditor")
    desk.grant(acme, "user:alice", "people:change")
    settings = Settings(directory=DirectorySettings(("chiefs",)), limits=UNLIMITED)
    app, here = make_app(workspace, settings), "https://localhost/scim/v2"
    with (
        TestClient(app, here, headers=key(workspace, acme, "service:directory")) as scim,
        TestClient(app, here, headers=key(workspace, acme, "user:alice")) as alice,
    ):
        (chiefs,) = find(scim, "/Groups", 'displayName eq "chiefs"')
        whole = {"displayName": "chiefs", "members": [{"value": user(scim, "bob")["id"]}]}
        herself = {"op": "add", "path": "members", "value": [{"value": user(scim, "alice")["id"]}]}
        assert (
            patched(alice, f"/Groups/{chiefs['id']}", herself).status_code == 403
        )  # a person is no directory
        assert scim.put(f"/Groups/{chiefs['id']}", json=whole).status_code == 200
    assert groups(workspace, acme, "user:bob") == ["group:chiefs"]
    assert groups(workspace, acme, "user:carol") == []
    events = workspace.parts.events
    (joined, left) = [events.body(e) for e in events.of_kind(EventKind.MEMBERSHIP_CHANGED)][-2:]
    assert (joined["by"], joined["joined"], joined["principal"]) == (
        "service:directory",
        ["group:chiefs"],
        "user:bob",
    )
    assert (left["by"], left["left"], left["principal"]) == (
        "service:directory",
        ["group:chiefs"],
        "user:carol",
    )


# -- people


def test_somebody_comes_changes_and_goes(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    made = scim.post("/Users", json=BJENSEN)
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/scim+json"
    said = made.json()
    assert made.headers["location"] == said["meta"]["location"] == f"/scim/v2/Users/{said['id']}"
    assert {k: said[k] for k in BJENSEN} == BJENSEN
    assert said["active"] is True
    place = f"/Users/{said['id']}"
    assert scim.get(place).json() == said
    assert "user:bjensen" in workspace.people.names(acme)
    changed = scim.put(place, json={**BJENSEN, "title": "Tour Guide", "externalId": None})
    assert changed.json()["title"] == "Tour Guide"
    assert "externalId" not in changed.json()
    assert scim.delete(place).status_code == 204
    assert scim.get(place).status_code == 404
    assert scim.delete(place).status_code == 404
    assert "user:bjensen" not in workspace.people.names(acme)
    assert scim.post("/Users", json=BJENSEN).status_code == 201


def test_one_name_is_had_once(scim: TestClient) -> None:
    assert scim.post("/Users", json=BJENSEN).status_code == 201
    again = scim.post("/Users", json=BJENSEN)
    assert again.status_code == 409
    assert again.json()["scimType"] == "uniqueness"
    assert again.json()["status"] == "409"
    assert again.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


def test_what_is_known_from_elsewhere_stays(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    place = f"/Users/{user(scim, 'alice')['id']}"
    scim.put(place, json={"userName": "alice", "displayName": "Alice Ng"})
    shown = workspace.people.show(acme, "user:alice")
    assert shown["facts"]["desk"] == "4b"
    assert shown["groups"] == ["group:staff"]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Replace", "path": "active", "value": "False"},  # Entra ID
        {"op": "replace", "value": {"active": False}},  # Okta
        {"op": "replace", "path": f"{USER}:active", "value": False},
    ],
)
def test_who_is_deactivated_is_out_at_once_and_may_come_back(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant, operation: dict[str, Any]
) -> None:
    theirs = key(workspace, acme, "user:alice")
    _, session = workspace.credentials.begin_session(acme, "user:alice", "oidc", 8)
    assert scim.get("https://ask.example.com/v1/me", headers=theirs).status_code == 200
    place = f"/Users/{user(scim, 'alice')['id']}"
    patched(scim, place, {"op": "add", "path": "displayName", "value": "Alice Ng"})
    said = patched(scim, place, operation)
    assert said.status_code == 200
    assert said.json()["active"] is False
    assert scim.get("https://ask.example.com/v1/me", headers=theirs).status_code == 401
    assert workspace.credentials.sessions(acme) == []
    assert session not in workspace.people.names(acme)
    assert "user:alice" not in workspace.people.names(acme)
    assert user(scim, "alice")["active"] is False  # the directory still finds it
    assert patched(scim, place, operation).json()["active"] is False
    back = patched(scim, place, {"op": "replace", "path": "active", "value": True}).json()
    assert (back["active"], back["displayName"], back["groups"]) == (True, "Alice Ng", [])
    assert scim.get("https://ask.example.com/v1/me", headers=theirs).status_code == 401
    patched(scim, place, operation)
    assert scim.delete(place).status_code == 204
    assert find(scim, "/Users", 'userName eq "alice"') == []


def test_who_comes_inactive_is_known_and_not_in(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    said = scim.post("/Users", json={**BJENSEN, "active": False})
    assert said.status_code == 201
    assert said.json()["active"] is False
    assert "user:bjensen" not in workspace.people.names(acme)


def test_as_entra_changes_a_person(scim: TestClient) -> None:
    place = f"/Users/{user(scim, 'bob')['id']}"
    said = patched(
        scim,
        place,
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "bob@acme.example"},
        {"op": "Add", "path": "name.givenName", "value": "Bob"},
        {
            "op": "Add",
            "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            "value": "x",
        },
        {"op": "Add", "path": 'phoneNumbers[type eq "work"].value', "value": "555"},
        {"op": "Replace", "value": {"name.familyName": "Tanaka", "externalId": "e-7", f"{USER}:title": "Dr"}},
    ).json()
    assert said["emails"] == [{"type": "work", "value": "bob@acme.example"}]
    assert said["name"] == {"givenName": "Bob", "familyName": "Tanaka"}
    assert (said["externalId"], said["title"]) == ("e-7", "Dr")
    assert "phoneNumbers" not in said
    again = patched(
        scim,
        place,
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "b@acme.example"},
        {"op": "remove", "path": "title"},
        {"op": "remove", "path": "name.givenName"},
    ).json()
    assert again["emails"] == [{"type": "work", "value": "b@acme.example"}]
    assert "title" not in again
    assert again["name"] == {"familyName": "Tanaka"}


def test_an_address_is_the_name_that_sign_in_knows(scim: TestClient) -> None:
    made = scim.post("/Users", json={"userName": "Carol@ACME.example"}).json()
    assert made["userName"] == "carol@acme.example"
    assert user(scim, "CAROL@acme.example")["id"] == made["id"]
    assert scim.put(f"/Users/{made['id']}", json={"userName": "Carol@acme.example"}).status_code == 200


# -- groups


def test_a_group_and_its_members(scim: TestClient, workspace: affidavit.Workspace, acme: Tenant) -> None:
    alice, bob = user(scim, "alice")["id"], user(scim, "bob")["id"]
    made = scim.post("/Groups", json={"displayName": "Tour Guides", "members": [{"value": alice}]}).json()
    place = f"/Groups/{made['id']}"
    assert [m["display"] for m in made["members"]] == ["alice"]
    assert groups(workspace, acme, "user:alice") == ["group:Tour Guides", "group:staff"]
    assert user(scim, "alice")["groups"][0]["value"] == made["id"]
    patched(scim, place, {"op": "Add", "path": "members", "value": [{"value": bob}, {"value": alice}]})
    assert groups(workspace, acme, "user:bob") == ["group:Tour Guides"]
    patched(scim, place, {"op": "remove", "path": f'members[value eq "{bob}"]'})
    assert groups(workspace, acme, "user:bob") == []
    patched(scim, place, {"op": "Remove", "path": "members", "value": [{"value": alice}]})  # Entra ID
    assert groups(workspace, acme, "user:alice") == ["group:staff"]
    patched(scim, place, {"op": "replace", "value": {"id": made["id"], "members": [{"value": bob}]}})  # Okta
    assert [m["value"] for m in scim.get(place).json()["members"]] == [bob]
    patched(scim, place, {"op": "remove", "path": "members"})
    assert scim.get(place).json()["members"] == []
    assert "members" not in scim.get(place, params={"excludedAttributes": "members"}).json()
    assert scim.delete(place).status_code == 204
    assert find(scim, "/Groups", 'displayName eq "Tour Guides"') == []


def test_groups_within_groups_and_services_that_stay(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    workspace.people.join(acme, "service:directory", "outer")
    inner = scim.post("/Groups", json={"displayName": "inner"}).json()["id"]
    outer = find(scim, "/Groups", 'displayName eq "outer"')[0]
    assert outer["members"] == []
    said = scim.put(
        f"/Groups/{outer['id']}", json={"displayName": "outer", "members": [{"value": inner}]}
    ).json()
    assert [(m["display"], m["type"]) for m in said["members"]] == [("inner", "Group")]
    assert groups(workspace, acme, "service:directory") == ["group:outer"]


def test_an_operation_that_fails_undoes_those_before_it(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    bob = user(scim, "bob")["id"]
    place = "/Groups/" + scim.post("/Groups", json={"displayName": "desk"}).json()["id"]
    head = workspace.parts.log.head()
    answer = patched(
        scim,
        place,
        {"op": "add", "path": "members", "value": [{"value": bob}]},
        {"op": "add", "path": "members", "value": [{"value": "u-bm9ib2R5"}]},
    )
    assert answer.status_code == 400
    assert groups(workspace, acme, "user:bob") == []
    assert workspace.parts.log.head() == head


# -- finding


def test_pages_and_what_directories_ask_by(scim: TestClient) -> None:
    for number in range(7):
        scim.post("/Users", json={"userName": f"p{number}", "externalId": f"x{number}"})
    first = scim.get("/Users", params={"startIndex": 1, "count": 5}).json()
    second = scim.get("/Users", params={"startIndex": 6, "count": 5}).json()
    assert (first["totalResults"], first["itemsPerPage"], second["startIndex"], second["itemsPerPage"]) == (
        9,
        5,
        6,
        4,
    )
    names = [r["userName"] for r in (*first["Resources"], *second["Resources"])]
    assert names == ["alice", "bob", *(f"p{n}" for n in range(7))]
    assert scim.get("/Users", params={"count": 0}).json()["Resources"] == []
    assert scim.get("/Users", params={"startIndex": -3, "count": -1}).json()["totalResults"] == 9
    assert scim.get("/Users", params={"startIndex": "abc"}).status_code == 400
    assert [r["userName"] for r in find(scim, "/Users", 'externalId eq "x3"')] == ["p3"]
    assert find(scim, "/Users", 'userName eq "p3" and externalId eq "x4"') == []
    assert find(scim, "/Users", 'userName eq "nobody"') == []
    assert find(scim, "/Users", 'userName eq "a\\"b"') == []
    group = scim.post(
        "/Groups", json={"displayName": "g", "members": [{"value": user(scim, "p1")["id"]}]}
    ).json()
    member = user(scim, "p1")["id"]
    assert len(find(scim, "/Groups", f'id eq "{group["id"]}" and members eq "{member}"')) == 1
    assert len(find(scim, "/Groups", f'members[value eq "{member}"]')) == 1
    only = scim.get("/Users", params={"attributes": "userName", "count": 1}).json()["Resources"][0]
    assert set(only) == {"schemas", "id", "meta", "userName"}


@pytest.mark.parametrize(
    "filter",
    [
        "userName",
        'userName co "a"',
        "userName eq a",
        'userName eq "a" or id eq "b"',
        "(",
        'password eq "x"',
        'a eq "b" garbage',
        'name.givenName eq "b"',
        "active eq false",
        'title eq "a" and title eq "b"',
    ],
)
def test_a_filter_that_is_not_understood_finds_nothing_and_says_so(scim: TestClient, filter: str) -> None:
    answer = scim.get("/Users", params={"filter": filter})
    assert answer.status_code == 400
    assert answer.json()["scimType"] == "invalidFilter"


@pytest.mark.slow
def test_ten_thousand_people(workspace: affidavit.Workspace, acme: Tenant, scim: TestClient) -> None:
    """Whatever is asked for, no more of them are read than are shown."""
    many = 10_000
    entries = [
        Entry(
            f"user:p{n:05}",
            frozenset({f"group:team{n % 100:02}"}),
            {"scim": {"externalId": f"x{n}", "title": "Dr" if n % 1000 == 0 else "Ms", "emails": _mail(n)}},
        )
        for n in range(many)
    ]
    teams = [Entry(f"group:team{n:02}", frozenset()) for n in range(100)]
    workspace.load_people([*teams, *entries], "acme")
    names: list[str] = []
    while True:
        page = scim.get("/Users", params={"startIndex": len(names) + 1, "count": 200}).json()
        assert page["totalResults"] == many + 2
        if not page["Resources"]:
            break
        names += [one["userName"] for one in page["Resources"]]
    assert names == ["alice", "bob", *(f"p{n:05}" for n in range(many))]
    for kind, filter, found in (
        ("/Users", 'externalId eq "x777"', ["p00777"]),
        ("/Users", 'emails.value eq "p42@acme.example"', ["p00042"]),
        ("/Users", 'emails[value eq "p42@acme.example"]', ["p00042"]),
        ("/Users", 'title eq "Dr" and active eq true', [f"p{n:05}" for n in range(0, many, 1000)]),
        ("/Users", 'title eq "Dr" and externalId eq "x5"', []),
        ("/Groups", f'members eq "{to_id("user:p00042")}"', ["team42"]),
        ("/Groups", 'members eq "nonsense"', []),
    ):
        seen, shown = _counted(workspace, scim, kind, filter)
        assert shown == found
        assert seen <= 5 * len(found) + 12, (filter, seen)
    answer = scim.get("/Users", params={"filter": 'title eq "Ms"', "startIndex": 9001, "count": 3}).json()
    assert (answer["totalResults"], answer["itemsPerPage"]) == (9990, 3)
    assert (
        scim.get("/Users", params={"filter": 'title eq "Ms"', "startIndex": 20_000}).json()["Resources"] == []
    )


def _mail(n: int) -> Any:
    return [{"type": "work", "value": f"p{n}@acme.example"}]


def _counted(ws: affidavit.Workspace, scim: TestClient, kind: str, filter: str) -> tuple[int, list[str]]:
    """How many statements it took, and who was found."""
    seen: list[str] = []
    made = type(ws.parts.database).all, type(ws.parts.database).one
    with pytest.MonkeyPatch.context() as patch:
        for name, function in zip(("all", "one"), made, strict=True):

            def counted(self: Any, sql: str, parameters: Any = (), of: Any = function) -> Any:
                seen.append(sql)
                return of(self, sql, parameters)

            patch.setattr(type(ws.parts.database), name, counted)
        found = find(scim, kind, filter)
    return len(seen), [one["userName" if kind == "/Users" else "displayName"] for one in found]


def test_filters() -> None:
    assert filtered(f'{USER}:userName eq "A b" AND active eq true') == [
        ("username", "A b"),
        ("active", "true"),
    ]
    with pytest.raises(ProvisioningError):
        filtered('userName eq "a" and')


# -- what is refused


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"Operations": []}, "invalidSyntax"),
        ({"Operations": [{"op": "move", "path": "title"}]}, "invalidSyntax"),
        ({"Operations": [{"op": "remove"}]}, "noTarget"),
        ({"Operations": [{"op": "replace", "path": "nonsense", "value": 1}]}, "invalidPath"),
        ({"Operations": [{"op": "replace", "path": "a b[", "value": 1}]}, "invalidPath"),
        ({"Operations": [{"op": "replace", "path": "userName", "value": "eve"}]}, "mutability"),
        ({"Operations": [{"op": "remove", "path": "userName"}]}, "mutability"),
        ({"Operations": [{"op": "replace", "path": "active", "value": "maybe"}]}, "invalidValue"),
        ({"Operations": [{"op": "replace", "path": "title", "value": {"a": 1}}]}, "invalidValue"),
        ({"Operations": [{"op": "replace", "path": "title", "value": "x" * 20_000}]}, "invalidValue"),
        ({"Operations": [{"op": "replace", "path": "emails", "value": "x"}]}, "invalidValue"),
        ({"Operations": [{"op": "replace", "path": 'emails[value eq "x"].type', "value": "x"}]}, "noTarget"),
        ({"schemas": ["urn:x"], "Operations": [{"op": "remove", "path": "title"}]}, "invalidSyntax"),
        ([], "invalidSyntax"),
    ],
    ids=str,
)
def test_a_patch_that_cannot_be(
    scim: TestClient, workspace: affidavit.Workspace, body: Any, kind: str
) -> None:
    head = workspace.parts.log.head()
    answer = scim.patch(f"/Users/{user(scim, 'bob')['id']}", json=body)
    assert (answer.status_code, answer.json()["scimType"]) == (400, kind)
    assert workspace.parts.log.head() == head


@pytest.mark.parametrize("name", ["", None, 7, "a\u200bb", " a", "x" * 300, "a\x00b"])
def test_a_name_that_nobody_can_have(scim: TestClient, name: Any) -> None:
    assert scim.post("/Users", json={"userName": name}).status_code == 400


def test_what_is_nested_deeper_than_can_be_read_again_is_not_kept(scim: TestClient) -> None:
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    answer = scim.post("/Users", json={"userName": "zed", "name": {"givenName": deep}})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert (
        scim.post("/Users", json={"userName": "zed", "emails": [{"value": "z@acme.example"}]}).status_code
        == 201
    )


def test_not_json_and_too_much(scim: TestClient) -> None:
    for content in (b"{", b"[" * 100_000, b"\xff"):
        answer = scim.post("/Users", content=content)
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidSyntax")
    assert scim.post("/Users", content=b" " * 8_000_001).status_code in (400, 413)


@pytest.mark.parametrize(
    "id", ["x", "u-", "u-!!!", "u-YQ", "u-YWxpY2U=", "g-YWxpY2U", "s-ZGlyZWN0b3J5", "u-_____w"]
)
def test_ids_of_nobody(scim: TestClient, id: str) -> None:
    assert scim.get(f"/Users/{id}").status_code == 404
    assert scim.delete(f"/Users/{id}").status_code == 404


def test_only_who_may_change_people_does(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    alice = user(scim, "alice")["id"]
    workspace.people.grant(acme, "user:bob", "role:auditor")
    narrow = key(workspace, acme, "service:directory", ["people:read"])
    for headers, status in (
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer aff_key_x"}, 401),
        (key(workspace, acme, "user:alice"), 403),
        (key(workspace, acme, "user:bob"), 403),
        (narrow, 403),
    ):
        head = workspace.parts.log.head()
        for method, path in (
            ("GET", "/Users"),
            ("GET", f"/Users/{alice}"),
            ("POST", "/Users"),
            ("PUT", f"/Users/{alice}"),
            ("PATCH", f"/Users/{alice}"),
            ("DELETE", f"/Users/{alice}"),
            ("GET", "/Groups"),
            ("GET", "/Schemas"),
        ):
            body = None if method in ("GET", "DELETE") else BJENSEN
            answer = scim.request(method, path, headers=headers, json=body)
            assert answer.status_code == status, (method, path)
            assert "alice" not in json.dumps({**answer.json(), "detail": ""})
        assert workspace.parts.log.head() == head


def test_another_tenants_people_are_not_there(
    scim: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    workspace.load_people(
        [Entry("user:gina", frozenset({"group:hers"}), {}), Entry("service:d", frozenset(), {})], "globex"
    )
    globex = workspace.parts.tenant("globex")
    workspace.people.grant(globex, "service:d", "people:change")
    theirs = key(workspace, globex, "service:d")
    alice = user(scim, "alice")["id"]
    assert [r["userName"] for r in scim.get("/Users", headers=theirs).json()["Resources"]] == ["gina"]
    assert scim.get(f"/Users/{alice}", headers=theirs).status_code == 404
    assert scim.delete(f"/Users/{alice}", headers=theirs).status_code == 404
    assert find(scim, "/Groups", 'displayName eq "hers"') == []


def test_what_clients_ask_first(scim: TestClient) -> None:
    assert scim.get("/ServiceProviderConfig").json()["patch"] == {"supported": True}
    for name, ids in (
        ("ResourceTypes", ["User", "Group"]),
        ("Schemas", [USER, USER.replace("User", "Group")]),
    ):
        found = scim.get(f"/{name}").json()
        assert [one["id"] for one in found["Resources"]] == ids
        assert scim.get(f"/{name}/{ids[1]}").json() == found["Resources"][1]
        assert scim.get(f"/{name}/nonsense").status_code == 404
