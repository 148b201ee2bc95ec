"""How long a page of the list of runs takes on 100,000 runs, also for somebody who has three.

python -m bench.run_list
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.runs import RunFilter
from affidavit.events.log import Transaction
from affidavit.runs.recorder import Run, new_run_id

RUNS, BATCH, TRIES = 100_000, 5_000, 15
FEW = "user:few"
PEOPLE = [f"user:p{n}" for n in range(200)]


def fill(ws: affidavit.Workspace, tenant: int) -> float:
    """``RUNS`` runs with a question each, three of them of ``FEW``, spread over the log; the seconds it took."""
    release = ws.parts.release().digest
    began = time.perf_counter()
    for start in range(0, RUNS, BATCH):

        def write(tx: Transaction, start: int = start) -> None:
            for n in range(start, start + BATCH):
                who = FEW if n in (5, RUNS // 2, RUNS - 30_000) else PEOPLE[n % len(PEOPLE)]
                run = Run(new_run_id(ws.parts.randomness), tenant, "ask", release)
                run.start({"principal": who, "question": f"what is number {n}?", "position": 0})
                run.finish("answered" if n % 10 else "refused", {})
                run.flush(tx)

        ws.parts.log.write(write)
    return time.perf_counter() - began


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(median, worst) in milliseconds."""
    took = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return median(took), max(took)


def main() -> dict[str, Any]:
    """Print the table."""
    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        affidavit.init(Path(folder) / "ws", EmbedderSpec("none")) as ws,
    ):
        ws.load_people([Entry(who, frozenset(), {}) for who in (FEW, *PEOPLE)])
        tenant = ws.parts.tenant("")
        found["runs written a second"] = RUNS / fill(ws, tenant.id)
        everything = ws.runs.page(tenant, None, 50)
        middle = (everything.before or 0) // 2
        cases: dict[str, Callable[[], Any]] = {
            "the newest 50": lambda: ws.runs.page(tenant, None, 50),
            "50 from the middle": lambda: ws.runs.page(tenant, None, 50, before=middle),
            "somebody with three runs": lambda: ws.runs.page(tenant, FEW, 50),
            "the newest 50 of one person": lambda: ws.runs.page(tenant, PEOPLE[7], 50),
            "50 that were refused": lambda: ws.runs.page(tenant, None, 50, RunFilter(status="refused")),
            "a status that none has": lambda: ws.runs.page(tenant, None, 50, RunFilter(status="failed")),
            "a word that none has": lambda: ws.runs.page(tenant, None, 50, RunFilter(text="walrus")),
        }
        print(
            f"{RUNS:,} runs, written at {found['runs written a second']:,.0f} a second; ms median / worst of {TRIES}"
        )
        for name, work in cases.items():
            found[name] = timed(work)
            print(f"{name:30} {found[name][0]:8.1f} {found[name][1]:8.1f}")
    return found


if __name__ == "__main__":
    main()
