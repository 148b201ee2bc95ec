"""Pages for looking after a workspace: who sees them, what they say, and that a form does what it says and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.entrypoints.console.office import Office, at_work, send, token

from affidavit.entrypoints.console.pages_policy import comment

PAGES = {
    "/approvals": "approval:read",
    "/tools": "tool:read",
    "/levels": "status:read",
    "/sources": "source:read",
    "/sources/wiki": "source:read",
    "/chunks?source=wiki&document=staff/leave.md": "source:read",
    "/why": "document:read",
    "/costs": "money:read",
    "/incidents": "incident:manage",
    "/policy": "policy:read",
    "/policy/edit": "policy:read",
    "/releases": "policy:read",
    "/controls": "status:read",
    "/drills": "drill:run",
    "/people": "people:read",
    "/people/user:alice": "people:read",
    "/access": "access:look",
    "/keys": "credential:change",
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with at_work(tmp_path) as office:
        yield office


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """For tests that only look."""
    with at_work(tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest.mark.parametrize("page", PAGES)
def test_each_page_is_for_whoever_may_and_for_nobody_else(shared: Office, page: str) -> None:
    everybody = {"approval:read", "tool:read", "document:read"}
    assert shared.browse("ada").get(page).status_code == 200
    assert shared.browse("alice").get(page).status_code == (200 if PAGES[page] in everybody else 403)


def test_the_navigation_leads_only_where_one_may_go(shared: Office) -> None:
    mine = shared.browse("alice").get("/").text
    for page, action in PAGES.items():
        if action not in ("approval:read", "tool:read", "document:read"):
            assert f'href="{page}"' not in mine
    assert 'href="/controls"' in shared.browse("ada").get("/").text


def test_an_approver_is_told_what_a_yes_does_and_says_it(office: Office) -> None:
    carol = office.browse("carol")
    assert office.waiting in carol.get("/approvals").text
    page = carol.get(f"/approvals/{office.waiting}").text
    for said in ("Pay somebody.", "It cannot be undone.", "5000", "pay was never called before"):
        assert said in page
    after = send(
        carol,
        f"/approvals/{office.waiting}",
        f"/approvals/{office.waiting}/approve",
        reason="I know Acme",
    )
    assert "Your yes is on record" in after
    assert "I know Acme" in after
    assert "Nothing waits" in carol.get("/approvals").text
    assert "I know Acme" in carol.get("/approvals").text


def test_a_no_is_a_no(office: Office) -> None:
    here = f"/approvals/{office.waiting}"
    assert "Your no is on record" in send(office.browse("carol"), here, f"{here}/deny", reason="too much")
    (call,) = office.ws.tools.newest(office.ws.parts.tenant(""))
    assert call["state"] == "denied"


def test_whoever_asked_sees_it_and_cannot_say_yes(shared: Office) -> None:
    page = shared.browse("olga").get(f"/approvals/{shared.waiting}")
    assert page.status_code == 200
    assert "somebody else must decide" in page.text
    assert "formaction" not in page.text
    assert shared.browse("alice").get(f"/approvals/{shared.waiting}").status_code == 404
    assert shared.waiting not in shared.browse("alice").get("/approvals").text


def test_a_call_is_put_right(office: Office) -> None:
    made = office.ws.tools.call(office.ws.parts.tenant(""), "olga", "send", {"to": "bob", "text": "hi"})
    assert made.state.value == "done"
    after = send(office.browse("olga"), f"/calls/{made.row.name}", f"/calls/{made.row.name}/undo")
    assert "It puts right" in after
    assert "It was put right by" in office.browse("olga").get(f"/calls/{made.row.name}").text


def test_the_kill_switch_stops_and_lets_go_on_with_a_reason(office: Office) -> None:
    ada = office.browse("ada")
    unsure = ada.get("/controls").text
    assert "Everything runs" in unsure
    after = send(ada, "/controls", "/controls/kill", what="source:wiki", reason="a leak", sure="yes")
    assert "source:wiki is stopped" in after
    assert "a leak" in after
    assert "stopped" in ada.get("/sources").text
    after = send(ada, "/controls", "/controls/revive", what="source:wiki", reason="mended")
    assert "Everything runs" in after
    assert "mended" in after


def test_nothing_is_stopped_without_the_tick(office: Office) -> None:
    ada = office.browse("ada")
    form = token(ada.get("/controls").text)
    refused = ada.post("/controls/kill", data={"csrf": form, "what": "tenant", "reason": "oops"})
    assert refused.status_code == 400
    assert office.ws.controls.kills(office.ws.parts.tenant("")) == []


def test_the_mode_is_changed_and_the_change_is_shown(office: Office) -> None:
    after = send(
        office.browse("ada"), "/controls", "/controls/mode", mode="read-only", reason="an audit", sure="yes"
    )
    assert "an audit" in after
    assert office.ws.controls.mode(office.ws.parts.tenant("")) == "read-only"
    tried = send(
        office.browse("ada"),
        "/policy",
        "/policy/try",
        person="user:olga",
        tool="send@1",
        arguments='{"to": "bob"}',
    )
    assert "forbid" in tried


def test_why_somebody_may_read_a_document(shared: Office) -> None:
    ada = shared.browse("ada")
    yes = ada.get("/why?source=wiki&document=pay/bonus.md&person=bob").text
    assert "may read it" in yes
    assert "allow group:finance" in yes
    no = ada.get("/why?source=wiki&document=pay/bonus.md&person=alice").text
    assert "may not read it" in no
    alice = shared.browse("alice")
    mine = alice.get("/why?source=wiki&document=pay/bonus.md").text
    absent = alice.get("/why?source=wiki&document=pay/none.md").text
    assert mine.replace("bonus", "none") == absent


def test_rules_are_tried_changed_and_published(office: Office) -> None:
    ada = office.browse("ada")
    tried = send(
        ada, "/policy", "/policy/try", person="user:olga", tool="pay@1", arguments='{"to": "x", "amount": 1}'
    )
    assert "needs approval" in tried
    assert "not JSON" in send(ada, "/policy", "/policy/try", person="olga", tool="pay@1", arguments="{")
    files = office.ws.policy.in_force()
    before = office.ws.parts.release().digest
    more = dict(files)
    name = next(iter(more))
    more[name] += '\n@id("nobody-pays") forbid (principal, action == Action::"tool:call", resource);\n'
    rules = {f"rules:{n}": text for n, text in more.items()}
    checked = send(ada, "/policy/edit", "/policy/check", **rules)
    assert "nobody-pays" in checked
    assert office.ws.parts.release().digest == before


def test_rules_are_shown_with_what_is_written_above_them() -> None:
    text = "// -- money\n\n@id(1)\npermit;\n\n// Nobody alone.\n// Ever.\n@id(2)\nforbid;\n@id(3)\nforbid;\n"
    above = [comment({"file": "a", "line": line}, {"a": text}) for line in (3, 8, 10)]
    assert above == ["money", "Nobody alone. Ever.", ""]
    assert comment({"file": "b", "line": 3}, {"a": text}) == ""


def test_promises_are_shown_with_their_error_budgets(office: Office) -> None:
    tenant = office.ws.parts.tenant("")
    ada = office.browse("ada")
    assert "Nothing is promised yet" in ada.get("/levels").text
    office.ws.levels.set(tenant, "freshness", "99", "operator:test", 3_600)
    office.ws.levels.set(tenant, "citations", "100", "operator:test")
    office.ws.ask("How many days of annual leave?", "alice")
    page = ada.get("/levels").text
    assert "citations of all answers: error budget used" in page
    assert "0 % of 30 days" in page
    assert "99.00 %" in page
    office.clock.advance(7_200 * 1_000_000)
    assert "breached" in office.browse("ada").get("/levels").text
