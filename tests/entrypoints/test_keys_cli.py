"""``affidavit key``, ``signin``, ``signout``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.errors import UnauthenticatedError
from affidavit.entrypoints.cli import app
from affidavit.store.credentials import CredentialKind

BY = ("--by", "operator:dave")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n{"service": "helpdesk"}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(tmp_path / "p.jsonl")
    return tmp_path / "ws"


def run(place: Path, *args: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["-w", str(place), *args])
    assert result.exit_code == status, result.output
    return result


def test_a_key_from_making_to_end(place: Path) -> None:
    asked = ("key", "make", "service:helpdesk", "--name", "helpdesk", "--scope", "question:ask")
    said = run(place, *asked, "--acts-for", "group:staff", "--days", "7", *BY).output
    token = said.splitlines()[0]
    assert "not shown again" in said
    with affidavit.open(place) as ws:
        made = ws.credentials.whose(token, CredentialKind.KEY)
    assert made.acts_for == {"group:staff"}
    assert made.scopes == frozenset({"question:ask"})
    listed = run(place, "key", "list").output
    assert made.id in listed
    assert token not in listed
    turned = json.loads(run(place, "key", "rotate", made.id, "--overlap", "0", *BY, "--json").output)
    with affidavit.open(place) as ws:
        assert ws.credentials.whose(turned["key"], CredentialKind.KEY).id == turned["id"]
    run(place, "key", "end", turned["id"], *BY)
    assert json.loads(run(place, "key", "list", "--json").output) == []


def test_a_link_that_can_be_copied_as_it_is(place: Path) -> None:
    said = run(place, "signin", "alice", "--url", "https://ask.example.com/", *BY).output
    assert said.startswith("https://ask.example.com/signin/link?token=aff_link_")
    assert said.count("\n") == 1
    token = said.strip().partition("token=")[2]
    with affidavit.open(place) as ws:
        _, session = ws.credentials.follow_link(token, 8)
    assert json.loads(run(place, "signout", "alice", *BY, "--json").output) == {"ended": 1}
    with affidavit.open(place) as ws, pytest.raises(UnauthenticatedError):
        ws.credentials.session(session, 60)


def test_nobody_vouches_for_nobody(place: Path) -> None:
    said = run(place, "signin", "alice", status=1).output
    assert "--by operator:NAME" in said.replace("\n", " ")
    run(place, "key", "make", "alice", "--name", "x", status=1)
