"""Where a drill touches the thing under test; a test that wants to see a drill fail puts something broken in here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.domain.clock import Clock

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

Opener = Callable[[Path, Clock | None], "Workspace"]

# -P: a folder named `affidavit` where the operator stands must not be what is run
WORKER = (sys.executable, "-P", "-m", "affidavit.app.drills.worker")


@dataclass(frozen=True)
class Seams:
    """``open`` opens a workspace in this process, ``worker`` is the command of a process that is starved or killed."""

    open: Opener
    worker: tuple[str, ...] = WORKER
    seed: int = 1
    kills: int = 6
    patience: float = 1.0
    """Seconds that an embedding endpoint is given in a drill."""
