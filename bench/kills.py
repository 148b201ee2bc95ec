"""kill -9 in the middle of writes, many times: what was acknowledged is there, and the whole log verifies after each.

``python -m bench.kills [KILLS]``: two processes answer questions and one re-syncs documents; all three are killed at a random
moment, then the workspace is opened, verified whole, and every acknowledged run is looked for.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from affidavit.app.config import EmbedderSpec
from affidavit.app.workspace import init
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.errors import AffidavitError
from bench.measure import say

KILLS = 100
_ASKER = """
import sys, affidavit
ws = affidavit.open(sys.argv[1])
print("ready", flush=True)
while True:
    print(ws.ask("How many days is walrus leave?", "alice").run, flush=True)
"""
_SYNCER = """
import sys, pathlib, affidavit
ws = affidavit.open(sys.argv[1])
print("ready", flush=True)
n = 0
while True:
    n += 1
    (pathlib.Path(sys.argv[2]) / f"note-{n % 9}.md").write_text(f"# Note\\n\\nNote {sys.argv[3]} {n}.")
    for report in ws.sync():
        print(report.run, flush=True)
"""


def _place(folder: Path) -> tuple[Path, Path]:
    docs = folder / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["anyone"]')
    (docs / "leave.md").write_text("# Leave\n\nWalrus leave is 20 days a year.")
    (folder / "p.jsonl").write_text('{"id": "alice"}\n')
    with init(folder / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(folder / "p.jsonl")
        ws.add_source("folder", docs, "docs")
        ws.sync()
    return folder / "ws", docs


def _start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


def _killed(processes: list[subprocess.Popen[str]], after: float) -> set[str]:
    """Everything they had acknowledged when they died; the moment is counted from when all were ready."""
    for process in processes:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("a writer did not start")
    time.sleep(after)
    for process in processes:
        process.kill()
    acknowledged: set[str] = set()
    for process in processes:
        out, _ = process.communicate()
        acknowledged.update(out.split("\n")[:-1])
    return acknowledged


def kills(count: int, folder: Path, seed: int = 7) -> dict[str, Any]:
    """Kill ``count`` times; how many runs were acknowledged, how many of those were lost, how often the log verified."""
    place, docs = _place(folder)
    chance = random.Random(seed)
    told = {"kills": count, "acknowledged": 0, "lost": 0, "verified": 0, "events": 0}
    for n in range(count):
        writers = [_start(_ASKER, place), _start(_ASKER, place), _start(_SYNCER, place, docs, n)]
        acknowledged = _killed(writers, chance.uniform(0.01, 0.2))
        told["acknowledged"] += len(acknowledged)
        with open_workspace(place) as ws:
            there = {
                row[0] for row in ws.parts.database.all("SELECT run FROM events WHERE kind = 'run.finished'")
            }
            told["lost"] += len(acknowledged - there)
            try:
                told["events"] = ws.verify()["events"]
                told["verified"] += 1
            except AffidavitError as error:
                say(f"kill {n}: {error.message}")
        if n % 10 == 9:
            say(f"kills: {n + 1} of {count}, {told['acknowledged']} acknowledged, {told['lost']} lost")
    return told


def main() -> dict[str, Any]:
    """Print and give back the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=KILLS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = kills(chosen.kills, Path(folder))
    print(json.dumps(told, indent=1))
    return told


if __name__ == "__main__":
    main()
