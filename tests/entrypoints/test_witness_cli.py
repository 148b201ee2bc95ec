"""The commands about parties outside, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.events.test_log import EVENT
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.witness import Witness
from affidavit.domain.clock import SystemClock
from affidavit.entrypoints.cli import app

Run = Callable[..., Result]


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    affidavit.init(tmp_path / "ws", EmbedderSpec("none")).close()
    return tmp_path / "ws"


@pytest.fixture
def run(ws: Path) -> Run:
    """Runs a command on the workspace; ``status`` is what it must end with."""

    def run(*arguments: str, status: int = 0) -> Result:
        done = CliRunner().invoke(app, ["-w", str(ws), *arguments])
        assert done.exit_code == status, done.output
        return done

    return run


def write(ws: Path) -> None:
    with affidavit.open(ws) as opened:
        opened.parts.log.write(lambda tx: tx.append(EVENT))


def test_from_a_sink_to_a_comparison(run: Run, ws: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert "affidavit audit sink add" in run("audit", "send", status=2).output
    run("audit", "sink", "add", "file", str(kept), "--name", "worm")
    run("audit", "sink", "add", "file", str(tmp_path / "no" / "x"), "--name", "bad")
    failed = run("audit", "send", status=1)
    assert "file worm: sent" in failed.stdout
    assert "file bad: failed" in failed.stderr
    assert "what to do" in failed.stderr
    assert "failed at" in run("status").stdout
    run("audit", "sink", "remove", "bad")
    write(ws)
    assert "sent" in run("audit", "send").stdout
    assert "has it already" in run("audit", "send").stdout
    assert "worm" in run("audit", "sink", "list").stdout
    assert "agrees: file worm" in run("audit", "compare").stdout
    assert "2 checkpoints" in run("audit", "compare", str(kept)).stdout
    assert "agrees" in run("audit", "compare", "worm").stdout


def test_a_rewritten_history_is_named_and_fails_the_command(run: Run, ws: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run("audit", "sink", "add", "file", str(kept), "--name", "worm")
    run("audit", "send")
    with affidavit.open(ws) as opened:
        opened.parts.database.run("DELETE FROM events WHERE position > 0")
        opened.parts.database.run("DELETE FROM checkpoints")
    told = run("audit", "compare", str(kept), status=1)
    assert "the log only 1: the log was cut off" in told.stderr
    found = json.loads(run("audit", "compare", str(kept), "--json", status=1).stdout)
    assert found["ok"] is False
    assert found["places"][0]["ok"] is False
    assert set(found["error"]) == {"code", "message", "hint", "retryable"}


def test_what_cannot_be_compared_is_no_agreement(run: Run, ws: Path, tmp_path: Path) -> None:
    assert "nothing to compare" in run("audit", "compare", status=2).output
    (tmp_path / "empty").write_text("")
    assert "no checkpoint of this log" in run("audit", "compare", str(tmp_path / "empty"), status=1).output
    assert "not a file" in run("audit", "compare", str(tmp_path / "none"), status=1).output
    run("audit", "sink", "add", "file", str(tmp_path / "gone"), "--name", "gone")
    assert "is not a file" in run("audit", "compare", status=1).output


def test_a_checkpoint_of_another_log_is_a_finding_unless_allowed(run: Run, ws: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run("audit", "sink", "add", "file", str(kept), "--name", "worm")
    run("audit", "send")
    with affidavit.init(tmp_path / "other", EmbedderSpec("none")) as other:
        foreign = other.outside.newest()[1]
    with kept.open("a") as file:
        file.write(foreign + "\n")
    assert "of another log" in run("audit", "compare", str(kept), status=1).output
    assert "agrees" in run("audit", "compare", str(kept), "--other-logs").output
    (tmp_path / "foreign").write_text(foreign)
    assert run("audit", "compare", str(tmp_path / "foreign"), "--other-logs", status=1)


def test_the_key_that_was_noted_down_counts(run: Run, ws: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run("audit", "sink", "add", "file", str(kept), "--name", "worm")
    run("audit", "send")
    key = json.loads(run("audit", "verify", "--json").stdout)["public_key"]
    run("audit", "compare", str(kept), "--key", key)
    with affidavit.init(tmp_path / "other", EmbedderSpec("none")) as other:
        run("audit", "compare", str(kept), "--key", other.parts.signer.verifier(), status=1)
    assert "public key" in run("audit", "compare", str(kept), "--key", "nonsense", status=2).output


def test_the_witness_s_commands(run: Run, ws: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "w")
    vkey = json.loads(run("witness", "init", folder, "--name", "witness.example/bob", "--json").stdout)[
        "vkey"
    ]
    assert vkey in run("witness", "show", folder).stdout
    log = json.loads(run("audit", "verify", "--json").stdout)["public_key"]
    assert "watching affidavit/" in run("witness", "add-log", folder, log).stdout
    assert "nothing cosigned yet" in run("witness", "show", folder).stdout
    added = run(
        "audit", "sink", "add", "witness", "http://127.0.0.1:1", "--key", vkey, "--name", "bob"
    ).stdout
    assert f"add-log DIR {log}" in added
    with affidavit.open(ws) as opened:
        note = opened.outside.newest()[1]
    witness = Witness(tmp_path / "w", SystemClock())
    assert witness.add_checkpoint(f"old 0\n\n{note}".encode()).status == 200
    assert "cosigned 3 events" in run("witness", "show", folder).stdout
    assert "cosigned nothing yet" in run("audit", "witnesses").stdout
    held = next((tmp_path / "w").glob("logs/*/checkpoint"))
    assert "agrees" in run("audit", "compare", str(held), "--witness", vkey).stdout
    (tmp_path / "plain").write_text(note)
    refused = run("audit", "compare", str(tmp_path / "plain"), "--witness", vkey, status=1)
    assert "not cosigned by witness.example/bob" in refused.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["witness", "init", "{}", "--name", "a b"], "name"),
        (["witness", "add-log", "{}", "x"], "public key"),
        (["witness", "serve", "{}", "--listen", "x"], "HOST:PORT"),
        (["witness", "serve", "{}", "--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["audit", "sink", "add", "pigeon", "x", "--name", "x"], "one of"),
        (["audit", "sink", "add", "file", "x", "--name", "a\nb"], "control"),
        (["audit", "sink", "remove", "x"], "no sink"),
        (["audit", "timestamp", "http://127.0.0.1:1/", "--ca", "/none"], "cannot be read"),
    ],
)
def test_wrong_requests_are_explained(run: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    run("witness", "init", str(tmp_path / "w"), "--name", "w")
    done = run(*(a.format(tmp_path / "w") for a in arguments), status=2)
    assert told in done.output


def test_help_teaches(run: Run) -> None:
    for command in ("audit sink add", "audit send", "audit compare", "audit timestamp", "witness init",
                    "witness add-log", "witness serve", "witness show"):  # fmt: skip
        assert "Example" in run(*command.split(), "--help").stdout, command


def test_what_others_call_themselves_cannot_move_the_cursor(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("evil\x1b[31m\n1\nAAAA\n\n— evil\x1b[31m AAAAAAAA\n")
    assert "\x1b" not in run("audit", "compare", str(tmp_path / "kept"), status=1).output
