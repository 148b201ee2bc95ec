"""Reports, reviews and incidents: who may, what is kept from erasure, and a timeline folded from events."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

import affidavit
from affidavit.app.erasure import Target
from affidavit.domain.errors import AccessDeniedError, AffidavitError, UnknownNameError, UsageError
from affidavit.offline import verify_affidavit

Write = Callable[[dict[str, str | bytes]], Path]
DAVE = "operator:dave"
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "leave.md": "# Walrus leave\n\nWalrus leave is 20 days a year.",
}


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text(
        '{"id": "alice", "groups": ["staff"]}\n{"id": "carol", "groups": ["staff"]}\n{"id": "erin"}\n'
    )
    workspace.import_people(people)
    workspace.add_source("folder", write_folder(FILES), "docs")
    workspace.sync()
    return workspace


@pytest.fixture
def run(ws: affidavit.Workspace) -> str:
    return ws.ask("How many days is walrus leave?", "alice").run


def test_an_asker_reports_their_own_answer_only(ws: affidavit.Workspace, run: str) -> None:
    tenant = ws.parts.tenant("")
    ws.feedback.report(tenant, run, "user:alice", "wrong", "it is 25")
    for who, what in (("user:carol", run), ("user:alice", "run-nothing"), ("user:mallory", run)):
        with pytest.raises(AccessDeniedError):
            ws.feedback.report(tenant, what, who, "wrong", "x")
    for verdict, reason in (("bad", "x"), ("wrong", " "), ("wrong", "x" * 10_001)):
        with pytest.raises(UsageError):
            ws.feedback.report(tenant, run, "user:alice", verdict, reason)
    (said,) = ws.feedback.of(tenant)
    assert (said.verdict, said.by, said.reason, said.run) == ("wrong", "user:alice", "it is 25", run)
    ws.verify()


def test_a_review_needs_the_grant_and_an_accepted_answer(ws: affidavit.Workspace, run: str) -> None:
    tenant = ws.parts.tenant("")
    with pytest.raises(AccessDeniedError):
        ws.feedback.review(tenant, run, "carol", "confirmed", "checked")
    ws.people.grant(tenant, "user:carol", "answer:review")
    with pytest.raises(UsageError):
        ws.feedback.review(tenant, run, "carol", "overridden", "raised")
    with pytest.raises(UsageError):
        ws.feedback.review(tenant, run, "carol", "confirmed", "checked", "25 days")
    with pytest.raises(AccessDeniedError):
        ws.feedback.review(tenant, "run-nothing", "carol", "confirmed", "checked")
    ws.feedback.review(tenant, run, "carol", "overridden", "raised", "25 days")
    (said,) = ws.feedback.of(tenant, run)
    assert (said.by, said.accepted) == ("user:carol", "25 days")
    given = ws.runs.show(tenant, run, "user:alice")["given"]
    assert "20 days" in given["answer"]  # what was given stays what was given


def test_an_incident_holds_its_run_until_it_is_closed(ws: affidavit.Workspace, run: str) -> None:
    tenant = ws.parts.tenant("")
    incident = ws.incidents.open(tenant, run, DAVE, "wrong figure")
    with pytest.raises(AffidavitError, match="hold"):
        ws.erasing.erase(tenant, Target("run", run), DAVE, "asked")
    ws.incidents.note(tenant, incident.id, DAVE, "told the owner")
    closed = ws.incidents.close(tenant, incident.id, DAVE, "page corrected")
    assert closed.closed_at
    assert [n[3] for n in closed.notes] == ["told the owner", "closed: page corrected"]
    with pytest.raises(UsageError):
        ws.incidents.note(tenant, incident.id, DAVE, "too late")
    ws.erasing.erase(tenant, Target("run", run), DAVE, "asked")
    ws.verify()
    assert [i.id for i in ws.incidents.all(tenant)] == [incident.id]


def test_who_may_open_one(ws: affidavit.Workspace, run: str) -> None:
    tenant = ws.parts.tenant("")
    for by in ("alice", "mallory", "operator:", ""):
        with pytest.raises(AffidavitError):
            ws.incidents.open(tenant, run, by, "x")
    with pytest.raises(AccessDeniedError):
        ws.incidents.open(ws.ensure_tenant("globex"), run, DAVE, "x")
    with pytest.raises(UsageError):
        ws.incidents.open(tenant, run, DAVE, "")
    assert ws.keeping.holds(tenant) == []
    ws.people.grant(tenant, "user:carol", "incident:manage")
    assert ws.incidents.open(tenant, run, "carol", "x").opened_by == "user:carol"
    with pytest.raises(UnknownNameError):
        ws.incidents.get(tenant, "inc-nothing")


def test_the_timeline_tells_everything_in_order(
    ws: affidavit.Workspace, run: str, write_folder: Write
) -> None:
    tenant = ws.parts.tenant("")
    ws.feedback.report(tenant, run, "user:alice", "wrong", "it is 25")
    incident = ws.incidents.open(tenant, run, DAVE, "wrong figure")
    write_folder({"leave.md": "# Walrus leave\n\nWalrus leave is 25 days a year."})
    ws.sync()
    write_folder({"access.toml": 'allow = ["anyone"]'})
    ws.sync()
    ws.replays.explain(tenant, run)
    told = [e["what"] for e in ws.incidents.timeline(tenant, incident.id)]
    wanted = [
        "user:alice asked: How many days is walrus leave?",
        "answered: Walrus leave is 20 days a year.",
        "user:alice found the answer wrong: it is 25",
        f"{DAVE} opened the incident: wrong figure",
        "docs/leave.md: document.indexed",
        "docs/leave.md: access.changed",
        "operator looked at it: explain",
    ]
    assert list(dict.fromkeys(told)) == wanted  # a re-share narrows first and then widens: two events


def test_the_evidence_is_whole_and_checks_offline(ws: affidavit.Workspace, run: str, tmp_path: Path) -> None:
    tenant = ws.parts.tenant("")
    incident = ws.incidents.open(tenant, run, DAVE, "wrong figure")
    folder = tmp_path / "evidence"
    ws.incidents.pack(tenant, incident.id, folder, DAVE)
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert sha256((folder / name).read_bytes()).hexdigest() == digest
    assert json.loads((folder / "replay.json").read_text())["identical"]
    assert json.loads((folder / "explain.json").read_text())["today"]["same"]
    checked = subprocess.run(
        [sys.executable, verify_affidavit.__file__, folder / "proof.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with pytest.raises(UsageError):
        ws.incidents.pack(tenant, incident.id, folder, DAVE)
    with pytest.raises(AccessDeniedError):
        ws.incidents.pack(tenant, incident.id, tmp_path / "other", "alice")
