"""Whether the time that an answer takes tells of documents that one may not read.

``python -m bench.timing_class [PAIRS]``: a server on loopback, a person, and pairs of requests in random order: for a document
that they may not read and for one that is not there; the same question before and after documents like it were hidden from
them. A paired permutation test (the signs of the differences' ranks are drawn at random 10,000 times) says how likely a
difference as large would be if there were none. Two rows are of the bench itself: nothing against nothing must not differ, and
a document that can be read must. Statements and events are counted in ``tests/entrypoints/http/test_nothing_told.py``.
"""

from __future__ import annotations

import random
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init
from affidavit.entrypoints.http.application import make_app
from bench.measure import percentile, say, timed

PAIRS, DRAWN, WARM, SEED = 300, 10_000, 20, 20_260_101
READABLE, HIDDEN, ABSENT, OTHER = (
    "open/rules-000.md",
    "shut/rules-000.md",
    "shut/rules-999.md",
    "shut/rules-998.md",
)
Ask = Callable[[], object]


def workspace(folder: Path, hidden: int) -> Workspace:
    """40 documents that alice may read and ``hidden`` about the same that she may not."""
    ws = init(folder / "ws", EmbedderSpec("none"))
    ws.load_people(
        [Entry("user:alice", frozenset({"group:staff"})), Entry("user:bob", frozenset({"group:board"}))]
    )
    docs = folder / "docs"
    for name, group, count in (("open", "staff", 40), ("shut", "board", hidden)):
        (docs / name).mkdir(parents=True)
        (docs / name / "access.toml").write_text(f'allow = ["group:{group}"]')
        for n in range(count):
            text = "\n\n".join(
                f"Rule {n}.{m} of topic{n}: the limit is {n + m} euros a day." for m in range(10)
            )
            (docs / name / f"rules-{n:03}.md").write_text(f"# Rules of topic{n}\n\n{text}\n")
    ws.add_source("folder", docs, "docs")
    ws.sync()
    return ws


@contextmanager
def served(ws: Workspace) -> Iterator[httpx.Client]:
    """A client of alice's at a server over ``ws``."""
    _, key = ws.credentials.make_key(ws.parts.tenant(""), "user:alice", "bench", 1, "operator:bench")
    place = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(ws), log_level="critical", ws="none"))
    thread = threading.Thread(target=lambda: server.run(sockets=[place]))
    thread.start()
    try:
        base = f"http://127.0.0.1:{place.getsockname()[1]}"
        with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        place.close()


def pairs(first: Ask, second: Ask, count: int, chance: random.Random) -> tuple[list[float], list[float]]:
    """Milliseconds of each, asked for one after another in random order."""
    found: tuple[list[float], list[float]] = ([], [])
    for n in range(WARM + count):
        took = {}
        for which in chance.sample((0, 1), 2):
            took[which] = timed((first, second)[which])
        if n >= WARM:
            for which, list_ in enumerate(found):
                list_.append(took[which])
    return found


def compared(first: list[float], second: list[float]) -> dict[str, Any]:
    """How two series of pairs differ. ``p``: how likely as large a difference is by chance; ``told``: how often one measurement
    of each, taken at random, puts them in the right order (0.5: as often as not)."""
    a, b = np.asarray(first), np.asarray(second)
    differences = a - b
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1.0
    seen = abs(float(np.sum(np.sign(differences) * ranks)))
    signs = np.random.default_rng(SEED).choice((-1.0, 1.0), (DRAWN, len(ranks)))
    p = (1 + int(np.sum(np.abs(signs @ ranks) >= seen))) / (1 + DRAWN)
    told = float(np.mean(a[:, None] > b[None, :]) + np.mean(a[:, None] == b[None, :]) / 2)
    return {
        "p50_ms": [percentile(first, 50), percentile(second, 50)],
        "median_difference_ms": round(float(np.median(differences)), 4),
        "p": round(p, 4),
        "told": round(told, 3),
        "pairs": len(first),
    }


def main(count: int = PAIRS) -> dict[str, Any]:
    """Prints a table and gives the rows."""
    chance = random.Random(SEED)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("few", "many"):
            (Path(folder) / name).mkdir()
        with (
            workspace(Path(folder) / "few", 1) as few,
            workspace(Path(folder) / "many", 40) as many,
            served(few) as quiet,
            served(many) as busy,
        ):
            say("asking")

            def document(name: str) -> Ask:
                return lambda: busy.get("/v1/document", params={"source": "docs", "document": name})

            def question(client: httpx.Client, path: str) -> Ask:
                return lambda: client.post(path, json={"question": "What is the limit of topic7?"})

            cases = {
                "ask: 40 hidden / 1 hidden": (question(busy, "/v1/ask"), question(quiet, "/v1/ask")),
                "search: 40 hidden / 1 hidden": (question(busy, "/v1/search"), question(quiet, "/v1/search")),
                "bench: ask 1 hidden / 1 hidden": (question(quiet, "/v1/ask"), question(quiet, "/v1/ask")),
                "document: not theirs / not there": (document(HIDDEN), document(ABSENT)),
                "bench: not there / not there": (document(OTHER), document(ABSENT)),
                "bench: theirs / not there": (document(READABLE), document(ABSENT)),
            }
            for name, (first, second) in cases.items():
                rows[name] = compared(*pairs(first, second, count, chance))
                print(f"{name:34} {rows[name]}")
    return rows


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
