"""The frame: who sees what, what every page carries, and forms that only our pages can send."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from tests.entrypoints.console.conftest import OURS, Browse

import affidavit
from affidavit.app.operations.operation import Caller
from affidavit.domain.errors import UnauthenticatedError
from affidavit.entrypoints.http.application import make_app


def token(page: str) -> str:
    """The token that a page's forms carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


def test_a_page_carries_a_strict_policy_and_is_not_kept(browse: Browse) -> None:
    answer = browse("alice").get("/")
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*src=)", answer.text)


def test_whoever_is_not_signed_in_is_sent_to_sign_in_and_back(browse: Browse) -> None:
    stranger = TestClient(browse("alice").app, OURS, follow_redirects=False)
    answer = stranger.get("/?a=b")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/signin?next=%2F%3Fa%3Db"


def test_the_page_to_sign_in_looks_like_the_others(browse: Browse) -> None:
    answer = TestClient(browse("alice").app, OURS).get("/signin")
    assert answer.status_code == 200
    assert "console.css" in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_whoever_signed_out_is_out(browse: Browse) -> None:
    client = browse("alice")
    left = client.post("/signout", data={"csrf": token(client.get("/").text)})
    assert "signed out" in left.text
    assert client.get("/", follow_redirects=False).status_code == 303


def test_a_wrong_key_is_told_so(browse: Browse) -> None:
    client = TestClient(browse("alice").app, OURS, headers={"Authorization": "Bearer aff_key_x"})
    answer = client.get("/")
    assert answer.status_code == 401
    assert "not valid" in answer.text


def test_an_address_that_leads_nowhere_is_a_page_for_people_and_json_for_programs(browse: Browse) -> None:
    client = browse("alice")
    assert "nothing at this address" in client.get("/nowhere", headers={"Accept": "text/html"}).text
    assert client.get("/nowhere").json()["status"] == 404
    assert client.get("/v1/nowhere", headers={"Accept": "text/html"}).json()["status"] == 404


def test_files_may_be_kept_for_ever_under_the_address_of_their_content(browse: Browse) -> None:
    client = browse("alice")
    urls = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text)
    assert len(urls) >= 3
    for url in urls:
        answer = client.get(url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    old = client.get(urls[0].replace(urls[0].split("/")[2], "0123456789abcdef"))
    assert (old.status_code, old.headers["Cache-Control"]) == (200, "no-store"), "of another version"
    assert client.get("/static/0/../frame.py").status_code == 404
    assert client.get("/static/0/none.css").status_code == 404


def test_the_colours_are_kept_and_the_way_back_stays_here(browse: Browse) -> None:
    client = browse("alice")
    form = {"csrf": token(client.get("/").text), "theme": "dark", "back": "//evil.example/"}
    answer = client.post("/theme", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert 'data-theme="dark"' in client.get("/").text


@pytest.mark.parametrize("wrong", ["", "0" * 64, "é"])
def test_a_form_that_is_not_ours_is_refused(browse: Browse, wrong: str) -> None:
    answer = browse("alice").post("/theme", data={"csrf": wrong, "theme": "dark"}, follow_redirects=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_form_of_one_person_is_not_good_for_another(browse: Browse) -> None:
    taken = token(browse("alice").get("/").text)
    assert browse("bob").post("/theme", data={"csrf": taken}, follow_redirects=False).status_code == 403


def test_a_form_sent_by_another_site_is_refused_even_with_the_token(browse: Browse) -> None:
    client = browse("alice")
    form = {"csrf": token(client.get("/").text), "theme": "dark"}
    answer = client.post("/theme", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_the_navigation_shows_what_the_person_may_do(browse: Browse) -> None:
    assert ">Ask</a>" in browse("alice").get("/").text
    assert "user:" in browse("alice").get("/").text
    assert "auditor" in browse("dave").get("/").text


def test_only_notices_of_ours_are_shown(browse: Browse) -> None:
    page = browse("alice").get("/?said=Your+password+has+expired").text
    assert "expired" not in page
    assert 'role="status"' not in page


def test_nobody_waits_while_somebody_is_identified(
    acme: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take as long as the sign-in provider does."""
    app = make_app(acme)
    asked = []

    def who(request: Request) -> Caller:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()  # everybody else's requests are answered in it
        asked.append(request.url.path)
        raise UnauthenticatedError("nobody", "sign in")

    monkeypatch.setattr(app.state.console, "_who", who)
    with TestClient(app, base_url=OURS, follow_redirects=False) as client:
        assert client.get("/runs").status_code == 303
    assert asked == ["/runs"]
