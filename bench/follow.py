"""How many events a second each kind of follower hands over, from a log of recorded runs to a receiver on this machine.

``python -m bench.follow [--runs N]``. The receiver of spans and webhooks is a plain HTTP server in a process of its own,
so the figure is ours and its together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import affidavit
from affidavit.adapters.cloudevents import WebhookFollower
from affidavit.adapters.ocsf import OcsfFollower
from affidavit.adapters.otlp import OtlpFollower
from affidavit.adapters.prometheus import MetricsFollower
from affidavit.app.config import EmbedderSpec
from affidavit.app.follow import Following
from affidavit.events.log import Transaction
from affidavit.ports.follower import Follower
from affidavit.runs.recorder import Run
from bench.measure import fsync_once, percentile, say, timed

RUNS = 4_000
STEPS = ("identify", "scope", "guard", "route", "retrieve", "recheck", "suffice", "generate", "verify")
_A_COMMIT = 100
_ROUNDS = 5
_TAKE = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Take(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def fill(workspace: affidavit.Workspace, runs: int) -> None:
    """Record ``runs`` runs with as many events and about the bodies of an answered question."""
    tenant = workspace.ensure_tenant("bench").id
    body = {"hits": [{"document": f"folder/document-{n}.md", "score": "0.123456"} for n in range(8)]}

    def write(first: int) -> Callable[[Transaction], None]:
        def change(tx: Transaction) -> None:
            for number in range(first, min(first + _A_COMMIT, runs)):
                run = Run(f"run-{number:016d}", tenant, "ask", "ab" * 32)
                run.start(
                    {"principal": "user:alice", "question": "How many weeks of parental leave are there?"}
                )
                for step in STEPS:
                    run.step(step, {}, body)
                run.finish("answered", {"timings": dict.fromkeys(STEPS, 100)})
                run.flush(tx)

        return change

    for first in range(0, runs, _A_COMMIT):
        workspace.parts.log.write(write(first))


@contextmanager
def taking() -> Iterator[str]:
    """The address of a receiver that takes everything."""
    with subprocess.Popen([sys.executable, "-c", _TAKE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def rate(
    workspace: affidavit.Workspace, make: Callable[[int], Follower], name: str, *, content: bool
) -> dict[str, Any]:
    """Events a second, the median and the slowest of some rounds from the start of the log."""
    took: list[float] = []
    events = workspace.parts.log.head() + 1
    for n in range(_ROUNDS):
        wanted = Following(name, f"bench {name}", "start", content=content, once=True)
        follower = make(n)
        took.append(timed(lambda f=follower, w=wanted: workspace.followers.follow(f, w)))  # type: ignore[misc]
    return {
        "kind": name,
        "events": events,
        "events_per_second": round(events / percentile(took, 50) * 1e3),
        "slowest": round(events / max(took) * 1e3),
    }


def lag(workspace: affidavit.Workspace) -> dict[str, Any]:
    """Milliseconds to look whether anything is new, which a waiting follower does once a second."""
    waiting = [timed(workspace.followers.standing) for _ in range(200)]
    return {"look_p50_ms": percentile(waiting, 50), "look_p95_ms": percentile(waiting, 95)}


def follow(runs: int = RUNS) -> dict[str, Any]:
    """All kinds."""
    with tempfile.TemporaryDirectory() as temporary, taking() as url:
        folder = Path(temporary)
        say("follow: filling the log")
        with affidavit.init(folder / "ws", EmbedderSpec("none")) as ws:
            fill(ws, runs)
            kinds: list[tuple[str, Callable[[int], Follower], bool]] = [
                ("ocsf", lambda n: OcsfFollower(folder / f"{n}.jsonl"), False),
                ("ocsf-content", lambda n: OcsfFollower(folder / f"content-{n}.jsonl"), True),
                ("metrics", lambda n: MetricsFollower(textfile=folder / f"{n}.prom"), False),
                ("webhook", lambda n: WebhookFollower(url, ws.parts.clock.now, "s" * 32), False),
                ("otel", lambda n: OtlpFollower(url), False),
            ]
            lines = []
            for name, make, content in kinds:
                say(f"follow: {name}")
                lines.append(rate(ws, make, name, content=content))
            return {"fsync_ms": fsync_once(folder), "lines": lines, **lag(ws)}


def main() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    result = follow(parser.parse_args().runs)
    print(f"{'kind':<14}{'events':>9}{'events/s':>11}{'slowest':>10}")
    for line in result["lines"]:
        print(f"{line['kind']:<14}{line['events']:>9}{line['events_per_second']:>11}{line['slowest']:>10}")
    print(json.dumps({k: v for k, v in result.items() if k != "lines"}))
    return result


if __name__ == "__main__":
    main()
