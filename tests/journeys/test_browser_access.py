"""An administrator looks at the workspace as somebody else: said on every page, reading only, on record."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browsed import BONUS
from tests.browsing import Site, ask
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
REASON = "He reports a wrong answer"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_looking_as_somebody_is_said_everywhere_changes_nothing_and_is_on_record(
    site: Site, scripts: bool
) -> None:
    ask(site.visitor("bob"), BONUS)
    page = site.visitor("ada", scripts=scripts)
    page.goto("/document?source=handbook&document=pay/bonus.md")
    expect(page.get_by_role("heading", name="Not Found")).to_be_visible()
    page.goto("/people/user:bob")
    page.get_by_role("link", name="Look as user:bob").click()
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Look", exact=True).click()
    for path in ("/", "/documents", "/runs", "/approvals", "/why", "/nothing-of-the-kind"):
        page.goto(path)
        if path != "/nothing-of-the-kind":
            expect(page.locator(".looking")).to_contain_text("You look as user:bob")
    page.goto("/documents")
    page.get_by_role("link", name="Bonus").click()
    expect(page.locator("main")).to_contain_text("15 percent")
    if scripts:
        site.picture(page, "looking")
    page.goto("/")
    page.get_by_label("Your question").fill(BONUS)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("main")).to_contain_text("nothing can be changed meanwhile")
    expect(page.locator(".looking")).to_be_visible()
    page.goto("/people")
    expect(page.get_by_role("heading", name="Forbidden")).to_be_visible()
    page.get_by_role("button", name="Stop looking").click()
    expect(page.locator(".looking")).to_have_count(0)
    page.goto("/access")
    told = page.get_by_role("row")
    expect(told.filter(has_text=REASON).filter(has_text="began to look").first).to_be_visible()
    expect(told.filter(has_text="documents.get").first).to_contain_text("user:bob")
    page.goto("/document?source=handbook&document=pay/bonus.md")
    expect(page.get_by_role("heading", name="Not Found")).to_be_visible()


def test_a_look_is_for_administrators(site: Site) -> None:
    page = site.visitor("carol")
    page.goto("/access")
    expect(page.get_by_role("heading", name="Forbidden")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("link", name="Look as somebody")).to_have_count(0)
