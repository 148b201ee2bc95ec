"""The workspace of ``bench.soak``, the server over it, and the clients that ask it and check what they are told."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init

DOCUMENTS, PATIENCE = 40, 120.0
RIGHT = (200, 429, 503)
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

    def cut_off(self, error: Exception) -> None:
        """A connection ended before the answer, which only a killed process may do."""
        self.note("cut off", 0)
        kill = self.moments.get("killed")
        if kill is None or not kill - PATIENCE < time.monotonic() < kill + 2 * PATIENCE:
            self.fault(f"cut off without a reason: {type(error).__name__}")

    def since(self, what: str, began: float) -> bool:
        """Whether ``what`` was done and over before a request that ``began`` then."""
        return what in self.moments and self.moments[what] < began


def topic(n: int) -> str:
    """What document ``n`` is about."""
    return f"{_NAMES[n % len(_NAMES)]}{n}"


def write(folder: Path, n: int, code: str) -> None:
    """Document ``n`` says ``code``."""
    place = folder / ("inner" if n % 4 == 0 else "open")
    (place / f"{n}.md").write_text(
        f"# The {topic(n)} project\n\nThe code of the {topic(n)} project is {code}.\n"
    )


def make_world(folder: Path) -> World:
    """acme: alice may read everything, bob not what is ``inner``, carol what the directory says, mallory nothing; globex: gina,
    who has no documents."""
    docs = folder / "docs"
    for place, group in (("inner", "inner"), ("open", "staff")):
        (docs / place).mkdir(parents=True)
        (docs / place / "access.toml").write_text(f'allow = ["group:{group}"]')
    codes = {str(n): f"C{random.Random(n).randrange(10**8):08}" for n in range(DOCUMENTS)}
    for n in range(DOCUMENTS):
        write(docs, n, codes[str(n)])
    ws = init(folder / "ws", EmbedderSpec("none"))
    both, staff = frozenset({"group:staff", "group:inner"}), frozenset({"group:staff"})
    people = [
        Entry("user:alice", both, {}),
        Entry("user:bob", staff, {}),
        Entry("user:carol", staff, {}),
        Entry("user:mallory", frozenset(), {}),
        Entry("service:directory", frozenset(), {}),
    ]
    ws.load_people(people, "acme")
    ws.load_people([Entry("user:gina", frozenset(), {})], "globex")
    ws.add_source("folder", docs, "docs", "acme")
    ws.sync("", "acme")
    world = World(ws, folder, codes)
    for name in ("alice", "bob", "carol", "mallory"):
        world.key(name)
    world.key("gina", "globex")
    ws.people.grant(ws.parts.tenant("acme"), "service:directory", "people:change")
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
        until = time.monotonic() + PATIENCE
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
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)

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
            self._seen.cut_off(error)
            return
        self._seen.note(str(status), (time.monotonic() - began) * 1000, run if status == 200 else "")
        stale = key != self._world.keys[who]
        if status == 401 and stale:
            return
        if status not in RIGHT:
            self._seen.fault(f"{who} {n}: HTTP {status} {text[:200]}")
        elif status == 200:
            check(self._world, self._seen, who, n, began, text)
        if rotated and stale and status == 200:
            self._seen.fault("a key that was taken back opened something")

    def _ask(self, key: str, n: int) -> tuple[int, str, str]:
        """(status, everything that was said, the run)."""
        headers = {"Authorization": f"Bearer {key}"}
        body = {"question": f"What is the code of the {topic(n)} project?"}
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


def leaks(world: World, seen: Seen, who: str, began: float, text: str) -> list[str]:
    """The documents that ``text`` tells ``who``, having asked when it ``began``; those that they may not know of are faults."""
    told = [document for document, code in world.codes.items() if code in text]
    for document in told:
        inner = int(document) % 4 == 0
        if who in ("mallory", "gina") or (inner and who == "bob"):
            seen.fault(f"{who} was told {document}")
        if inner and who == "alice" and seen.since("revoked", began):
            seen.fault(f"alice was told {document} after it was taken from her")
    return told


def check(world: World, seen: Seen, who: str, n: int, began: float, text: str) -> None:
    """Whether ``text`` is the right answer to what ``who`` asked about document ``n``."""
    may = who == "alice" or (who == "bob" and n % 4 != 0)
    if who == "alice" and n % 4 == 0 and "revoking" in seen.moments:
        may = False  # or they may still, if they asked before
    told = leaks(world, seen, who, began, text)
    if may and str(n) not in told and "syncing" not in seen.moments:
        seen.fault(f"{who} was not told {n}")
    if may and str(n) not in told and seen.since("synced", began):
        seen.fault(f"{who} was told what {n} said before")
