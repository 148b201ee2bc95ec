"""Many people ask a server of several processes while it is treated badly: a worker killed, a sync, a revocation, a key rotated.

``python -m bench.soak [SECONDS]``: every answer is checked as it comes. Nobody may be told what they may not read, nothing that
was revoked or replaced may be told to a request that began afterwards, nothing that was answered may be missing from the
record, and no status is 5xx but where a killed process held the connection.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init
from affidavit.domain.events import EventKind
from bench.measure import percentile, say

SECONDS, CLIENTS, WORKERS, DOCUMENTS = 600, 8, 2, 40
_PATIENCE = 120.0
_RIGHT = (200, 429, 503)
_NAMES = ("walrus", "heron", "badger", "otter", "lynx", "stork", "newt", "toad")


@dataclass
class World:
    """A workspace whose documents each say one code. ``codes`` are those that hold now, by document."""

    ws: Workspace
    folder: Path
    codes: dict[str, str]
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def key(self, name: str, tenant: str = "acme") -> None:
        """Give ``name`` a new key."""
        made, secret = self.ws.credentials.make_key(
            self.ws.parts.tenant(tenant), f"user:{name}", "soak", 2, "operator:soak"
        )
        self.keys[name], self.ids[name] = secret, made.id


@dataclass
class Seen:
    """What the clients met. ``moments`` are when something was done to the server, in seconds of ``time.monotonic``."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    moments: dict[str, float] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: str, ms: float, run: str = "") -> None:
        with self.guard:
            self.counts[status] += 1
            if run:
                self.runs.append(run)
                self.ms.append(ms)

    def fault(self, said: str) -> None:
        with self.guard:
            self.faults.append(said)

    def since(self, what: str, began: float) -> bool:
        """Whether ``what`` was done and over before a request that ``began`` then."""
        return what in self.moments and self.moments[what] < began


def _topic(n: int) -> str:
    return f"{_NAMES[n % len(_NAMES)]}{n}"


def _write(folder: Path, n: int, code: str) -> None:
    place = folder / ("inner" if n % 4 == 0 else "open")
    (place / f"{n}.md").write_text(
        f"# The {_topic(n)} project\n\nThe code of the {_topic(n)} project is {code}.\n"
    )


def make_world(folder: Path) -> World:
    """acme: alice may read everything, bob not what is ``inner``, mallory nothing; globex: gina, who has no documents."""
    docs = folder / "docs"
    for place, group in (("inner", "inner"), ("open", "staff")):
        (docs / place).mkdir(parents=True)
        (docs / place / "access.toml").write_text(f'allow = ["group:{group}"]')
    codes = {str(n): f"C{random.Random(n).randrange(10**8):08}" for n in range(DOCUMENTS)}
    for n in range(DOCUMENTS):
        _write(docs, n, codes[str(n)])
    ws = init(folder / "ws", EmbedderSpec("none"))
    both, staff = frozenset({"group:staff", "group:inner"}), frozenset({"group:staff"})
    people = [
        Entry("user:alice", both, {}),
        Entry("user:bob", staff, {}),
        Entry("user:mallory", frozenset(), {}),
    ]
    ws.load_people(people, "acme")
    ws.load_people([Entry("user:gina", frozenset(), {})], "globex")
    ws.add_source("folder", docs, "docs", "acme")
    ws.sync("", "acme")
    world = World(ws, folder, codes)
    for name, tenant in (("alice", "acme"), ("bob", "acme"), ("mallory", "acme"), ("gina", "globex")):
        world.key(name, tenant)
    (ws.parts.folder / "server.toml").write_text(
        "[limits]\nperson_per_minute = 0\ntenant_per_minute = 0\n[logs]\nrequests = false\n"
    )
    return world


