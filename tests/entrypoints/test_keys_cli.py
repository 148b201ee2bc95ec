"""``affidavit key``, ``signin``, ``signout``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
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


def test_what_a_key_made_ends_with_it_unless_it_ends_alone(place: Path) -> None:
    with affidavit.open(place) as ws:
        tenant = ws.parts.tenant("")
        first, _ = ws.credentials.make_key(tenant, "alice", "first", 3, BY[1])
        made = [
            ws.credentials.make_key(tenant, "alice", "made", 3, BY[1], made_by=first.id)[0] for _ in range(2)
        ]
        ws.credentials.make_key(tenant, "alice", "made by that", 3, BY[1], made_by=made[0].id)
    assert (
        json.loads(run(place, "key", "end", made[0].id, "--alone", *BY, "--json").output)["made_with_it"]
        == []
    )
    assert made[1].id in run(place, "key", "end", first.id, *BY).output
    assert json.loads(run(place, "key", "list", "--json").output) == []


def test_a_person_is_let_sign_in_with_another_account(place: Path) -> None:
    with affidavit.open(place) as ws:
        ws.bindings.bind(ws.parts.tenant(""), "user:alice", "https://login.example", "7")
    assert "was not before" not in run(place, "people", "unbind", "alice", *BY).output
    assert "was not before" in run(place, "people", "unbind", "alice", *BY).output


def test_everybody_is_let_sign_in_with_a_new_provider(place: Path) -> None:
    old, new = "https://old.example", "https://login.example"
    with affidavit.open(place) as ws:
        tenant = ws.parts.tenant("")
        ws.load_people([Entry("user:bob", frozenset()), Entry("user:carol", frozenset())])
        for who, issuer in (("user:alice", old), ("user:bob", old), ("user:carol", new)):
            ws.bindings.bind(tenant, who, issuer, who)
    run(place, "people", "unbind", *BY, status=2)
    run(place, "people", "unbind", "alice", "--issuer", old, *BY, status=2)
    run(place, "people", "unbind", "--issuer", old, "--by", "alice", status=1)
    assert "2 people" in run(place, "people", "unbind", "--issuer", old, *BY).output
    assert json.loads(run(place, "people", "unbind", "--issuer", new, *BY, "--json").output) == {"ended": 1}


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
