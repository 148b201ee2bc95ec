"""The proof commands as a person uses them, and their files checked by the verifier they print."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.offline.made import make
from typer.testing import CliRunner

from affidavit.entrypoints.cli import app


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("cli")
    made = make(folder)
    made.ws.close()
    return folder, made.run


@pytest.fixture
def folder(made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made[0])
    monkeypatch.setenv("AFFIDAVIT_WORKSPACE", "ws")
    monkeypatch.setenv("NO_COLOR", "1")
    return made[0]


def call(command: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == status, (command, result.output, result.exception)
    return result.output


def checked(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "v.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_from_command_to_proof(folder: Path, made: tuple[Path, str]) -> None:
    run = made[1]
    call("audit verifier -o v.py")
    assert call("audit verifier") == (folder / "v.py").read_text(encoding="utf-8")
    call("audit key -o key.txt")
    call("audit checkpoint -o kept.checkpoint")
    kept = json.loads(call("audit checkpoint --json"))
    call(f"audit export {run} -o r.json --page r.html --as alice -t acme")
    call(f"audit export {run} -o a.json --audit -t acme --since {kept['size']}")
    call("audit population --from 2026-09-21 --to 2026-09-23 -o p.jsonl")
    call("audit population --from 2026-09-21T00:00 --to 2026-09-22T10:00+02:00 -o d.jsonl --as dave -t acme")
    call(f"audit consistency {kept['size']} -o growth.txt")
    call("audit prove 5 -o 5.tlog-proof")
    assert call("audit prove 5") == (folder / "5.tlog-proof").read_text()
    assert json.loads(call("audit prove 5 --json"))["position"] == 5
    assert "Proved" in checked(folder, "r.json", "--key", "key.txt")
    assert "same history" in checked(folder, "a.json", "--checkpoint", "kept.checkpoint")
    assert "same history" in checked(
        folder, "growth.txt", "--key", "key.txt", "--checkpoint", "kept.checkpoint"
    )
    for name in ("p.jsonl", "d.jsonl", "5.tlog-proof", "kept.checkpoint"):
        checked(folder, name, "--key", "key.txt")
    told = json.loads(call("audit tiles tiles --json"))
    assert told["size"] > 5
    assert (folder / "tiles" / "checkpoint").is_file()
    assert json.loads(call("audit verify --json"))["ok"]


def test_what_goes_wrong_is_said(folder: Path, made: tuple[Path, str]) -> None:
    for command, status, words in (
        (f"audit export {made[1]} -o x.json --as erin -t acme", 1, "that you may see"),
        (f"audit export {made[1]} -o no/where.json -t acme", 1, "cannot be written"),
        ("audit population --from never --to 2026-01-01 -o x", 2, "is no date"),
        ("audit population --from 2026-01-02 --to 2026-01-01 -o x", 2, "interval is empty"),
        ("audit population --from 2026-01-01 --to 2026-01-01 -o x --as alice -t acme", 1, "audit:read"),
        ("audit prove 99999", 2, "no position"),
        ("audit consistency 5 4", 2, "smaller size first"),
        ("audit consistency 99999", 2, "has not had"),
        ("audit checkpoint -o no/where", 2, "cannot be written"),
        ("audit tiles docs", 2, "not empty"),
    ):
        assert words in call(command, status)
    assert not list(folder.glob("x*"))