@contextmanager
def serving(world: World, workers: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of a server over ``world``."""
    command = [sys.executable, "-m", "affidavit", "serve", "-w", str(world.ws.parts.folder), "--port", "0"]
    process = subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the server says nothing")
        url = process.stdout.readline().split(" at ")[1].strip()
        until = time.monotonic() + _PATIENCE
        while not _answers(url):
            if time.monotonic() > until:
                raise RuntimeError("the server does not answer")
            time.sleep(0.2)
        yield url, process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


class Client:
    """One client: asks, as somebody, about some document, in one of four ways, and checks what it is told."""

    def __init__(self, world: World, seen: Seen, url: str, number: int) -> None:
        self._world, self._seen, self._random = world, seen, random.Random(number)
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=_PATIENCE)

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            self.once()
        self._http.close()

    def once(self) -> None:
        who = self._random.choice(("alice", "alice", "bob", "bob", "mallory", "gina"))
        n = self._random.randrange(DOCUMENTS)
        began, key = time.monotonic(), self._world.keys[who]
        rotated = self._seen.since("rotated", began)
        try:
            status, text, run = self._ask(key, n)
        except httpx.TransportError as error:
            self._seen.note("cut off", 0)
            kill = self._seen.moments.get("killed")
            if kill is None or not kill - _PATIENCE < time.monotonic() < kill + 2 * _PATIENCE:
                self._seen.fault(f"cut off without a reason: {type(error).__name__}")
            return
        self._seen.note(str(status), (time.monotonic() - began) * 1000, run if status == 200 else "")
        stale = key != self._world.keys[who]
        if status == 401 and stale:
            return
        if status not in _RIGHT:
            self._seen.fault(f"{who} {n}: HTTP {status} {text[:200]}")
        elif status == 200:
            self._check(who, n, began, text)
        if rotated and stale and status == 200:
            self._seen.fault("a key that was taken back opened something")

    def _ask(self, key: str, n: int) -> tuple[int, str, str]:
        """(status, everything that was said, the run)."""
        headers = {"Authorization": f"Bearer {key}"}
        body = {"question": f"What is the code of the {_topic(n)} project?"}
        way = self._random.randrange(4)
        if way == 1:
            headers["Accept"] = "text/event-stream"
        if way == 2:
            headers["Idempotency-Key"] = str(uuid.UUID(int=self._random.getrandbits(128)))
        path = "/v1/search" if way == 3 else "/v1/ask"
        answer = self._http.post(path, headers=headers, json=body)
        if way == 2 and answer.status_code == 200:
            again = self._http.post(path, headers=headers, json=body)
            if again.status_code == 200 and again.json() != answer.json():
                self._seen.fault("the same key was answered differently")
        return answer.status_code, answer.text, answer.headers.get("X-Request-Id", "")

    def _check(self, who: str, n: int, began: float, text: str) -> None:
        world, seen = self._world, self._seen
        may = who == "alice" or (who == "bob" and n % 4 != 0)
        if who == "alice" and n % 4 == 0 and "revoking" in seen.moments:
            may = False  # or they may still, if they asked before
        told = [document for document, code in world.codes.items() if code in text]
        for document in told:
            inner = int(document) % 4 == 0
            if who in ("mallory", "gina") or (inner and who == "bob"):
                seen.fault(f"{who} was told {document}")
            if inner and who == "alice" and seen.since("revoked", began):
                seen.fault(f"alice was told {document} after it was taken from her")
        if may and str(n) not in told and "syncing" not in seen.moments:
            seen.fault(f"{who} was not told {n}")
        if may and str(n) not in told and seen.since("synced", began):
            seen.fault(f"{who} was told what {n} said before")


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
            _write(self._world.folder / "docs", n, self._world.codes[str(n)])
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
            threads = [
                threading.Thread(target=Client(world, seen, url, n).run, args=(over,)) for n in range(clients)
            ]
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
            ended = process.wait(_PATIENCE)
        if ended:
            seen.fault(f"the server ended with status {ended}")
        lost = _lost(world.ws, seen.runs)
        seen.faults += [f"{run} was answered and is not on the record" for run in lost]
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


def main(seconds: float = SECONDS) -> dict[str, Any]:
    """Print what was met."""
    found = soak(seconds)
    say(json.dumps(found, indent=2))
    return found


if __name__ == "__main__":
    sys.exit(bool(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)["faults_in_all"]))
