"""Looking after a workspace in a real browser: an approver decides, an administrator stops, looks as somebody, reads charts.

With SCREENSHOTS=1 the pictures of the documentation are taken anew.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright
from tests.entrypoints.console.office import Office, at_work
from tests.entrypoints.console.test_browser import ARGUMENTS, AXE, CHROMIUM, World
from tests.entrypoints.console.test_browser import picture as picture  # a fixture
from tests.patience import soon

from affidavit.domain.clock import MICROSECONDS
from affidavit.entrypoints.http.application import make_app

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

_DAY = 86_400 * MICROSECONDS
ASKED = ("How many days of annual leave?", "When does the garage close?", "Who is the king of Norway?")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Two weeks of questions, more each day."""
    with at_work(tmp_path_factory.mktemp("office")) as office:
        for day in range(14):
            for n in range(2 + day % 5):
                office.ws.ask(ASKED[(day + n) % len(ASKED)], ("alice", "bob")[n % 2])
            office.clock.advance(_DAY)
        office.ws.tools.call(
            office.ws.parts.tenant(""), "olga", "pay", {"to": "Globex", "amount": 900, "text": "the deposit"}
        )
        yield office


@pytest.fixture(scope="module")
def served(office: Office) -> Iterator[World]:
    listener = socket.create_server(("127.0.0.1", 0))
    with (
        sync_playwright() as tool,
        tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as chromium,
    ):
        server = uvicorn.Server(uvicorn.Config(make_app(office.ws), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        soon(lambda: server.started)
        try:
            yield World(office.ws, f"http://127.0.0.1:{listener.getsockname()[1]}", chromium)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def world(served: World) -> Iterator[World]:
    yield served
    served.close()


def test_an_approver_reads_what_a_yes_does_and_decides(
    world: World, picture: Callable[[Page, str], None]
) -> None:
    page = world.browser("carol")
    page.goto("/approvals")
    page.get_by_role("link", name="pay@1").first.click()
    expect(page.get_by_role("heading", name="What a yes does")).to_be_visible()
    expect(page.locator("main")).to_contain_text("It cannot be undone")
    picture(page, "approval")
    page.get_by_label("Reason").fill("I called Acme")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("status")).to_contain_text("Your no is on record")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_an_administrator_stops_a_source_and_lets_it_go_on(
    world: World, picture: Callable[[Page, str], None]
) -> None:
    page = world.browser("ada", "dark")
    page.goto("/controls")
    page.get_by_label("What").select_option("source:wiki")
    page.get_by_label("Reason").first.fill("A folder was shared with everybody by mistake")
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("heading", name="source:wiki is stopped")).to_have_count(0)  # not ticked
    page.get_by_label("I want this to stop").check()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("heading", name="source:wiki is stopped")).to_be_visible()
    picture(page, "kill-switch-dark")
    page.get_by_label("Why it may go on").fill("The folder is closed again")
    page.get_by_role("button", name="Let it go on").click()
    expect(page.locator("main")).to_contain_text("Everything runs")


def test_charts_say_how_it_serves(world: World, picture: Callable[[Page, str], None]) -> None:
    page = world.browser("ada")
    page.goto("/levels?days=30")
    expect(page.locator("svg.plot")).not_to_have_count(0)
    expect(page.locator(".stat").first).to_contain_text("questions")
    picture(page, "service-levels")
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("cell").first).to_be_visible()


def test_looking_as_somebody_is_said_on_every_page(world: World) -> None:
    page = world.browser("ada")
    page.goto("/people/user:bob")
    page.get_by_role("link", name="Look as user:bob").click()
    page.get_by_label("Reason").fill("He reports a wrong answer")
    page.get_by_role("button", name="Look", exact=True).click()
    for path in ("/", "/documents", "/runs"):
        page.goto(path)
        expect(page.locator(".looking")).to_contain_text("You look as user:bob")
    page.get_by_role("button", name="Stop looking").click()
    expect(page.locator(".looking")).to_have_count(0)


def test_everything_works_without_scripts(world: World) -> None:
    page = world.browser("ada", scripts=False)
    page.goto("/policy")
    page.get_by_label("Who").fill("user:olga")
    page.get_by_label("Arguments, as JSON").fill('{"to": "bob", "text": "hi"}')
    page.get_by_label("Tool").select_option("send@1")
    page.get_by_role("button", name="What would be decided?").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile("permit|needs approval|forbid"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(world: World, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("npm ci has not been run in tests/node/axe")
    ws, axe = world.ws, AXE.read_text()
    tenant = ws.parts.tenant("")
    call = ws.tools.newest(tenant)[0]["call"]
    incident = ws.incidents.open(tenant, ws.ask(ASKED[0], "alice").run, "user:ada", "a wrong answer").id
    found = []
    page = world.browser("ada", scheme)
    for path in (
        f"/approvals/{call}",
        f"/calls/{call}",
        f"/incidents/{incident}",
        "/tools/pay@1",
        "/sources/wiki",
        "/chunks?source=wiki&document=staff/leave.md",
        "/why?source=wiki&document=pay/bonus.md&person=bob",
        "/policy/edit",
        f"/releases/{ws.parts.release().digest}",
        "/people/user:alice",
        "/levels",
    ):
        page.goto(path)
        page.evaluate(axe)
        said = page.evaluate("axe.run({resultTypes: ['violations']})")
        found += [
            (path, fault["id"], fault["nodes"][0]["html"][:200])
            for fault in said["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
    assert not found, "\n".join(map(str, found))
