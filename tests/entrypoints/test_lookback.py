"""What looking back prints, and as what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import affidavit
from affidavit.entrypoints.cli import app

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def run(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> str:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "erin"}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    files: dict[str, str | bytes] = {
        "access.toml": 'allow = ["group:staff"]',
        "<img src=x onerror=alert(1)>.md": "# Walrus\n\nWalrus leave is 20 <b>days</b> a year.",
    }
    workspace.add_source("folder", write_folder(files), "docs")
    workspace.sync()
    return workspace.ask("How many days is walrus leave?", "alice").run


def call(tmp_path: Path, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["-w", str(tmp_path / "ws"), *arguments])
    assert done.exit_code == status, done.output
    return done.stdout


def test_a_difference_fails_the_command(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "identical" in call(tmp_path, "replay", run)
    assert "0 of them differ" in call(tmp_path, "replay", "--all")
    monkeypatch.setattr("affidavit.ask.retrieve.decimal", lambda value: "0.5")
    assert "differs: step 6 retrieve differs at output.hits[0]" in call(tmp_path, "replay", run, status=1)
    assert "1 of them differ" in call(tmp_path, "replay", "--all", status=1)
    report = json.loads(call(tmp_path, "replay", run, "--json", status=1))
    assert report["identical"] is False
    assert report["divergence"]["name"] == "retrieve"


def test_a_page_holds_no_markup_of_others(run: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    call(tmp_path, "replay", run, "--with", "as=erin", "--html", str(page))
    text = page.read_text()
    assert "<img" not in text
    assert "<b>" not in text
    assert "&lt;img src=x" in text
    assert "refused: not_enough_evidence" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "run-x", "--all"],
        ["replay", "--all", "--with", "as=erin"],
        ["replay", "run-x", "--with", "as"],
        ["replay", "run-x", "--with", "moon=full"],
    ],
)
def test_what_cannot_be_asked_is_explained(run: str, tmp_path: Path, arguments: list[str]) -> None:
    given = [run if a == "run-x" else a for a in arguments]
    shaped = json.loads(call(tmp_path, *given, "--json", status=2))["error"]
    assert shaped["hint"]


def test_explain_is_json_too(run: str, tmp_path: Path) -> None:
    told = json.loads(call(tmp_path, "explain", run, "--json"))
    assert told["did"]["given"]["status"] == "answered"
    assert "Would it answer the same today?" in call(tmp_path, "explain", run)
