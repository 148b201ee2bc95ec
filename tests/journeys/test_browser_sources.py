"""Where documents come from, in a browser: who can see one and why, what search reads of it, a sync; how well it serves."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.browsed import LEAVE
from tests.browsing import Site, ask
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site
from tests.patience import soon

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_why_bob_can_see_a_document_and_alice_cannot(site: Site, scripts: bool) -> None:
    page = site.visitor("ada", scripts=scripts)
    page.goto("/people/user:bob")
    page.get_by_role("link", name="Why can they see a document?").click()
    page.get_by_label("Source").select_option("handbook")
    page.get_by_label("Document").fill("pay/bonus.md")
    page.get_by_role("button", name="Find out").click()
    found = page.locator("section.card")
    expect(found).to_contain_text("may read it")
    expect(found.get_by_role("listitem").filter(has_text="user:bob is in group:finance")).to_be_visible()
    if scripts:
        site.picture(page, "why")
    page.get_by_label("Person (empty: you)").fill("alice")
    page.get_by_role("button", name="Find out").click()
    expect(found).to_contain_text("may not read it")
    expect(found).to_contain_text("No entry of the rule is theirs")


def test_a_reader_asks_why_of_themselves_alone(site: Site) -> None:
    page = site.visitor("bob")
    page.goto("/why?source=handbook&document=pay/bonus.md")
    expect(page.locator("section.card")).to_contain_text("may read it")
    expect(page.get_by_label("Person (empty: you)")).to_have_count(0)
    page = site.visitor("alice")
    page.goto("/why?source=handbook&document=pay/bonus.md")
    expect(page.locator("section.card")).to_have_count(0)
    expect(page.locator(".warning")).to_be_visible()


def test_a_source_is_brought_up_to_date_and_looked_into(site: Site) -> None:
    (site.folder / "handbook" / "staff" / "bicycles.md").write_text(
        "# Bicycles\n\nBicycles are kept in the cellar. The key hangs at the reception.\n"
    )
    page = site.visitor("olga")
    page.goto("/sources")
    page.get_by_role("link", name="handbook").click()
    expect(page.get_by_role("row").filter(has_text="torn.pdf")).to_be_visible()
    page.get_by_role("button", name="Sync").click()
    expect(page.locator(".notice")).to_contain_text("up to date")
    expect(page.locator("main")).to_contain_text("1 added")
    page.goto("/documents?prefix=staff/bicycles")
    expect(page.get_by_role("link", name="Bicycles")).to_be_visible()
    page.goto("/chunks?source=handbook&document=staff/bicycles.md")
    expect(page.locator(".prose").last).to_contain_text("The key hangs at the reception.")
    page.get_by_text("With what is read besides").first.click()
    expect(page.locator("details[open] pre")).to_be_visible()
    alice = site.visitor("alice")
    ask(alice, "Where are bicycles kept?")
    expect(alice.locator(".prose").first).to_contain_text("cellar")


def test_charts_say_how_it_serves(site: Site) -> None:
    page = site.visitor("ada")
    soon(lambda: counted(page))
    expect(page.locator(".stat").first).to_contain_text("questions")
    expect(page.locator("svg.plot")).not_to_have_count(0)
    for title in ("What questions came to, by day", "Share of statements that cite a place"):
        expect(page.locator("main")).to_contain_text(title)
    site.picture(page, "service-levels")
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("cell").first).to_be_visible()
    questions = page.locator(".stat b").first
    before = int(questions.inner_text())
    ask(site.visitor("alice"), LEAVE)
    soon(lambda: counted(page))
    expect(questions).to_have_text(str(before + 1))
    page.get_by_label("Period").select_option("90")  # takes effect at once
    page.wait_for_url("**/levels?days=90*")


def counted(page: Page) -> bool:
    """Whether the page counts everything that is on record by now: it is counted behind it."""
    page.goto("/levels")
    expect(page.locator(".stat").first).to_be_visible()
    return page.get_by_text("not counted yet").count() == 0
