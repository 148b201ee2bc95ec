"""``affidavit drill`` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.drills.registry import DRILLS
from affidavit.entrypoints.cli import app


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """A workspace of two documents and two people."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["group:staff"]')
    (docs / "leave.md").write_text("# Leave\n\nThe walrus keeper has twenty days of leave in every year.")
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "erin"}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as workspace:
        workspace.import_people(tmp_path / "p.jsonl")
        workspace.add_source("folder", docs, "docs")
        workspace.sync()
    return tmp_path / "ws"


def invoke(*arguments: object) -> tuple[int, str]:
    """Exit status and what was printed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_drill_prints_verdicts_and_writes_a_private_page(ws: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    status, output = invoke("drill", "delete", "-w", ws, "-o", page, "--workdir", tmp_path)
    assert status == 0, output
    assert "6 promises kept, 0 broken" in output
    assert page.stat().st_mode & 0o777 == 0o600
    assert "every promise tried was kept" in page.read_text()
    assert sorted(p.name for p in ws.iterdir()) == ["affidavit.db", "index", "keys", "locks"]


def test_a_broken_promise_is_exit_status_1_and_json_says_which(ws: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[[step]]\ndo = "ask"\nas = "alice"\nquestion = "What is a penguin?"\nexpect = { status = "answered" }'
    )
    status, output = invoke("drill", "run", file, "-w", ws, "--json")
    assert status == 1
    (report,) = json.loads(output)["drills"]
    assert [v["verdict"] for v in report["verdicts"]] == ["broken", "kept"]


def test_every_drill_is_a_command_that_explains_itself() -> None:
    _, listed = invoke("drill", "list")
    for drill in DRILLS.values():
        status, output = invoke("drill", drill.name, "--help")
        assert status == 0
        assert "Exit status 1" in output
        assert drill.breaks in listed


def test_a_question_needs_somebody_who_asks(ws: Path) -> None:
    status, output = invoke("drill", "revoke", "-w", ws, "-q", "What is leave?")
    assert status == 2
    assert "--as" in output
