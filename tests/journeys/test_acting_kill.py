"""kill -9 while a model acts: whoever opens the workspace next goes on from the record, and nothing is done twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.acting_world import TENANT, Acting, Outside, answer, begun, joined

from affidavit.app.workspace import open_with
from affidavit.domain.answer import Answer
from affidavit.domain.records import RunStatus
from affidavit.testing.clock import FixedClock

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400_000_000
ASKED = "Refund order 7 to account A-7 please."
RESULT = '{"account": "A-7", "order": 7, "state": "refunded"}'
CHILD = f"""
import os, signal, sys
from pathlib import Path
from tests.acting_world import Acting, Outside, joined
from affidavit.app.workspace import open_with
from affidavit.testing.clock import FixedClock

folder, where = Path(sys.argv[1]), sys.argv[2]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Counted(Outside):
    def did(self, what, how):
        with open(folder / "done.txt", "a") as file:
            file.write(what + chr(10))
            file.flush()
            os.fsync(file.fileno())
        if where == "tool":
            die()

model = Acting()
model.turns = [[("refund_v1", {{"order": 7, "account": "A-7", "note": ""}})], die]
if where == "first":
    model.turns = [die]
with open_with(folder / "ws", FixedClock()) as ws:
    joined(ws, model, Counted(), folder / "ws")
    ws.act({ASKED!r}, "alice", tenant={TENANT!r})
"""


@pytest.mark.parametrize(
    ("where", "effects", "state"), [("first", 0, ""), ("tool", 1, "unknown"), ("model", 1, "done")]
)
def test_what_is_killed_goes_on_from_its_record(
    tmp_path: Path, clock: FixedClock, where: str, effects: int, state: str
) -> None:
    with begun(tmp_path, clock).ws:
        pass
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), where], cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == -9
    clock.advance(DAY)
    model, outside = Acting(), Outside()
    model.turns = [answer(("Order 7 was refunded to account A-7.", "T1", RESULT))]
    with open_with(tmp_path / "ws", clock) as ws:
        world = joined(ws, model, outside, tmp_path / "ws")
        ws.tools.gateway.work()
        went = dict(ws.acting.work())
        told = tmp_path / "done.txt"
        assert (told.read_text().splitlines() if told.exists() else []) == ["refund"] * effects
        assert not outside.done  # by whoever went on
        assert len(went) == (1 if state else 0)
        for run, end in went.items():
            assert isinstance(end, Answer)
            assert [a["state"] for a in end.actions] == [state]
            assert end.status is (RunStatus.ANSWERED if state == "done" else RunStatus.REFUSED)
            (report,) = ws.replays.replay(world.tenant, [run])
            assert report.identical, report.as_json()
        assert not list(ws.acting.work())
        ws.verify()
