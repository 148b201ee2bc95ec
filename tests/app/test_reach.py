"""Addresses that are not public: connected to where the settings name their network, asked for by whatever connects."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.oidc_provider import providing
from tests.receiver import receiving

import affidavit
from affidavit.app.compare import Comparer
from affidavit.app.reach import reach
from affidavit.app.settings import load
from affidavit.app.sinks import settings_of
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.http.application import make_app

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
ELSEWHERE = '[network]\nallow_private = ["10.0.0.0/8"]\n'
"""The test's own server is at 127.0.0.1."""


def test_a_webhook_is_sent_to_what_the_settings_name(
    workspace: affidavit.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "a long random word")
    with receiving() as receiver:
        place = settings_of("webhook", receiver.url, secret_env="HOOK")
        workspace.outside.add("hook", "webhook", place)
        settings = workspace.parts.folder / "server.toml"
        for text in (ELSEWHERE, "[network]\nallow_private = []\n", "[network]\nnonsense = 1\n"):
            settings.write_text(text)
            (sent,) = workspace.outside.send()
            assert sent.outcome == "failed"
            assert receiver.posts == []
        settings.unlink()
        (sent,) = workspace.outside.send()
        assert (sent.outcome, len(receiver.posts)) == ("sent", 1)


def test_a_witness_and_an_authority_too(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    (workspace.parts.folder / "server.toml").write_text(ELSEWHERE)
    with receiving() as receiver:
        comparison = Comparer(workspace.parts)
        for url in (receiver.url, f"{receiver.url}/checkpoint"):
            assert "not public" in comparison.place(url, workspace.outside).problem
        assert receiver.posts == []


def test_the_sign_in_provider_is_asked_where_the_settings_name_it(workspace: affidavit.Workspace) -> None:
    workspace.ensure_tenant("acme")
    with providing() as provider:
        for text, status in ((ELSEWHERE, 502), ("", 303)):
            (workspace.parts.folder / "server.toml").write_text(
                f'{text}[server]\npublic_url = "https://ask.example.com"\n'
                f'[signin]\nissuer = "{provider.issuer}"\nclient_id = "affidavit"\n'
            )
            app = make_app(workspace, load(workspace.parts.folder))
            with TestClient(app, base_url="https://ask.example.com", follow_redirects=False) as browser:
                answer = browser.get("/signin/begin")
                assert answer.status_code == status, answer.text
                assert ("network.allow_private" in answer.text) == (status == 502)


@pytest.mark.parametrize("networks", ['["loopback"]', '["10.0.0.1/8"]', '"10.0.0.0/8"', "true"])
def test_what_is_no_network_is_refused(workspace: affidavit.Workspace, networks: str) -> None:
    (workspace.parts.folder / "server.toml").write_text(f"[network]\nallow_private = {networks}\n")
    with pytest.raises(UsageError, match=r"network\.allow_private"):
        reach(workspace.parts)
