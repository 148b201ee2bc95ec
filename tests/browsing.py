"""People at browsers. The one fixture of all browser tests: Chromium, a served organisation, whoever signs in there, and whatever
goes wrong in a page without anybody looking: scripts that fail, what the content security policy refuses, what does not load.

    from tests.browsing import chromium as chromium, served as served, site as site

    def test_somebody_asks(site: Site) -> None:
        page = site.visitor("alice")

A module may have a ``served`` of its own. With SCREENSHOTS=1 the documentation's pictures are taken anew (`make screenshots`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
    expect,
    sync_playwright,
)

import affidavit
from affidavit.store.people import Tenant
from tests.browsed import AXE, MAKE, Organisation, Serving, serving, settle

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
# the provider's pages want a font from afar; whether there is a network is none of the tests' affair
_ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
LARGEST = 150_000
"""Bytes of a picture."""
PATIENCE = 60_000
"""Milliseconds that a page may take, on however busy a machine."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_GONE = ("ERR_ABORTED", "ERR_CONNECTION_RESET")
"""How a request fails whose page was left."""
_SERIOUS = ("serious", "critical")

expect.set_options(timeout=PATIENCE)


def executable() -> str:
    """Where Chromium is."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, f"chromium is not installed: {MAKE}"
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser. It lasts as long as a module: its event loop is in the way of tests that run one themselves."""
    arguments = [*ARGUMENTS, _ALONE]
    with (
        sync_playwright() as tool,
        tool.chromium.launch(executable_path=executable(), args=arguments, timeout=3 * PATIENCE) as it,
    ):
        yield it


@dataclass
class Site:
    """A served organisation. ``ws`` is its workspace, opened beside the server; ``faults`` is what went wrong in pages."""

    ws: affidavit.Workspace
    tenant: Tenant
    server: Serving
    issuer: str
    folder: Path
    chromium: Browser
    faults: list[str] = field(default_factory=list)
    _open: list[BrowserContext] = field(default_factory=list)
    _signed_in: dict[str, StorageState] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url

    def stranger(
        self, scheme: Any = "light", *, width: int = 1280, scripts: bool = True, state: Any = None
    ) -> Page:
        """A page of a browser that nobody used before."""
        context = self.chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
            base_url=self.url,
            reduced_motion="reduce",
            storage_state=state,
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE)
        self._open.append(context)
        page = context.new_page()
        self._listen(page)
        return page

    def visitor(self, name: str, scheme: Any = "light", *, width: int = 1280, scripts: bool = True) -> Page:
        """A page of a browser of its own in which ``name`` is signed in."""
        if name not in self._signed_in:
            page = self.stranger()
            sign_in(page, name)
            expect(page.get_by_label("Your question")).to_be_visible()
            self._signed_in[name] = page.context.storage_state()
            page.context.close()
        return self.stranger(scheme, width=width, scripts=scripts, state=self._signed_in[name])

    def picture(self, page: Page, name: str) -> None:
        """Keep a picture for the documentation, if they are to be taken."""
        if os.environ.get("SCREENSHOTS"):
            IMAGES.mkdir(exist_ok=True)
            path = IMAGES / f"{name}.png"
            page.screenshot(path=path)
            assert path.stat().st_size < LARGEST, f"{path} is too large for the documentation"

    def close(self) -> None:
        """Close every browser, then tell what went wrong in them."""
        for context in self._open:
            context.close()
        self._open.clear()
        self.faults += [
            line for line in self.server.said if '"fault"' in line or re.search(r'"status": 5', line)
        ]
        faults, self.faults = self.faults, []
        assert not faults, "\n".join(faults)

    # -- what nobody looks at

    def _ours(self, url: str) -> bool:
        """The provider's pages are not ours to mend."""
        return not url.startswith(self.issuer)

    def _listen(self, page: Page) -> None:
        page.on("console", lambda said: self._said(page, said))
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)

    def _said(self, page: Page, said: ConsoleMessage) -> None:
        """What the policy refuses is told on the console. So is an answer of 4xx, of which ``_answered`` knows more."""
        ours = self._ours(page.url)
        if ours and said.type == "error" and "the server responded with a status of 4" not in said.text:
            self.faults.append(f"{page.url}: {said.text}")

    def _answered(self, answer: Response) -> None:
        """A page may say no; a style or a script must be there, and nothing may break."""
        kind = answer.request.resource_type
        if not self._ours(answer.url):
            return
        if answer.status >= 500 or (answer.status >= 400 and kind not in ("document", "fetch")):
            self.faults.append(f"{answer.url}: {answer.status} for {kind}")

    def _failed(self, request: Request) -> None:
        if request.url.startswith(self.url) and not any(word in (request.failure or "") for word in _GONE):
            self.faults.append(f"{request.url}: {request.failure}")


@contextmanager
def site_of(folder: Path, chromium: Browser, who: Organisation) -> Iterator[Site]:
    """``who`` settled in ``folder`` and served."""
    settle(folder, who)
    with affidavit.open(folder / "ws") as ws, serving(folder, who) as (server, issuer):
        yield Site(ws, ws.parts.tenant("acme"), server, issuer, folder, chromium)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Site]:
    """acme, one for each module: whatever is done there stays on record."""
    with site_of(tmp_path_factory.mktemp("acme"), chromium, Organisation()) as site:
        yield site


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    """``served`` for one test, which fails if anything went wrong in a page."""
    yield served
    served.close()


def sign_in(page: Page, name: str, next: str = "/") -> None:
    """Sign in with the provider, as people do."""
    page.goto(f"/signin?next={next}")
    page.get_by_role("link", name="Sign in with").click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("http://localhost:*/**")  # the provider is at 127.0.0.1


def ask(page: Page, question: str) -> str:
    """Ask by the form; the run."""
    page.goto("/")
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_url(re.compile("/answers/"))
    return page.url.rpartition("/")[2]


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what is called ``name`` has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        said = page.evaluate(
            """() => { const it = document.activeElement;
            return [it.getAttribute("aria-label"), it.labels?.[0]?.textContent, it.textContent, it.getAttribute("title")] }"""
        )
        if any(word and word.strip().startswith(name) for word in said):
            return
    raise AssertionError(f"nothing called {name!r} can be reached on {page.url}")


def axe() -> str:
    """The script of axe-core."""
    assert AXE.is_file(), f"axe-core is not installed: {MAKE}"
    return AXE.read_text()


def serious(page: Page, script: str, *rules: str) -> list[str]:
    """What axe finds on the page that keeps people out; by ``rules`` alone, if there are any."""
    page.evaluate(script)
    options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("options => axe.run(options)", options)
    return [
        f"{page.url}: {fault['id']}: {fault['nodes'][0]['html'][:200]}: {fault['nodes'][0]['failureSummary'][:300]}"
        for fault in found["violations"]
        if fault["impact"] in _SERIOUS
    ]
