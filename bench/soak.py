"""Many people ask a server of several processes while it is treated badly: a worker killed, a sync, a revocation, a key rotated.

``python -m bench.soak [SECONDS]``: every answer is checked as it comes. People ask and search, look at pages of the console, ask
as agents over MCP, follow runs and take proofs home, while a directory puts people into groups and takes them out. Nobody may be
told what they may not read, nothing that was revoked or replaced may be told to a request that began afterwards, nothing that was
answered may be missing from the record, which verifies and comes out the same when it is repeated, every proof holds offline, and
no status is 5xx but where a killed process held the connection.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from affidavit.app.workspace import Workspace
from affidavit.domain.events import EventKind
from bench.measure import percentile, say
from bench.soak_clients import DOCUMENTS, PATIENCE, Client, Seen, World, make_world, serving, write
from bench.soak_visitors import visitors

SECONDS, CLIENTS, WORKERS, REPLAYED = 600, 8, 2, 50


def workers(parent: int) -> list[int]:
    """The processes that answer for ``parent``."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


class Troubles:
    """What is done to the server, each once, in this order."""

    def __init__(self, world: World, seen: Seen, process: subprocess.Popen[str]) -> None:
        self._world, self._seen, self._process = world, seen, process
        self.all: Sequence[Callable[[], None]] = (self.sync, self.kill, self.revoke, self.rotate)

    def _now(self, what: str) -> None:
        self._seen.moments[what] = time.monotonic()

    def sync(self) -> None:
        """Every fifth document says another code; both are right until the sync is over."""
        self._now("syncing")
        for n in range(0, DOCUMENTS, 5):
            self._world.codes[str(n)] = f"N{n:08}"
            write(self._world.folder / "docs", n, self._world.codes[str(n)])
        command = [
            sys.executable,
            "-m",
            "affidavit",
            "sync",
            "-t",
            "acme",
            "-w",
            str(self._world.ws.parts.folder),
        ]
        subprocess.run(command, check=True, capture_output=True)
        self._now("synced")

    def kill(self) -> None:
        self._now("killed")
        os.kill(workers(self._process.pid)[0], signal.SIGKILL)

    def revoke(self) -> None:
        self._now("revoking")
        self._world.ws.people.leave(self._world.ws.parts.tenant("acme"), "user:alice", "inner")
        self._now("revoked")

    def rotate(self) -> None:
        old = self._world.ids["bob"]
        self._world.key("bob")
        self._world.ws.credentials.end_key(self._world.ws.parts.tenant("acme"), old, "operator:soak")
        self._now("rotated")


def soak(seconds: float, clients: int = CLIENTS, processes: int = WORKERS) -> dict[str, Any]:
    """What was met in ``seconds``; ``faults`` must be empty."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        seen, over = Seen(), threading.Event()
        with serving(world, processes) as (url, process):
            askers = [Client(world, seen, url, n).run for n in range(clients)]
            visits = [one.run for one in visitors(world, seen, url)]
            threads = [threading.Thread(target=work, args=(over,)) for work in (*askers, *visits)]
            for thread in threads:
                thread.start()
            for trouble in Troubles(world, seen, process).all:
                time.sleep(seconds / 5)
                trouble()
            time.sleep(seconds / 5)
            over.set()
            for thread in threads:
                thread.join()
            process.send_signal(signal.SIGTERM)
            ended = process.wait(PATIENCE)
        if ended:
            seen.fault(f"the server ended with status {ended}")
        lost = _lost(world.ws, seen.runs)
        seen.faults += [f"{run} was answered and is not on the record" for run in lost]
        seen.faults += _different(world.ws, seen.runs)
        world.ws.verify()
        world.ws.close()
    return {
        "seconds": seconds,
        "clients": clients,
        "workers": processes,
        "requests": sum(seen.counts.values()),
        "by_status": dict(sorted(seen.counts.items())),
        "answers": len(seen.runs),
        "p50_ms": round(percentile(seen.ms, 50), 1),
        "p95_ms": round(percentile(seen.ms, 95), 1),
        "p99_ms": round(percentile(seen.ms, 99), 1),
        "faults": seen.faults[:20],
        "faults_in_all": len(seen.faults),
    }


def _lost(ws: Workspace, runs: Sequence[str]) -> list[str]:
    """Those whose end is not on the log."""
    with ws.parts.database.read():
        ended = {event.run for event in ws.parts.events.of_kind(EventKind.RUN_FINISHED)}
    return [run for run in runs if run not in ended]


def _different(ws: Workspace, runs: Sequence[str]) -> list[str]:
    """What comes out otherwise when some of ``runs``, from the first to the last, are repeated from their record."""
    some = [run for run in runs if run][:: max(1, len(runs) // REPLAYED)]
    with ws.parts.database.read():
        tenants = {t.id: t for t in ws.parts.people.tenants()}
        of = {run: tenants[ws.parts.events.of_run(run)[0].tenant] for run in some}
    reports = [report for run in some for report in ws.replays.replay(of[run], [run])]
    return [f"{r.run} comes out otherwise: {r.divergence}{r.impossible}" for r in reports if not r.identical]


def main(seconds: float = SECONDS) -> dict[str, Any]:
    """Print what was met."""
    found = soak(seconds)
    say(json.dumps(found, indent=2))
    return found


if __name__ == "__main__":
    sys.exit(bool(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)["faults_in_all"]))
