"""What people say about answers is theirs: it is shown to whom it is meant for, redacted, held, and erased with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.app.erasure import Target
from affidavit.domain.errors import AccessDeniedError, HeldError
from affidavit.events.log import Transaction

Write = Callable[[dict[str, str | bytes]], Path]
BY, WHY = "operator:dpo", "request 17"
QUESTION = "How many days is walrus leave?"


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "carol", "groups": ["staff"]}\n')
    workspace.import_people(people)
    root = write_folder(
        {
            "access.toml": 'allow = ["group:staff"]',
            "leave.md": "# Walrus leave\n\nWalrus leave is 20 days a year.",
        }
    )
    workspace.add_source("folder", root, "docs")
    workspace.sync()
    return workspace


def everything(ws: affidavit.Workspace) -> str:
    db = ws.parts.database
    rows = [repr(db.all(f"SELECT * FROM {t}")) for t in ("people", "memberships", "grants", "holds")]
    ids = [row[0] for row in db.all("SELECT id FROM bodies WHERE codec <> 2")]
    return "".join(rows) + "\n".join(ws.parts.bodies.get(id).decode() for id in ids)


def test_an_erased_person_s_reports_go_with_them(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    mine, other = ws.ask(QUESTION, "alice").run, ws.ask(QUESTION, "carol").run
    ws.feedback.report(tenant, mine, "user:alice", "wrong", "my narwhaldesk says 25")
    ws.feedback.review(tenant, mine, "operator:bo", "overridden", "x", "quokkaday")
    ws.feedback.report(tenant, other, "user:carol", "right", "zebrafish")
    ws.erasing.erase(tenant, Target("person", "user:alice"), BY, WHY)
    left = everything(ws)
    assert "narwhaldesk" not in left
    assert "quokkaday" not in left  # what was said of a run that is erased
    assert "user:alice" not in left
    assert [s.reason for s in ws.feedback.of(tenant)] == ["zebrafish"]
    ws.verify()


def test_an_erased_run_s_reports_go_with_it_unless_it_is_held(ws: affidavit.Workspace) -> None:
    tenant, run = ws.parts.tenant(""), ws.ask(QUESTION, "alice").run
    ws.feedback.report(tenant, run, "user:alice", "wrong", "narwhaldesk")
    hold = ws.keeping.hold(tenant, "run", run, BY, WHY)
    for target in (Target("run", run), Target("person", "user:alice")):
        with pytest.raises(HeldError):
            ws.erasing.erase(tenant, target, BY, WHY)
    ws.keeping.release(tenant, hold["id"], BY, WHY)
    ws.erasing.erase(tenant, Target("run", run), BY, WHY)
    assert "narwhaldesk" not in everything(ws)
    assert ws.feedback.of(tenant) == []
    ws.verify()


def test_what_else_names_the_erased_is_counted(ws: affidavit.Workspace) -> None:
    tenant, run = ws.parts.tenant(""), ws.ask(QUESTION, "carol").run
    ws.replays.what_if(tenant, run, [("as", "user:alice")])
    ws.replays.explain(tenant, run, None)
    for target, count in ((Target("person", "user:alice"), 1), (Target("run", run), 2)):
        report = ws.erasing.erase(tenant, target, BY, WHY, dry_run=True)
        (trail,) = [r for r in report["remains"] if r["what"] == "the audit trail"]
        assert trail["count"] == count


def test_a_run_that_begins_while_its_person_is_held_is_not_erased(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the plan and the transaction alice, who is held, asks about the document that is going."""
    tenant = ws.parts.tenant("")
    ws.keeping.hold(tenant, "person", "user:alice", BY, WHY)
    write = ws.parts.log.write
    asked: list[bool] = []

    def late(change: Callable[[Transaction], object]) -> object:
        if not asked:
            asked.append(True)
            assert ws.ask(QUESTION, "alice").status.value == "answered"
        return write(change)

    monkeypatch.setattr(ws.parts.log, "write", late)
    with pytest.raises(HeldError):
        ws.erasing.erase(tenant, Target("document", "leave.md", "docs"), BY, WHY)
    ws.verify()


def test_an_asker_sees_only_what_they_said(ws: affidavit.Workspace) -> None:
    tenant, run = ws.parts.tenant(""), ws.ask(QUESTION, "alice").run
    ws.feedback.report(tenant, run, "user:alice", "wrong", "it is 25")
    ws.feedback.review(tenant, run, "operator:bo", "overridden", "x", "what alice may not read")
    assert [s.by for s in ws.feedback.of(tenant, reader="user:alice")] == ["user:alice"]
    assert ws.feedback.of(tenant, reader="user:carol") == []
    assert len(ws.feedback.of(tenant)) == 2
    ws.people.grant(tenant, "user:carol", "audit:read")
    assert len(ws.feedback.of(tenant, reader="user:carol")) == 2


def test_what_is_said_is_redacted_too(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    ws.keeping.set_redaction(tenant, [{"name": "email"}], BY)
    run = ws.ask(QUESTION, "alice").run
    ws.feedback.report(tenant, run, "user:alice", "wrong", "ask jo@example.org")
    ws.feedback.review(
        tenant, run, "operator:bo", "overridden", "by bo@example.org", "write to hr@example.org"
    )
    incident = ws.incidents.open(tenant, run, "operator:bo", "seen by ann@example.org")
    ws.incidents.note(tenant, incident.id, "operator:bo", "told dan@example.org")
    ws.incidents.close(tenant, incident.id, "operator:bo", "told eva@example.org")
    assert "@example.org" not in everything(ws)
    assert [s.run for s in ws.feedback.of(tenant)] == [run, run]
    assert ws.incidents.get(tenant, incident.id).reason == "seen by [redacted email]"
    ws.verify()


def test_one_tenant_s_people_do_not_set_redaction_for_all(ws: affidavit.Workspace, tmp_path: Path) -> None:
    """There is one set of rules: with several tenants only the operator may change it."""
    first = ws.parts.tenant("")
    ws.people.grant(first, "user:alice", "audit:erase")
    ws.keeping.set_redaction(first, [{"name": "email"}], "user:alice")
    ws.import_people(tmp_path / "p.jsonl", "globex")
    with pytest.raises(AccessDeniedError, match="every tenant"):
        ws.keeping.set_redaction(first, [], "user:alice")
    assert ws.keeping.redaction() == [{"name": "email"}]
    ws.keeping.set_redaction(first, [], BY)
