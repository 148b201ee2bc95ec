"""A real provider, a real browser: somebody signs in, asks, is attacked, signs out, is revoked."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from tests.patience import soon

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.signin import SignIn
from affidavit.entrypoints.http.application import make_app
from affidavit.store.people import Tenant

pytestmark = [
    pytest.mark.browser,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
]
TOOLS = Path(__file__).resolve().parents[2] / "node" / "oidc"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PEOPLE = {
    "alice": {"email": "alice@acme.example", "email_verified": True, "groups": ["finance"]},
    "mallory": {"email": "alice@acme.example", "email_verified": False, "groups": ["board"]},
}


@dataclass
class World:
    """A workspace behind a server at ``url``, with the provider at ``issuer``."""

    url: str
    issuer: str
    ws: affidavit.Workspace
    tenant: Tenant


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if not (TOOLS / "node_modules").is_dir():
        pytest.skip("npm ci has not been run in tests/node/oidc")
    folder = tmp_path_factory.mktemp("world")
    listener = socket.create_server(("127.0.0.1", 0))
    # another site than the provider's, as browsers see it
    url = f"http://localhost:{listener.getsockname()[1]}"
    with affidavit.init(folder / "ws", EmbedderSpec("none")) as ws, real_provider(url) as issuer:
        ws.load_people([Entry("user:alice@acme.example", frozenset({"group:staff"}), {})], "acme")
        settings = SignIn(url, issuer, "affidavit", "secret", groups_claim="groups", groups_prefix="sso-")
        server = uvicorn.Server(uvicorn.Config(make_app(ws, signin=settings), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        soon(lambda: server.started)
        try:
            yield World(url, issuer, ws, ws.parts.tenant("acme"))
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def real_provider(url: str) -> Iterator[str]:
    """Its issuer. It runs until the block ends."""
    client = {
        "client_id": "affidavit",
        "client_secret": "secret",
        "redirect_uris": [f"{url}/signin/callback"],
        "post_logout_redirect_uris": [f"{url}/signin"],
        "backchannel_logout_uri": f"{url}/signin/backchannel",
        "backchannel_logout_session_required": True,
    }
    node = shutil.which("node")
    assert node, "node is not installed"
    with subprocess.Popen(
        [node, "provider.mjs"],
        cwd=TOOLS,
        env={**os.environ, "PROVIDER": json.dumps({"client": client, "people": PEOPLE})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield str(json.loads(process.stdout.readline())["issuer"])
        finally:
            process.stdin.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a browser that nobody used before."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def sign_in(page: Page, world: World, who: str = "alice") -> None:
    page.goto(f"{world.url}/signin?next=/v1/me")
    page.get_by_role("link", name="Sign in with").click()
    page.fill("input[name=login]", who)
    page.fill("input[name=password]", "anything")
    page.click("button[type=submit]")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{world.url}/**")


def me(page: Page, world: World) -> dict[str, Any]:
    found: dict[str, Any] = page.request.get(f"{world.url}/v1/me").json()
    return found


def session(page: Page) -> str:
    found = [c["value"] for c in page.context.cookies() if c["name"] == "affidavit"]
    return found[0] if found else ""


def test_somebody_signs_in_asks_and_signs_out(page: Page, world: World) -> None:
    sign_in(page, world)
    assert page.url == f"{world.url}/v1/me", page.inner_text("body")
    assert me(page, world)["principal"] == "user:alice@acme.example"
    assert me(page, world)["groups"] == ["group:sso-finance", "group:staff"]
    assert page.evaluate("document.cookie") == ""  # nothing that a script could read
    page.goto(f"{world.url}/signout")
    token = page.locator("input[name=csrf]").input_value()
    headers = {"Origin": world.url, "X-CSRF-Token": token}
    asked = page.request.post(f"{world.url}/v1/ask", data={"question": "annual leave?"}, headers=headers)
    assert asked.json()["status"] == "refused"  # there are no documents, and that is an answer
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{world.url}/signin?out=1")
    assert me(page, world)["status"] == 401
    page.get_by_role("link", name="Sign out of").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    page.wait_for_url(f"{world.url}/signin")


def test_a_page_of_another_site_changes_nothing(page: Page, world: World) -> None:
    sign_in(page, world)
    before = session(page)
    form = f'<form method="post" action="{world.url}/signout"><input name="csrf" value="x"></form>'
    page.route(
        "http://evil.test/**",
        lambda route: route.fulfill(
            body=f"{form}<script>document.forms[0].submit()</script>", content_type="text/html"
        ),
    )
    page.goto("http://evil.test/")
    page.wait_for_url(f"{world.url}/**")
    assert "You are not signed in" in page.inner_text("h1")
    assert session(page) == before
    assert me(page, world)["principal"] == "user:alice@acme.example"


def test_who_is_signed_out_by_an_administrator_is_out_at_once(page: Page, world: World) -> None:
    sign_in(page, world)
    assert me(page, world)["principal"]
    world.ws.credentials.sign_out(world.tenant, "alice@acme.example", "operator:dave")
    page.goto(f"{world.url}/v1/me")
    assert me(page, world)["status"] == 401


def test_who_signs_out_at_the_provider_is_out_here(page: Page, world: World) -> None:
    sign_in(page, world)
    assert me(page, world)["principal"]
    page.goto(f"{world.issuer}/session/end")
    page.get_by_role("button", name="Yes, sign me out").click()
    soon(lambda: me(page, world).get("status") == 401)


def test_a_cookie_that_was_there_before_is_worth_nothing_after(page: Page, world: World) -> None:
    planted = "aff_session_" + "c" * 16 + "_" + "A" * 43
    page.context.add_cookies([{"name": "affidavit", "value": planted, "url": world.url}])
    sign_in(page, world)
    assert session(page) not in ("", planted)
    assert me(page, world)["principal"]


def test_an_address_that_the_provider_does_not_vouch_for_opens_nothing(page: Page, world: World) -> None:
    sign_in(page, world, "mallory")
    assert "user:mallory, whom nobody made known here" in page.inner_text("main")
    assert session(page) == ""


def test_a_link_signs_in_without_a_provider(page: Page, world: World) -> None:
    token = world.ws.credentials.make_link(world.tenant, "alice@acme.example", "operator:dave")
    page.goto(f"{world.url}/signin/link?token={token}")
    assert session(page) == ""
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{world.url}/")
    assert me(page, world)["principal"] == "user:alice@acme.example"
    page.goto(f"{world.url}/signin/link?token={token}")
    assert "not valid" in page.inner_text("main")
