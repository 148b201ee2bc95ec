"""Changing what decides, in a browser: rules tried, proposed and confirmed, releases, the kill switch, drills, incidents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect
from tests.browsed import LEAVE
from tests.browsing import Site, ask
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site
from tests.patience import soon

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
NO_MORE = """@id("no-more-letters")
@approval("approver")
forbid (principal, action in Action::"tool:call", resource)
unless { context.approved.contains("approver") };
"""
LETTER = '{"to": "bob", "text": "hi"}'


@contextmanager
def two_people(site: Site, action: str) -> Iterator[None]:
    """``action`` takes two."""
    site.ws.proposals.require(site.tenant, [action], "operator:test")
    try:
        yield
    finally:
        site.ws.proposals.require(site.tenant, [], "operator:test")


def tried(page: Page) -> str:
    """What is decided when olga sends a letter."""
    page.goto("/policy")
    page.get_by_label("Who").fill("user:olga")
    page.get_by_label("Tool").select_option("send@1")
    page.get_by_label("Arguments, as JSON").fill(LETTER)
    page.get_by_role("button", name="What would be decided?").click()
    said = page.get_by_role("status")
    expect(said).to_be_visible()
    return said.inner_text()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_rules_are_tried_proposed_confirmed_and_taken_back(site: Site, scripts: bool) -> None:
    ada, adam = site.visitor("ada", scripts=scripts), site.visitor("adam", scripts=scripts)
    before = site.ws.parts.release().digest
    assert "permit" in tried(ada)
    ada.goto("/policy")
    ada.get_by_role("link", name="Change the rules").click()
    rules = ada.get_by_label("Rules: rules.cedar")
    rules.fill(NO_MORE + rules.input_value())
    ada.get_by_role("button", name="Check, test and compare").click()
    expect(ada.get_by_role("status")).to_contain_text("0 failed")
    ada.get_by_label("Reason").fill("an audit")
    ada.get_by_label("I want these rules to decide").check()
    with two_people(site, "release:change"):
        ada.get_by_role("button", name="Publish").click()
        expect(ada.locator("main")).to_contain_text("It takes two people, so it waits")
        assert site.ws.parts.release().digest == before
        ada.goto("/approvals")
        expect(ada.get_by_role("heading", name="Decide by these rules from the next step on")).to_be_visible()
        expect(ada.get_by_role("button", name="Confirm")).to_have_count(0)
        adam.goto("/approvals")
        expect(adam.locator("form.warned")).to_contain_text("no-more-letters")
        adam.get_by_label("Reason").fill("agreed by telephone")
        adam.get_by_role("button", name="Confirm").click()
        expect(adam.locator(".notice")).to_contain_text("It is done")
    assert "no-more-letters" in tried(ada)
    back(site, ada, before)
    assert "permit" in tried(ada)


def back(site: Site, page: Page, release: str) -> None:
    """Answer under an earlier release again, by the page that shows what would change."""
    page.goto("/releases")
    page.locator(f"a[href='/releases/{release}']").first.click()
    expect(page.locator("del").filter(has_text="no-more-letters").first).to_be_visible()
    page.get_by_label("Reason").fill("too strict")
    page.get_by_label("I want this release to answer").check()
    page.get_by_role("button", name="Answer under it").click()
    expect(page.get_by_role("heading", name="Release")).to_contain_text("answers now")
    assert site.ws.parts.release().digest == release


def test_a_source_is_stopped_and_goes_on(site: Site) -> None:
    page, alice = site.visitor("ada", "dark"), site.visitor("alice")
    page.goto("/controls")
    page.get_by_label("What").select_option("source:handbook")
    page.get_by_label("Reason").first.fill("A folder was shared with everybody by mistake")
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("heading", name="source:handbook is stopped")).to_have_count(0)  # not ticked
    page.get_by_label("I want this to stop").check()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("heading", name="source:handbook is stopped")).to_be_visible()
    site.picture(page, "kill-switch-dark")
    ask(alice, LEAVE)
    expect(alice.locator(".refusal")).to_be_visible()
    page.get_by_label("Why it may go on").fill("The folder is closed again")
    page.get_by_role("button", name="Let it go on").click()
    expect(page.locator("main")).to_contain_text("Everything runs")
    ask(alice, LEAVE)
    expect(alice.locator(".prose").first).to_contain_text("5 days")


def test_the_mode_is_changed_and_changed_back(site: Site) -> None:
    page = site.visitor("ada", scripts=False)
    for mode in ("read-only", "live"):
        page.goto("/controls")
        page.get_by_label("Reason").last.fill("an exercise")
        page.get_by_label("I want this from the next step on").check()
        page.get_by_role("button", name="Change the mode").click()
        expect(page.locator("p.state")).to_contain_text(f"mode: {mode}")


def test_a_drill_runs_on_a_copy_and_keeps_its_promises(site: Site) -> None:
    page = site.visitor("olga")
    page.goto("/drills")
    page.get_by_label("Drill").select_option("revoke")
    page.get_by_role("button", name="Run it on a copy").click()
    expect(page.locator(".notice")).to_contain_text("runs on a copy")
    newest = page.locator("section.card").first
    expect(newest).to_contain_text("revoke")
    soon(lambda: site.ws.drill_book.newest(site.tenant, 1)[0]["state"] != "running")
    page.goto("/drills")
    expect(newest).to_contain_text("every promise was kept")
    newest.get_by_text("What was tried").click()
    expect(newest.get_by_role("row").nth(1)).to_contain_text("kept")


def test_an_incident_is_opened_from_a_run_noted_and_closed(site: Site) -> None:
    page = site.visitor("ada")
    run = ask(page, LEAVE)
    page.goto(f"/runs/{run}")
    page.get_by_role("link", name="Open an incident").click()
    expect(page.get_by_label("Run")).to_have_value(run)
    page.get_by_label("What went wrong").fill("It cites last year")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("h1")).to_contain_text("open")
    page.get_by_label("What you found or did").fill("Told the owner")
    page.get_by_role("button", name="Add to the timeline").click()
    expect(page.locator("main")).to_contain_text("Told the owner")
    page.get_by_label("How it ended").fill("The page was mended")
    page.get_by_role("button", name="Close the incident").click()
    expect(page.locator("h1")).to_contain_text("closed")
    expect(page.get_by_role("button", name="Close the incident")).to_have_count(0)
    page.goto("/incidents")
    expect(page.get_by_role("row").filter(has_text="It cites last year")).to_contain_text("closed")
