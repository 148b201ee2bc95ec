"""A small workspace to drill, and a way to run a drill on it with something broken inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.adapters import openai_embeddings
from affidavit.app.config import EmbedderSpec
from affidavit.app.drills.desk import DrillDesk, Orders
from affidavit.app.drills.promise import Report
from affidavit.app.drills.registry import DRILLS
from affidavit.app.drills.seams import WORKER, Opener, Seams
from affidavit.app.workspace import open_with

LIAR = Path(__file__).with_name("liar.py")
PEOPLE = """
{"id": "alice", "groups": ["finance", "staff"]}
{"id": "bob", "groups": ["finance"]}
{"id": "carol", "groups": ["staff"]}
{"id": "erin"}
{"group": "finance", "groups": ["staff"]}
"""
ANIMALS = ("walrus", "penguin", "puffin", "narwhal", "beluga", "lemming", "ptarmigan", "caribou")
Run = Callable[..., Report]


def make(folder: Path, embedder: str = "none") -> Path:
    """A workspace in ``folder``/ws over ``folder``/docs."""
    docs = folder / "docs"
    for n, animal in enumerate(ANIMALS):
        path = docs / ("pay" if n % 2 else "leave") / f"{animal}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        days = 10 + n
        path.write_text(
            f"# The {animal}\n\nThe {animal} keeper has {days} days of leave and a bonus of {days * 7} fish.\n\n"
            f"Whoever feeds the {animal} signs the {animal} register before noon every day.\n"
        )
    (docs / "leave" / "access.toml").write_text('allow = ["group:staff"]\n')
    (docs / "pay" / "access.toml").write_text('allow = ["group:finance"]\n')
    (folder / "people.jsonl").write_text(PEOPLE.strip())
    with affidavit.init(folder / "ws", EmbedderSpec(embedder)) as ws:
        ws.import_people(folder / "people.jsonl")
        ws.add_source("folder", docs, "docs")
        ws.sync()
    return folder


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace's surroundings. Drills only read it, so one serves all tests."""
    return make(tmp_path_factory.mktemp("drilled"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint is tried again at once."""
    monkeypatch.setattr(openai_embeddings, "_FIRST_WAIT", 0.01)


@pytest.fixture
def drilled(place: Path, tmp_path: Path) -> Run:
    """Runs the drill called ``name``; ``opener`` and ``lie`` put something broken inside."""

    def run(name: str, opener: Opener = open_with, lie: str = "", kills: int = 3, **seams: Any) -> Report:
        worker = (sys.executable, "-P", str(LIAR), lie) if lie else WORKER
        # where time is judged a busy machine must not look like a broken promise
        given: dict[str, Any] = {"patience": 0.1, "slack": 60.0, "silence": 300.0, **seams}
        desk = DrillDesk(place / "ws", opener, Seams(opener, worker, **given))
        (report,) = desk.run([DRILLS[name]], Orders(workdir=tmp_path, kills=kills)).reports
        assert not list(tmp_path.iterdir())
        return report

    return run


def verdicts(report: Report) -> dict[str, str]:
    """Each promise's verdict."""
    return {v.promise.id: v.outcome.value for v in report.verdicts}
