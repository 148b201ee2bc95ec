"""The log: durable appends, proofs at a million events, checking a bundle offline, tiles and a population.

``python -m bench.log [--events N] [--results FILE]`` prints a table and writes the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from affidavit.app.config import EmbedderSpec
from affidavit.app.proofs import verifier_source
from affidavit.app.workspace import Workspace
from affidavit.app.workspace import init as init_workspace
from affidavit.domain.canonical import Json
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import RunStatus
from affidavit.events.log import Transaction
from affidavit.events.prove import Tree, extends, includes
from affidavit.offline.verify_affidavit import Bundle
from affidavit.runs.recorder import Run
from bench.measure import fsync_once, percentile, say, spread, timed, timed_result

EVENTS = 1_000_000
_BATCH = 1_000
_RUN = 12  # events of one answered question
_PROOFS = 500
_CHECKS = 20


def _question(n: int, tenant: int, release: str) -> Run:
    """A run as an answered question leaves it, without the asking: twelve events with bodies of the usual size."""
    run = Run(f"run-{n:016x}", tenant, "ask", release)
    asked: dict[str, Json] = {
        "principal": f"user:person{n % 500}",
        "question": f"How long is leave number {n}?",
        "position": n,
    }
    run.start(asked)
    hits: list[Json] = [
        {"document": f"leave-{n % 97}.md", "chunk": f"{n % 97}.{k}", "score": "0.500000"} for k in range(8)
    ]
    for name in (
        "identify",
        "scope",
        "guard",
        "route",
        "retrieve",
        "recheck",
        "suffice",
        "generate",
        "verify",
    ):
        run.step(name, {"n": n}, {"hits": hits if name == "retrieve" else []})
    text = f"Leave number {n} is 20 days a year, as the handbook says."
    claims: list[Json] = [{"text": text, "citations": [{"document": f"leave-{n % 97}.md", "quote": text}]}]
    run.release_answer(
        RunStatus.ANSWERED, {"status": "answered", "answer": text, "claims": claims, "refusal": None}
    )
    run.finish("answered", {"timings": {}})
    return run


def append(ws: Workspace, events: int) -> dict[str, Any]:
    """Fill the log through ``Log.write``, a thousand events a durable commit; how fast the slowest tenth went too."""
    tenant, release = ws.ensure_tenant("acme").id, ws.parts.release().digest
    batches: list[float] = []
    number = 0

    def batch(tx: Transaction) -> None:
        nonlocal number
        last = tx.next_position + _BATCH
        while tx.next_position + _RUN <= last:
            _question(number, tenant, release).flush(tx)
            number += 1
        while tx.next_position < last:
            tx.append(Event(EventKind.TENANT_CREATED, facts={"subject": number}))

    begin = time.perf_counter()
    while ws.parts.log.head() + 1 < events:
        batches.append(timed(lambda: ws.parts.log.write(batch)))
    seconds = time.perf_counter() - begin
    done = len(batches) * _BATCH
    return {
        "events": ws.parts.log.head() + 1,
        "events_per_second": round(done / seconds),
        "slowest_tenth_events_per_second": round(_BATCH / percentile(batches, 90) * 1e3),
        "batch": _BATCH,
        "fsync_once_ms": fsync_once(ws.parts.folder),
    }


def prove(ws: Workspace) -> dict[str, Any]:
    """Random positions and sizes. ``cold`` makes each proof with a tree that holds no tile yet."""
    choice = random.Random(1)
    database = ws.parts.database
    with database.read():
        head = ws.proofs.evidence.newest()
        size, tree = head.size, Tree(database)
        cold, warm, old, growth, check = [], [], [], [], []
        for _ in range(_PROOFS):
            at, other = choice.randrange(size), choice.randrange(1, size)
            cold.append(timed(lambda: Tree(database).inclusion(at, size)))  # noqa: B023  # called at once
            took, path = timed_result(lambda: tree.inclusion(at, size))  # noqa: B023
            warm.append(took)
            leaf = tree.row(0, at, at + 1)[0]
            took, held = timed_result(lambda: includes(leaf, at, head.checkpoint, path))  # noqa: B023
            check.append(took)
            old.append(timed(lambda: tree.inclusion(min(at, other - 1), other)))  # noqa: B023
            took, (before, proof) = timed_result(lambda: ws.proofs.evidence.growth(other, head))  # noqa: B023
            growth.append(took)
            if not held or not extends(before, head.checkpoint, proof):
                raise RuntimeError(f"the proof of position {at} does not hold")
    whole = [timed(lambda: ws.proofs.prove(choice.randrange(size))) for _ in range(_PROOFS)]
    return {
        "inclusion": spread(warm),
        "inclusion_cold": spread(cold),
        "inclusion_of_an_old_size": spread(old),
        "consistency_checked": spread(growth),
        "prove_with_signature_checked": spread(whole),
        "check_inclusion": spread(check),
    }


def bundles(ws: Workspace, folder: Path) -> dict[str, Any]:
    """Export of one run, and its check: in this process, and as a person runs it, Python's start included."""
    tenant = ws.parts.tenant("acme")
    verifier, file = folder / "verify_affidavit.py", folder / "run.json"
    verifier.write_text(verifier_source(), encoding="utf-8")
    run = f"run-{1234:016x}"
    made = [timed(lambda: ws.exports.bundle(tenant, run, None, audit=True)) for _ in range(_CHECKS)]
    ws.exports.export(tenant, run, file, None, audit=True)
    data = file.read_bytes()
    inside = [timed(lambda: Bundle(data)) for _ in range(_CHECKS)]
    command = [sys.executable, "-I", "-S", str(verifier), str(file)]
    alone = [timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(_CHECKS)]
    empty = [sys.executable, "-I", "-S", "-c", ""]
    started = [timed(lambda: subprocess.run(empty, check=True)) for _ in range(_CHECKS)]
    return {
        "bundle_kb": round(len(data) / 1e3, 1),
        "make": spread(made),
        "check": spread(inside),
        "check_as_a_process": spread(alone),
        "of_that_starting_python": spread(started),
    }


