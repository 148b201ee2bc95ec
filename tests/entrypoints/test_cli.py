"""The command line as a person uses it: in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from affidavit.entrypoints.cli import app
from affidavit.entrypoints.later import PANELS

AFFIDAVIT = Path(sys.executable).with_name("affidavit")
Run = Callable[..., subprocess.CompletedProcess[str]]


def call(
    folder: Path, *arguments: object, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one command in ``folder``; it must end with ``status`` and never with a traceback."""
    done = subprocess.run(
        [AFFIDAVIT, *map(str, arguments)],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def quick(folder: Path, *arguments: str, status: int = 0) -> tuple[str, str]:
    """What a command says on its two streams, run in this process: starting one takes longer than most commands."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == status, (arguments, done.output)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.stdout, done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``call`` in the test's own folder."""
    return partial(call, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents and a keyword-only workspace, made once by the commands themselves."""
    folder = tmp_path_factory.mktemp("made")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["group:staff"]')
    (docs / "leave.md").write_text("# Leave\n\nWalrus leave is 20 days a year.")
    (folder / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "erin"}\n')
    call(folder, "init", "ws", "--embedder", "none")
    call(folder, "people", "import", "p.jsonl", "-w", "ws")
    call(folder, "source", "add", "folder", "docs", "--name", "docs", "-w", "ws")
    call(folder, "sync", "-w", "ws")
    return folder


@pytest.fixture
def ready(made: Path, tmp_path: Path) -> Path:
    """A copy of the workspace of ``made``, for one test. Its source stays where it was: a location is on the log."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "ws"


@pytest.fixture
def source(made: Path) -> Iterator[Path]:
    """The folder ``ready`` reads. What a test puts there goes again when it ends."""
    docs = made / "docs"
    before = set(docs.iterdir())
    yield docs
    for added in set(docs.iterdir()) - before:
        added.unlink()


def test_from_nothing_to_a_verified_answer(run: Run, ready: Path, tmp_path: Path) -> None:
    answer = json.loads(
        run("ask", "How many days is walrus leave?", "--as", "alice", "--json", "-w", "ws").stdout
    )
    assert answer["status"] == "answered"
    (cited,) = answer["claims"][0]["citations"]
    text = (tmp_path / "docs" / "leave.md").read_text()
    assert text[cited["start"] : cited["end"]] == cited["quote"] == "Walrus leave is 20 days a year."
    assert set(answer) >= {
        "run",
        "position",
        "status",
        "answer",
        "claims",
        "refusal",
        "model",
        "release",
        "timings",
        "cost",
    }
    assert set(cited) >= {
        "document",
        "revision",
        "chunk",
        "start",
        "end",
        "quote",
        "title",
        "location",
        "indexed_at",
        "permitted_by",
    }
    refused = json.loads(
        run("ask", "How many days is walrus leave?", "--as", "erin", "--json", "-w", "ws").stdout
    )
    assert refused["status"] == "refused"
    assert refused["refusal"]["reason"] == "not_enough_evidence"
    assert refused["refusal"]["next_steps"]
    assert json.loads(run("audit", "verify", "--json", "-w", "ws").stdout)["ok"] is True
    story = run("run", "show", answer["run"], "-w", "ws").stdout
    assert "user:alice asked: How many days is walrus leave?" in story
    assert "leave.md" in story


def test_the_workspace_is_found_by_option_environment_and_folder(run: Run, ready: Path) -> None:
    for done in (
        run("-w", "ws", "status"),
        run("status", "-w", "ws"),
        run("status", AFFIDAVIT_WORKSPACE=str(ready)),
    ):
        assert "keyword only" in done.stdout
    below = ready / "locks"
    done = subprocess.run(
        [AFFIDAVIT, "status", "--json"], cwd=below, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["search"] == "keyword only"


def test_batches(run: Run, ready: Path, tmp_path: Path) -> None:
    lines = [
        {"id": "q1", "text": "walrus leave", "as": "alice"},
        {"id": "q2", "text": "walrus leave", "as": "erin"},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run("search", "--batch", "q.jsonl", "--out", "run.trec", "-w", "ws")
    query, q0, document, rank, score, tag = (tmp_path / "run.trec").read_text().split()
    assert (query, q0, document, rank, tag) == ("q1", "Q0", "leave.md", "1", "affidavit")
    float(score)
    run("search", "--batch", "q.jsonl", "--out", "chunks.trec", "--chunks", "-w", "ws")
    assert ".0 1 " in (tmp_path / "chunks.trec").read_text()
    run("ask", "--batch", "q.jsonl", "--out", "a.jsonl", "-w", "ws")
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(a["id"], a["status"]) for a in answers] == [("q1", "answered"), ("q2", "refused")]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["status"], 1, "not a workspace"),
        (["ask", "x", "--as", "mallory", "-w", "ws"], 2, "no user:mallory"),
        (["ask", "x", "-w", "ws"], 2, "--as"),
        (["ask", "x", "--as", "alice", "--as-of", "99999", "-w", "ws"], 2, "not between"),
        (
            ["ask", "x", "--as", "alice", "--as-of", "tomorrow", "-w", "ws"],
            2,
            "neither a position nor a time",
        ),
        (["ask", "x", "--as", "alice", "--as-of", "1999-01-01", "-w", "ws"], 2, "younger"),
        (["search", "x", "--as", "alice", "--where", "{", "-w", "ws"], 2, "not JSON"),
        (["search", "x", "--as", "alice", "--where", "{}", "-w", "ws"], 2, "not a filter"),
        (["search", "x", "--as", "alice", "-k", "0", "-w", "ws"], 2, "between 1 and"),
        (["search", "--batch", "none.jsonl", "--as", "alice", "--out", "o", "-w", "ws"], 2, "cannot be read"),
        (
            ["search", "--batch", "p.jsonl", "--as", "alice", "--out", "o", "-w", "ws"],
            2,
            "p.jsonl:1: not a question",
        ),
        (["sync", "nothing", "-w", "ws"], 2, "no source"),
        (["run", "show", "run-x", "-w", "ws"], 1, "no run run-x"),
        (["init", "ws"], 2, "already"),
        (["embedder", "use", "magic", "-w", "ws"], 2, "no embedder"),
        (["embedder", "use", "openai", "-w", "ws"], 2, "--base-url"),
        (["source", "add", "folder", "none", "--name", "x", "-w", "ws"], 2, "not a folder"),
        (["source", "add", "jsonl", "p.jsonl", "--name", "x", "--map", "text", "-w", "ws"], 2, "OURS=THEIRS"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_errors_have_a_status_a_message_and_a_hint(
    tmp_path: Path, ready: Path, arguments: list[str], status: int, told: str
) -> None:
    _, said = quick(tmp_path, *arguments, status=status)
    assert told in said
    if arguments[0] != "frobnicate":
        shaped = json.loads(quick(tmp_path, *arguments, "--json", status=status)[0])["error"]
        assert set(shaped) == {"code", "message", "hint", "retryable"}
        assert shaped["hint"]


def test_errors_are_the_same_in_a_process_of_its_own(run: Run, ready: Path, tmp_path: Path) -> None:
    for arguments, status in ((["status"], 1), (["ask", "x", "-w", "ws"], 2), (["frobnicate"], 2)):
        done = run(*arguments, status=status)
        assert (done.stdout, done.stderr) == quick(tmp_path, *arguments, status=status)


def test_what_a_document_says_cannot_move_the_cursor(run: Run, ready: Path, source: Path) -> None:
    (source / "evil.md").write_text(
        "# Squid\n\nSquid says \x1b[31mred\x1b[0m and \u202ereversed and [bold]markup[/bold]."
    )
    run("sync", "-w", "ws")
    shown = run("ask", "What does the squid say?", "--as", "alice", "-w", "ws").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[31mred" in shown
    assert "[bold]markup[/bold]" in shown


def test_help_teaches(tmp_path: Path) -> None:
    for command in ("init", "ask", "search", "sync", "source add"):
        assert "Example" in quick(tmp_path, *command.split(), "--help")[0], command


def test_output_into_a_closed_pipe_is_quiet(ready: Path) -> None:
    done = subprocess.run(
        f"{AFFIDAVIT} -w {ready} run list | true", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_watch_follows_changes_until_interrupted(ready: Path, source: Path, run: Run) -> None:
    watcher = subprocess.Popen(
        [AFFIDAVIT, "sync", "docs", "--watch", "-w", str(ready), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    json.loads(watcher.stdout.readline())
    deadline = time.monotonic() + 200
    (source / "new.md").write_text("# Narwhal\n\nNarwhals are real.")
    while json.loads(watcher.stdout.readline())["added"] != 1:
        assert time.monotonic() < deadline
    assert "new.md" in run("search", "narwhal", "--as", "alice", "-w", "ws").stdout
    watcher.send_signal(signal.SIGINT)
    _, errors = watcher.communicate(timeout=100)
    assert watcher.returncode == 130
    assert "interrupted" in errors


def test_every_command_has_its_place_in_the_help() -> None:
    named = [name for names in PANELS.values() for name in names]
    assert sorted(named) == sorted(typer.main.get_group(app).list_commands(None))  # type: ignore[arg-type]
