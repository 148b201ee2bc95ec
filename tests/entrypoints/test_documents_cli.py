"""Documents on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import affidavit
from affidavit.app.people import Entry
from affidavit.entrypoints.cli import app

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def run(workspace: affidavit.Workspace, write_folder: Write) -> Callable[..., Any]:
    staff = frozenset({"group:staff"})
    workspace.load_people([Entry("user:alice", staff, {}), Entry("user:erin", frozenset(), {})])
    files: dict[str, str | bytes] = {
        "access.toml": 'allow = ["group:staff"]',
        "a/leave.md": "# Leave\n\nLeave is 20 days.",
        "b.md": "# B\n\nSomething else.",
    }
    workspace.add_source("folder", write_folder(files), "docs")
    workspace.sync()

    def call(*words: str, status: int = 0) -> Any:
        done = CliRunner().invoke(app, ["-w", str(workspace.parts.folder), "document", *words])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if "--json" in words else done.output

    return call


def test_a_document_is_listed_and_shown_to_its_readers(run: Callable[..., Any]) -> None:
    assert "a/leave.md" in run("list", "--as", "alice")
    assert [d["document"] for d in run("list", "--as", "alice", "--prefix", "b", "--json")] == ["b.md"]
    assert run("list", "--as", "erin", "--json") == []
    assert "Leave is 20 days." in run("show", "docs", "a/leave.md", "--as", "alice")
    shown = run("show", "docs", "a/leave.md", "--as", "alice", "--json")
    assert shown["blocks"][0]["start"] == 0
    again = run("show", "docs", "a/leave.md", "--as", "alice", "--revision", shown["revision"], "--json")
    assert again["text"] == shown["text"]


def test_what_may_not_be_read_is_not_there(run: Callable[..., Any]) -> None:
    denied = run("show", "docs", "b.md", "--as", "erin", "--json", status=1)["error"]
    absent = run("show", "docs", "x.md", "--as", "erin", "--json", status=1)["error"]
    assert denied["message"].replace("b.md", "x.md") == absent["message"]
    assert run("show", "docs", "b.md", "--json", status=2)["error"]["hint"] == "add --as NAME"


def test_why(run: Callable[..., Any]) -> None:
    assert "user:alice is in group:staff" in run("why", "docs", "b.md", "--as", "alice")
    found = run("why", "docs", "b.md", "--as", "erin", "--json")
    assert (found["permit"], found["reason"]) == (False, "not in any of: group:staff")
