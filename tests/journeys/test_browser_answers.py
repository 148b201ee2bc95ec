"""Somebody asks, reads where the answer comes from, and says whether it is right: with scripts, without, by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from tests.browsed import LEAVE
from tests.browsing import Site, ask, sign_in, tab_to
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
MARS = "Who is the emperor of Mars?"


def test_somebody_signs_in_asks_reads_on_and_reports(site: Site) -> None:
    page = site.stranger()
    page.goto("/documents")
    expect(page).to_have_url(re.compile("/signin"))
    sign_in(page, "alice")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    run = ask(page, LEAVE)
    said = page.locator(".prose p").filter(has_text="carried over")
    expect(said).to_be_visible()
    number = said.locator("a.cite").first.text_content()
    assert number
    site.picture(page, "answer")
    said.locator("a.cite").first.click()
    place = page.locator(f"#c{number}")
    expect(place).to_be_in_viewport()
    expect(place).to_contain_text("allow group:staff")
    place.get_by_role("link").click()
    mark = page.locator("mark#passage")
    expect(mark).to_be_in_viewport()
    expect(mark).to_contain_text("5 days of annual leave may be carried over")
    site.picture(page, "document")
    page.go_back()
    page.get_by_label("What is right or wrong about it").fill("It was seven last year")
    page.get_by_role("button", name="Something is wrong").click()
    expect(page.locator(".notice")).to_contain_text("Thank you")
    assert [f.reason for f in site.ws.feedback.of(site.tenant, run)] == ["It was seven last year"]


def test_an_answer_is_given_claim_by_claim(site: Site) -> None:
    page = site.visitor("alice")
    page.goto("/")
    page.get_by_label("Your question").fill(LEAVE)
    with page.expect_response("**/v1/ask") as told:
        page.get_by_role("button", name="Ask", exact=True).click()
    assert told.value.headers["content-type"].startswith("text/event-stream")
    page.wait_for_url(re.compile("/answers/"))
    expect(page.locator(".prose").first).to_contain_text("5 days")


def test_who_is_refused_is_told_why_and_whom_to_ask(site: Site) -> None:
    page = site.visitor("alice")
    run = ask(page, MARS)
    refusal = page.locator(".refusal")
    expect(refusal.get_by_role("heading")).to_be_visible()
    expect(refusal.get_by_role("listitem").first).to_be_visible()
    expect(refusal).to_contain_text("Reason:")
    expect(refusal).to_contain_text(run)
    site.picture(page, "refusal")


def test_a_further_question_knows_what_was_said(site: Site) -> None:
    page = site.visitor("alice")
    first = ask(page, "When does the garage close?")
    page.get_by_label("Your next question").fill("And on Saturdays, when does the garage close?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_url(lambda url: "/answers/" in url and first not in url)
    expect(page.locator(".prose").first).to_contain_text("18:00")


def test_what_cannot_be_asked_is_told_on_a_page(site: Site) -> None:
    page = site.visitor("alice")
    page.goto("/")
    page.get_by_label("Your question").fill(LEAVE)
    page.get_by_text("As things stood earlier").click()
    page.get_by_label("A time, or a position of the log").fill("yesterday")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("heading", name="Bad Request")).to_be_visible()
    expect(page.locator(".lead")).to_contain_text("yesterday")


def test_passages_alone_lead_to_their_documents(site: Site) -> None:
    page = site.visitor("alice")
    page.goto("/")
    page.get_by_label("Your question").fill("garage")
    page.get_by_role("button", name="Only find passages").click()
    page.get_by_role("link", name="Parking").first.click()
    expect(page.locator("mark").last).to_contain_text("22:00")


def test_everything_can_be_asked_and_said_without_scripts(site: Site) -> None:
    page = site.visitor("alice", scripts=False)
    ask(page, LEAVE)
    expect(page.locator(".prose").first).to_contain_text("5 days")
    page.get_by_role("button", name="It is right").click()
    expect(page.locator(".notice")).to_contain_text("Thank you")
    page.locator(".place").get_by_role("link").last.click()
    expect(page.locator("mark#passage")).to_be_in_viewport()


def test_the_keyboard_is_enough(site: Site) -> None:
    page = site.visitor("alice")
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type(LEAVE)
    _press(page, "Ask")
    page.wait_for_url(re.compile("/answers/"))
    tab_to(page, "Skip to the content")
    page.keyboard.press("Enter")
    _press(page, "1")
    expect(page.locator("#c1")).to_be_in_viewport()
    _press(page, "Annual leave")
    expect(page.locator("mark#passage")).to_be_in_viewport()
    page.go_back()
    tab_to(page, "What is right or wrong about it")
    page.keyboard.type("so it is")
    _press(page, "It is right")
    expect(page.locator(".notice")).to_contain_text("Thank you")


def _press(page: Page, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")


def test_the_colours_can_be_chosen_and_stay(site: Site) -> None:
    page = site.visitor("alice")
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("data-theme", "auto")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/documents")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
