"""What is changed from pages: incidents, releases, looks, drills; and hostile names on every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.entrypoints.console.office import Office, at_work, looked_at, send, token
from tests.entrypoints.console.test_hostile import Page
from tests.entrypoints.console.test_panel_pages import PAGES

from affidavit.app.looking import LASTS
from affidavit.app.people import Entry
from affidavit.domain.errors import BusyError, UnauthenticatedError
from affidavit.store.credentials import CredentialKind

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202egnp.exe\x00"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with at_work(tmp_path) as office:
        yield office


def test_an_incident_is_opened_noted_and_closed(office: Office) -> None:
    ada, run = office.browse("ada"), office.ws.ask("How many days of annual leave?", "alice").run
    assert "No incident" in ada.get("/incidents").text
    page = send(ada, f"/incidents?run={run}", "/incidents", run=run, reason="it cites last year")
    assert "it cites last year" in page
    name = re.search(r"inc-[0-9a-f]{10}", page)
    assert name
    here = f"/incidents/{name[0]}"
    assert "told the owner" in send(ada, here, f"{here}/note", text="told the owner")
    assert "Close the incident" not in send(ada, here, f"{here}/close", text="mended")
    assert "closed" in ada.get("/incidents").text


def test_rules_are_published_and_taken_back(office: Office) -> None:
    ada = office.browse("ada")
    before = office.ws.parts.release().digest
    rules = {
        f"rules:{n}": t + '\n@id("no-more") forbid (principal, action in Action::"tool:call", resource);\n'
        for n, t in office.ws.policy.in_force().items()
    }
    unsure = ada.post("/policy/publish", data={"csrf": "x", **rules})
    assert unsure.status_code == 403
    rules["version"] = looked_at(ada, "/policy/edit")
    page = send(ada, "/policy/edit", "/policy/publish", **rules, reason="an audit", sure="yes")
    assert "answers now" in page
    late = {"csrf": token(ada.get("/policy/edit").text), **rules, "reason": "late", "sure": "yes"}
    refused = ada.post("/policy/publish", data=late)
    assert (refused.status_code, "no longer what you looked at" in refused.text) == (412, True)
    assert "no-more" in ada.get("/policy").text
    here = f"/releases/{before}"
    assert "no-more" in ada.get(here).text, "the difference is shown"
    assert "answers now" in send(ada, here, f"{here}/promote", reason="too strict", sure="yes")
    assert office.ws.parts.release().digest == before
    assert "no-more" not in ada.get("/policy").text


def test_whoever_looks_sees_a_banner_everywhere_and_changes_nothing(office: Office) -> None:
    ada = office.browse("ada")
    assert "Nobody looked" in ada.get("/access").text
    page = send(ada, "/access", "/access/look", person="bob", reason="he reports a wrong answer")
    assert "You look as" in page
    assert "__Host-affidavit-look" in ada.cookies
    for path in ("/", "/approvals", "/tools", "/why"):
        assert "You look as" in ada.get(path).text
    assert ada.get("/people").status_code == 403, "bob may not see it"
    assert ada.get("/why?source=wiki&document=pay/bonus.md").text.count("may read it") == 1
    here = f"/approvals/{office.waiting}"
    assert ada.get(here).status_code == 404, "bob was never asked"
    form = token(page)
    refused = ada.post("/controls/kill", data={"csrf": form, "what": "tenant", "sure": "yes", "reason": "x"})
    assert refused.status_code == 403
    assert office.ws.controls.kills(office.ws.parts.tenant("")) == []
    ended = send(ada, "/", "/access/look/end")
    assert "You look as" not in ended
    told = ada.get("/access").text
    assert "he reports a wrong answer" in told
    assert "documents" in told or "access.why" in told
    send(ada, "/access", "/access/look", person="bob", reason="once more")
    office.clock.advance(LASTS)
    assert "You look as" not in ada.get("/tools").text


def test_a_look_is_for_those_who_may(office: Office) -> None:
    carol = office.browse("carol")
    assert carol.get("/access").status_code == 403
    form = token(carol.get("/").text)
    answer = carol.post("/access/look", data={"csrf": form, "person": "bob", "reason": "curious"})
    assert answer.status_code == 403
    assert not [name for name in carol.cookies if "look" in name]


def test_a_drill_runs_on_a_copy_and_its_report_is_shown(office: Office) -> None:
    ada = office.browse("ada")
    page = send(ada, "/drills", "/drills", drill="revoke")
    assert "runs on a copy" in page
    for thread in office.ws.drill_book.threads:
        thread.join()
    page = ada.get("/drills").text
    assert "every promise was kept" in page
    assert office.browse("alice").post("/drills", data={"drill": "revoke"}).status_code == 403


def test_one_drill_at_a_time(office: Office) -> None:
    tenant = office.ws.parts.tenant("")
    office.ws.drill_book.begin(tenant, "revoke", "user:ada")
    with pytest.raises(BusyError, match="running"):
        office.ws.drill_book.begin(tenant, "delete", "user:ada")
    for thread in office.ws.drill_book.threads:
        thread.join()


def test_hostile_names_are_shown_and_do_nothing(office: Office) -> None:
    ws, ada = office.ws, office.browse("ada")
    tenant = ws.parts.tenant("")
    hostile = HOSTILE.replace("\x00", "")
    ws.load_people([Entry("user:mallory", frozenset({"group:staff"}), {"title": hostile})])
    ws.controls.kill(tenant, "source:wiki", "user:ada", hostile)
    run = ws.ask(hostile, "alice").run
    incident = ws.incidents.open(tenant, run, "user:ada", hostile).id
    call = ws.tools.call(tenant, "olga", "pay", {"to": hostile, "amount": 1, "text": hostile}).row.name
    ws.looking.begin(tenant, "user:ada", "bob", hostile)
    pages = [
        *PAGES,
        f"/incidents/{incident}",
        f"/approvals/{call}",
        f"/calls/{call}",
        "/people/user:mallory",
        f"/why?source={hostile}&document={hostile}&person={hostile}",
        f"/access?person={hostile}",
        f"/people?prefix={hostile}",
        f"/incidents?run={hostile}",
        f"/sources/{hostile}",
        f"/controls?what={hostile}",
    ]
    for page in pages:
        answer = ada.get(page)
        assert answer.status_code in (200, 400, 404), page
        assert Page(answer.text).faults == [], page
        assert "49" not in answer.text.split("alert(1)")[-1][:40], page


def test_every_link_leads_somewhere(office: Office) -> None:
    ws, ada = office.ws, office.browse("ada")
    tenant = ws.parts.tenant("")
    run = ws.ask("How many days of annual leave?", "alice").run
    incident = ws.incidents.open(tenant, run, "user:ada", "a wrong answer").id
    made = ws.tools.call(tenant, "olga", "send", {"to": "bob", "text": "hi"}).row.name
    ws.tools.undo(tenant, "olga", made)
    todo = [
        *PAGES,
        f"/runs/{run}",
        f"/incidents/{incident}",
        f"/calls/{made}",
        f"/approvals/{office.waiting}",
    ]
    todo.append("/why?source=wiki&document=pay/bonus.md&person=bob")
    seen: set[str] = set()
    while todo:
        path = todo.pop()
        if path in seen or path.startswith(("#", "/static", "/v1")):
            continue
        seen.add(path)
        answer = ada.get(path)
        assert answer.status_code == 200, path
        todo += [link.partition("#")[0] for link in Page(answer.text).leads if link.startswith("/")]
    assert len(seen) > 40


def test_people_are_put_into_groups_and_given_roles(office: Office) -> None:
    ada, here = office.browse("ada"), "/people/user:alice"
    assert "/people/group%3Afinance" in ada.get("/people/user:bob").text
    assert "/people/group%3Afinance" in send(ada, here, f"{here}/join", group="finance")
    assert "may read it" in ada.get("/why?source=wiki&document=pay/bonus.md&person=alice").text
    send(ada, here, f"{here}/leave", group="finance")
    assert "may not read it" in ada.get("/why?source=wiki&document=pay/bonus.md&person=alice").text
    assert "Roles: approver" in send(ada, here, f"{here}/grant", action="role:approver")
    assert "Roles: none" in send(ada, here, f"{here}/revoke", action="role:approver")
    dave = office.browse("alice")
    refused = dave.post(f"{here}/grant", data={"csrf": token(dave.get("/").text), "action": "role:admin"})
    assert refused.status_code == 403


def test_a_key_is_made_shown_once_rotated_and_taken_back(office: Office) -> None:
    ada = office.browse("ada")
    assert "There is no key" in ada.get("/keys").text
    page = send(ada, "/keys", "/keys", principal="user:bob", name="his script", days="9", scopes="run:read")
    secret = re.search(r"aff_key_[\w-]+", page)
    assert secret
    assert office.ws.credentials.whose(secret[0], CredentialKind.KEY).principal == "user:bob"
    listed = ada.get("/keys").text
    assert "his script" in listed
    assert secret[0] not in listed
    (key,) = office.ws.credentials.keys(office.ws.parts.tenant(""))
    assert "It replaces" in send(ada, "/keys", f"/keys/{key['id']}/rotate", days="9")
    assert "taken back" in send(ada, "/keys", f"/keys/{key['id']}/end")
    assert key["id"] not in ada.get("/keys").text
    with pytest.raises(UnauthenticatedError):
        office.ws.credentials.whose(secret[0], CredentialKind.KEY)


def test_who_confirms_rules_sees_what_changes_in_them(office: Office) -> None:
    ws, ada = office.ws, office.browse("ada")
    tenant = ws.parts.tenant("")
    ws.people.grant(tenant, "user:bob", "role:admin")
    ws.proposals.require(tenant, ["release:change"], "operator:test")
    rules = {f"rules:{n}": t for n, t in ws.policy.in_force().items()}
    first = next(iter(rules))
    rules[first] += '\n@id("no-more") forbid (principal, action in Action::"tool:call", resource);\n'
    rules["version"] = looked_at(ada, "/policy/edit")
    sent = {"csrf": token(ada.get("/policy/edit").text), **rules, "reason": "an audit", "sure": "yes"}
    assert "takes two people" in ada.post("/policy/publish", data=sent).text
    page = office.browse("bob").get("/approvals").text
    assert re.search(r"<ins>\+@id\(&#34;no-more&#34;\)", page)
    assert page.count("What changes in <code>") == 1, "of the file that changes alone"
    (waiting,) = ws.proposals.waiting(tenant)
    send(ada, "/approvals", f"/proposals/{waiting.id}/decline", reason="not today")
    ws.proposals.require(tenant, [], "operator:test")


def test_what_takes_two_people_is_confirmed_by_another(office: Office) -> None:
    ws, ada = office.ws, office.browse("ada")
    tenant = ws.parts.tenant("")
    ws.people.grant(tenant, "user:bob", "role:admin")
    ws.proposals.require(tenant, ["mode:change"], "operator:test")
    form = token(ada.get("/controls").text)
    sent = {"csrf": form, "mode": "read-only", "reason": "an audit", "sure": "yes"}
    assert "takes two people" in ada.post("/controls/mode", data=sent).text
    assert ws.controls.mode(tenant) == "live"
    (waiting,) = ws.proposals.waiting(tenant)
    assert "Take it back" in ada.get("/approvals").text
    assert "takes two people" not in office.browse("alice").get("/approvals").text
    bob = office.browse("bob")
    done = send(bob, "/approvals", f"/proposals/{waiting.id}/confirm", reason="agreed")
    assert "It is done, as theirs" in done
    assert ws.controls.mode(tenant) == "read-only"
