"""The guard port: text in, findings out. A guard finds; the release's policy decides what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from affidavit.domain.guards import Finding, Stage


@dataclass(frozen=True)
class GuardInfo:
    """``name`` as a release names it. ``version``: of what decides (a library's, a model's name), for the record.
    ``local``: text never
    leaves the machine. ``places``: findings say where in the text; without it each is about the whole. ``stages`` it can
    judge."""

    name: str
    version: str
    local: bool
    places: bool
    stages: frozenset[Stage] = frozenset(Stage)


class Guard(Protocol):
    """Looks for what should not pass. Safe to call from several threads. Never retries and never decides."""

    @property
    def info(self) -> GuardInfo: ...

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """What is found in ``text`` within ``timeout`` seconds, offsets in characters. Nothing found is an empty
        sequence, never an
        error; an answer of the back-end that is not understood is an error, never nothing found. Raises GuardError."""
        ...

    def close(self) -> None:
        """Let go of connections and models; afterwards ``check`` raises GuardError."""
        ...
