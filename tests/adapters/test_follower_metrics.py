"""Prometheus metrics, scraped and parsed."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from affidavit.adapters.prometheus import MetricsFollower
from affidavit.adapters.tally import MOST_LABELS, MOST_OPEN, Tally
from affidavit.domain.errors import FollowerError, UsageError
from affidavit.domain.events import EventKind
from affidavit.ports.follower import Handed
from affidavit.testing.follower_conformance import (
    FollowerConformance,
    MemoryLog,
    Outside,
    handed,
    log_of_runs,
)

Samples = dict[tuple[str, ...], float]


def parsed(text: str) -> Samples:
    return {
        (s.name, *(v for _, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


class TextfileOutside:
    """What is counted has no order; the n-th event of a kind is one thing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def follower(self) -> MetricsFollower:
        return MetricsFollower(textfile=self.path)

    def received(self) -> list[str]:
        found = {
            k[1]: int(v) for k, v in parsed(self.path.read_text()).items() if k[0] == "affidavit_events_total"
        }
        return sorted(f"{kind} {n}" for kind, count in found.items() for n in range(count))

    def expected(self, events: Sequence[Handed]) -> list[str]:
        kinds = [e.kind for e in events]
        return sorted(f"{kind} {n}" for kind in set(kinds) for n in range(kinds.count(kind)))


class TestTextfile(FollowerConformance):
    @pytest.fixture
    def outside(self, tmp_path: Path) -> Outside:
        return TextfileOutside(tmp_path / "affidavit.prom")


def shown(path: Path, log: MemoryLog) -> Samples:
    follower = MetricsFollower(textfile=path)
    log.drive(follower, 7)
    return parsed(path.read_text())


def test_the_counts_are_those_of_the_log(tmp_path: Path) -> None:
    found = shown(tmp_path / "a.prom", MemoryLog(log_of_runs(5)))
    assert found["affidavit_runs_total", "ask", "refused"] == 2
    assert found["affidavit_runs_total", "ask", "answered"] == 3
    assert found["affidavit_refusals_total", "not_enough_evidence"] == 2
    assert found["affidavit_decisions_total", "document:read", "forbid"] == 5
    assert found["affidavit_documents_total", "indexed"] == found["affidavit_documents_total", "removed"] == 1
    assert found["affidavit_steps_total", "guard"] == 5
    assert found["affidavit_step_seconds_count", "retrieve"] == 5
    assert found["affidavit_step_seconds_sum", "retrieve"] == pytest.approx(5 * 960e-6)
    assert found["affidavit_step_seconds_bucket", "0.0005", "retrieve"] == 0
    assert found["affidavit_step_seconds_bucket", "0.001", "retrieve"] == 5
    assert found["affidavit_step_seconds_bucket", "+Inf", "retrieve"] == 5
    assert found["affidavit_run_seconds_sum", "ask"] == pytest.approx(5 * 1e-3)
    assert found["affidavit_log_events",] == 33
    assert found["affidavit_checkpoint_age_seconds",] == pytest.approx(0.033)
    assert found["affidavit_follower_lag_events", "other"] == 3


def test_labels_are_bounded(tmp_path: Path) -> None:
    events = []
    for n in range(3 * MOST_LABELS):
        events.append(handed(n, EventKind.STEP_RECORDED, {"step": 1, "name": f"step{n}"}))
    for n in range(3 * MOST_LABELS):
        words = {"timings": {f"lap{n}": 5}}
        events.append(
            handed(len(events), EventKind.RUN_FINISHED, {"status": "done", "steps": 0}, f"run-{n}", words)
        )
    found = shown(tmp_path / "a.prom", MemoryLog(events))
    steps = {k: v for k, v in found.items() if k[0] == "affidavit_steps_total"}
    assert len(steps) == MOST_LABELS + 1
    assert steps["affidavit_steps_total", "other"] == 2 * MOST_LABELS
    assert found["affidavit_step_seconds_count", "other"] == 2 * MOST_LABELS


def test_runs_that_never_end_do_not_fill_the_state() -> None:
    tally = Tally()
    for n in range(MOST_OPEN + 10):
        tally.add([handed(n, EventKind.RUN_STARTED, {"journey": "ask", "release": "r"}, f"run-{n}")])
    assert len(tally.journeys) == MOST_OPEN
    assert Tally.parse(tally.text()) == tally
    assert json.loads(tally.text())


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_real_scrape() -> None:
    log = MemoryLog(log_of_runs(3))
    follower = MetricsFollower(("127.0.0.1", 0))
    follower.begin("", log)
    follower.deliver(log.batch(1000))
    with urllib.request.urlopen(f"http://127.0.0.1:{follower.port}/metrics") as answer:
        found = parsed(answer.read().decode())
    assert found["affidavit_runs_total", "ask", "answered"] == 2
    with pytest.raises(FollowerError, match="cannot be listened at"):
        MetricsFollower(("127.0.0.1", follower.port)).begin("", log)
    follower.close()
    assert threading.active_count() == 1


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.prom").mkdir()
    with pytest.raises(FollowerError, match=r"a\.prom cannot be written"):
        MemoryLog(log_of_runs(1)).drive(MetricsFollower(textfile=tmp_path / "a.prom"), 5)
    assert [p.name for p in tmp_path.iterdir()] == ["a.prom"]


def test_one_place_to_show_them() -> None:
    for listen, textfile in ((None, None), (("h", 1), Path("x"))):
        with pytest.raises(UsageError):
            MetricsFollower(listen, textfile)
