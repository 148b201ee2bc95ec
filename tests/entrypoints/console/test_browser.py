"""The console in a real browser: journeys of its people, by keyboard, without scripts, in light and dark, and checked by axe.

With SCREENSHOTS=1 the pictures of the documentation are taken anew.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.entrypoints.console.conftest import put
from tests.patience import soon

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.entrypoints.http.application import make_app

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "docs" / "images"
AXE = ROOT / "tests" / "node" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
LARGEST = 150_000
HANDBOOK: dict[str, str | bytes] = {
    "staff/access.toml": 'allow = ["group:staff"]',
    "staff/people/annual-leave.md": """# Annual leave

Everybody who works full time has 25 days of annual leave a year. Part-time colleagues have their share of it.

## Carrying over

Up to 5 days of annual leave may be carried over into the next year. They must be taken by the end of March, or they are lost.

## Asking for leave

Ask your manager two weeks before. Leave of more than ten days in a row needs the consent of the head of the department.

- Say who stands in for you.
- Write it into the team's calendar.
""",
    "staff/facilities/parking.md": "# Parking\n\nThe garage closes at 22:00 on working days and at 18:00 on Saturdays.\n",
    "staff/it/laptops.md": "# Laptops\n\nA laptop is replaced after four years. The service desk orders the new one.\n",
    "pay/access.toml": 'allow = ["group:finance"]',
    "pay/bonus.md": "# Bonus\n\nThe bonus of managers is 15 percent of the yearly salary. It is paid in April.\n",
}
BONUS = "What is the bonus of managers?"
LEAVE = "How many days of annual leave can I carry over?"


class World:
    """A served workspace, and browsers that are signed in to it."""

    def __init__(self, ws: affidavit.Workspace, url: str, chromium: Browser) -> None:
        self.ws = ws
        self.url = url
        self._chromium = chromium
        self._open: list[BrowserContext] = []

    def browser(
        self, name: str = "", scheme: Any = "light", *, width: int = 1280, scripts: bool = True
    ) -> Page:
        """A page of a browser that nobody used before; ``name`` is signed in."""
        context = self._chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
            base_url=self.url,
            reduced_motion="reduce",
        )
        self._open.append(context)
        if name:
            tenant = self.ws.parts.tenant("")
            _, token = self.ws.credentials.begin_session(tenant, f"user:{name}", "link", 8)
            context.add_cookies([{"name": "affidavit", "value": token, "url": self.url}])
        page = context.new_page()
        page.on("console", lambda said: _quiet(page, said.type, said.text))
        page.on("pageerror", lambda error: pytest.fail(f"{page.url}: {error}"))
        return page

    def close(self) -> None:
        for context in self._open:
            context.close()
        self._open.clear()


def _quiet(page: Page, kind: str, text: str) -> None:
    """What a page may not load or run, the browser tells on its console; an error page it tells of there too."""
    if kind == "error" and "the server responded with a status of 4" not in text:
        pytest.fail(f"{page.url}: {text}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("acme")
    listener = socket.create_server(("127.0.0.1", 0))
    with (
        affidavit.init(folder / "ws", EmbedderSpec("none")) as ws,
        sync_playwright() as tool,
        tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as chromium,
    ):
        groups = {"alice": ["staff"], "bob": ["staff", "finance"], "dave": ["staff"], "carol": ["staff"]}
        ws.load_people(
            [Entry(f"user:{n}", frozenset(f"group:{g}" for g in gs), {}) for n, gs in groups.items()], "acme"
        )
        ws.add_source("folder", put(folder / "docs", HANDBOOK), "handbook")
        assert ws.sync()[0].added == 4
        ws.people.grant(ws.parts.tenant(""), "user:dave", "role:auditor")
        ws.people.grant(ws.parts.tenant(""), "user:carol", "role:admin")
        server = uvicorn.Server(uvicorn.Config(make_app(ws), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        soon(lambda: server.started)
        try:
            yield World(ws, f"http://127.0.0.1:{listener.getsockname()[1]}", chromium)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def world(served: World) -> Iterator[World]:
    yield served
    served.close()


@pytest.fixture(scope="module")
def picture() -> Callable[[Page, str], None]:
    """Keeps a picture for the documentation, if they are to be taken."""

    def take(page: Page, name: str) -> None:
        if os.environ.get("SCREENSHOTS"):
            IMAGES.mkdir(exist_ok=True)
            path = IMAGES / f"{name}.png"
            page.screenshot(path=path)
            assert path.stat().st_size < LARGEST

    return take


def ask(page: Page, question: str) -> str:
    """Ask by the form; the run."""
    page.goto("/")
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask").click()
    page.wait_for_url(re.compile("/answers/"))
    return page.url.rpartition("/")[2]


def test_somebody_signs_in_by_a_link_asks_and_reads_where_the_answer_comes_from(
    world: World, picture: Callable[[Page, str], None]
) -> None:
    page = world.browser()
    page.goto("/")
    expect(page).to_have_url(re.compile("/signin"))
    tenant = world.ws.parts.tenant("")
    link = world.ws.credentials.make_link(tenant, "user:alice", "operator:test")
    page.goto(f"/signin/link?token={link}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    ask(page, LEAVE)
    expect(page.locator(".prose").first).to_contain_text("5 days")
    picture(page, "answer")
    page.locator(".place h3 a").last.click()
    mark = page.locator("mark#passage")
    expect(mark).to_be_in_viewport()
    expect(mark).to_contain_text("5 days of annual leave may be carried over")
    picture(page, "document")


def test_two_people_ask_the_same_in_two_browsers(world: World) -> None:
    alice, bob = world.browser("alice"), world.browser("bob")
    theirs = {name: ask(page, BONUS) for name, page in (("alice", alice), ("bob", bob))}
    expect(bob.locator(".prose").first).to_contain_text("15 percent")
    expect(alice.locator(".refusal")).to_contain_text("nothing you may read")
    for path in (f"/answers/{theirs['alice']}", f"/runs/{theirs['alice']}", "/runs", "/documents", "/"):
        alice.goto(path)
        for hidden in ("15 percent", "bonus.md", "finance", theirs["bob"]):
            assert hidden not in alice.content(), (path, hidden)
    for path in (
        f"/answers/{theirs['bob']}",
        f"/runs/{theirs['bob']}",
        "/document?source=handbook&document=pay/bonus.md",
    ):
        answer = alice.request.get(path)
        assert answer.status == 404
        assert "percent" not in answer.text()


def test_an_auditor_looks_repeats_supposes_and_verifies(
    world: World, picture: Callable[[Page, str], None]
) -> None:
    run = ask(world.browser("alice"), BONUS)
    page = world.browser("dave", "dark")
    page.goto("/runs?journey=ask")
    page.locator(f"a[href='/runs/{run}']").click()
    expect(page.get_by_role("heading", name="What was denied, and why")).to_be_visible()
    picture(page, "run-dark")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", name="Identical")).to_be_visible()
    page.goto(f"/runs/{run}/what-if")
    page.get_by_label("Asked by").fill("user:bob")
    page.get_by_role("button", name="Show the difference").click()
    expect(page.locator("ins").first).to_contain_text("15 percent")
    expect(page.locator("del").first).to_contain_text("nothing")
    page.emulate_media(color_scheme="light")
    picture(page, "what-if")
    page.goto(f"/verify?run={run}")
    page.get_by_role("button", name="Verify this run").click()
    expect(page.locator(".proved .good").first).to_contain_text("are in the signed log")
    expect(page.locator(".proved .bad")).to_have_count(0)
    picture(page, "verify")


def test_a_bundle_that_was_altered_is_not_proved(world: World, tmp_path: Path) -> None:
    page = world.browser("alice")
    run = ask(page, LEAVE)
    bundle = world.ws.exports.bundle(world.ws.parts.tenant(""), run, "user:alice")
    changes: dict[str, Callable[[Any], None]] = {
        "the text": lambda b: b["events"][0]["body"].update(
            data=b["events"][0]["body"]["data"].replace("leave", "pay")
        ),
        "the event": lambda b: b["events"][0].update(header=b["events"][0]["header"].replace("ask", "act")),
        "the checkpoint": lambda b: b.update(checkpoint=re.sub(r"\n\d+\n", "\n4\n", b["checkpoint"])),
        "the signature": lambda b: b.update(checkpoint=b["checkpoint"][:-9] + "AAAAAAA=\n"),
    }
    for what, change in changes.items():
        altered = json.loads(json.dumps(bundle))
        change(altered)
        assert altered != bundle, what
        file = tmp_path / "altered.json"
        file.write_text(json.dumps(altered))
        page.goto("/verify")
        page.get_by_label("The file").set_input_files(file)
        page.get_by_role("button", name="Verify this file").click()
        expect(page.locator(".proved .bad"), what).to_contain_text("Not proved")


def test_an_answer_is_given_claim_by_claim(world: World) -> None:
    page = world.browser("alice")
    page.goto("/")
    page.get_by_label("Your question").fill(LEAVE)
    with page.expect_response("**/v1/ask") as told:
        page.get_by_role("button", name="Ask").click()
    assert told.value.headers["content-type"].startswith("text/event-stream")
    page.wait_for_url(re.compile("/answers/"))
    expect(page.locator(".prose").first).to_contain_text("5 days")


def test_what_cannot_be_asked_is_told_on_a_page(world: World) -> None:
    page = world.browser("alice")
    page.goto("/")
    page.get_by_label("Your question").fill(LEAVE)
    page.get_by_text("As things stood earlier").click()
    page.get_by_label("A time, or a position of the log").fill("yesterday")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("heading", name="Bad Request")).to_be_visible()
    expect(page.locator(".lead")).to_contain_text("yesterday")


def test_everything_can_be_read_and_asked_without_scripts(world: World) -> None:
    page = world.browser("alice", scripts=False)
    ask(page, LEAVE)
    expect(page.locator(".prose").first).to_contain_text("5 days")
    page.get_by_role("button", name="It is right").click()
    expect(page.get_by_role("status")).to_contain_text("Thank you")


def test_the_keyboard_is_enough(world: World) -> None:
    page = world.browser("alice")
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type(LEAVE)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/answers/"))


def test_the_colours_can_be_chosen(world: World) -> None:
    page = world.browser("alice")
    page.goto("/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="dark").click()
    expect(page.get_by_role("button", name="dark")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def pages(world: World, name: str) -> list[str]:
    """The addresses of the navigation, and of one page of each further kind."""
    page = world.browser(name)
    run = ask(page, LEAVE)
    refused = ask(page, "Who is the emperor of Mars?")
    found = page.locator("nav a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    page.goto(f"/answers/{run}")
    document = page.locator(".place h3 a").first.get_attribute("href")
    assert document
    more = [f"/answers/{run}", f"/answers/{refused}", f"/runs/{run}", f"/runs/{run}/what-if", document]
    return [*found, *more, f"/verify?run={run}", "/runs?text=nothing-of-the-kind", "/runs/nonsense"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(world: World, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("npm ci has not been run in tests/node/axe")
    axe = AXE.read_text()
    faults = []
    todo = pages(world, "carol")
    assert len(todo) > 15
    for width in (1280, 390):
        page = world.browser("carol", scheme, width=width)
        for path in todo:
            page.goto(path)
            page.evaluate(axe)
            found = page.evaluate("axe.run({resultTypes: ['violations']})")
            faults += [
                (
                    path,
                    width,
                    fault["id"],
                    fault["nodes"][0]["html"][:200],
                    fault["nodes"][0]["failureSummary"][:300],
                )
                for fault in found["violations"]
                if fault["impact"] in ("serious", "critical")
            ]
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_window(world: World, width: int) -> None:
    page = world.browser("carol", width=width)
    for path in pages(world, "carol"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
