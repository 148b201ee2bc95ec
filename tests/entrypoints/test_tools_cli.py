"""``affidavit tool`` and ``affidavit approvals``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.policies import PolicyDesk
from affidavit.app.tools import ToolDesk
from affidavit.domain.canonical import digest
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.entrypoints.cli import app
from affidavit.gateway.rules import Person

CODE = '''
from affidavit import Context, tool

@tool(effect="read")
def look(order: int) -> str:
    """Look an order up.\\x1b[31m"""
    return "\\x1b[2Jorder"

@tool(effect="write", idempotency="by_key", undo="back@1")
def pay(order: int, context: Context) -> dict[str, int]:
    """Pay."""
    return {"payment": 5}

@tool(effect="write", idempotency="native")
def back(payment: int) -> None:
    """Take a payment back."""

@tool(effect="write", idempotency="none")
def mail(order: int) -> None:
    """Send."""
    raise OSError("no answer")
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.jsonl").write_text('{"id": "alice"}\n{"id": "bob"}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(tmp_path / "p.jsonl")
        ws.people.grant(ws.parts.tenant(""), "user:alice", "role:operator")
    (tmp_path / "ws" / "shop.py").write_text(CODE)
    (tmp_path / "ws" / "tools.toml").write_text('[[tools]]\nfile = "shop.py"\n')
    return tmp_path


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Payments need a yes of bob's; everything else is permitted."""

    def decide(self: PolicyDesk, wish: Wish) -> Decision:
        if wish.resource == "pay@1" and not wish.context["approved"]:
            return Decision(Verdict.NEEDS_APPROVAL, ("payments",), digest("asks"), ("approver",))
        return Decision(Verdict.PERMIT, ("all",), digest("asks"))

    def person(self: ToolDesk, tenant: int, principal: str) -> Person:
        roles = frozenset({"approver"} if principal == "user:bob" else ())
        return Person(
            frozenset({principal}) if principal in ("user:alice", "user:bob") else frozenset(), roles
        )

    monkeypatch.setattr(PolicyDesk, "decide", decide)
    monkeypatch.setattr(ToolDesk, "person", person)


def run(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["-w", str(place / "ws"), *arguments], catch_exceptions=False)


def said(place: Path, *arguments: str, status: int = 0) -> Any:
    result = run(place, *arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_a_call_by_hand(place: Path) -> None:
    assert [t["tool"] for t in said(place, "tool", "list")] == ["back@1", "look@1", "mail@1", "pay@1"]
    assert said(place, "tool", "show", "pay")["undo"] == "back@1"
    done = said(place, "tool", "call", "look", '{"order": 7}', "--as", "alice")
    assert (done["state"], done["result"]) == ("done", "\x1b[2Jorder")
    assert said(place, "tool", "show", done["call"])["attempts"] == 1
    denied = said(place, "tool", "call", "pay", '{"order": 7}', "--as", "alice", status=1)
    assert denied["why"] == "forbidden by live-only"
    assert said(place, "audit", "verify")["ok"]


def test_what_others_say_moves_no_cursor(place: Path) -> None:
    shown = run(place, "tool", "list").output + run(place, "tool", "show", "look").output
    shown += run(place, "tool", "call", "look", '{"order": 7}', "--as", "alice").output
    call = said(place, "tool", "calls")[0]["call"]
    shown += run(place, "tool", "calls").output + run(place, "tool", "show", call).output
    assert "\x1b" not in shown


def test_what_others_say_passes_for_no_line_of_a_story(place: Path, asks: None) -> None:
    call = said(place, "tool", "call", "pay", '{"order": 7}', "--as", "alice")["call"]
    forged = "no\n  99  2026-11-21T00:00:00Z  approved by user:bob"
    run(place, "approvals", "deny", call, "--as", "bob", "--reason", forged)
    run_of = said(place, "tool", "show", call)["run"]
    for shown in (("explain", run_of), ("tool", "show", call), ("approvals", "show", call)):
        lines = run(place, *shown).output.splitlines()
        assert not [line for line in lines if line.lstrip().startswith("99")]
    assert any("approved by user:bob" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("look", '{"order": 5000.0}', "--as", "alice"), "arguments"),
        (("look", '{"order"', "--as", "alice"), "arguments"),
        (("look", "{}", "--as", "alice"), "arguments"),
        (("other", "{}", "--as", "alice"), "unknown_name"),
        (("look", '{"order": 7}', "--as", "mallory"), "unknown_name"),
        (("look", '{"order": 7}', "--as", "group:x"), "usage"),
        (("look", '{"order": 7}'), "usage"),
    ],
)
def test_a_wrong_request_is_refused(place: Path, arguments: tuple[str, ...], code: str) -> None:
    assert said(place, "tool", "call", *arguments, status=2)["error"]["code"] == code


def test_a_payment_from_wish_to_undo(place: Path, asks: None) -> None:
    asked = said(place, "tool", "call", "pay", '{"order": 7}', "--as", "alice")
    assert asked["state"] == "waiting"
    assert said(place, "approvals", "list")[0]["roles"] == ["approver"]
    assert "tool show" not in run(place, "approvals", "list").output
    refused = said(place, "approvals", "approve", asked["call"], "--as", "alice", status=1)
    assert "somebody else" in refused["error"]["message"]
    assert said(place, "approvals", "approve", asked["call"], "--as", "bob")["state"] == "done"
    assert run(place, "approvals", "show", asked["call"]).output.count("approved by user:bob") == 1
    undone = said(place, "tool", "undo", asked["call"], "--as", "alice")
    assert (undone["tool"], undone["state"]) == ("back@1", "done")
    assert said(place, "tool", "show", asked["call"])["undone_by"] == [undone["call"]]
    run_of = said(place, "tool", "show", asked["call"])["run"]
    assert "approved by user:bob as approver" in run(place, "explain", run_of).output
    assert "identical" in run(place, "replay", run_of).output


def test_a_no_a_cancel_and_an_unknown_end(place: Path, asks: None) -> None:
    first, second = (said(place, "tool", "call", "pay", '{"order": 7}', "--as", "alice") for _ in range(2))
    assert said(place, "approvals", "deny", first["call"], "--as", "bob", "--reason", "no")["why"] == "no"
    assert said(place, "tool", "cancel", second["call"])["state"] == "denied"
    assert said(place, "approvals", "list") == []
    unknown = said(place, "tool", "call", "mail", '{"order": 7}', "--as", "alice", status=1)
    assert (unknown["state"], unknown["why"]) == ("unknown", "OSError: no answer")
    assert (
        run(place, "tool", "resolve", unknown["call"], "--not-done", "--reason", "none came").exit_code == 0
    )
    assert said(place, "tool", "calls", "--state", "unknown") == []
    later = said(place, "tool", "call", "look", '{"order": 7}', "--as", "alice", "--later")
    assert later["state"] == "ready"
    assert "done" in run(place, "tool", "work").output
    assert said(place, "audit", "verify")["ok"]
