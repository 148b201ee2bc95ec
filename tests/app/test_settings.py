"""The server's settings: every one declared, none guessed at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affidavit.app.settings import Settings, concerns, described, load, parse, shown
from affidavit.domain.errors import UsageError


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Settings(folder=tmp_path)
    assert concerns(settings) == []


def test_a_file_says_what_differs(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text('[server]\nport = 9000\ntrusted_proxies = ["10.0.0.0/8"]\n')
    settings = load(tmp_path)
    assert (settings.server.port, settings.server.trusted_proxies) == (9000, ("10.0.0.0/8",))
    assert shown(settings)["server"]["port"] == 9000
    assert settings.limits == Settings().limits


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        ({"sever": {}}, "no section sever", "did you mean server?"),
        ({"server": {"prot": 1}}, "no setting server.prot", "server.port"),
        ({"server": {"port": "80"}}, "server.port is a whole number", ""),
        ({"server": {"port": True}}, "server.port is a whole number", ""),
        ({"server": {"port": 70000}}, "not from 0 to 65535", ""),
        ({"server": 3}, "server is a section", ""),
        ({"server": {"trusted_proxies": "10.0.0.1"}}, "is a list", ""),
        ({"server": {"trusted_proxies": ["proxy"]}}, "'proxy' is not a network", ""),
        ({"server": {"public_url": "ftp://x"}}, "not a web address", ""),
        ({"server": {"public_url": "https://u:p@x"}}, "not a web address", ""),
        ({"server": {"public_url": "https://x/y"}}, "has a path", ""),
        ({"server": {"tls_certificate": "a.pem"}}, "belong together", ""),
        ({"signin": {"issuer": "https://x"}}, "needs signin.client_id", ""),
        ({"server": {"metrics": "9464"}}, "not HOST:PORT", ""),
        ({"server": {"metrics": "a:b@c:1"}}, "not HOST:PORT", ""),
        ({"logs": {"format": "xml"}}, "one of: json, text", ""),
        ({"logs": {"format": "js\x1bon"}}, "one of", ""),
    ],
)
def test_what_cannot_be_is_refused_by_name(found: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(found)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["[server\n", "\xff", "[" * 5000])
def test_what_is_no_toml_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="not TOML"):
        load(tmp_path)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path, tmp_path / "absent.toml")


def test_secrets_are_read_from_their_files_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text('[signin]\nclient_secret_file = "secret"\n')
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o644)
    settings = load(tmp_path)
    assert settings.secret(settings.signin.client_secret_file) == "hunter2"
    assert any(f"chmod 600 {secret}" in c for c in concerns(settings))
    assert "hunter2" not in f"{settings!r}{shown(settings)}{concerns(settings)}"
    secret.chmod(0o600)
    assert concerns(settings) == []
    secret.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        settings.secret("secret")
    with pytest.raises(UsageError, match="cannot be read"):
        settings.secret("absent")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"host": "0.0.0.0"}, "plain http at 0.0.0.0"),
        ({"host": "0.0.0.0"}, "public_url is not set"),
        ({"public_url": "https://ask.example.com"}, "trusted_proxies names none"),
        ({"metrics": "0.0.0.0:9464"}, "let only Prometheus"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "believes everybody"),
        ({"tls_certificate": "a.pem", "tls_key_file": "b.pem"}, "b.pem cannot be read"),
    ],
)
def test_what_is_risky_is_said(server: dict[str, Any], said: str) -> None:
    assert any(said in concern for concern in concerns(parse({"server": server})))


def test_every_setting_says_what_it_means() -> None:
    for section, name, _, said in described():
        assert len(said) > 15, f"{section}.{name}"
