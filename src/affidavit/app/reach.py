"""Which addresses that are not public this workspace connects to: ``network.allow_private`` of its settings, and nothing else."""

from __future__ import annotations

from affidavit.adapters.guarded import Reach
from affidavit.app.settings import load
from affidavit.app.wiring import Parts


def reach(parts: Parts) -> Reach:
    """As ``adapters.guarded`` takes it. Raises UsageError where the settings cannot be read: then nothing is connected to."""
    return load(parts.folder).network.allow_private
