"""``audit verify`` at scale: the whole log, and what came since the last time.

``python -m bench.verify [EVENTS] [FOLDER]``: a log of answered questions (twelve events a run, as ``ask`` writes them, bodies of
40 to 2,000 bytes) is written in batches of 1,000 through ``Log.write``; the documents are those of a small folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from affidavit.app.config import EmbedderSpec
from affidavit.app.workspace import Workspace, init
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from bench.measure import say

EVENTS = 1_000_000
_BATCH = 1_000
_SINCE = 1_000


def _asked(ws: Workspace, folder: Path) -> list[Event]:
    """The events of one real question."""
    docs = folder / "docs"
    docs.mkdir(parents=True)
    (docs / "access.toml").write_text('allow = ["anyone"]')
    for n in range(20):
        (docs / f"leave-{n}.md").write_text(
            f"# Leave {n}\n\nWalrus leave number {n} is {n + 10} days a year.\n"
        )
    people = folder / "people.jsonl"
    people.write_text('{"id": "alice"}\n')
    ws.import_people(people)
    ws.add_source("folder", docs, "docs")
    ws.sync()
    run = ws.ask("How many days is walrus leave number 7?", "alice").run
    reader = ws.parts.events
    return [Event(e.kind, e.tenant, e.run, e.facts, reader.body(e)) for e in reader.of_run(run)]


def _fill(ws: Workspace, events: list[Event], upto: int) -> float:
    """Append until the log holds ``upto`` events; seconds it took."""
    began, n = time.perf_counter(), 0

    def batch(tx: Transaction) -> None:
        nonlocal n
        while len(tx.leaves) < _BATCH and tx.next_position < upto:
            event = events[n % len(events)]
            tx.append(
                Event(event.kind, event.tenant, f"run-{n // len(events):016d}", event.facts, event.body)
            )
            n += 1

    while ws.parts.log.head() + 1 < upto:
        ws.parts.log.write(batch)
    return time.perf_counter() - began


def verify(events: int, folder: Path) -> dict[str, Any]:
    """Build (unless ``folder`` holds a workspace already), verify whole, append 1,000 events, verify since."""
    place = folder / "ws"
    told: dict[str, Any] = {"events": events}
    if not place.exists():
        say(f"verify: writing {events} events")
        with init(place, EmbedderSpec("none")) as ws:
            asked = _asked(ws, folder)
            told["append_per_s"] = round(events / _fill(ws, asked, events))
    with open_workspace(place) as ws:
        say("verify: the whole log")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        report = ws.verify()
        told["full_s"] = round(time.perf_counter() - began, 1)
        told["memory_grew_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        state = folder / "verified.json"
        ws.verified.remember(report, state)
        started = next(ws.parts.events.of_kind(EventKind.RUN_STARTED))
        again = Event(started.kind, started.tenant, "run-again", started.facts, {"question": "again"})
        for _ in range(_SINCE // 10):
            ws.parts.log.write(lambda tx: [tx.append(again) for _ in range(10)])
        say("verify: since the last time")
        began = time.perf_counter()
        since = ws.verified.since(state)
        told["incremental_s"] = round(time.perf_counter() - began, 3)
        told["incremental_events"] = since["new_events"]
    return told


def main() -> dict[str, Any]:
    """Print and give back the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=EVENTS)
    parser.add_argument("folder", nargs="?", type=Path)
    chosen = parser.parse_args()
    if chosen.folder is not None:
        told = verify(chosen.events, chosen.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            told = verify(chosen.events, Path(folder))
    print(json.dumps(told, indent=1))
    return told


if __name__ == "__main__":
    main()
