"""The workspace's tools: calls on their own are runs that replay, are explained, verified and erased like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.erasure import Target
from affidavit.app.toolfile import read_tools
from affidavit.app.tools import ToolDesk
from affidavit.domain.canonical import digest
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    LogDamagedError,
    ManifestError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.roles import ROLES
from affidavit.domain.tools import CallState
from affidavit.gateway.rules import Person
from affidavit.store.people import Tenant

CODE = """
from affidavit import Context, tool

def configure(settings):
    global PLACE
    PLACE = settings["folder"]

@tool(effect="read")
def look(order: int) -> str:
    "Look an order up."
    return f"order {order}"

@tool(effect="write", idempotency="native")
def close(order: int, why: str) -> None:
    "Close an order."
"""


class Asking:
    """Reads are permitted, all else needs an approver who is somebody else."""

    def decide(self, wish: Wish) -> Decision:
        assert wish.tenant == 1
        approved: Any = wish.context["approved"]
        if "approver" in approved:
            assert wish.context["approvers"] == ["user:bob"]
        if wish.attributes["effect"] == "read" or "approver" in approved:
            return Decision(Verdict.PERMIT, ("rule",), digest("asking"))
        return Decision(Verdict.NEEDS_APPROVAL, ("ask",), digest("asking"), ("approver",))

    def halted(self, tenant: int, tool: str) -> str:
        return ""


@pytest.fixture
def tenant(workspace: affidavit.Workspace, tmp_path: Path) -> Tenant:
    (tmp_path / "people.jsonl").write_text('{"id": "alice"}\n{"id": "bob"}\n')
    workspace.import_people(tmp_path / "people.jsonl")
    folder = workspace.parts.folder
    (folder / "orders.py").write_text(CODE)
    (folder / "tools.toml").write_text('[[tools]]\nfile = "orders.py"\nsettings = { a = 1 }\n')
    return workspace.parts.tenant("")


@pytest.fixture
def desk(workspace: affidavit.Workspace, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> ToolDesk:
    desk = ToolDesk(workspace.parts, Asking(), workspace.policy.standing)
    person = desk.person

    def with_roles(tenant: int, principal: str) -> Any:
        found = person(tenant, principal)
        return Person(found.principals, frozenset(ROLES if principal == "user:bob" else ()))

    monkeypatch.setattr(desk, "person", with_roles)
    return desk


def test_a_new_workspace_lets_those_with_a_role_read(workspace: affidavit.Workspace, tenant: Tenant) -> None:
    tools = workspace.tools
    assert [t["tool"] for t in tools.all()] == ["close@1", "look@1"]
    assert tools.call(tenant, "alice", "look", {"order": 7}).state is CallState.DENIED
    workspace.people.grant(tenant, "user:alice", "role:operator")
    assert tools.call(tenant, "alice", "look", {"order": 7}).result == "order 7"
    assert tools.call(tenant, "alice", "close", {"order": 7, "why": "x"}).state is CallState.DENIED
    for stranger in ("mallory", "service:none"):
        with pytest.raises(UnknownNameError):
            tools.call(tenant, stranger, "look", {"order": 7})


def test_calls_replay_without_their_effect_and_are_explained(
    workspace: affidavit.Workspace, desk: ToolDesk, tenant: Tenant
) -> None:
    read = desk.call(tenant, "alice", "look", {"order": 7})
    asked = desk.call(tenant, "alice", "close", {"order": 7, "why": "fraud"})
    assert asked.state is CallState.WAITING
    assert workspace.runs.newest(tenant, None, 1)[0]["status"] == "waiting"
    waiting = desk.waiting(tenant)
    assert [(w["call"], w["roles"]) for w in waiting] == [(asked.row.name, ["approver"])]
    done = desk.approve(tenant, "bob", asked.row.name, "seen")
    assert done.state is CallState.DONE
    (workspace.parts.folder / "tools.toml").unlink()  # nothing of the tools is needed from here on
    for report in workspace.replays.replay(tenant, [read.row.run, asked.row.run]):
        assert report.identical, report.divergence
    found = workspace.replays.explain(tenant, asked.row.run)
    (action,) = found["did"]["actions"]
    assert action["arguments"] == {"order": 7, "why": "fraud"}
    assert [d["when"] for d in action["decisions"]] == ["propose", "approve", "claim"]
    assert [(a["verdict"], a["by"], a["roles"]) for a in found["approved"]] == [
        ("approved", "user:bob", ["approver"])
    ]
    shown = workspace.runs.show(tenant, asked.row.run, "user:alice")
    assert shown["calls"][0]["state"] == "done"
    workspace.verify()


def test_an_erased_call_is_not_carried_out(
    workspace: affidavit.Workspace, desk: ToolDesk, tenant: Tenant
) -> None:
    row = desk.propose(tenant, "alice", "look", {"order": 4711})
    workspace.erasing.erase(tenant, Target("run", row.run), "operator:test", "asked to")
    assert desk.gateway.work() == 0
    assert desk.gateway.stands(row.id).state is CallState.DENIED
    assert "4711" not in json.dumps(desk.story(tenant, row.name))
    workspace.verify()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE calls SET state = 'ready'",
        "UPDATE calls SET claim = 5",
        "UPDATE calls SET key = 'x'",
        "UPDATE calls SET tenant = 2",
        "UPDATE calls SET tool = 'look@1'",
        "UPDATE calls SET policy = 'none'",
        "UPDATE calls SET run = 'run-x'",
        "UPDATE calls SET undoes = 1",
        "UPDATE calls SET proposed = 1",
        "UPDATE calls SET due = 4611686018427387904",
        "UPDATE calls SET due = due - 1",
        "UPDATE calls SET due = 1 WHERE state = 'done'",
        "DELETE FROM approvals",
        "UPDATE approvals SET roles = '[]'",
        "UPDATE approvals SET state = 'approved'",
        "UPDATE approvals SET expires = expires + 1",
        "UPDATE approvals SET policy = 'x'",
        "UPDATE contracts SET content = replace(content, 'write', 'read')",
        "INSERT INTO approvals SELECT id + 9, call, roles, contract, policy, expires, state, opened, resolved FROM approvals",
    ],
)
def test_a_change_by_hand_is_found(
    workspace: affidavit.Workspace, desk: ToolDesk, tenant: Tenant, change: str
) -> None:
    desk.call(tenant, "alice", "close", {"order": 7, "why": "x"})
    assert desk.call(tenant, "alice", "look", {"order": 7}).state is CallState.DONE
    workspace.verify()
    database = workspace.parts.database
    database.run("PRAGMA foreign_keys=OFF")
    where = "" if change.startswith(("DELETE", "INSERT")) else " WHERE rowid = 1"
    where = "" if "contracts" in change or "WHERE" in change else where
    with database.write():
        database.run(change + where)
    with pytest.raises(LogDamagedError):
        workspace.verify()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[tools]]\nfile = 'missing.py'", "cannot be read"),
        ("[[tools]]\nmodule = 'no.such'", "No module"),
        ("[[tools]]\nfile = 'orders.py'\nuse = ['other']", "no tool 'other'"),
        ("[[tools]]\nfile = 'orders.py'\nmodule = 'x'", "a file or a module"),
        ("tools = 7", "more than a list"),
        ("x = [", "not TOML"),
        ("[[tools]]\nfile = 'broken.py'", "broken.py"),
    ],
)
def test_a_wrong_tools_toml_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "orders.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "tools.toml").write_text(text)
    with pytest.raises(ManifestError, match=says):
        read_tools(tmp_path)


@pytest.mark.parametrize("name", ["tools.toml", "orders.py"])
def test_what_others_can_write_is_not_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "orders.py").write_text(CODE)
    (tmp_path / "tools.toml").write_text('[[tools]]\nfile = "orders.py"')
    assert len(read_tools(tmp_path)) == 2
    (tmp_path / name).chmod(0o666)
    with pytest.raises(ManifestError, match="written by others"):
        read_tools(tmp_path)


def test_who_has_no_role_neither_cancels_nor_clears_up(
    workspace: affidavit.Workspace, desk: ToolDesk, tenant: Tenant, tmp_path: Path
) -> None:
    (tmp_path / "more.jsonl").write_text('{"id": "alice"}\n{"id": "bob"}\n{"id": "erin"}\n')
    workspace.import_people(tmp_path / "more.jsonl")
    rows = [desk.propose(tenant, "alice", "close", {"order": n, "why": "x"}) for n in range(3)]
    head = workspace.parts.log.head()
    for by in ("erin", "user:erin", "operator:", "OPERATOR:x", "group:staff", "mallory", ""):
        with pytest.raises(AffidavitError):
            desk.cancel(tenant, by, rows[0].name)
        with pytest.raises((AccessDeniedError, UsageError, UnknownNameError)):
            desk.clear_up(tenant, by, rows[0].name, "seen", happened=True)
    assert workspace.parts.log.head() == head
    for by, row in zip(("alice", "bob", "operator:x"), rows, strict=True):
        assert desk.cancel(tenant, by, row.name).state is CallState.DENIED
