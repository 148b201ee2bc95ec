"""The commands of keeping and erasing, as somebody types them; the rest is followed in docs/how-to/keep-and-erase.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.entrypoints.cli import app


@pytest.fixture
def place(tmp_path: Path, write_folder: Callable[[dict[str, str | bytes]], Path]) -> Iterator[Path]:
    root = write_folder(
        {"access.toml": 'allow = ["anyone"]', "leave.md": "# Leave\n\nWalrus leave is 20 days a year.\n"}
    )
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice"}\n{"id": "bob"}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(people)
        ws.add_source("folder", root, "docs")
        ws.sync()
        ws.ask("How many days is walrus leave?", "alice")
    yield tmp_path / "ws"


def run(place: Path, *words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["-w", str(place), *words])
    assert result.exit_code == status, result.output
    return result.output


def told(place: Path, *words: str, status: int = 0) -> Any:
    return json.loads(run(place, *words, "--json", status=status))


@pytest.mark.parametrize("what", [("--document", "leave.md"), ("--person", "alice"), ("--run", "")])
def test_an_erased_run_can_be_shown_and_says_so(place: Path, what: tuple[str, str]) -> None:
    asked = next(r["run"] for r in told(place, "run", "list") if r["journey"] == "ask")
    report = told(
        place, "audit", "erase", what[0], what[1] or asked, "--by", "operator:x", "--reason", "case 1"
    )
    assert report["runs"] == 1
    for more in ((), ("--audit",)):
        assert "what was given was erased" in run(place, "run", "show", asked, *more)
    assert asked in run(place, "run", "list")
    assert "erased, each with an event" in run(place, "audit", "verify")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("erase", "--by", "operator:x", "--reason", "y"), "usage"),
        (("erase", "--person", "alice", "--run", "run-x", "--by", "operator:x", "--reason", "y"), "usage"),
        (("erase", "--person", "group:staff", "--by", "operator:x", "--reason", "y"), "usage"),
        (("erase", "--person", "nobody", "--by", "operator:x", "--reason", "y"), "unknown_name"),
        (("erase", "--document", "nothing.md", "--by", "operator:x", "--reason", "y"), "unknown_name"),
        (
            ("erase", "--run", "run-x'; DROP TABLE events", "--by", "operator:x", "--reason", "y"),
            "unknown_name",
        ),
        (
            ("erase", "--document", "leave.md", "--source", "wiki", "--by", "operator:x", "--reason", "y"),
            "unknown_name",
        ),
        (("erase", "--document", "leave.md", "--by", "bob", "--reason", "y"), "not_found"),
        (("hold", "release", "7", "--by", "operator:x", "--reason", "y"), "unknown_name"),
        (("hold", "add", "--document", "leave.md", "--by", "operator:x", "--reason", "y"), "usage"),
        (
            ("readmit", "--document", "x", "--source", "docs", "--by", "operator:x", "--reason", "y"),
            "unknown_name",
        ),
        (("redaction", "set", "/nowhere.toml", "--by", "operator:x"), "manifest"),
        (("verify", "--since-last"), "usage"),
    ],
)
def test_a_wrong_request_is_told_what_to_do(place: Path, words: tuple[str, ...], code: str) -> None:
    status = 1 if code == "not_found" else 2
    error = told(place, "audit", *words, status=status)["error"]
    assert error["code"] == code
    assert error["hint"]


def test_a_held_person_is_not_erased(place: Path) -> None:
    run(place, "audit", "hold", "add", "--person", "alice", "--by", "operator:x", "--reason", "case 1")
    error = told(
        place, "audit", "erase", "--person", "alice", "--by", "operator:x", "--reason", "y", status=1
    )["error"]
    assert error["code"] == "held"
    assert [h["subject"] for h in told(place, "audit", "hold", "list")] == ["user:alice"]
    run(place, "audit", "hold", "release", "1", "--by", "operator:x", "--reason", "closed")
    assert told(place, "audit", "hold", "list") == []
    assert len(told(place, "audit", "hold", "list", "--all")) == 1
    assert told(place, "audit", "scrub") == {"scrubbed": True}


def test_backup_and_restore(place: Path, tmp_path: Path) -> None:
    run(place, "backup", str(tmp_path / "copy"), "--with-key")
    assert "sound" in run(place, "restore", str(tmp_path / "copy"), str(tmp_path / "new"))
    assert "sound" in run(tmp_path / "new", "audit", "verify")
    run(place, "restore", str(tmp_path / "copy"), str(place), status=2)
