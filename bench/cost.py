"""The cost view over a long log, and what reserving and settling add to a call.

``python -m bench.cost [--events N]``. The log is of recorded runs with the events of an answered question and one charge each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.records import RunStatus
from affidavit.events.log import Transaction
from affidavit.models.prices import Money, Target
from affidavit.models.usage import Charge, Counted
from affidavit.ports.model import Usage
from affidavit.runs.recorder import Run
from bench.measure import fsync_once, percentile, say, spread, timed, timed_result

EVENTS = 1_000_000
STEPS = ("identify", "scope", "guard", "embed", "route", "retrieve", "recheck", "suffice", "verify")
TIMED = ("identify_scope", "guard_route", "retrieve", "recheck", "suffice", "generate_verify")
OF_A_RUN = len(STEPS) + 4
PEOPLE, MODELS, TASKS = 200, 4, ("answer", "rewrite", "verify")
_A_COMMIT = 500
_CALLS = 500
_BIG = Target("acme", "big")
_CALL = Usage(1_000, 300, 0)
_PRICES = {"hour": "0.40", "price": [{"provider": "acme", "model": "*", "input": "1", "output": "2"}]}


def fill(workspace: affidavit.Workspace, events: int) -> int:
    """Record runs of about as many events in all; how many runs."""
    tenant, runs = workspace.ensure_tenant("bench").id, events // OF_A_RUN
    body = {"hits": [{"document": f"folder/document-{n}.md", "score": "0.123456"} for n in range(4)]}

    def write(first: int) -> Callable[[Transaction], None]:
        def change(tx: Transaction) -> None:
            for number in range(first, min(first + _A_COMMIT, runs)):
                run = Run(f"run-{number:016d}", tenant, "ask", "ab" * 32)
                run.start({"principal": f"user:person-{number % PEOPLE}", "question": "How many weeks?"})
                for step in STEPS:
                    run.step(step, {}, body)
                task = TASKS[number % len(TASKS)]
                target = Target("acme", f"model-{number % MODELS}")
                charge = Charge(task, target, Counted(900, 120, 0), Money(1_140, "USD"), None)
                run.step(f"model.{task}", {}, {"charges": [charge.as_json()]})
                run.release_answer(
                    RunStatus.ANSWERED,
                    {"claims": [{"citations": [{"source": "docs"}, {"source": "wiki"}]}]},
                )
                run.finish("answered", {"timings": dict.fromkeys(TIMED, 1_000)})
                run.flush(tx)

        return change

    for first in range(0, runs, _A_COMMIT):
        workspace.parts.log.write(write(first))
    return runs


def view(workspace: affidavit.Workspace, events: int) -> dict[str, Any]:
    """What it takes to build the view, to show it, and to bring it up to one more run."""
    say(f"recording {events} events")
    runs = fill(workspace, events)
    say("folding")
    built, shown = timed_result(workspace.money.costs)
    if shown["total"]["calls"] != runs:
        raise RuntimeError(f"{runs} calls were recorded, {shown['total']['calls']} are in the view")
    by = {name: round(timed(partial(workspace.money.costs, name)), 1) for name in ("task", "person", "day")}
    later = []
    for number in range(5):
        run = Run(f"run-later-{number}", 1, "ask", "ab" * 32)
        run.start({"principal": "user:person-1"})
        run.finish("answered", {"timings": dict.fromkeys(TIMED, 1_000)})
        workspace.parts.log.write(run.flush)
        later.append(timed(workspace.money.view.catch_up))
    return {
        "events": workspace.parts.log.head() + 1,
        "runs": runs,
        "build_s": round(built / 1e3, 1),
        "show_ms": by,
        "one_more_run_ms": percentile(later, 50),
        "file_mb": round((workspace.parts.folder / "money.db").stat().st_size / 1e6, 1),
    }


def calls(workspace: affidavit.Workspace) -> dict[str, Any]:
    """Milliseconds of reserve and settle together: with no budget, with three, and with four threads at once."""
    budgets = workspace.money.budgets
    workspace.money.set_prices(_PRICES, "operator:bench")

    def one() -> None:
        budgets.reserve(1, "user:person-1", "answer", _BIG, _CALL).settle(_CALL)

    def many(count: int) -> list[float]:
        return [timed(one) for _ in range(count)]

    free = many(_CALLS)
    tenant = workspace.parts.tenant("")
    for scope, amount in (("workspace", "100000"), ("tenant", "10000"), ("person", "1000")):
        workspace.budgets.set(scope, amount, "month", "operator:bench", tenant)
    first = timed(one)
    limited = many(_CALLS)
    shared: list[float] = []
    threads = [threading.Thread(target=lambda: shared.extend(many(_CALLS // 4))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "no_budget": spread(free),
        "three_budgets_first_ms": round(first, 1),
        "three_budgets": spread(limited),
        "three_budgets_four_threads": spread(shared),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print and give back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    chosen = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        affidavit.init(Path(folder) / "ws", EmbedderSpec("none")) as workspace,
    ):
        found = {
            "fsync_ms": fsync_once(Path(folder)),
            "view": view(workspace, chosen.events),
            "calls": calls(workspace),
        }
    for part, values in (("view", found["view"]), ("reserve and settle", found["calls"])):
        print(part)
        for name, value in values.items():  # type: ignore[attr-defined]
            print(f"  {name:32} {json.dumps(value)}")
    return found


if __name__ == "__main__":
    main()
