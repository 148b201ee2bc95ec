"""`source show`, `source check`, `level` and what `status` and a follower say, as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.entrypoints.cli import app
from affidavit.testing.clock import START, FixedClock


def call(folder: Path, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(
        app, ["-w", str(folder / "ws"), *arguments], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert done.exit_code == status, done.output
    return done.output


def parsed(folder: Path, *arguments: str, status: int = 0) -> Any:
    return json.loads(call(folder, *arguments, "--json", status=status))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace whose one source was last read long ago."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["anyone"]\nowner = "group:it"\n')
    (docs / "tea.md").write_text("# Tea\n\nTea is green.\n")
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none"), FixedClock(START // 2)) as ws:
        ws.load_people([Entry("user:alice", frozenset())])
        ws.add_source("folder", docs, "wiki")
        ws.sync()
    return tmp_path


def test_a_source_is_shown_and_checked(folder: Path) -> None:
    shown = call(folder, "source", "show", "wiki")
    assert "owners: group:it 1" in shown
    assert parsed(folder, "source", "show", "wiki")["completeness"]["percent"] == 100
    assert "1 of 1 documents as the source has them" in call(folder, "source", "check", "wiki")
    (folder / "docs" / "access.toml").write_text('allow = ["group:board"]\n')
    said = call(folder, "source", "check", "wiki", status=1)
    assert "tea.md: may be read by others than the source lets in" in said
    found = parsed(folder, "source", "check", "wiki", "--sample", "5", status=1)
    assert (found["checked"], found["drift"]) == (1, [{"document": "tea.md", "how": "both"}])
    assert "operator:NAME" in call(folder, "source", "check", "wiki", "--by", "alice", status=2)
    assert "known sources: wiki" in call(folder, "source", "show", "wike", status=2)


def test_a_promise_is_made_shown_broken_and_taken_back(folder: Path) -> None:
    assert parsed(folder, "status")["levels"] == []
    made = parsed(folder, "level", "set", "freshness", "99.5", "--within", "2h")
    assert (made["share"], made["within"], made["days"]) == (9950, 7200, 30)
    said = call(folder, "status")
    assert "freshness of wiki: breached" in said
    assert "nothing was read for" in said
    levels = parsed(folder, "level", "show", status=1)
    assert {found["level"]: found["state"] for found in levels}["freshness"] == "breached"
    call(folder, "level", "remove", "freshness")
    assert "breached" not in call(folder, "level", "show")


def test_a_follower_looks_before_it_hands_over(folder: Path) -> None:
    call(folder, "level", "set", "freshness", "99.5", "--within", "2h")
    call(folder, "follow", "ocsf", str(folder / "log.jsonl"), "--once")
    told = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [
        t["unmapped"]["facts"]["change"] for t in told if t["metadata"]["event_code"] == "level.changed"
    ] == ["set", "breached"]


@pytest.mark.parametrize("within", ["1", "h", "0h", "1.5h", "1h30m", "99999999s", "-1h"])
def test_a_duration_that_is_none_is_refused(within: str, folder: Path) -> None:
    call(folder, "level", "set", "freshness", "99", f"--within={within}", status=2)
