"""Browsers: who a cookie says they are, what it takes to change something with one, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import affidavit
from affidavit.app.credentials import DAY, MINUTE
from affidavit.app.people import Entry
from affidavit.app.signin import SignIn
from affidavit.domain.errors import LogDamagedError, UnauthenticatedError
from affidavit.domain.events import Event, EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.sessions import local_path
from affidavit.store.people import Tenant
from affidavit.testing.clock import FixedClock

HERE = "https://ask.example.com"
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": HERE}
COOKIE = "__Host-affidavit"
SEARCH = {"question": "annual leave"}


@pytest.fixture
def acme(workspace: affidavit.Workspace) -> Tenant:
    workspace.load_people(
        [Entry("user:alice", frozenset(), {}), Entry("user:<b>bob</b>", frozenset(), {})], "acme"
    )
    return workspace.parts.tenant("acme")


@pytest.fixture
def browser(workspace: affidavit.Workspace, acme: Tenant) -> Iterator[TestClient]:
    app = make_app(workspace, signin=SignIn(public_url=HERE, hours=8, idle=60))
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        yield client


def sign_in(browser: TestClient, ws: affidavit.Workspace, acme: Tenant, who: str = "alice") -> str:
    """The CSRF token of the new session."""
    token = ws.credentials.make_link(acme, who, "operator:dave")
    answer = browser.post("/signin/link", data={"token": token}, headers=OURS)
    assert answer.status_code == 303, answer.text
    return token_of(browser)


def token_of(browser: TestClient) -> str:
    match = re.search(r'name="csrf" value="([0-9a-f]{64})"', browser.get("/signout").text)
    assert match
    return match[1]


def test_a_link_is_looked_at_by_any_program_and_used_by_a_press_of_the_button(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    token = workspace.credentials.make_link(acme, "alice", "operator:dave")
    for _ in range(3):
        seen = browser.get("/signin/link", params={"token": token})
        assert seen.status_code == 200
        assert "user:alice" in seen.text
        assert not seen.cookies
    answer = browser.post("/signin/link", data={"token": token}, headers=OURS)
    said = answer.headers["set-cookie"]
    assert re.match(rf"{COOKIE}=aff_session_[a-z2-7]{{16}}_[\w-]{{43}}; ", said)
    for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=28800"):
        assert part in said
    assert "domain" not in said.lower()
    assert browser.get("/v1/me").json()["principal"] == "user:alice"
    assert browser.post("/signin/link", data={"token": token}, headers=OURS).status_code == 401


def test_pages_carry_what_keeps_them_ours(browser: TestClient) -> None:
    for path in ("/signin", "/signout", "/signin/link?token=x"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_names_of_people_are_text(browser: TestClient, workspace: affidavit.Workspace, acme: Tenant) -> None:
    token = workspace.credentials.make_link(acme, "<b>bob</b>", "operator:dave")
    assert "<b>bob" not in browser.get("/signin/link", params={"token": token}).text
    assert '"><script>' not in browser.get("/signin/link", params={"token": '"><script>'}).text
    assert '"><script>' not in browser.get("/signin", params={"next": '/"><script>'}).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.com"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": HERE + ":444"},
        {"Origin": "http://ask.example.com"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {},
    ],
)
def test_another_site_can_use_the_cookie_for_nothing(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant, headers: dict[str, str]
) -> None:
    token = sign_in(browser, workspace, acme)
    head = workspace.parts.log.head()
    # even with a token that leaked
    assert (
        browser.post("/v1/search", json=SEARCH, headers={**headers, "X-CSRF-Token": token}).status_code == 403
    )
    assert browser.post("/signout", data={"csrf": token}, headers=headers).status_code == 403
    link = workspace.credentials.make_link(acme, "alice", "operator:dave")
    assert browser.post("/signin/link", data={"token": link}, headers=headers).status_code == 403
    assert workspace.parts.log.head() == head + 1
    assert browser.get("/v1/me").status_code == 200


def test_a_page_of_ours_needs_the_token_of_this_very_session(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    old = sign_in(browser, workspace, acme)
    token = sign_in(browser, workspace, acme)
    assert token != old
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": old}, {"X-CSRF-Token": token[:-1]}):
        assert browser.post("/v1/search", json=SEARCH, headers={**OURS, **wrong}).status_code == 403
    ours = {**OURS, "X-CSRF-Token": token}
    assert browser.post("/v1/search", json=SEARCH, headers=ours).status_code == 200
    # a browser that says nothing of sites, and one whose page sends no Referer
    assert (
        browser.post("/v1/search", json=SEARCH, headers={"Origin": HERE, "X-CSRF-Token": token}).status_code
        == 200
    )
    assert browser.post("/v1/search", json=SEARCH, headers={**ours, "Origin": "null"}).status_code == 200


def test_signing_in_gives_a_new_secret_and_ends_the_old_session(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    planted = "aff_session_" + "c" * 16 + "_" + "A" * 43
    browser.cookies.set(COOKIE, planted)
    assert browser.get("/v1/me").status_code == 401
    browser.cookies.clear()
    sign_in(browser, workspace, acme)
    first = browser.cookies[COOKIE]
    sign_in(browser, workspace, acme)
    assert browser.cookies[COOKIE] not in (first, planted)
    browser.cookies.clear()
    browser.cookies.set(COOKIE, first)
    assert browser.get("/v1/me").status_code == 401


def test_signing_out_ends_it_for_every_copy_of_the_cookie(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    token = sign_in(browser, workspace, acme)
    copy = browser.cookies[COOKIE]
    assert browser.get("/signout").status_code == 200  # looking signs nobody out
    assert browser.get("/v1/me").status_code == 200
    answer = browser.post("/signout", data={"csrf": token}, headers=OURS)
    assert answer.headers["location"] == "/signin?out=1"
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, copy)
    assert browser.get("/v1/me").status_code == 401


def test_being_signed_out_or_removed_holds_from_the_next_request(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    sign_in(browser, workspace, acme)
    with affidavit.open(workspace.parts.folder) as other:  # as another process would
        other.credentials.sign_out(acme, "alice", "operator:dave")
    assert browser.get("/v1/me").status_code == 401
    sign_in(browser, workspace, acme)
    assert browser.get("/v1/me").status_code == 200
    workspace.people.remove(acme, "user:alice")
    assert browser.get("/v1/me").status_code == 401


def test_a_session_left_alone_ends(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant, clock: FixedClock
) -> None:
    sign_in(browser, workspace, acme)
    clock.advance(59 * MINUTE)
    assert browser.get("/v1/me").status_code == 200
    clock.advance(60 * MINUTE)
    assert browser.get("/v1/me").status_code == 401


def test_a_key_beside_a_cookie_is_what_counts(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    sign_in(browser, workspace, acme)
    workspace.load_people([Entry("service:bot", frozenset(), {})], "acme")
    _, key = workspace.credentials.make_key(acme, "service:bot", "x", 1, "operator:dave")
    assert (
        browser.get("/v1/me", headers={"Authorization": f"Bearer {key}"}).json()["principal"] == "service:bot"
    )
    assert browser.get("/v1/me", headers={"Authorization": "Bearer aff_key_wrong"}).status_code == 401
    assert browser.get("/v1/me", headers={"Authorization": "Basic YTpi"}).status_code == 401


@pytest.mark.parametrize(
    ("base", "name"),
    [("http://127.0.0.1:8080", "affidavit"), ("http://localhost:8080", "affidavit"), (HERE, COOKIE)],
)
def test_without_a_public_address_the_cookie_is_as_the_connection_is(
    workspace: affidavit.Workspace, acme: Tenant, base: str, name: str
) -> None:
    token = workspace.credentials.make_link(acme, "alice", "operator:dave")
    with TestClient(make_app(workspace), base_url=base, follow_redirects=False) as client:
        said = client.post("/signin/link", data={"token": token}, headers={"Origin": base}).headers[
            "set-cookie"
        ]
    assert said.startswith(name + "=")
    assert ("Secure" in said) == (name == COOKIE)


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/a\r\nSet-Cookie: x=y",
        "\\evil",
        "javascript:alert(1)",
        "",
        "evil",
        "/signin",
        "/signin/begin",
        "/" + "x" * 2001,
    ],
)
def test_nobody_is_sent_elsewhere(text: str) -> None:
    assert local_path(text) == "/"


def test_people_come_back_to_where_they_were() -> None:
    assert local_path("/runs?after=12&status=ok#top") == "/runs?after=12&status=ok#top"


# -- what travels, what is forgotten, what is kept


@pytest.mark.parametrize(
    ("base", "server"),
    [
        ("http://ask.example.com", ("10.0.0.5", 8080)),
        ("http://ask.example.com", ("127.0.0.1", 8080)),  # a proxy that does not say what it speaks
        ("http://localhost", ("10.0.0.5", 8080)),
        ("http://127.0.0.1", None),
    ],
)
def test_no_cookie_travels_unencrypted(
    workspace: affidavit.Workspace, acme: Tenant, base: str, server: tuple[str, int] | None
) -> None:
    app = make_app(workspace)
    with TestClient(_at(app, server), base_url=base, follow_redirects=False) as client:
        token = workspace.credentials.make_link(acme, "alice", "operator:dave")
        answer = client.post("/signin/link", data={"token": token}, headers={"Origin": base})
        assert (answer.status_code, "https" in answer.text) == (403, True)
        assert "set-cookie" not in answer.headers


def test_a_container_on_this_machine_is_signed_in_to_where_the_operator_says_that_it_is_one(
    workspace: affidavit.Workspace, acme: Tenant
) -> None:
    here, other = "http://127.0.0.1:8080", "http://192.168.0.7:8080"
    app = make_app(workspace, signin=SignIn(public_url=here))
    for base, status in ((here, 303), (other, 403)):
        with TestClient(_at(app, ("172.17.0.2", 8080)), base_url=base, follow_redirects=False) as client:
            token = workspace.credentials.make_link(acme, "alice", "operator:dave")
            answer = client.post("/signin/link", data={"token": token}, headers={"Origin": base})
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, status == 303)


@pytest.mark.parametrize(("proxy", "believed"), [("10.0.0.9", True), ("10.0.0.10", False)])
def test_https_is_believed_of_the_proxies_in_the_settings_alone(
    workspace: affidavit.Workspace, acme: Tenant, proxy: str, believed: bool
) -> None:
    served = _at(make_app(workspace), ("10.0.0.5", 8080))
    app: Any = ProxyHeadersMiddleware(served, ["10.0.0.9"])  # as `serve` does
    base = "http://ask.example.com"
    headers = {"X-Forwarded-Proto": "https", "Sec-Fetch-Site": "same-origin"}
    with TestClient(app, base_url=base, follow_redirects=False, client=(proxy, 5000)) as client:
        token = workspace.credentials.make_link(acme, "alice", "operator:dave")
        answer = client.post("/signin/link", data={"token": token}, headers=headers)
    assert answer.status_code == (303 if believed else 403)
    said = answer.headers.get("set-cookie", "")
    assert (said.startswith("__Host-affidavit=") and "; Secure" in said) == believed


def _at(app: Any, server: tuple[str, int] | None) -> Any:
    """``app`` reached at the address ``server``."""

    async def reached(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["server"] = server
        await app(scope, receive, send)

    return reached


def test_signing_out_forgets_what_was_shown_and_ends_a_look(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant
) -> None:
    workspace.people.grant(acme, "user:alice", "role:admin")
    token = sign_in(browser, workspace, acme)
    look, secret = workspace.looking.begin(acme, "user:alice", "user:<b>bob</b>", "he asked me to")
    browser.cookies.set("__Host-affidavit-look", secret)
    assert browser.get("/v1/me").json()["principal"] == look.person
    answer = browser.post("/signout", data={"csrf": token}, headers=OURS)
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    dropped = [said.partition("=")[0] for said in answer.headers.get_list("set-cookie")]
    assert sorted(dropped) == ["__Host-affidavit", "__Host-affidavit-look"]
    with pytest.raises(UnauthenticatedError):
        workspace.looking.of(secret)


def test_a_session_ends_eight_hours_after_it_began_however_busy(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant, clock: FixedClock
) -> None:
    sign_in(browser, workspace, acme)
    for _ in range(11):
        clock.advance(40 * MINUTE)
        assert browser.get("/v1/me").status_code == 200
    clock.advance(40 * MINUTE)
    assert browser.get("/v1/me").status_code == 401


def test_the_rows_of_sessions_that_are_long_over_are_not_kept(
    browser: TestClient, workspace: affidavit.Workspace, acme: Tenant, clock: FixedClock
) -> None:
    key, _ = workspace.credentials.make_key(acme, "alice", "x", 1, "operator:dave")
    sign_in(browser, workspace, acme)  # a link and a session
    clock.advance(7 * DAY)
    sign_in(browser, workspace, acme)
    assert _kinds(workspace) == ["key", "link", "link", "session", "session"]
    clock.advance(2 * DAY)
    browser.cookies.clear()
    sign_in(browser, workspace, acme)
    assert _kinds(workspace) == ["key", "link", "link", "session", "session"]
    assert workspace.credentials.rows.get(key.id)
    workspace.verify()


def test_a_key_that_somebody_swept_by_hand_is_missed(workspace: affidavit.Workspace, acme: Tenant) -> None:
    key, _ = workspace.credentials.make_key(acme, "alice", "x", 1, "operator:dave")
    facts: dict[str, int | str] = {"subject": "all", "change": "swept"}
    event = Event(EventKind.CREDENTIAL_CHANGED, acme.id, facts=facts, body={"ids": [key.id]})
    workspace.parts.log.write(lambda tx: tx.append(event))
    with workspace.parts.database.write():
        workspace.credentials.rows.sweep([key.id])
    with pytest.raises(LogDamagedError):
        workspace.verify()


def _kinds(ws: affidavit.Workspace) -> list[str]:
    return [row[0] for row in ws.parts.database.all("SELECT kind FROM credentials ORDER BY kind")]
