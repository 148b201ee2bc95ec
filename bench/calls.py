"""Calls of tools: how long one takes, what of that is the disk, and what ten thousand waiting ones cost.

``python -m bench.calls``: a local read tool that answers at once is proposed, decided, claimed, executed and recorded, in two
durable commits; once more with the disk's flush left out; then calls that wait for approval are put on record and a worker
watches.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from affidavit.app.config import EmbedderSpec
from affidavit.app.tools import ToolDesk
from affidavit.app.workspace import Workspace, init
from affidavit.domain.canonical import digest
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.gateway.contracts import tool
from bench.measure import percentile, say, timed

CALLS, WAITING, WATCHED = 400, 10_000, 10.0


class _Rules:
    """Reads are permitted, all else needs a yes."""

    policy = digest("bench")

    def decide(self, wish: Wish) -> Decision:
        if wish.attributes["effect"] == "read":
            return Decision(Verdict.PERMIT, ("reads",), self.policy)
        return Decision(Verdict.NEEDS_APPROVAL, ("asks",), self.policy, ("approver",))

    def halted(self, tenant: int, tool: str) -> str:
        return ""


@tool(effect="read")
def look(order: int) -> dict[str, int]:
    """Look an order up."""
    return {"order": order, "cents": 500}


@tool(effect="write", idempotency="none")
def pay(order: int) -> None:
    """Pay."""


def _place(folder: Path) -> tuple[Workspace, ToolDesk]:
    ws = init(folder / "ws", EmbedderSpec("none"))
    (folder / "people.jsonl").write_text('{"id": "alice"}\n')
    ws.import_people(folder / "people.jsonl")
    desk = ToolDesk(ws.parts, _Rules(), ws.policy.standing)
    desk.add(look, pay)
    return ws, desk


def _calls(ws: Workspace, desk: ToolDesk, count: int) -> dict[str, float]:
    tenant = ws.parts.tenant("")
    times = [timed(lambda n=n: desk.call(tenant, "alice", "look", {"order": n})) for n in range(count)]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    cpu = time.process_time()
    for n in range(count):
        desk.call(tenant, "alice", "look", {"order": n})
    cpu = (time.process_time() - cpu) / count * 1e3
    return {
        "p50_ms": percentile(times[10:], 50),
        "p95_ms": percentile(times[10:], 95),
        "cpu_ms": round(cpu, 2),
    }


def _flush(folder: Path) -> float:
    """Milliseconds of one flush of a few kilobytes to this disk, p50."""
    with (folder / "flush").open("wb") as file:

        def once() -> None:
            file.write(bytes(8_192))
            file.flush()
            os.fdatasync(file.fileno())

        return percentile([timed(once) for _ in range(200)], 50)


def calls(folder: Path) -> dict[str, Any]:
    """All figures, made in the empty ``folder``."""
    ws, desk = _place(folder)
    with ws:
        say("calls of a read tool, durable")
        durable = _calls(ws, desk, CALLS)
        ws.parts.database.run(
            "PRAGMA synchronous=OFF"
        )  # of this thread's connection, which is the one that writes
        without = _calls(ws, desk, CALLS)
        say(f"{WAITING} calls that wait")
        tenant, began = ws.parts.tenant(""), time.perf_counter()
        for n in range(WAITING):
            desk.propose(tenant, "alice", "pay", {"order": n})
        proposed = time.perf_counter() - began
        threads, cpu, until = threading.active_count(), time.process_time(), time.monotonic() + WATCHED
        desk.gateway.work(once=False, stop=lambda: time.monotonic() > until)
        idle = time.process_time() - cpu
    return {
        "read_tool": {**durable, "without_flush": without, "one_flush_p50_ms": _flush(folder), "commits": 2},
        "waiting": {
            "calls": WAITING,
            "propose_without_flush_ms": round(proposed / WAITING * 1e3, 2),
            "threads": threads,
            "worker_cpu_ms_a_second": round(idle / WATCHED * 1e3, 2),
        },
    }


def main() -> dict[str, Any]:
    """Print and give back the figures."""
    with tempfile.TemporaryDirectory() as folder:
        told = calls(Path(folder))
    print(json.dumps(told, indent=1))
    return told


if __name__ == "__main__":
    main()
