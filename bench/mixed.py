"""Mixed load over ``affidavit serve`` with everything in the middle that happens to a server: no wrong answer, nothing lost.

``python -m bench.mixed [SECONDS]``: two processes serve one workspace to eight clients who ask, search, list and read. Meanwhile
every document changes and is synced (at 20 % of the time), a worker is killed with -9 (40 %), somebody loses the right to half of
the documents (60 %), and the clients' keys are rotated and the old ones ended (80 %). An answer is wrong if it holds a value that
was not true at any moment between its question and itself, or that its asker might not read when they asked; whatever is answered
with a run must be on the log afterwards, and the log must verify.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init
from affidavit.app.workspace import open as open_workspace
from bench.measure import percentile, say

SECONDS, CLIENTS, NOTES = 600.0, 8, 30
BY = "operator:bench"
_PEOPLE = {"alice": ("staff", "board"), "bob": ("staff",)}
_TIMEOUT = 120.0


def value(note: int, version: int) -> str:
    """What a note says in a version: a word that nothing else holds."""
    return f"zq{note:03}v{version}x"


@dataclass
class World:
    """What is true, and since when; times are of ``time.monotonic``."""

    keys: dict[str, str]
    changing: float = float("inf")
    changed: float = float("inf")
    revoked: float = float("inf")
    killed: float = float("-inf")
    old: dict[str, tuple[str, float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    codes: Counter[str] = field(default_factory=Counter)
    ms: dict[str, list[float]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def check(self, who: str, note: int, text: str, began: float) -> None:
        """Note every value in ``text`` that should not be there."""
        ended = time.monotonic()
        versions = [v for v, (since, until) in enumerate(((0.0, self.changed), (self.changing, ended))) if
                    began <= until and ended >= since]  # fmt: skip
        for found in (word for word in text.replace(".", " ").split() if word.startswith("zq")):
            of, version = int(found[2:5]), int(found[6])
            barred = of % 2 and (who == "bob" or began > self.revoked)
            if barred or version not in versions:
                self._tell(
                    f"{who} was given {found} when asking for {note}: barred {bool(barred)}, true were {versions}"
                )

    def _tell(self, what: str) -> None:
        with self.guard:
            self.wrong.append(what)


def write(docs: Path, version: int) -> None:
    """Every note in ``version``."""
    for note in range(NOTES):
        text = f"# Locker {note}\n\nThe password word of locker number{note} is {value(note, version)}.\n"
        (docs / ("board" if note % 2 else "staff") / f"locker-{note}.md").write_text(text)


def furnish(folder: Path) -> dict[str, tuple[str, str]]:
    """The workspace; for each person the id and the secret of a key."""
    docs = folder / "docs"
    for group in ("board", "staff"):
        (docs / group).mkdir(parents=True)
        (docs / group / "access.toml").write_text(f'allow = ["group:{group}"]')
    write(docs, 0)
    with init(folder / "ws", EmbedderSpec("none")) as ws:
        ws.load_people(
            Entry(f"user:{who}", frozenset(f"group:{g}" for g in groups), {})
            for who, groups in _PEOPLE.items()
        )
        ws.add_source("folder", docs, "docs")
        ws.sync()
        (folder / "ws" / "server.toml").write_text("[limits]\nperson_per_minute = 0\ntenant_per_minute = 0\n")
        return {who: _key(ws, who) for who in _PEOPLE}


def _key(ws: Workspace, who: str) -> tuple[str, str]:
    made, secret = ws.credentials.make_key(ws.parts.tenant(""), f"user:{who}", "bench", 1, BY)
    return made.id, secret


class Client(threading.Thread):
    """Asks one thing after another over one connection."""

    def __init__(self, world: World, port: int, seed: int, until: float) -> None:
        super().__init__(daemon=True)
        self._world, self._port, self._until = world, port, until
        self._chance = random.Random(seed)
        self._line: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Until the time is over."""
        while time.monotonic() < self._until:
            who = self._chance.choice(("alice", "bob"))
            note = self._chance.randrange(NOTES)
            question = {"question": f"What is the password word of locker number{note}?"}
            kind, method, path, body = self._chance.choice(
                (
                    ("ask", "POST", "/v1/ask", question),
                    ("ask", "POST", "/v1/ask", question),
                    ("search", "POST", "/v1/search", question),
                    ("list", "GET", "/v1/runs?limit=20", None),
                    (
                        "read",
                        "GET",
                        f"/v1/document?source=docs&document={('staff', 'board')[note % 2]}/locker-{note}.md",
                        None,
                    ),
                )
            )
            self._once(who, note, kind, method, path, body)

    def _once(self, who: str, note: int, kind: str, method: str, path: str, body: Any) -> None:
        world, secret = self._world, self._world.keys[who]
        began = time.monotonic()
        try:
            status, said = self._send(method, path, body, secret)
        except (OSError, http.client.HTTPException) as error:
            self._line = None
            expected = abs(time.monotonic() - world.killed) < _TIMEOUT
            self._count(kind, f"connection lost{'' if expected else f' unexpectedly: {error!r}'}")
            return
        ended_before = world.old.get(secret, ("", float("inf")))[1]
        if status == 401:
            fine = began > ended_before or time.monotonic() > ended_before
            self._count(kind, "401 with an ended key" if fine else "401 with a good key")
            return
        if began > ended_before:
            world.check(
                "bob", note, "zq001v9x", began
            )  # an ended key opened something: wrong, whatever was given
        self._count(kind, str(status))
        if status == 200:
            if kind != "list":
                world.check(who, note, said, began)
            with world.guard:
                world.ms.setdefault(kind, []).append((time.monotonic() - began) * 1e3)
                run = json.loads(said).get("run")
                if run:
                    world.runs.add(run)

    def _send(self, method: str, path: str, body: Any, secret: str) -> tuple[int, str]:
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._line.request(method, path, json.dumps(body) if body else None, headers)
        answer = self._line.getresponse()
        return answer.status, answer.read().decode()

    def _count(self, kind: str, what: str) -> None:
        with self._world.guard:
            self._world.codes[f"{kind} {what}"] += 1


def serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Two workers at a free port."""
    command = [
        sys.executable,
        "-m",
        "affidavit",
        "-w",
        str(folder / "ws"),
        "serve",
        "--port",
        "0",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    port = int(line.strip().rpartition(":")[2])
    threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop the server
    return process, port


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that answer: children of ``serve`` that hold most of its work."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [pid for pid, line in lines.items() if b"resource_tracker" not in line]


def happen(
    world: World, folder: Path, process: subprocess.Popen[str], ids: dict[str, str], seconds: float
) -> None:
    """Everything in the middle, at its time."""
    start = time.monotonic()

    def at(share: float) -> None:
        time.sleep(max(0.0, start + share * seconds - time.monotonic()))

    with open_workspace(folder / "ws") as ws:
        tenant = ws.parts.tenant("")
        at(0.2)
        say("every document changes")
        world.changing = time.monotonic()
        write(folder / "docs", 1)
        ws.sync()
        world.changed = time.monotonic()
        at(0.4)
        say("a worker is killed")
        world.killed = time.monotonic()
        subprocess.run(["kill", "-9", str(workers(process)[0])], check=True)
        at(0.6)
        say("alice leaves the board")
        ws.people.leave(tenant, "user:alice", "group:board")
        world.revoked = time.monotonic()
        at(0.8)
        say("keys are rotated")
        for who, id in ids.items():
            before = world.keys[who]
            _, world.keys[who] = ws.credentials.rotate_key(tenant, id, BY, 1, 1)
            time.sleep(0.02 * seconds / 10)
            ws.credentials.end_key(tenant, id, BY)
            world.old[before] = (who, time.monotonic())
            stale = http.client.HTTPConnection("127.0.0.1", _port(process), timeout=_TIMEOUT)
            stale.request("GET", "/v1/me", headers={"Authorization": f"Bearer {before}"})
            if stale.getresponse().status != 401:
                world.wrong.append("an ended key was let in")


_PORTS: dict[int, int] = {}


def _port(process: subprocess.Popen[str]) -> int:
    return _PORTS[process.pid]


def mixed(seconds: float = SECONDS, folder: Path | None = None) -> dict[str, Any]:
    """What happened. ``wrong``, ``lost`` and ``unexpected`` must be empty."""
    with tempfile.TemporaryDirectory() as made:
        place = folder or Path(made)
        keys = furnish(place)
        process, port = serve(place)
        _PORTS[process.pid] = port
        world = World({who: secret for who, (_, secret) in keys.items()})
        clients = [Client(world, port, n, time.monotonic() + seconds) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        happen(world, place, process, {who: id for who, (id, _) in keys.items()}, seconds)
        for client in clients:
            client.join()
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
        with open_workspace(place / "ws") as ws:
            ws.verify()
            known = {row[0] for row in ws.parts.database.all("SELECT DISTINCT run FROM events")}
    fine = ("200", "404", "connection lost", "401 with an ended key")
    return {
        "seconds": seconds,
        "requests": dict(sorted(world.codes.items())),
        "wrong": world.wrong[:20],
        "lost": sorted(world.runs - known)[:20],
        "unexpected": sorted(c for c in world.codes if c.partition(" ")[2] not in fine),
        "runs": len(world.runs),
        "ended_with": ended,
        "ms": {k: {"p50": percentile(v, 50), "p99": percentile(v, 99)} for k, v in sorted(world.ms.items())},
    }


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    result = mixed(parser.parse_args().seconds)
    print(json.dumps(result, indent=1))
    if result["wrong"] or result["lost"] or result["unexpected"] or result["ended_with"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
