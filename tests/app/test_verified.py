"""What was verified is remembered, is gone on from, and tells a copy that was set back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.canonical import Json
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.events.merkle import Frontier
from affidavit.events.verify import frontier_at


def write(ws: affidavit.Workspace, count: int) -> None:
    event = Event(
        EventKind.RUN_STARTED, 1, "run-x", {"journey": "ask", "release": "0" * 64}, {"principal": "user:x"}
    )
    ws.parts.log.write(lambda tx: [tx.append(event) for _ in range(count)])


def test_frontiers_of_the_past_are_found_again(workspace: affidavit.Workspace) -> None:
    write(workspace, 1500)
    frontier = Frontier()
    for leaf, *_ in workspace.parts.database.all("SELECT leaf FROM events ORDER BY position"):
        assert frontier_at(workspace.parts.database, frontier.size).as_text() == frontier.as_text()
        frontier.append(leaf)


def test_since_last_reads_only_what_is_new(workspace: affidavit.Workspace) -> None:
    with pytest.raises(UsageError):
        workspace.verified.since()
    whole = workspace.verified.full()
    assert workspace.verified.since()["new_events"] == 0
    write(workspace, 300)
    report = workspace.verified.since()
    assert (report["since"], report["new_events"], report["bodies"]) == (whole["events"], 300, 300)
    assert report["root"] == workspace.verify()["root"]
    assert workspace.verified.since()["new_events"] == 0  # it remembers, too


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("DELETE FROM events WHERE position = 400", "missing"),
        ("UPDATE bodies SET data = x'00', size = 1 WHERE id = (SELECT max(id) FROM bodies)", "body"),
        ("UPDATE events SET at = at + 1 WHERE position = 400", "columns"),
        (
            "UPDATE tree SET hash = zeroblob(32) WHERE level = 8 AND number = 0",
            "not those that were verified",
        ),
        ("UPDATE events SET leaf = zeroblob(32) WHERE position = 290", "not those that were verified"),
        ("DELETE FROM checkpoints WHERE size > 300", "signed checkpoint"),
        ("CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END", "layout"),
        ("UPDATE meta SET value = '0:' WHERE key = 'frontier'", "stored tree head"),
    ],
)
def test_since_last_finds_what_was_done_to_it(
    workspace: affidavit.Workspace, change: str, finding: str
) -> None:
    write(workspace, 300)
    workspace.verified.full()
    write(workspace, 300)
    workspace.parts.database.run("PRAGMA foreign_keys = OFF")
    workspace.parts.database.run(change)
    with pytest.raises(LogDamagedError, match=finding):
        workspace.verified.since()


def test_an_erasure_of_what_was_verified_is_looked_at(workspace: affidavit.Workspace) -> None:
    write(workspace, 30)
    workspace.verified.full()
    facts: dict[str, int | str] = {"cause": "run", "events": 5, "contents": 0}
    body: Json = {"by": "x", "reason": "x", "positions": [[10, 14]]}

    def erase(tx: Transaction) -> None:
        tx.append(Event(EventKind.BODY_ERASED, 1, facts=facts, body=body))

    workspace.parts.log.write(erase)
    with pytest.raises(LogDamagedError, match="not all are"):
        workspace.verified.since()
    db = workspace.parts.database
    db.run(
        "UPDATE bodies SET salt = x'', data = x'', size = 0, codec = 2 WHERE id IN "
        "(SELECT body FROM events WHERE position BETWEEN 10 AND 14)"
    )
    db.run("UPDATE runs SET who = '' WHERE position BETWEEN 10 AND 14")
    assert workspace.verified.since()["erased"] == 5
    workspace.verify()


def test_an_older_copy_is_recognised_even_by_whoever_holds_the_key(tmp_path: Path) -> None:
    state = tmp_path / "elsewhere.json"
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        write(ws, 10)
    shutil.copytree(tmp_path / "ws", tmp_path / "old")
    with affidavit.open(tmp_path / "ws") as ws:
        write(ws, 10)
        ws.verified.full(state)
    with affidavit.open(tmp_path / "old") as ws:
        ws.verify()  # sound in itself
        for check in (ws.verified.full, ws.verified.since):
            with pytest.raises(LogDamagedError, match="set back"):
                check(state)
        write(ws, 20)  # longer again, another history
        ws.verify()
        for check in (ws.verified.full, ws.verified.since):
            with pytest.raises(LogDamagedError, match="not those that were verified"):
                check(state)


@pytest.mark.parametrize("harm", ["", "{}", "[]", "null", '{"mac": 3}', '{"size": 1.5, "mac": ""}'])
def test_a_broken_memory_is_a_finding(workspace: affidavit.Workspace, tmp_path: Path, harm: str) -> None:
    state = tmp_path / "state.json"
    state.write_text(harm)
    with pytest.raises(LogDamagedError):
        workspace.verified.since(state)


def test_a_memory_cannot_be_written_without_the_key(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    workspace.verified.full(state)
    said = json.loads(state.read_text())
    state.write_text(json.dumps({**said, "size": said["size"] - 1}))
    with pytest.raises(LogDamagedError, match="not written with this log's key"):
        workspace.verified.since(state)


def test_who_may_not_write_still_verifies(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    assert workspace.verified.full(tmp_path / "no" / "state.json")["remembered"] is None
