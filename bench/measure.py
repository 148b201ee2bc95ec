"""Stop watches, percentiles and this machine's own speed."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
_STARTED = time.perf_counter()


def say(text: str) -> None:
    """Progress, to stderr."""
    print(f"[{time.perf_counter() - _STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that ``work`` takes."""
    return timed_result(work)[0]


def timed_result(work: Callable[[], T]) -> tuple[float, T]:
    """(milliseconds, result) of ``work``."""
    begin = time.perf_counter()
    result = work()
    return (time.perf_counter() - begin) * 1e3, result


def percentile(ms: Sequence[float], q: float) -> float:
    """The ``q``-th percentile, to the microsecond."""
    return round(float(np.percentile(np.asarray(ms), q)), 3)


def spread(ms: Sequence[float]) -> dict[str, float | int]:
    """p50, p95 and how many were measured."""
    return {"p50_ms": percentile(ms, 50), "p95_ms": percentile(ms, 95), "n": len(ms)}


def read_once(rows: int, dimensions: int) -> float:
    """Milliseconds this machine needs to read ``rows`` float32 vectors once, in one thread: the median of nine passes of numpy's
    ``max``, which does nothing but read."""
    block: NDArray[np.float32] = np.full((max(rows, 1), dimensions), 0.5, np.float32)
    block.max()
    return percentile([timed(block.max) for _ in range(9)], 50)


def fsync_once(folder: Path, size: int = 16_384) -> float:
    """Milliseconds of one append of ``size`` bytes with fsync on the disk that holds ``folder``: the median of 50."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:

        def append() -> None:
            os.write(file.fileno(), b"x" * size)
            os.fsync(file.fileno())

        return percentile([timed(append) for _ in range(50)], 50)


def memory() -> dict[str, int]:
    """This process' memory in MB: resident, of that its own (not mapped files), and the highest so far."""
    wanted = {"VmRSS": "resident_mb", "RssAnon": "own_mb", "VmHWM": "peak_mb"}
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {wanted[line[0][:-1]]: int(line[1]) // 1024 for line in lines if line[0][:-1] in wanted}


def share(count: int, of: int) -> tuple[float, float, float]:
    """``count`` as a share of ``of`` with its 95 % interval by Wilson's score (E. B. Wilson, JASA 1927); 0, 0, 1 of nothing."""
    if not of:
        return 0.0, 0.0, 1.0
    z = 1.96
    p, scale = count / of, 1 + z * z / of
    middle = (p + z * z / (2 * of)) / scale
    reach = z * ((p * (1 - p) + z * z / (4 * of)) / of) ** 0.5 / scale
    return p, middle - reach, middle + reach
