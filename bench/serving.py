"""Requests a second over HTTP: governed search and extractive questions, beside the same pipeline of LlamaIndex and of Haystack.

``python -m bench.serving [SECONDS] [--write]``: each figure is of so many seconds; ``--write`` renews table and plot in the docs.
Everybody has the same documents, chunks, vectors, people and questions, no question is asked twice, and clients are one asyncio
process beside the server, on the same processors. affidavit's answers are recorded durably before they are given; the peers are
measured as they come, and with a line of an audit file that is on disk before. While eight clients search, people are taken out
of groups and put back: what they are told meanwhile is compared with what they may read. ``bench/peers/served.py`` says how the
peers are built.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from affidavit.app.config import model_location
from bench import report
from bench.measure import fsync_once, percentile, say
from bench.search import PEERS_PYTHON, ROOT
from bench.serving_report import markdown, write
from bench.serving_world import Served, hand_over, make, question, right

SECONDS, WARM_SECONDS, CHANGING_SECONDS = 2.0, 0.5, 4.0
CLIENTS = (1, 8, 32)
ASKED: dict[str, dict[str, Any]] = {"search": {"k": 10}, "ask": {}}
CHANGED_FOR = 2
"""Answers to somebody before they are put back into the group that they were taken out of, or taken out of another."""
_PATIENCE = 120.0
_QUIET = {"HAYSTACK_TELEMETRY_ENABLED": "False", "ANONYMIZED_TELEMETRY": "False", "DO_NOT_TRACK": "1"}
Change = Callable[[str, str, bool], None]
_numbers = itertools.count()


@dataclass(frozen=True)
class Server:
    """Something to measure. ``environment`` is for a peer, None for affidavit. ``timed``: not only what it tells is looked at."""

    name: str
    processes: int
    environment: dict[str, str] | None = None
    timed: bool = True

    @property
    def ours(self) -> bool:
        return self.environment is None


def servers() -> list[Server]:
    """What is measured: everything where the peers' environment is, else affidavit alone."""
    found = [Server("affidavit", 1), Server("affidavit", 2)]
    if not PEERS_PYTHON.exists():
        say("NO PEERS: bench/.venv is missing; `make bench` makes it")
        return found
    audit = {"PEER_AUDIT": "1"}
    for peer in ("llama-index", "haystack"):
        found.append(Server(peer, 1, {"PEER": peer}))
        found += [Server(f"{peer} + audit file", n, {"PEER": peer, **audit}) for n in (1, 2)]
        kept = {"PEER": peer, "PEER_GROUPS_SECONDS": "30"}
        found.append(Server(f"{peer}, groups kept 30 s", 1, kept, timed=False))
    return found


@dataclass(frozen=True)
class At:
    """Where a server answers, and its process."""

    port: int
    process: int

    def worked(self) -> float:
        """Milliseconds that its processes worked so far."""
        return sum(map(_worked, (self.process, *_children(self.process))))


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in found]


