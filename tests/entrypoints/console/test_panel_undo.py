"""See, try, change, undo: promises, budgets, checks, stops and modes; and what is said of calls."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import pytest
from tests.entrypoints.console.office import Office, at_work, looked_at, send, token

from affidavit.domain.canonical import Json
from affidavit.entrypoints.console.told import happened, spans


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with at_work(tmp_path_factory.mktemp("office")) as office:
        yield office


def test_a_level_is_promised_and_promised_no_longer(office: Office) -> None:
    ada = office.browse("ada")
    said = {"level": "freshness", "percent": "99.5", "within": "2", "unit": "hours", "days": "7"}
    page = send(ada, "/levels", "/levels/promise", **said, source="")
    assert "99.50 %" in page
    assert "in 2\N{NARROW NO-BREAK SPACE}h" in page
    wrong = ada.post("/levels/promise", data={"csrf": token(page), **said, "within": "soon"})
    assert wrong.status_code == 400
    assert "is no time" in wrong.text
    page = send(ada, "/levels", "/levels/withdraw", level="freshness", source="")
    assert "99.50 %" not in page
    page = office.browse("olga").get("/levels").text
    assert "What is promised" in page
    assert "/levels/promise" not in page, "an operator looks, and promises nothing"


def test_a_budget_is_set_and_taken_away(office: Office) -> None:
    ada = office.browse("ada")
    page = send(
        ada, "/costs", "/costs/budget", amount="25", per="month", whose="each", person="", requests=""
    )
    assert "0.00 USD of 25.00 USD" in page.replace("\N{NARROW NO-BREAK SPACE}", " ")
    number = re.search(r'name="budget" value="(\d+)"', page)
    assert number
    assert "Nothing limits" in send(ada, "/costs", "/costs/unlimited", budget=number[1])


def test_a_source_is_checked_from_its_page(office: Office) -> None:
    olga = office.browse("olga")
    page = send(olga, "/sources/wiki", "/sources/wiki/check")
    assert "Checked just now" in page
    assert "Nothing was taken in" in page
    assert "torn.pdf" in page


def test_who_can_read_a_document_is_asked_from_the_document(office: Office) -> None:
    ada = office.browse("ada")
    page = ada.get("/document", params={"source": "wiki", "document": "staff/leave.md"}).text
    assert 'action="/why"' in page
    asked = {"source": "wiki", "document": "staff/leave.md", "person": "user:bob"}
    assert "may read it" in ada.get("/why", params=asked).text


def test_a_stop_and_a_mode_say_what_undoing_them_undoes(office: Office) -> None:
    ada = office.browse("ada")
    assert "That undoes what" in ada.get("/controls").text
    send(ada, "/controls", "/controls/kill", what="tool:pay", reason="it paid twice", sure="yes")
    page = ada.get("/tools/pay@1").text
    assert "it paid twice" in page
    assert "Undo: let it go on" in page
    send(ada, "/controls", "/controls/revive", what="tool:pay", reason="mended")
    assert "Undo: let it go on" not in ada.get("/tools/pay@1").text


def test_what_takes_two_people_waits_on_the_page_that_it_concerns(office: Office) -> None:
    ws, ada = office.ws, office.browse("ada")
    tenant = ws.parts.tenant("")
    ws.people.grant(tenant, "user:bob", "role:admin")
    ws.proposals.require(tenant, ["level:change"], "operator:test")
    said = {"level": "citations", "percent": "100", "within": "", "days": "30", "source": ""}
    page = ada.post("/levels/promise", data={"csrf": token(ada.get("/levels").text), **said}).text
    assert "It takes two people, so it waits" in page
    (waiting,) = ws.proposals.waiting(tenant)
    bob = office.browse("bob")
    page = bob.get("/levels").text
    assert "takes two people" in page
    assert f"/proposals/{waiting.id}/confirm" in page
    assert waiting.id not in bob.get("/costs").text
    assert re.search(r'class="count">1<', page), "one change waits for bob"
    assert not re.search(r'class="count"', ada.get("/levels").text), "her own does not wait for her"
    done = send(bob, "/levels", f"/proposals/{waiting.id}/confirm", reason="agreed", back="/levels")
    assert "It is done, as theirs" in done
    assert "100.00 %" in done
    ws.proposals.require(tenant, [], "operator:test")


def test_after_a_word_nobody_is_led_to_another_site(office: Office) -> None:
    ws, ada = office.ws, office.browse("ada")
    tenant = ws.parts.tenant("")
    ws.proposals.require(tenant, ["mode:change"], "operator:test")
    form = {"csrf": token(ada.get("/controls").text), "mode": "read-only", "reason": "x", "sure": "yes"}
    ada.post("/controls/mode", data=form)
    (waiting,) = ws.proposals.waiting(tenant)
    sent = {"csrf": form["csrf"], "reason": "", "back": "https://evil.example/x"}
    answer = ada.post(f"/proposals/{waiting.id}/decline", data=sent, follow_redirects=False)
    assert answer.headers["location"].startswith("/")
    assert "evil" not in answer.headers["location"]
    ws.proposals.require(tenant, [], "operator:test")


def test_the_inbox_says_what_is_unusual_and_counts_what_waits_for_one(office: Office) -> None:
    page = office.browse("carol").get("/approvals").text
    assert "pay was never called before" in page
    assert re.search(r'href="/approvals"[^>]*>Approvals <span class="count">1<', page)
    assert 'class="count"' not in office.browse("olga").get("/").text, "she asked for it herself"


def test_a_run_tells_of_its_call_as_a_person_reads_it(office: Office) -> None:
    tenant = office.ws.parts.tenant("")
    asked: dict[str, Json] = {"to": "<b>Globex</b>", "amount": 900, "text": "the deposit\n\u202egnp"}
    call = office.ws.tools.call(tenant, "olga", "pay", asked).row
    send(office.browse("carol"), f"/approvals/{call.name}", f"/approvals/{call.name}/approve", reason="known")
    page = office.browse("ada").get(f"/runs/{call.run}").text
    for told in ("Call of pay@1", "irreversible-needs-approver", "A person said yes", "known", "&lt;b&gt;"):
        assert told in page, told
    assert "<b>Globex" not in page
    assert "\u202e" not in page
    own = office.browse("olga").get(f"/runs/{call.run}").text
    assert "A person said yes" in own
    assert "/policy#rule-" not in own, "she may not see the policy"
    story = office.ws.tools.story(tenant, call.name)
    moments = happened(story)
    assert [m.position for m in moments] == sorted(m.position for m in moments)
    assert [m.word for m in moments][:2] == ["needs_approval", "approved"]
    assert "Undo this call" not in office.browse("olga").get(f"/calls/{call.name}").text, "pay has no undo"


def test_where_the_time_of_a_call_went(office: Office) -> None:
    tenant = office.ws.parts.tenant("")
    call = office.ws.tools.call(tenant, "olga", "pay", {"to": "Initech", "amount": 1, "text": ""}).row
    assert spans(office.ws.tools.story(tenant, call.name)) == []
    office.clock.advance(90 * 1_000_000)
    office.ws.tools.approve(tenant, "carol", call.name, "yes")
    laps = spans(office.ws.tools.story(tenant, call.name))
    assert (laps[0].name, laps[0].length) == ("deciding", 90_000_000)
    assert "1\N{NARROW NO-BREAK SPACE}min 30" in office.browse("olga").get(f"/runs/{call.run}").text


def test_an_incident_gives_its_evidence_as_a_file(office: Office) -> None:
    ada, run = office.browse("ada"), office.ws.ask("How many days of annual leave?", "alice").run
    page = send(ada, "/incidents", "/incidents", run=run, reason="wrong")
    (name,) = set(re.findall(r"inc-[0-9a-f]{10}", page))
    form = {"csrf": token(page)}
    packed = ada.post(f"/incidents/{name}/pack", data=form)
    assert packed.headers["content-disposition"] == f'attachment; filename="{name}.zip"'
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert f"{name}/proof.json" in archive.namelist()
    assert "packed the evidence" in ada.get(f"/incidents/{name}").text


def test_what_if_takes_several_changes_at_once(office: Office) -> None:
    run = office.ws.ask("What is the bonus of managers?", "alice").run
    ada = office.browse("ada")
    here = f"/runs/{run}/what-if"
    page = send(ada, here, here, **{"as": "user:bob"})
    assert "It was refused, it would be answered." in page
    page = send(ada, here, here, **{"as": "user:bob", "without": "pay/bonus.md", "position": "now"})
    assert "It would be the same" in page or "it would be answered" not in page
    rules = '[[rule]]\nmatch = "wiki/pay/**"\nallow = ["group:staff"]\n'
    page = send(ada, here, here, policy=rules)
    assert "it would be answered" in page
    assert "nothing was changed" in ada.post(here, data={"csrf": token(page)}).text


def test_charts_lead_to_the_runs_behind_them_and_take_a_range(office: Office) -> None:
    ada = office.browse("ada")
    office.ws.ask("How many days of annual leave?", "alice")
    page = ada.get("/levels?days=7").text
    lead = re.search(r'href="(/runs\?journey=ask[^"]+)"[^>]*aria-label="[^"]*answered [1-9]', page)
    assert lead
    assert "annual leave" in ada.get(lead[1].replace("&amp;", "&")).text
    early = ada.get("/levels?days=7&until=2020-01-07").text
    assert "from 2020-01-01 to 2020-01-07" in early
    assert ada.get("/levels?until=2020-13-77").status_code == 400


def test_a_tool_that_everybody_is_forbidden_can_still_be_tried(office: Office) -> None:
    ada = office.browse("ada")
    before = office.ws.parts.release().digest
    rules = {
        f"rules:{n}": t + '\n@id("nobody") forbid (principal, action in Action::"tool:call", resource);\n'
        for n, t in office.ws.policy.in_force().items()
    }
    rules["version"] = looked_at(ada, "/policy/edit")
    send(ada, "/policy/edit", "/policy/publish", **rules, reason="an audit", sure="yes")
    page = send(
        ada, "/policy", "/policy/try", person="user:olga", tool="send@1", arguments='{"to": "x", "text": ""}'
    )
    assert "forbid" in page[page.index('role="status"') :]
    assert "nobody" in page
    assert "<option selected>send@1" in page
    assert "Go back to the release of" in page, "what undoing it undoes"
    here = f"/releases/{before}"
    send(ada, here, f"{here}/promote", reason="too strict", sure="yes")
