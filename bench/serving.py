"""Requests a second over HTTP: governed search and extractive questions at 1, 8 and 32 clients, by one process and by two.

``python -m bench.serving [SECONDS]``: each figure is of so many seconds. Clients are one asyncio process beside the server, on
the same processors. Every answer is recorded durably before it is given; each client is a person of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from affidavit.app.people import Entry
from bench.measure import percentile, say
from bench.soak import DOCUMENTS, World, make_world, serving

SECONDS, WARM_SECONDS = 10.0, 1.0
CLIENTS, WORKERS = (1, 8, 32), (1, 2)
_ASKED = {"search": {"k": 10}, "ask": {}}


def _people(world: World) -> list[str]:
    """The keys of as many people as there are clients at most."""
    names = [f"p{n:02}" for n in range(max(CLIENTS))]
    staff = frozenset({"group:staff"})
    world.ws.load_people([Entry(f"user:{name}", staff, {}) for name in names], "acme")
    for name in names:
        world.key(name)
    return [world.keys[name] for name in names]


async def _client(http: httpx.AsyncClient, what: str, key: str, until: float, ms: list[float]) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    number = 0
    while time.monotonic() < until:
        number += 1
        question = f"What is the code of project {number % DOCUMENTS}?"
        began = time.perf_counter()
        answer = await http.post(f"/v1/{what}", headers=headers, json={"question": question, **_ASKED[what]})
        answer.raise_for_status()
        ms.append((time.perf_counter() - began) * 1e3)


async def _load(url: str, what: str, keys: list[str], seconds: float) -> dict[str, Any]:
    ms: list[float] = []
    limits = httpx.Limits(max_connections=len(keys), max_keepalive_connections=len(keys))
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits) as http:
        for measured in (WARM_SECONDS, seconds):
            ms.clear()
            until = time.monotonic() + measured
            await asyncio.gather(*(_client(http, what, key, until, ms) for key in keys))
    return {
        "a_second": round(len(ms) / seconds, 1),
        **{f"p{q}_ms": round(percentile(ms, q), 1) for q in (50, 95, 99)},
    }


def measure(seconds: float = SECONDS) -> dict[str, Any]:
    """``{"2 processes": {"ask": {"8": {…}}}}``."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        keys = _people(world)
        for processes in WORKERS:
            with serving(world, processes) as (url, _):
                found[f"{processes} processes"] = {
                    what: {str(n): asyncio.run(_load(url, what, keys[:n], seconds)) for n in CLIENTS}
                    for what in _ASKED
                }
        world.ws.close()
    return found


def main(seconds: float = SECONDS) -> dict[str, Any]:
    """Print the figures."""
    found = measure(seconds)
    say(json.dumps(found, indent=2))
    return found


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