def _worked(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) * 1e3 / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(server: Server, served: Served) -> Iterator[At]:
    """``server`` at work."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    many = ["--port", str(port), "--workers", str(server.processes)]
    if server.environment is None:
        command = [sys.executable, "-m", "affidavit", "serve", "-w", str(served.ws.parts.folder), *many]
        environment = dict(os.environ)
    else:
        app = ["bench.peers.served:application", "--factory", "--no-access-log", "--log-level", "error"]
        command = [str(PEERS_PYTHON), "-m", "uvicorn", *app, *many]
        environment = {
            **os.environ,
            **_QUIET,
            "PYTHONPATH": str(ROOT),
            "PEER_FOLDER": str(served.folder),
            "PEER_MODEL": str(model_location()),
            "PEER_GRAPH": str(ROOT / "src/affidavit/adapters/minilm/int8.onnx"),
            **server.environment,
        }
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/healthz", process)
        yield At(port, process.pid)
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the server does not answer; its status is {process.poll()}")


class Connection:
    """One kept connection, with as little of a client as it takes: the processors are the server's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer, self._key = reader, writer, key

    @classmethod
    async def open(cls, at: At, key: str) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", at.port), key)

    async def ask(self, what: str, text: str) -> bytes:
        """The body of the answer. Raises RuntimeError unless it is an answer."""
        body = json.dumps({"question": text, **ASKED[what]}).encode()
        head = (
            f"POST /v1/{what} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answered = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        size = int(answered.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        found = await self._reader.readexactly(size)
        if not answered.startswith(b"http/1.1 200"):
            raise RuntimeError(f"{answered.split(maxsplit=2)[1]!r}: {found[:200]!r}")
        return found

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def load(at: At, what: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
    """As many requests as so many clients can make, each as soon as the one before is answered."""
    ms: list[float] = []

    async def client(key: str, until: float) -> None:
        connection = await Connection.open(at, key)
        while time.monotonic() < until:
            _, text = question(next(_numbers))
            began = time.perf_counter()
            await connection.ask(what, text)
            ms.append((time.perf_counter() - began) * 1e3)
        await connection.close()

    for measured in (WARM_SECONDS, seconds):
        ms.clear()
        began, before = time.monotonic(), at.worked()
        await asyncio.gather(*(client(key, began + measured) for key in keys))
        took = time.monotonic() - began
    return {
        "a_second": round(len(ms) / took, 1),
        **{f"p{q}_ms": round(percentile(ms, q), 1) for q in (50, 95, 99)},
        "cpu_ms": round((at.worked() - before) / len(ms), 1),
    }


@dataclass
class Membership:
    """Somebody's groups over time: each change with when it was asked for and when it was done."""

    groups: frozenset[str]
    changes: list[tuple[float, float, frozenset[str]]] = field(default_factory=list)

    def between(self, began: float, ended: float) -> tuple[list[frozenset[str]], bool]:
        """The groups that they had at some time between the two; and whether one was done taking away in between."""
        before = [self.groups, *(groups for _, done, groups in self.changes if done <= began)]
        during = [(done, groups) for asked, done, groups in self.changes if asked < ended and done > began]
        held = [before[-1], *(groups for _, groups in during)]
        taken = any(groups < self.groups and done < ended for done, groups in during)
        return held, taken


@dataclass
class Told:
    """What was told while groups changed. ``recall`` over requests during which nothing changed."""

    answers: int = 0
    forbidden: int = 0
    recall: list[float] = field(default_factory=list)
    taken_meanwhile: int = 0
    given_after: int = 0

    def judge(self, city: int, documents: Sequence[str], held: list[frozenset[str]], taken: bool) -> None:
        """One answer to somebody who was in ``held`` one after the other; ``taken``: lost one before it was given."""
        self.answers += 1
        readable = frozenset[str]().union(*held)
        self.forbidden += any(d.split("/")[0] not in readable for d in documents)
        if taken:
            self.taken_meanwhile += 1
            self.given_after += any(d.split("/")[0] not in held[-1] for d in documents)
        elif len(held) == 1:
            wanted = right(city, held[0])
            self.recall.append(len(wanted & set(documents)) / len(wanted))


async def changing(
    at: At, people: dict[str, frozenset[str]], keys: Sequence[str], seconds: float, change: Change
) -> dict[str, Any]:
    """Search as eight people who are taken out of a group and put back, and look at what they are told."""
    told = Told()
    until = time.monotonic() + seconds
    memberships = {person: Membership(groups) for person, groups in people.items()}
    answers: list[tuple[str, int, float, float, list[str]]] = []
    counts: Counter[str] = Counter()

    async def client(person: str, key: str) -> None:
        connection = await Connection.open(at, key)
        while time.monotonic() < until:
            city, text = question(next(_numbers))
            began = time.monotonic()
            found = json.loads(await connection.ask("search", text))
            answers.append((person, city, began, time.monotonic(), [h["document"] for h in found["hits"]]))
            counts[person] += 1
        await connection.close()

    async def changed(person: str, group: str, member: bool) -> None:
        asked = time.monotonic()
        await asyncio.to_thread(change, person, group, member)
        left = people[person] if member else people[person] - {group}
        memberships[person].changes.append((asked, time.monotonic(), left))
        wanted = counts[person] + CHANGED_FOR + 1  # one may be on its way
        while counts[person] < wanted and time.monotonic() < until:
            await asyncio.sleep(0.005)

    async def troubles() -> None:
        for turn, person in enumerate(itertools.cycle(people)):
            if time.monotonic() > until:
                return
            group = sorted(people[person])[turn % len(people[person])]
            await changed(person, group, False)
            await changed(person, group, True)  # whatever the time: who comes next finds them as they were

    await asyncio.gather(troubles(), *(client(p, k) for p, k in zip(people, keys, strict=False)))
    for person, city, began, ended, documents in answers:
        told.judge(city, documents, *memberships[person].between(began, ended))
    return {
        "answers": told.answers,
        "changes": sum(len(m.changes) for m in memberships.values()),
        "recall": round(sum(told.recall) / max(len(told.recall), 1), 4),
        "forbidden": told.forbidden,
        "taken_meanwhile": told.taken_meanwhile,
        "given_after": told.given_after,
    }


def one(server: Server, served: Served, seconds: float) -> dict[str, Any]:
    """What was measured of ``server``."""
    say(f"{server.name}, {server.processes} process(es)")
    line: dict[str, Any] = {"name": server.name, "processes": server.processes, "ours": server.ours}
    eight = dict(itertools.islice(served.groups.items(), 8))
    with running(server, served) as at:
        if server.timed:
            for what in ASKED:
                line[what] = {str(n): asyncio.run(load(at, what, served.keys[:n], seconds)) for n in CLIENTS}
        change = served.ours if server.ours else served.peers
        line["told"] = asyncio.run(changing(at, eight, served.keys, max(seconds, CHANGING_SECONDS), change))
    return line


def measure(seconds: float = SECONDS) -> dict[str, Any]:
    """``{"servers": [{"name", "processes", "search": {"8": {…}}, "ask", "told"}], …}``."""
    with tempfile.TemporaryDirectory() as folder:
        say("the documents")
        served = make(Path(folder))
        try:
            hand_over(served)
            documents = len(list((served.folder / "docs").glob("*/*.md")))
            found = {
                "seconds": seconds,
                "documents": documents,
                "chunks": len((served.folder / "chunks.jsonl").read_text().splitlines()),
                "machine": report.machine(),
                "fsync_ms": round(fsync_once(Path(folder)), 2),
                "servers": [one(server, served, seconds) for server in servers()],
            }
        finally:
            served.ws.close()
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Print the table; with ``--write`` put it into the docs, with the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument(
        "--write", action="store_true", help="renew docs/explanation/measurements.md and its plot"
    )
    chosen = parser.parse_args(arguments)
    found = measure(chosen.seconds)
    print(markdown(found))
    if chosen.write:
        write(found)
    return found


if __name__ == "__main__":
    main()
