"""Acting at a terminal: asked, waiting, approved, gone on with; as words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.acting_world import TENANT, Acting, answer, begun, release
from typer.testing import CliRunner

from affidavit.app import wiring
from affidavit.entrypoints.cli import app
from affidavit.testing.clock import FixedClock

CODE = """
from affidavit import tool

@tool(effect="irreversible", idempotency="none")
def close_account(account: str) -> str:
    "Close an account for good."
    return f"account {account} is closed"
"""
CLOSE = [("close_account_v1", {"account": "A-9"})]


@pytest.fixture
def model(tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Acting:
    with begun(tmp_path, clock).ws as ws:
        ws.publish(release({"default": ["close_account"], "none": []}))
    (tmp_path / "ws" / "shop.py").write_text(CODE)
    (tmp_path / "ws" / "tools.toml").write_text('[[tools]]\nfile = "shop.py"\n')
    made = Acting()
    monkeypatch.setattr(wiring, "_model_at", lambda target: made)
    monkeypatch.setenv("AFFIDAVIT_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("AFFIDAVIT_TENANT", TENANT)
    return made


def run(*words: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == exit_code, result.output
    return result.output


def asked(*more: str) -> str:
    return run("ask", "Close account A-9 for good.", "--as", "alice", "--may-act", *more)


def waiting(model: Acting) -> dict[str, Any]:
    model.turns = [CLOSE]
    found: dict[str, Any] = json.loads(asked("--json"))
    assert found["status"] == "waiting"
    return found


def test_a_yes_carries_it_out_and_goes_on(model: Acting) -> None:
    model.turns = [CLOSE]
    said = asked()
    assert "close_account@1 waiting" in said
    call = next(w for w in said.split() if w.startswith("call-")).rstrip(":")
    assert f"affidavit approvals approve {call}" in said
    model.turns = [answer(("Account A-9 is closed.", "T1", "account A-9 is closed"))]
    said = run("approvals", "approve", call, "--as", "bob")
    assert "close_account@1 done" in said
    assert "Account A-9 is closed. [1]" in said
    (listed,) = json.loads(run("tool", "calls", "--json"))
    story = run("explain", listed["run"])
    assert "approved by user:bob as " in story
    assert "identical" in run("replay", listed["run"])


def test_as_json_a_decision_says_what_came_of_it(model: Acting) -> None:
    found = waiting(model)
    (action,) = found["actions"]
    said = json.loads(run("approvals", "deny", action["call"], "--as", "bob", "--json"))
    assert said["state"] == "denied"
    assert said["then"]["status"] == "refused"
    assert said["then"]["actions"][0]["state"] == "denied"


def test_a_run_is_gone_on_with_by_hand(model: Acting) -> None:
    found = waiting(model)
    assert "waiting" in run("run", "go-on", found["run"])
    model.turns = []
    run("approvals", "deny", found["actions"][0]["call"], "--as", "bob")
    assert "has ended" in run("run", "go-on", found["run"], exit_code=2)


def test_work_says_what_it_went_on_with(model: Acting) -> None:
    waiting(model)
    assert "0 attempts" in run("tool", "work")


def test_what_only_an_answer_can_heed_is_refused(model: Acting) -> None:
    assert "leave out" in run("ask", "Close it.", "--as", "alice", "--may-act", "--as-of", "3", exit_code=2)
    assert "one of: default, none" in run(
        "ask", "Close it.", "--as", "alice", "--may-act", "--feature", "x", exit_code=2
    )
    model.turns = [CLOSE]
    assert json.loads(asked("--feature", "none", "--json"))["actions"][0]["state"] == "refused"
