"""Counters that all processes share."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import WorkspaceDamagedError
from affidavit.store.counting import DAY, FILE, Bound, Counting

MINUTE = 60 * MICROSECONDS
NOON = 20_000 * DAY + DAY // 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 90 * MICROSECONDS), st.sampled_from("ab")), max_size=40),
    st.integers(1, 30),
)
def test_in_no_minute_more_than_a_bucket_and_what_flows_in(steps: list[tuple[int, str]], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        counting = Counting(Path(folder))
        now, taken = NOON, {"a": [0] * 0, "b": [0] * 0}
        for wait, key in steps:
            now += wait
            bound = [Bound(key, most, MINUTE)]
            (level,), full = counting.take(bound, now)
            assert 0 <= level.left < most and level.after >= 0
            assert counting.levels(bound, now) == [level]
            if full == 0:
                assert level.left == 0 and level.after >= 1
                now += level.after * MICROSECONDS  # who comes back when told to is served
                assert counting.take(bound, now)[1] == -1
            taken[key].append(now)
        for times in taken.values():
            for at in times:
                assert sum(at <= t < at + MINUTE for t in times) <= 2 * most
        counting.close()


def test_of_a_day_so_many_until_midnight(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    bound = [Bound("a", 3, DAY)]
    assert [counting.take(bound, NOON)[0][0].left for _ in range(3)] == [2, 1, 0]
    (level,), full = counting.take(bound, NOON)
    assert (full, level.left, level.after) == (0, 0, 43_200)
    assert counting.take(bound, NOON + DAY // 2 - 1)[1] == 0
    assert counting.take(bound, NOON + DAY // 2)[1] == -1
    assert counting.db.value("SELECT count(*) FROM counts") == 1  # yesterday is forgotten
    counting.close()


def test_all_or_none_is_taken(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    mine, ours = Bound("mine", 5, MINUTE), Bound("ours", 2, DAY)
    for left in (4, 3):
        assert counting.take([mine, ours], NOON)[0][0].left == left
    levels, full = counting.take([mine, ours], NOON)
    assert (full, levels[0].left, levels[1].left) == (1, 3, 0)
    assert counting.levels([mine], NOON)[0].left == 3
    counting.close()


def test_a_clock_set_back_makes_nobody_wait_for_it(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    bound = [Bound("a", 2, MINUTE)]
    for _ in range(2):
        counting.take(bound, NOON)
    before = NOON - DAY // 4
    (level,), full = counting.take(bound, before)
    assert full == 0 and level.after <= 60
    assert counting.take(bound, before + MINUTE)[1] == -1
    counting.close()


def test_buckets_that_are_full_again_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affidavit.store.counting._TIDY", 10)
    counting = Counting(tmp_path)
    for n in range(55):
        counting.take([Bound(f"k{n}", 5, MINUTE)], NOON + n * MINUTE)
    assert counting.db.value("SELECT count(*) FROM flows") <= 11
    counting.close()


def test_what_a_lost_file_had_counted_is_asked_for_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def said(since: int) -> list[tuple[str, int]]:
        asked.append(since)
        return [("a", 2)]

    for more in (1, 0):
        counting = Counting(tmp_path, said)
        (level,), _ = counting.take([Bound("a", 4, DAY)], NOON)
        assert level.left == more
        counting.close()
    assert asked == [NOON - DAY // 2]
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    counting = Counting(tmp_path, said)
    assert counting.take([Bound("a", 4, DAY)], NOON)[0][0].left == 1
    counting.close()


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    with pytest.raises(WorkspaceDamagedError) as caught:
        Counting(tmp_path).take([Bound("a", 1, DAY)], NOON)
    assert FILE in caught.value.hint


def test_of_many_threads_exactly_so_many_get_one(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    got: list[int] = []

    def ask() -> None:
        for _ in range(10):
            got.append(counting.take([Bound("a", 25, DAY), Bound("b", 30, MINUTE)], NOON)[1])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count(-1) == 25 and got.count(0) == 35
    counting.close()


_CHILD = """
import sys
from pathlib import Path
from affidavit.store.counting import Bound, Counting, DAY
counting = Counting(Path(sys.argv[1]))
print(sum(counting.take([Bound("a", 100, DAY), Bound("b", 1000, 60_000_000)], int(sys.argv[2]))[1] < 0 for _ in range(80)))
"""


def test_of_several_processes_together_exactly_so_many_get_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CHILD, str(tmp_path), str(NOON)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    got = [int(process.communicate()[0]) for process in running]
    assert sum(got) == 100
    # and whoever begins later goes on from there
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip() == "0"
