"""Where a drill touches the thing under test; a test that wants to see a drill fail puts something broken in here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.app.drills.remembered import Memory
from affidavit.app.drills.standin import StandIns
from affidavit.domain.clock import Clock

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

Opener = Callable[[Path, Clock | None], "Workspace"]

# -P: a folder named `affidavit` where the operator stands must not be what is run
LIVE = "--live"
"""Tells a worker that it may ask the release's models."""
WORKER = (sys.executable, "-P", "-m", "affidavit.app.drills.worker")


@dataclass(frozen=True)
class Seams:
    """``open`` opens a workspace in this process, ``worker`` is the command of a process that is starved or killed."""

    open: Opener
    worker: tuple[str, ...] = WORKER
    seed: int = 1
    kills: int = 6
    patience: float = 1.0
    """Seconds that an embedding endpoint, or a language model, is given in a drill."""
    slack: float = 2.0
    """Seconds that an answer may take beside what its models are given."""
    silence: float = 30.0
    """Seconds for which a silent model says nothing, if nobody ends that before."""
    memory: Memory = field(default_factory=Memory)
    live: bool = False
    """Whether the language models that the release names may be asked."""

    def opened(self, folder: Path, clock: Clock | None = None, models: StandIns | None = None) -> Workspace:
        """``open``, with ``models`` (or good stand-ins, unless live) in place of the language models."""
        ws = self.open(folder, clock)
        self.memory.into(ws)
        if models is not None or not self.live:
            (models or StandIns()).into(ws)
        return ws
