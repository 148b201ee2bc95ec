"""What the caches bring: the same questions of the handbook asked again by the same person, with memory and without.

``python -m bench.caches`` prints milliseconds of each stage, and of all of it. Both ways take turns, so that a busy machine is as
busy for the one as for the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from affidavit.app.workspace import Workspace
from affidavit.ask.caches import Caches
from affidavit.domain.events import EventKind
from bench.handbook import lines, present, visible_documents, who_reads_most, workspace
from bench.measure import percentile, say, spread, timed, timed_result

_QUESTIONS, _TIMES = 40, 4
_STAGES = ("identify_scope", "retrieve", "recheck", "suffice", "record")


def measure(ws: Workspace, texts: Sequence[str], who: str) -> dict[str, Any]:
    """Stages of ``ask`` and the whole of ``search``: p50 and p95 in milliseconds, and how much memory that took."""
    kept = Caches()
    caches: dict[str, Caches | None] = {"without": None, "with": kept}
    whole: dict[str, list[float]] = {name: [] for name in caches}
    search: dict[str, list[float]] = {name: [] for name in caches}
    stages: dict[str, dict[str, list[float]]] = {n: {s: [] for s in _STAGES} for n in caches}
    for n in range(_TIMES):
        for text in texts:
            for name, used in caches.items():
                ws._asker._caches = ws._searcher._caches = used
                ms, answer = timed_result(partial(ws.ask, text, who))
                found = timed(partial(ws.search, text, who))
                if not n:  # the first time there is nothing to remember
                    continue
                whole[name].append(ms)
                search[name].append(found)
                for stage in _STAGES:
                    stages[name][stage].append(answer.timings.get(stage, 0) / 1e3)
    return {
        "questions": len(texts),
        "times": _TIMES - 1,
        "ask": {name: spread(ms) for name, ms in whole.items()},
        "search": {name: spread(ms) for name, ms in search.items()},
        "stages_p50_ms": {n: {s: percentile(ms, 50) for s, ms in of.items()} for n, of in stages.items()},
        "kilobytes": sum(k.bytes for k in (kept.vectors, kept.identities, kept.results, kept.scores)) // 1000,
        "said_cached": _said(ws),
    }


def _said(ws: Workspace) -> int:
    """How many runs say on record that something came from memory."""
    ends = ws.parts.events.of_kind(EventKind.RUN_FINISHED)
    return sum("cached" in ws.parts.events.body(e) for e in ends)


def main() -> dict[str, Any]:
    """Measures, prints a table, and gives the figures; empty where there is no handbook or no model."""
    if not present():
        say("the handbook is absent")
        return {}
    with tempfile.TemporaryDirectory() as folder, workspace(Path(folder) / "ws") as ws:
        asked = [q for q in lines("queries.jsonl") if q.get("text")][:_QUESTIONS]
        found = measure(ws, [str(q["text"]) for q in asked], _reader(ws))
    for what in ("ask", "search"):
        for name, figures in found[what].items():
            print(f"{what:<8} {name:<8} p50 {figures['p50_ms']:8.3f} ms   p95 {figures['p95_ms']:8.3f} ms")
    for name, of in found["stages_p50_ms"].items():
        print(f"{name:<8} " + "  ".join(f"{stage} {ms:.3f}" for stage, ms in of.items()))
    print(f"memory {found['kilobytes']} kB; {found['said_cached']} runs say that something was cached")
    return found


def _reader(ws: Workspace) -> str:
    return who_reads_most(visible_documents(ws, [str(user["id"]) for user in lines("users.jsonl")]))


if __name__ == "__main__":
    main()
