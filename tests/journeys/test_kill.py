"""kill -9 at any moment: what was acknowledged is there, nothing is half done, and the next command goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec

ASKER = """
import sys, affidavit
ws = affidavit.open(sys.argv[1])
print("ready", flush=True)
while True:
    print(ws.ask("How many days is walrus leave?", "alice").run, flush=True)
"""
SYNCER = """
import sys, pathlib, affidavit
ws = affidavit.open(sys.argv[1])
print("ready", flush=True)
docs, n = pathlib.Path(sys.argv[2]), 0
while True:
    n += 1
    for i in range(5):
        (docs / f"{sys.argv[3]}-{n % 7}-{i}.md").write_text(f"# Note\\n\\nWalrus note {n} {i}.")
    ws.sync()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["group:staff"]')
    (docs / "leave.md").write_text("# Leave\n\nWalrus leave is 20 days a year.")
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(tmp_path / "p.jsonl")
        ws.add_source("folder", docs, "docs")
        ws.sync()
    return tmp_path


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str], after: float, acknowledged: int = 0) -> list[str]:
    """Everything the process had acknowledged when it died: that much at least, however slow the machine is."""
    assert process.stdout is not None
    heard = "".join(process.stdout.readline() for _ in range(acknowledged))
    time.sleep(after)
    process.kill()
    out, _ = process.communicate()
    return [line for line in (heard + out).split("\n")[:-1] if line]


def test_acknowledged_answers_survive(place: Path) -> None:
    chance = random.Random(7)
    for n in range(4):
        acknowledged = kill(start(ASKER, place / "ws"), chance.uniform(0, 0.4), n)
        assert len(acknowledged) >= n
        with affidavit.open(place / "ws") as ws:
            ws.verify()
            tenant = ws.parts.tenant("")
            for run in acknowledged:
                assert ws.runs.show(tenant, run, "user:alice")["given"]["status"] == "answered"


def test_syncs_that_die_are_gone_on_with(place: Path) -> None:
    chance = random.Random(8)
    for n in range(5):
        kill(start(SYNCER, place / "ws", place / "docs", n), chance.uniform(0.05, 0.8))
        with affidavit.open(place / "ws") as ws:
            ws.verify()
            ws.sync()
            found = {h.view.name for h in ws.search("walrus", "alice", 1000, chunks=False).hits}
            # a writer killed within `write_text` leaves an empty file, which says nothing of a walrus
            whole = {p.name for p in (place / "docs").glob("*.md") if "Walrus" in p.read_text()}
            assert found == whole
            ws.verify()


def test_askers_and_a_syncer_at_once(place: Path) -> None:
    processes = [
        start(ASKER, place / "ws"),
        start(ASKER, place / "ws"),
        start(SYNCER, place / "ws", place / "docs", "x"),
    ]
    acknowledged = [kill(p, 0.5, least) for p, least in zip(processes, (5, 5, 0), strict=True)]
    assert all(acknowledged[:2])
    with affidavit.open(place / "ws") as ws:
        ws.verify()
        known = {row[0] for row in ws.parts.database.all("SELECT DISTINCT run FROM events")}
        assert set(acknowledged[0] + acknowledged[1]) <= known