def files(ws: Workspace, folder: Path) -> dict[str, Any]:
    """The whole log as tiles and as a population, in seconds."""
    took, (_, written) = timed_result(lambda: ws.proofs.tiles(folder / "tiles"))
    ws.parts.log.write(lambda tx: tx.append(Event(EventKind.TENANT_CREATED, facts={"subject": 0})))
    again = timed(lambda: ws.proofs.tiles(folder / "tiles"))
    path = folder / "population.jsonl"
    exporting = timed(lambda: ws.exports.population(path, 0, 2**52, None, None))
    command = [sys.executable, "-I", "-S", str(folder / "verify_affidavit.py"), str(path)]
    checking = timed(lambda: subprocess.run(command, check=True, capture_output=True))
    return {
        "tiles_s": round(took / 1e3, 1),
        "tiles_files": written,
        "tiles_one_event_later_ms": round(again, 1),
        "population_s": round(exporting / 1e3, 1),
        "population_mb": round(path.stat().st_size / 1e6, 1),
        "population_check_s": round(checking / 1e3, 1),
    }


def measure(events: int, folder: Path) -> dict[str, Any]:
    """Everything, on a log of about so many events in ``folder``."""
    with init_workspace(folder / "ws", EmbedderSpec("none")) as ws:
        results: dict[str, Any] = {}
        parts: list[tuple[str, Callable[[], dict[str, Any]]]] = [
            ("append", lambda: append(ws, events)),
            ("prove", lambda: prove(ws)),
            ("bundle", lambda: bundles(ws, folder)),
            ("files", lambda: files(ws, folder)),
        ]
        for name, work in parts:
            say(f"log: {name}")
            results[name] = work()
    return results


def table(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = ["| what | figure |", "|---|---|"]
    for part, values in results.items():
        for name, value in values.items():
            shown = (
                f"p50 {value['p50_ms']} ms, p95 {value['p95_ms']} ms"
                if isinstance(value, dict)
                else f"{value:,}"
            )
            rows.append(f"| {part}: {name.replace('_', ' ')} | {shown} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--results", type=Path, help="write the figures here as JSON")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(chosen.events, Path(folder))
    print(table(results))
    if chosen.results is not None:
        chosen.results.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
