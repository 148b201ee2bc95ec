"""Modes, kill switch and secrets: on the log, looked at by every step, and a secret is nowhere."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import affidavit
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.conceal import Concealer
from affidavit.domain.errors import (
    AccessDeniedError,
    LogDamagedError,
    StoppedError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import EventKind
from affidavit.domain.records import RunStatus

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "How many days is walrus leave?"
RULES = 'allow = ["group:staff"]'
BY = "operator:dave"


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "carol", "groups": []}\n')
    workspace.import_people(people, "acme")
    for name, text in (
        ("wiki", "Walrus leave is 20 days a year."),
        ("old", "Walrus leave is 9 days a year. A walrus takes leave early."),
    ):
        root = tmp_path / name
        root.mkdir()
        (root / "access.toml").write_text(RULES)
        (root / "leave.md").write_text(f"# Walrus leave\n\n{text}")
        (root / "squid.md").write_text("# Squid\n\nA squid has ten arms and no leave.")
        workspace.add_source("folder", root, name)
    workspace.sync()
    return workspace


@pytest.mark.parametrize(
    "name", ["tool:pay@01", "tool:pay@0", "tool:pay@1 ", "tool:Pay", "tool:pay@\u0661", "tool:pay@"]
)
def test_what_would_stop_no_tool_is_not_taken_for_a_stop(ws: affidavit.Workspace, name: str) -> None:
    with pytest.raises(UsageError):
        kill(ws, name)


def tenant(ws: affidavit.Workspace) -> Any:
    return ws.parts.tenant("")


def kill(ws: affidavit.Workspace, what: str) -> None:
    ws.controls.kill(tenant(ws), what, BY, "it misbehaves")


def revive(ws: affidavit.Workspace, what: str) -> None:
    ws.controls.revive(tenant(ws), what, BY, "it behaves")


def documents(ws: affidavit.Workspace, as_of: int | None = None) -> set[str]:
    return {h.view.source for h in ws.search(QUESTION, "alice", as_of=as_of).hits}


def test_a_workspace_starts_read_only_and_who_may_changes_it(ws: affidavit.Workspace) -> None:
    acme, desk = tenant(ws), ws.controls
    assert desk.mode(acme) == "read-only"
    before = ws.parts.log.head()
    for stranger in ("carol", "user:nobody", ""):
        with pytest.raises((AccessDeniedError, UsageError)):
            desk.set_mode(acme, "live", stranger, "please")
    with pytest.raises(UsageError):
        desk.set_mode(acme, "live", BY, " ")
    assert ws.parts.log.head() == before
    ws.people.grant(acme, "user:carol", "role:admin")
    desk.set_mode(acme, "live", "carol", "the pilot begins")
    head = ws.parts.log.head()
    desk.set_mode(acme, "live", "carol", "again")
    assert ws.parts.log.head() == head  # nothing changed, so nothing happened
    assert (desk.mode(acme), desk.mode(acme, before), desk.mode(acme, head)) == ("live", "read-only", "live")
    ws.people.grant(acme, "user:carol", "role:admin", revoke=True)
    with pytest.raises(AccessDeniedError):
        desk.set_mode(acme, "read-only", "carol", "no")
    ws.verify()


def test_a_mode_is_one_tenants(ws: affidavit.Workspace) -> None:
    globex = ws.people.ensure_tenant("globex")
    ws.controls.set_mode(globex, "live", BY, "pilot")
    assert ws.parts.controls.mode(ws.parts.tenant("acme").id) == "read-only"


@pytest.mark.parametrize("role", ["reader", "approver", "auditor", "operator", "admin"])
def test_what_each_role_includes(ws: affidavit.Workspace, role: str) -> None:
    acme = tenant(ws)
    ws.people.grant(acme, "group:staff", f"role:{role}")
    shown = ws.people.show(acme, "user:alice")
    assert shown["roles"] == [role]
    assert ("audit:read" in shown["may"]) is (role in ("auditor", "admin"))
    assert ws.runs.may_audit(acme, "user:alice") is (role in ("auditor", "admin"))
    assert ("mode:change" in shown["may"]) is (role == "admin")
    assert ws.policy.standing(acme.id, "user:alice").roles == {role}
    assert ws.policy.standing(acme.id, "user:nobody").roles == set()


# -- a source


def test_a_stopped_source_is_as_if_it_were_not_there(ws: affidavit.Workspace, tmp_path: Path) -> None:
    assert documents(ws) == {"wiki", "old"}
    before = ws.ask(QUESTION, "alice")
    head = ws.parts.log.head()
    kill(ws, "source:old")
    stopped = ws.search(QUESTION, "alice")
    assert {h.view.source for h in stopped.hits} == {"wiki"}
    answer = ws.ask(QUESTION, "alice")
    assert {c.source for claim in answer.claims for c in claim.citations} == {"wiki"}
    ws.sources.remove(tenant(ws), "old")  # and now it is really not there: the same bytes are given
    gone = ws.search(QUESTION, "alice")
    assert [h["score"] for h in gone.as_json()["hits"]] == [h["score"] for h in stopped.as_json()["hits"]]
    assert gone.as_json()["hits"] == stopped.as_json()["hits"]
    assert ws.ask(QUESTION, "alice").given() == answer.given()
    assert ws.controls.kills(tenant(ws), head) == []
    (replayed, again) = ws.replays.replay(tenant(ws), [before.run, answer.run])
    assert replayed.identical and again.identical
    ws.verify()


def test_a_stopped_source_is_not_answered_from_as_of_earlier_either(ws: affidavit.Workspace) -> None:
    head = ws.parts.log.head()
    kill(ws, "source:old")
    assert documents(ws, as_of=head) == {"wiki"}
    revive(ws, "source:old")
    assert documents(ws) == {"wiki", "old"}


def test_stopping_a_source_nobody_may_read_changes_not_one_byte(
    ws: affidavit.Workspace, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "access.toml").write_text('allow = ["group:board"]')
    (hidden / "leave.md").write_text("# Walrus leave\n\nWalrus leave ends. Walrus walrus.")
    ws.add_source("folder", hidden, "hidden")
    ws.sync("hidden")
    before, hits = ws.ask(QUESTION, "alice").given(), ws.search(QUESTION, "alice").as_json()["hits"]
    kill(ws, "source:hidden")
    assert ws.ask(QUESTION, "alice").given() == before
    assert ws.search(QUESTION, "alice").as_json()["hits"] == hits


def test_a_source_stopped_between_search_and_recheck_is_not_given(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recheck = ws.parts.retriever.recheck

    def late(*args: Any) -> Any:
        if not ws.controls.kills(tenant(ws)):
            kill(ws, "source:old")
        return recheck(*args)

    monkeypatch.setattr(ws.parts.retriever, "recheck", late)
    answer = ws.ask(QUESTION, "alice")
    assert {c.source for claim in answer.claims for c in claim.citations} == {"wiki"}
    story = json.dumps(ws.runs.show(tenant(ws), answer.run, None, audit=True))
    assert "its source is stopped" in story


def test_an_earlier_answer_out_of_a_stopped_source_is_not_gone_on_from(ws: affidavit.Workspace) -> None:
    first = ws.ask(QUESTION, "alice")
    assert first.status is RunStatus.ANSWERED
    cited = {c.source for claim in first.claims for c in claim.citations}
    for source in cited:
        kill(ws, f"source:{source}")
    second = ws.ask("And that?", "alice", follows=first.run)
    story = ws.runs.show(tenant(ws), second.run, None, audit=True)
    (turns,) = (s["output"] for s in story["steps"] if s["name"] == "conversation")
    assert turns == []  # a turn that cites what may not be read now is left out whole


def test_a_stopped_source_is_not_synced_and_stops_in_the_middle(
    ws: affidavit.Workspace, tmp_path: Path
) -> None:
    kill(ws, "source:wiki")
    with pytest.raises(StoppedError, match="it misbehaves"):
        ws.sync("wiki")
    ws.sync("old")
    revive(ws, "source:wiki")
    for n in range(5):
        (tmp_path / "wiki" / f"more{n}.md").write_text(f"# More {n}\n\nMore {n}.")

    def progress(report: Any) -> None:
        if not ws.controls.kills(tenant(ws)):
            kill(ws, "source:wiki")

    with pytest.raises(StoppedError):
        ws.sync("wiki", progress=progress)
    revive(ws, "source:wiki")
    ws.sync("wiki")
    ws.verify()


# -- a tenant, all, tools, models


@pytest.mark.parametrize("what", ["tenant", "all"])
def test_a_stopped_tenant_answers_nothing(ws: affidavit.Workspace, what: str) -> None:
    answer = ws.ask(QUESTION, "alice")
    kill(ws, what)
    for attempt in (
        lambda: ws.ask(QUESTION, "alice"),
        lambda: ws.search(QUESTION, "alice"),
        lambda: ws.sync("wiki"),
    ):
        with pytest.raises(StoppedError, match="it misbehaves"):
            attempt()
    assert "it misbehaves" in ws.policy.halted(tenant(ws).id, "mail.send@1")
    (report,) = ws.replays.replay(tenant(ws), [answer.run])  # what was answered can still be looked into
    assert report.identical
    revive(ws, what)
    assert ws.ask(QUESTION, "alice").given() == answer.given()


def test_stopping_one_tenant_stops_no_other(ws: affidavit.Workspace) -> None:
    globex = ws.people.ensure_tenant("globex")
    ws.controls.kill(globex, "tenant", BY, "unpaid")
    ws.controls.kill(globex, "source:wiki", BY, "unpaid")
    assert {h.view.source for h in ws.search(QUESTION, "alice", tenant="acme").hits} == {"wiki", "old"}


def test_another_process_sees_it_at_its_next_step_and_after_a_restart(ws: affidavit.Workspace) -> None:
    with open_workspace(ws.parts.folder) as other:
        assert other.policy.halted(1, "mail.send@1") == ""
        kill(ws, "tool:mail.send")
        assert "it misbehaves" in other.policy.halted(1, "mail.send@1")
        assert other.policy.halted(1, "mail.sender@1") == ""
    with open_workspace(ws.parts.folder) as later:
        assert "it misbehaves" in later.policy.halted(1, "mail.send@2")
        revive(ws, "tool:mail.send")
        kill(ws, "tool:mail.send@2")
        assert later.policy.halted(1, "mail.send@1") == ""
        assert later.policy.halted(1, "mail.send@2")


@pytest.mark.parametrize(
    "what", ["", "tools", "tool", "tool:", "tool:Mail", "tool:a@b", "all:x", "tenant:x", "source:", "model", "x:y"]
)  # fmt: skip
def test_what_cannot_be_stopped(ws: affidavit.Workspace, what: str) -> None:
    with pytest.raises(UsageError):
        kill(ws, what)


def test_who_may_stop_what(ws: affidavit.Workspace) -> None:
    acme = tenant(ws)
    with pytest.raises(AccessDeniedError):
        ws.controls.kill(acme, "source:wiki", "carol", "because")
    ws.people.grant(acme, "user:carol", "role:operator")
    first = ws.controls.kill(acme, "source:wiki", "carol", "because")
    assert ws.controls.kill(acme, "source:wiki", BY, "another reason") == first
    for what in ("all", "model:gpt"):
        with pytest.raises(AccessDeniedError):
            ws.controls.kill(acme, what, "carol", "because")
    with pytest.raises(UnknownNameError):
        ws.controls.revive(acme, "source:old", BY, "because")
    assert ws.status()["stopped"] == ["acme: source:wiki is stopped: because"]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM kills",
        "UPDATE kills SET until = 1",
        "UPDATE kills SET reason = 'another'",
        "INSERT INTO modes (tenant, mode, since, until) VALUES (1, 'live', 0, 4611686018427387904)",
        "UPDATE secrets SET place = 'ANOTHER'",
    ],
)
def test_a_control_changed_by_hand_is_found(ws: affidavit.Workspace, sql: str) -> None:
    kill(ws, "source:wiki")
    ws.controls.set_secret(tenant(ws), "key", "env", "THE_KEY", BY)
    ws.verify()
    ws.parts.database.run(sql)
    with pytest.raises(LogDamagedError, match="not those that the log knows"):
        ws.verify()


# -- secrets

CANARY = 'canary/+key=with "quotes" & ümlaut'


def test_a_secret_is_read_when_it_is_needed_and_stands_nowhere(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    acme, desk = tenant(ws), ws.controls
    file = tmp_path / "key"
    file.write_text(CANARY + "\n")
    desk.set_secret(acme, "env-key", "env", "P5_CANARY", BY)
    desk.set_secret(acme, "file-key", "file", str(file), BY)
    with pytest.raises(UsageError, match="P5_CANARY holds none"):
        desk.values(acme.id, ["env-key"])
    monkeypatch.setenv("P5_CANARY", CANARY)
    values = desk.values(acme.id, ["env-key", "file-key"])
    assert {str(v) for v in values.values()} == {CANARY}
    assert CANARY not in repr(values)
    assert [s["readable"] for s in desk.secrets(acme)] == [True, True]
    assert CANARY not in json.dumps(desk.secrets(acme))
    globex = ws.people.ensure_tenant("globex")
    with pytest.raises(UsageError) as caught:
        desk.values(globex.id, ["env-key"])
    assert CANARY not in str(caught.value.as_dict())
    desk.remove_secret(acme, "env-key", BY)
    with pytest.raises(UsageError):
        desk.values(acme.id, ["env-key"])
    for kind in EventKind:
        for event in ws.parts.events.of_kind(kind):
            assert "canary" not in json.dumps(ws.parts.events.body(event)).replace("P5_CANARY", "")
    kept = b"".join(p.read_bytes() for p in ws.parts.folder.rglob("*") if p.is_file())
    assert CANARY.encode() not in kept


def test_a_key_given_in_place_of_its_name_is_not_shown(ws: affidavit.Workspace) -> None:
    with pytest.raises(UsageError) as caught:
        ws.controls.set_secret(tenant(ws), "key", "env", "sk-live-1234567890", BY)
    assert "1234567890" not in str(caught.value.as_dict())
    with pytest.raises(AccessDeniedError):
        ws.controls.set_secret(tenant(ws), "key", "env", "KEY", "carol")


@pytest.mark.parametrize(
    "said",
    [
        CANARY,
        quote(CANARY),
        quote(CANARY, safe=""),
        json.dumps(CANARY),
        json.dumps({"deep": [json.dumps(CANARY)]}, ensure_ascii=False),
        CANARY.encode().hex(),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{CANARY}".encode()).decode(),
        base64.b64encode(f"ab:{CANARY}:x".encode()).decode(),
        base64.b64encode(f"a{CANARY}".encode()).decode(),
        repr(ValueError(CANARY)),
        escape(CANARY),
        re.sub("%..", lambda found: found.group().lower(), quote(CANARY, safe="")),
    ],
)  # fmt: skip
def test_results_and_errors_are_scrubbed(said: str) -> None:
    concealer = Concealer({"key": CANARY})
    told = concealer.text(f"before {said} after")
    core = base64.b64encode(CANARY.encode()).decode()[4:40]
    for part in ("canary", "anary/", "%2Bkey", CANARY.encode().hex()[4:40], core):
        assert part not in told
    assert told.startswith("before ") and told.endswith(" after") and "[secret key]" in told
    assert concealer.value({said: [said, 5, None, True]}) != {said: [said, 5, None, True]}


def test_what_holds_no_secret_stays_as_it_is() -> None:
    value = {"a": ["text", 5, None, True, {"b": "c"}]}
    assert Concealer({"key": CANARY}).value(value) == value
