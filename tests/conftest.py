"""Fixtures that every test may use."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.testing.clock import FixedClock, SeededRandomness

# Whoever puts the tests into the background makes them, and all they start, ignore Ctrl-C: some of them are about it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and no limit of time: neither chance nor a busy machine decides whether the tests pass.
# To look for new ones: pytest --hypothesis-profile explore
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("steady", _PATIENT, derandomize=True, database=None)
settings.register_profile("explore", _PATIENT)
settings.load_profile("steady")

DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still."""
    return FixedClock()


@pytest.fixture
def workspace(tmp_path: Path, clock: FixedClock) -> Iterator[affidavit.Workspace]:
    """An empty keyword-only workspace."""
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none"), clock, SeededRandomness()) as ws:
        yield ws


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[[dict[str, str | bytes]], Path]:
    """Writes files below a source folder; a value of bytes is written as it is."""

    def write(files: dict[str, str | bytes]) -> Path:
        root = tmp_path / "docs"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write


@pytest.fixture
def datasets() -> Path:
    """The shared test data; skips, saying so, where it is absent."""
    if not DATASETS.is_dir():
        pytest.skip("../shared/datasets is absent")
    return DATASETS
