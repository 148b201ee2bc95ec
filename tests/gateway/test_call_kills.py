"""kill -9 among three workers: nothing is lost, nothing is done twice, and what is unknown says why."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from contextlib import closing
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.records import FOREVER
from affidavit.domain.tools import CallState
from affidavit.gateway.rules import Proposal
from affidavit.runs.recorder import Run, new_run_id
from tests.gateway.kill_worker import NAMES, gateway, outside, work

WORKERS, PATIENCE = 3, 240.0


def _propose(ws: affidavit.Workspace, path: Path, count: int, chance: random.Random) -> list[int]:
    door, parts = gateway(ws, path), ws.parts
    ids = []
    for n in range(count):
        run = Run(new_run_id(parts.randomness), 1, "call", parts.release().digest)
        run.start({"principal": "user:alice"})
        wanted = Proposal(1, "user:alice", chance.choice(NAMES), {"n": n}, run.id, own=True)
        ids.append(door.propose(wanted, run.flush).id)
    return ids


@pytest.mark.parametrize(
    ("calls", "kills"),
    [
        pytest.param(30, 6, id="few"),
        pytest.param(1_000, 200, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(1_500)]),
    ],
)
def test_killed_at_any_moment(tmp_path: Path, calls: int, kills: int) -> None:
    chance = random.Random(5)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.gateway.kill_worker"])
    folder, path = tmp_path / "ws", tmp_path / "outside.db"
    outside(path).close()

    def started() -> ForkServerProcess:
        process = context.Process(target=work, args=(str(folder), str(path)), daemon=True)
        process.start()
        return process

    with affidavit.init(folder, EmbedderSpec("none")) as ws:
        ws.people.ensure_tenant("main")
        workers = [started() for _ in range(WORKERS)]
        ids: list[int] = []
        try:
            for _ in range(kills):
                ids += _propose(ws, path, calls // kills, chance)
                time.sleep(chance.uniform(0, 0.08))
                dead = chance.randrange(WORKERS)
                workers[dead].kill()
                workers[dead].join()
                workers[dead] = started()
            door, until = gateway(ws, path), time.monotonic() + PATIENCE
            while door.next_due() != FOREVER and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            for process in workers:
                process.kill()
                process.join()
        _nothing_lost_nothing_twice(ws, path, ids)
        ws.verify()


def _nothing_lost_nothing_twice(ws: affidavit.Workspace, path: Path, ids: list[int]) -> None:
    door = gateway(ws, path)
    with closing(outside(path)) as there:
        requests = Counter(row[0] for row in there.execute("SELECT key FROM requests"))
        done = {row[0] for row in there.execute("SELECT key FROM done")}
    states: Counter[str] = Counter()
    for id in ids:
        stands = door.stands(id)
        row = stands.row
        states[f"{row.tool} {row.state.value}"] += 1
        if row.tool == "mail@1":
            assert requests[row.key] <= 1, "a letter was sent twice"
            assert row.state in (CallState.DONE, CallState.UNKNOWN)
        else:
            assert row.state is CallState.DONE, f"{row.name} of {row.tool} is {row.state.value}: {stands.why}"
        if row.state is CallState.DONE:
            assert row.key in done, "done, says the record; the outside knows nothing of it"
        else:
            assert stands.cause in ("lease_expired", "timeout", "no_answer") and stands.why
    print(dict(sorted(states.items())), "repeated requests:", sum(n - 1 for n in requests.values()))
    assert set(requests) <= {door.stands(id).row.key for id in ids}, (
        "the outside was asked what nobody proposed"
    )
