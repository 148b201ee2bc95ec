"""Replay of recorded runs, beside how long they took when they were asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from affidavit.app.workspace import Workspace
from bench.corpus import Scope
from bench.measure import say


def replayed(
    ws: Workspace, tenant: str, people: Sequence[Scope], questions: Sequence[str], runs: int
) -> dict[str, Any]:
    """Ask ``runs`` questions as ``people`` in turn, then replay those runs: seconds of both, their ratio, and how many differ."""
    say(f"replay: {runs} runs")
    began = time.perf_counter()
    ids = [
        ws.ask(questions[n % len(questions)], people[n % len(people)].principal, tenant=tenant).run
        for n in range(runs)
    ]
    asked = time.perf_counter() - began
    began = time.perf_counter()
    different = sum(not r.identical for r in ws.replays.replay(ws.parts.tenant(tenant), ids))
    again = time.perf_counter() - began
    return {
        "runs": runs,
        "asked_s": round(asked, 2),
        "replayed_s": round(again, 2),
        "times_faster": round(asked / again, 1),
        "different": different,
    }
