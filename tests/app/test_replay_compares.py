"""A replay says identical only of what it compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.app.replay import ReplayReport
from affidavit.domain.canonical import canonical
from affidavit.domain.events import EventKind, commit_body
from affidavit.runs.replay import Fact, agrees, compare
from affidavit.store.database import Database
from affidavit.testing.embedder import HashEmbedder

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "How many days is walrus leave?"
BY = "operator:dpo"


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"]}\n')
    workspace.import_people(people)
    root = write_folder(
        {
            "access.toml": 'allow = ["group:staff"]',
            "leave.md": "# Walrus leave\n\nWalrus leave is 20 days a year, says jo@example.org.",
        }
    )
    workspace.add_source("folder", root, "docs")
    workspace.keeping.set_redaction(workspace.parts.tenant(""), [{"name": "email"}], BY)
    return workspace


def replay(ws: affidavit.Workspace, run: str) -> ReplayReport:
    (report,) = ws.replays.replay(ws.parts.tenant(""), [run])
    return report


def _rewrite(db: Database, run: str, old: bytes, new: bytes) -> None:
    """Another body for the run's answer, with a commitment to match: a replay does not look at signatures."""
    position, body, header = db.all(
        "SELECT position, body, header FROM events WHERE run = ? AND kind = 'answer.released'", (run,)
    )[0]
    salt, data = db.all("SELECT salt, data FROM bodies WHERE id = ?", (body,))[0]
    changed = data.replace(old, new)
    assert changed != data
    db.run("UPDATE bodies SET data = ?, size = ? WHERE id = ?", (changed, len(changed), body))
    header = header.replace(commit_body(salt, data).encode(), commit_body(salt, changed).encode())
    db.run("UPDATE events SET header = ? WHERE position = ?", (header, position))


def test_an_answer_that_was_redacted_is_compared_but_for_what_was_taken_out(ws: affidavit.Workspace) -> None:
    ws.sync()
    run = ws.ask(QUESTION, "alice").run
    report = replay(ws, run)
    assert report.identical, report.divergence
    db = ws.parts.database
    body = db.value(
        "SELECT b.data FROM events e JOIN bodies b ON b.id = e.body WHERE e.run = ? AND kind = 'answer.released'",
        (run,),
    )
    if b"20 days" not in body:
        db.run("UPDATE bodies SET codec = 0, data = ? WHERE data = ?", (_plain(ws, run), body))
    _rewrite(db, run, b"20 days", b"90 days")
    report = replay(ws, run)
    assert not report.identical
    assert report.divergence is not None
    assert "90 days" in str(report.divergence.recorded)


def _plain(ws: affidavit.Workspace, run: str) -> bytes:
    (event,) = [e for e in ws.parts.events.of_run(run) if e.kind is EventKind.ANSWER_RELEASED]
    return canonical(ws.parts.events.body(event))


def test_an_answer_redacted_after_the_model_was_asked_is_compared(ws: affidavit.Workspace) -> None:
    ws.parts.embedder = ws.parts.retriever.embedder = HashEmbedder()
    ws.sync()
    report = replay(ws, ws.ask(QUESTION, "alice").run)
    assert report.identical, report.divergence


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("mail [redacted email] now", "mail jo@example.org now", True),
        ("mail [redacted email] now", "mail jo@example.org then", False),
        ("[redacted a][redacted b]x", "onetwox", True),
        ("[redacted a]", "", True),
        ("a[redacted a]a", "a", False),
        ({"terms": {"a": 1}}, {"terms": {"a": 1, "b": 2}}, True),
        ({"terms": {"a": 1}}, {"terms": {"b": 2}}, False),
        ({"x": {"a": 1}}, {"x": {"a": 1, "b": 2}}, False),
        ([1, "x"], [1, "x", 2], False),
        ([1, {"k": "[redacted a]"}], [1, {"k": "any"}], True),
        (True, 1, False),
    ],
)
def test_what_agrees_with_something_redacted(old: object, new: object, same: bool) -> None:
    assert agrees(old, new) is same


@pytest.mark.parametrize("changed", [{"status": "refused"}, {"steps": 4}])
def test_how_a_run_ended_is_compared(changed: dict[str, object]) -> None:
    def end(body: object, **facts: object) -> list[Fact]:
        return [Fact(EventKind.RUN_FINISHED, {"status": "answered", "steps": 3, **facts}, body)]

    assert (
        compare(end({"timings": {"a": 1}, "decisions": 0}), end({"timings": {"a": 9}, "decisions": 0}))
        is None
    )
    assert compare(end({"timings": {}, "decisions": 0}), end({"timings": {}, "decisions": 0}, **changed))
    assert compare(end({"timings": {}, "decisions": 0}), end({"timings": {}, "decisions": 1}))
