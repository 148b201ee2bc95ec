"""`affidavit follow` as a person uses it: in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.receiver import Receiver, receiving
from typer.testing import CliRunner

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.entrypoints.cli import app

AFFIDAVIT = Path(sys.executable).with_name("affidavit")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a workspace ``ws`` of two tenants."""
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"]}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(people, "acme")
        ws.import_people(people, "other")
        ws.ask("Who is the king of the sea?", "alice", "acme")
    return tmp_path


def call(
    folder: Path, *arguments: object, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [AFFIDAVIT, "follow", *map(str, arguments), "-w", "ws"],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def quick(folder: Path, *arguments: str, status: int) -> str:
    """What a command that must fail says, run in this process."""
    done = CliRunner().invoke(app, ["-w", str(folder / "ws"), "follow", *arguments])
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_ocsf_once_and_the_list(folder: Path) -> None:
    assert "nobody follows" in call(folder, "list").stdout
    said = json.loads(call(folder, "ocsf", "siem.jsonl", "--once", "--json").stdout)
    lines = (folder / "siem.jsonl").read_text().splitlines()
    assert said == {"name": "ocsf", "kind": "ocsf", "position": len(lines) - 1, "handed": len(lines)}
    assert "0 events handed over" in call(folder, "ocsf", "siem.jsonl", "--once").stdout
    (entry,) = json.loads(call(folder, "list", "--json").stdout)
    assert (entry["lag"], entry["content"], entry["tenant"]) == (0, False, "")
    assert "siem.jsonl" in call(folder, "list").stdout


def test_tenant_and_content(folder: Path) -> None:
    call(folder, "ocsf", "all.jsonl", "--once", "--name", "all", AFFIDAVIT_TENANT="acme")
    call(folder, "ocsf", "acme.jsonl", "--once", "--name", "acme", "--tenant", "acme", "--content")
    everything, acme = (folder / "all.jsonl").read_text(), (folder / "acme.jsonl").read_text()
    assert "king" not in everything
    assert '"tenant_uid": "2"' in everything
    assert "alice" not in everything
    assert "king of the sea" in acme
    assert {json.loads(line)["metadata"]["tenant_uid"] for line in acme.splitlines()} == {"1"}


def test_metrics_to_a_file(folder: Path) -> None:
    call(folder, "metrics", "--textfile", "a.prom", "--once")
    assert 'affidavit_refusals_total{reason="not_enough_evidence"} 1.0' in (folder / "a.prom").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["metrics"], "--listen or --textfile"),
        (["metrics", "--listen", "nowhere"], "not HOST:PORT"),
        (["metrics", "--listen", "127.0.0.1:70000"], "not HOST:PORT"),
        (["metrics", "--listen", "127.0.0.1:0", "--once"], "nobody could read it"),
        (["ocsf", "x.jsonl", "--from", "soon"], "no position"),
        (["ocsf", "x.jsonl", "--tenant", "nobody"], "no tenant"),
        (["webhook", "http://localhost", "--secret-env", "ABSENT"], "$ABSENT is not set"),
        (["webhook", "http://localhost", "--header-env", "Authorization: Bearer tok"], "HEADER=VARIABLE"),
        (["otel", "--endpoint", "http://localhost", "--unfinished-after", "0"], "unfinished-after"),
    ],
)
def test_what_cannot_be_asked_for(folder: Path, arguments: list[str], words: str) -> None:
    said = quick(folder, *arguments, status=2)
    assert words in said
    assert "Bearer tok" not in said


@pytest.mark.parametrize(
    "arguments", [["webhook", "file:///etc/passwd"], ["otel", "--endpoint", "https://u:p@host"]]
)
def test_addresses_that_are_none(folder: Path, arguments: list[str]) -> None:
    assert "what to do" in quick(folder, *arguments, "--once", status=1)


@pytest.mark.parametrize("kind", ["otel", "webhook", "metrics", "ocsf", "list"])
def test_help_teaches(folder: Path, kind: str) -> None:
    assert f"affidavit follow {kind}" in quick(folder, kind, "--help", status=0)


@pytest.mark.network
@pytest.mark.enable_socket
def test_secrets_come_from_the_environment_and_are_shown_nowhere(folder: Path, receiver: Receiver) -> None:
    path = "/services/s3cret"
    done = call(
        folder,
        "webhook",
        receiver.url + path,
        "--once",
        "--secret-env",
        "HOOK",
        "--header-env",
        "Authorization=TOKEN",
        HOOK="h" * 32,
        TOKEN="Bearer t0ken",
    )
    (post,) = receiver.posts
    assert post.path == path
    assert post.headers["authorization"] == "Bearer t0ken"
    assert post.headers["webhook-signature"].startswith("v1,")
    shown = done.stdout + done.stderr + call(folder, "list", "--json").stdout
    database = b"".join(p.read_bytes() for p in (folder / "ws").glob("affidavit.db*"))
    for secret in ("h" * 32, "t0ken", "s3cret"):
        assert secret not in shown
        assert secret.encode() not in database
    assert "unsigned" in call(folder, "webhook", receiver.url, "--once").stderr


@pytest.mark.network
@pytest.mark.enable_socket
def test_metrics_are_scraped_while_it_follows_and_ctrl_c_stops_it(folder: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    command = [str(AFFIDAVIT), "follow", "metrics", "--listen", place, "-w", "ws"]
    with subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert "Ctrl-C stops" in process.stdout.readline()
        assert scraped(place, 'affidavit_runs_total{journey="ask",status="refused"} 1.0')
        busy = call(folder, "metrics", "--textfile", "a.prom", "--once", status=1)
        assert f"process {process.pid}" in busy.stderr
        with affidavit.open(folder / "ws") as ws:
            ws.ask("Who is the king of the sea?", "alice", "acme")
        assert scraped(place, 'affidavit_runs_total{journey="ask",status="refused"} 2.0')
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert json.loads(call(folder, "list", "--json").stdout)[0]["running"] is False


def scraped(place: str, line: str) -> bool:
    """Whether ``line`` is shown before long."""
    for _ in range(1000):
        try:
            with urllib.request.urlopen(f"http://{place}/metrics", timeout=100) as answer:
                if line in answer.read().decode():
                    return True
        except OSError:
            pass  # it has not begun to listen
        time.sleep(0.1)
    return False
