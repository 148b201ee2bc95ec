"""A real provider, a real browser: somebody signs in, asks, is attacked, signs out, is revoked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from tests.browsed import Organisation
from tests.browsing import Site, sign_in, site_of
from tests.browsing import chromium as chromium
from tests.browsing import site as site
from tests.patience import soon

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
PEOPLE = {
    "alice": {"email": "alice@acme.example", "email_verified": True, "groups": ["finance"]},
    "mallory": {"email": "alice@acme.example", "email_verified": False, "groups": ["board"]},
}
SAID = 'groups_claim = "groups"\ngroups_prefix = "sso-"'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Site]:
    """An organisation without documents, whose people are known by their addresses."""
    groups = {"alice@acme.example": ("staff",)}
    who = Organisation({}, groups, {}, history=False, claims=PEOPLE, signin=SAID)
    with site_of(tmp_path_factory.mktemp("world"), chromium, who) as site:
        yield site


@pytest.fixture
def page(site: Site) -> Page:
    """A page of a browser that nobody used before."""
    return site.stranger()


def me(page: Page, site: Site) -> dict[str, Any]:
    found: dict[str, Any] = page.request.get(f"{site.url}/v1/me").json()
    return found


def session(page: Page) -> str:
    found = [c["value"] for c in page.context.cookies() if c["name"] == "affidavit"]
    return found[0] if found else ""


def test_somebody_signs_in_asks_and_signs_out(page: Page, site: Site) -> None:
    sign_in(page, "alice", "/v1/me")
    page.wait_for_url(f"{site.url}/v1/me")
    assert page.url == f"{site.url}/v1/me", page.inner_text("body")
    assert me(page, site)["principal"] == "user:alice@acme.example"
    assert me(page, site)["groups"] == ["group:sso-finance", "group:staff"]
    assert page.evaluate("document.cookie") == ""  # nothing that a script could read
    page.goto(f"{site.url}/signout")
    token = page.locator("input[name=csrf]").input_value()
    headers = {"Origin": site.url, "X-CSRF-Token": token}
    asked = page.request.post(f"{site.url}/v1/ask", data={"question": "annual leave?"}, headers=headers)
    assert asked.json()["status"] == "refused"  # there are no documents, and that is an answer
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.url}/signin?out=1")
    assert me(page, site)["status"] == 401
    page.get_by_role("link", name="Sign out of").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    page.wait_for_url(f"{site.url}/signin")


def test_a_page_of_another_site_changes_nothing(page: Page, site: Site) -> None:
    sign_in(page, "alice", "/v1/me")
    page.wait_for_url(f"{site.url}/v1/me")
    before = session(page)
    form = f'<form method="post" action="{site.url}/signout"><input name="csrf" value="x"></form>'
    page.route(
        "http://evil.test/**",
        lambda route: route.fulfill(
            body=f"{form}<script>document.forms[0].submit()</script>", content_type="text/html"
        ),
    )
    page.goto("http://evil.test/")
    page.wait_for_url(f"{site.url}/**")
    assert "You are not signed in" in page.inner_text("h1")
    assert session(page) == before
    assert me(page, site)["principal"] == "user:alice@acme.example"


def test_who_is_signed_out_by_an_administrator_is_out_at_once(page: Page, site: Site) -> None:
    sign_in(page, "alice", "/v1/me")
    page.wait_for_url(f"{site.url}/v1/me")
    assert me(page, site)["principal"]
    site.ws.credentials.sign_out(site.tenant, "alice@acme.example", "operator:dave")
    page.goto(f"{site.url}/v1/me")
    assert me(page, site)["status"] == 401


def test_who_signs_out_at_the_provider_is_out_here(page: Page, site: Site) -> None:
    sign_in(page, "alice", "/v1/me")
    page.wait_for_url(f"{site.url}/v1/me")
    assert me(page, site)["principal"]
    page.goto(f"{site.issuer}/session/end")
    page.get_by_role("button", name="Yes, sign me out").click()
    soon(lambda: me(page, site).get("status") == 401)


def test_a_cookie_that_was_there_before_is_worth_nothing_after(page: Page, site: Site) -> None:
    planted = "aff_session_" + "c" * 16 + "_" + "A" * 43
    page.context.add_cookies([{"name": "affidavit", "value": planted, "url": site.url}])
    sign_in(page, "alice", "/v1/me")
    page.wait_for_url(f"{site.url}/v1/me")
    assert session(page) not in ("", planted)
    assert me(page, site)["principal"]


def test_an_address_that_the_provider_does_not_vouch_for_opens_nothing(page: Page, site: Site) -> None:
    sign_in(page, "mallory", "/v1/me")
    assert "user:mallory, whom nobody made known here" in page.inner_text("main")
    assert session(page) == ""


def test_a_link_signs_in_without_a_provider(page: Page, site: Site) -> None:
    token = site.ws.credentials.make_link(site.tenant, "alice@acme.example", "operator:dave")
    page.goto(f"{site.url}/signin/link?token={token}")
    assert session(page) == ""
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.url}/")
    assert me(page, site)["principal"] == "user:alice@acme.example"
    page.goto(f"{site.url}/signin/link?token={token}")
    assert "not valid" in page.inner_text("main")
