"""The story of a run: the asker sees what they were given, an auditor sees the rest, a stranger sees nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.domain.errors import AccessDeniedError

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "How many days is walrus leave?"


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text(
        '{"id": "alice", "groups": ["staff"]}\n{"id": "erin", "groups": []}\n{"id": "dave", "groups": ["auditors"]}\n'
    )
    workspace.import_people(people)
    files: dict[str, str | bytes] = {
        "access.toml": 'allow = ["group:staff"]',
        "leave.md": "# Walrus leave\n\nWalrus leave is 20 days a year.",
        "open/access.toml": 'inherit = false\nallow = ["anyone"]',
        "open/about.md": "# About\n\nWe sell sea food.",
    }
    workspace.add_source("folder", write_folder(files), "docs")
    workspace.sync()
    workspace.people.grant(workspace.parts.tenant(""), "group:auditors", "audit:read")
    return workspace


def test_the_asker_and_the_auditor(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    answer = ws.ask(QUESTION, "erin")
    mine = ws.runs.show(tenant, answer.run, "user:erin")
    assert "leave.md" not in json.dumps(mine)
    assert "withheld" not in mine
    assert mine["given"] == json.loads(json.dumps(answer.given()))
    audited = ws.runs.show(tenant, answer.run, "user:dave")
    (withheld,) = audited["withheld"]
    assert withheld["document"] == "leave.md"
    assert withheld["rule"] == "not in any of: group:staff"
    assert [s["name"] for s in audited["steps"]][:3] == ["identify", "scope", "guard"]
    assert "withheld" in ws.runs.show(tenant, answer.run, None, audit=True)
    assert "withheld" not in ws.runs.show(tenant, answer.run, None)


def test_other_peoples_runs_do_not_exist(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    answer = ws.ask(QUESTION, "alice")
    with pytest.raises(AccessDeniedError) as denied:
        ws.runs.show(tenant, answer.run, "user:erin")
    with pytest.raises(AccessDeniedError) as absent:
        ws.runs.show(tenant, "run-nothing", "user:erin")
    assert denied.value.message.replace(answer.run, "R") == absent.value.message.replace("run-nothing", "R")
    other = ws.ensure_tenant("globex")
    with pytest.raises(AccessDeniedError):
        ws.runs.show(other, answer.run, None, audit=True)


def test_lists(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    ws.ask(QUESTION, "alice")
    ws.ask(QUESTION, "erin")
    assert [r["principal"] for r in ws.runs.newest(tenant, "user:alice", 10)] == ["user:alice"]
    everything = ws.runs.newest(tenant, "user:dave", 10)
    assert [r["journey"] for r in everything] == ["ask", "ask", "sync"]
    assert ws.runs.newest(tenant, None, 1)[0]["principal"] == "user:erin"
    assert ws.runs.newest(tenant, "user:mallory", 10) == []


def test_the_withheld_are_those_of_the_runs_own_time(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    answer = ws.ask(QUESTION, "erin")
    ws.people.join(tenant, "user:erin", "staff")
    audited = ws.runs.show(tenant, answer.run, "user:dave")
    assert [w["document"] for w in audited["withheld"]] == ["leave.md"]
