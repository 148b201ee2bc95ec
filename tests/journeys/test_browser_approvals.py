"""A call waits for a yes: the approver sees what it would do, whoever asked what became of it, nobody agrees with themselves."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browsing import Site, tab_to
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site

from affidavit.domain.canonical import Json

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]


def waiting(site: Site, who: str = "olga", amount: int = 5_000) -> str:
    """A payment that waits."""
    asked: dict[str, Json] = {"to": "Acme", "amount": amount, "text": "the deposit"}
    return site.ws.tools.call(site.tenant, who, "pay", asked).row.name


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_an_approver_agrees_and_whoever_asked_sees_it_done(site: Site, scripts: bool) -> None:
    call = waiting(site)
    carol, olga = site.visitor("carol", scripts=scripts), site.visitor("olga", scripts=scripts)
    olga.goto(f"/calls/{call}")
    expect(olga.locator("h1")).to_contain_text("waiting")
    carol.goto("/approvals")
    carol.locator(f"h2 a[href='/approvals/{call}']").click()
    expect(carol.get_by_role("heading", name="What a yes does")).to_be_visible()
    main = carol.locator("main")
    expect(main).to_contain_text("It cannot be undone")
    expect(main).to_contain_text("user:olga wants this")
    expect(main.get_by_role("heading", name="Why, and on what evidence")).to_be_visible()
    expect(main).to_contain_text("unusual", ignore_case=True)
    expect(main.get_by_role("row").filter(has_text="amount")).to_contain_text("5000")
    if scripts:
        site.picture(carol, "approval")
    carol.get_by_label("Reason").fill("I called Acme")
    carol.get_by_role("button", name="Approve").click()
    expect(carol.locator(".notice")).to_contain_text("Your yes is on record")
    expect(carol.get_by_role("button", name="Approve")).to_have_count(0)
    olga.reload()
    expect(olga.locator("h1")).to_contain_text("done")
    expect(olga.locator("main")).to_contain_text("I called Acme")


def test_a_no_is_a_no_and_says_why(site: Site) -> None:
    call = waiting(site)
    carol, olga = site.visitor("carol"), site.visitor("olga")
    carol.goto(f"/approvals/{call}")
    carol.get_by_label("Reason").fill("Nobody at Acme knows of it")
    carol.get_by_role("button", name="Deny").click()
    expect(carol.locator(".notice")).to_contain_text("Your no is on record")
    expect(carol.get_by_role("button", name="Deny")).to_have_count(0)
    olga.goto(f"/calls/{call}")
    expect(olga.locator("h1")).not_to_contain_text("waiting")
    expect(olga.locator("h1")).not_to_contain_text("done")
    expect(olga.locator("main")).to_contain_text("Nobody at Acme knows of it")
    carol.goto("/approvals")
    expect(carol.get_by_role("row").filter(has_text="Nobody at Acme knows of it")).to_be_visible()


def test_nobody_agrees_with_themselves(site: Site) -> None:
    """adam may approve, and asks himself: the page has no button, and what is sent anyway is refused."""
    site.ws.people.grant(site.tenant, "user:adam", "role:operator")
    call = waiting(site, "adam")
    adam = site.visitor("adam")
    adam.goto(f"/approvals/{call}")
    expect(adam.locator("main")).to_contain_text("somebody else must decide")
    expect(adam.get_by_role("button", name="Approve")).to_have_count(0)
    token = adam.locator("input[name=csrf]").first.input_value()
    headers = {"Origin": site.url, "X-CSRF-Token": token}
    sent = adam.request.post(f"/v1/approvals/{call}/approve", data={"reason": "me"}, headers=headers)
    assert sent.status == 409, sent.text()
    assert "somebody else must decide" in sent.json()["message"]
    ada = site.visitor("ada")
    ada.goto(f"/approvals/{call}")
    expect(ada.get_by_role("button", name="Approve")).to_be_visible()


def test_an_approver_decides_by_keyboard(site: Site) -> None:
    waiting(site)
    page = site.visitor("carol")
    page.goto("/approvals")
    tab_to(page, "Look at it and decide")
    page.keyboard.press("Enter")
    page.wait_for_url("**/approvals/call*")
    tab_to(page, "Reason")
    page.keyboard.type("by keyboard")
    tab_to(page, "Deny")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("Your no is on record")
    expect(page.locator("main")).to_contain_text("by keyboard")
