"""Every page of the console in a real browser: checked by axe in light, dark and on a telephone, without scripts, in every width.

Which pages there are is asked of the application: a new one without an example here fails.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from playwright.sync_api import expect
from starlette.routing import Route
from tests.browsed import LEAVE
from tests.browsing import Site, axe, serious
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site

from affidavit.domain.canonical import Json
from affidavit.entrypoints.console.frame import SECURITY
from affidavit.entrypoints.http.application import make_app

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
HANDS = 4
"""Each test that looks at every page does so in so many parts."""
PARTS = pytest.mark.parametrize("part", range(HANDS))
COLOURS = ("color-contrast", "link-in-text-block")
"""The rules of axe that darkness has to do with."""
NO_PAGES = ("/static/{digest}/{name}",)


@pytest.fixture(scope="module")
def examples(served: Site) -> Mapping[str, list[str]]:
    """Addresses of each kind of page, by the path of its route. ada holds every role that looks."""
    ws, tenant = served.ws, served.tenant
    for role in ("operator", "auditor"):
        ws.people.grant(tenant, "user:ada", f"role:{role}")
    run = ws.ask(LEAVE, "ada").run
    refused = ws.ask("Who is the emperor of Mars?", "ada").run
    asked: dict[str, Json] = {"to": "Acme", "amount": 5_000, "text": "thanks"}
    waits = ws.tools.call(tenant, "olga", "pay", asked).row.name
    denied = ws.tools.call(tenant, "olga", "pay", asked).row.name
    ws.tools.deny(tenant, "carol", denied, "not today")
    done = ws.tools.call(tenant, "olga", "send", {"to": "bob", "text": "hi"}).row.name
    incident = ws.incidents.open(tenant, run, "user:ada", "a wrong answer").id
    ws.looking.begin(tenant, "user:ada", "bob", "he reports a wrong answer")
    document = "source=handbook&document=staff/people/annual-leave.md"
    return {
        "/": ["/", "/?question=Why%3F"],
        "/answers/{run}": [f"/answers/{run}", f"/answers/{refused}"],
        "/runs": ["/runs", "/runs?text=nothing-of-the-kind", "/runs?journey=ask&status=refused"],
        "/runs/{run}": [f"/runs/{run}", f"/runs/{refused}", "/runs/nonsense"],
        "/runs/{run}/what-if": [f"/runs/{run}/what-if"],
        "/verify": ["/verify", f"/verify?run={run}"],
        "/documents": ["/documents", "/documents?prefix=nothing"],
        "/document": [f"/document?{document}&start=146&end=214"],
        "/chunks": [f"/chunks?{document}"],
        "/approvals": ["/approvals"],
        "/approvals/{call}": [f"/approvals/{waits}", f"/approvals/{denied}"],
        "/tools": ["/tools"],
        "/tools/{name}": ["/tools/pay@1"],
        "/calls/{call}": [f"/calls/{waits}", f"/calls/{done}"],
        "/levels": ["/levels", "/levels?days=7"],
        "/sources": ["/sources"],
        "/sources/{name}": ["/sources/handbook"],
        "/why": ["/why", "/why?source=handbook&document=pay/bonus.md&person=bob"],
        "/costs": ["/costs"],
        "/incidents": ["/incidents"],
        "/incidents/{incident}": [f"/incidents/{incident}"],
        "/policy": ["/policy"],
        "/policy/edit": ["/policy/edit"],
        "/releases": ["/releases"],
        "/releases/{release}": [f"/releases/{release}" for release in ws.releases()],
        "/controls": ["/controls"],
        "/drills": ["/drills"],
        "/people": ["/people", "/people?prefix=nobody"],
        "/people/{name}": ["/people/user:bob", "/people/group:staff"],
        "/access": ["/access"],
        "/keys": ["/keys"],
        "/api": ["/api"],
        "/api/{name}": ["/api/questions.ask", "/api/runs.list"],
    }


@pytest.fixture(scope="module")
def everywhere(examples: Mapping[str, list[str]]) -> list[str]:
    return [address for those in examples.values() for address in those]


def test_each_kind_of_page_has_an_example(site: Site, examples: Mapping[str, list[str]]) -> None:
    routes = {
        route.path
        for route in make_app(site.ws).state.console.routes
        if isinstance(route, Route) and "GET" in (route.methods or ())
    }
    assert routes - set(NO_PAGES) == set(examples)


@PARTS
def test_axe_finds_nothing_serious(site: Site, everywhere: list[str], part: int) -> None:
    script, faults = axe(), []
    page = site.visitor("ada")
    for path in everywhere[part::HANDS]:
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="light")
        page.goto(path)
        faults += serious(page, script)
        page.emulate_media(color_scheme="dark")
        faults += serious(page, script, *COLOURS)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(path)
        faults += serious(page, script)
    assert not faults, "\n".join(faults)


def test_axe_finds_what_it_is_asked_for(site: Site) -> None:
    """It would say so: a picture without words, and grey on grey."""
    page = site.visitor("ada")
    page.goto("/")
    page.locator("h1").evaluate("""it => {
        it.append(document.createElement("img")); it.style.color = "#777"; it.style.background = "#888" }""")
    found = "".join(serious(page, axe()))
    assert "image-alt" in found
    assert "color-contrast" in found


def test_what_goes_wrong_in_a_page_is_noticed(site: Site) -> None:
    """The fixture would say so: a script of the page's own text, a picture that is not there, a script that fails."""
    page = site.visitor("ada")
    refused = '<script>1</script><img src="/static/none/nothing.svg"><h1>x</h1>'
    headers = {"Content-Type": "text/html", "Content-Security-Policy": SECURITY["Content-Security-Policy"]}
    page.route("**/documents", lambda route: route.fulfill(body=refused, headers=headers))
    with page.expect_console_message(lambda said: "Content Security Policy" in said.text):
        page.goto("/documents")
    with page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => { throw Error('broken') })")
    found, site.faults = "\n".join(site.faults), []
    assert "Content Security Policy" in found
    assert ": 404 for image" in found
    assert "broken" in found


def test_a_stranger_s_pages_keep_nobody_out(site: Site) -> None:
    page = site.stranger()
    for path in ("/signin", "/signin?out=1", "/signin/link?token=x", "/signout"):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        assert not serious(page, axe())


@PARTS
def test_every_page_can_be_read_without_scripts(site: Site, everywhere: list[str], part: int) -> None:
    page = site.visitor("ada", scripts=False)
    for path in everywhere[part::HANDS]:
        page.goto(path)
        expect(page.locator("main h1")).to_be_visible()
        expect(page.get_by_role("navigation").get_by_role("link").first).to_be_visible()
        for form in page.locator("main form").all():
            assert form.get_by_role("button").count(), path
            if form.get_attribute("method") == "post":
                assert form.locator("input[name=csrf]").input_value(), path
    if "/verify" in everywhere[part::HANDS]:
        page.goto("/verify")
        expect(page.locator("noscript p")).to_be_visible()


@PARTS
def test_no_page_is_wider_than_its_window(site: Site, everywhere: list[str], part: int) -> None:
    page = site.visitor("ada")
    for path in everywhere[part::HANDS]:
        page.goto(path)
        for width in (1280, 768, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, width)
