"""The sink port: a place outside this machine's reach where checkpoints are put, so that history cannot be changed unseen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Delivery:
    """One checkpoint on its way out.

    ``note`` is the signed checkpoint (C2SP signed note) of the log ``origin`` with ``size`` events. ``before`` is the size that
    this sink was last known to have (0: none). ``prove(old)`` gives the RFC 9162 consistency proof from ``old`` to ``size``.
    ``at`` is the time in seconds since 1970 UTC.
    """

    origin: str
    size: int
    note: str
    before: int
    prove: Callable[[int], Sequence[bytes]]
    at: int


class Sink(Protocol):
    """Takes checkpoints."""

    def send(self, delivery: Delivery) -> str:
        """Put it there, durably; the cosignature lines that came back, "" from a place that signs nothing.

        Sending the same twice leaves one. Raises SinkError: ``retryable`` when it may pass.
        """
        ...

    def held(self, origin: str) -> list[str]:
        """The signed checkpoints that are there, oldest first, of whichever log; none from a place that cannot be read back.

        ``origin`` is the log that is asked about, for places that keep each log apart. Raises SinkError.
        """
        ...
