"""The follower port: a place outside that the log is handed over to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Handed:
    """One durable event as a follower is given it.

    ``header`` is the canonical JSON that the log's tree is made of, ``leaf`` its hash (SHA-256(0x00 ‖ header)): who keeps
    both can later prove that the event was there. ``kind``, ``tenant``, ``run``, ``at`` (microseconds since 1970 UTC) and
    ``facts`` are what the header says. ``words`` is what may leave of the body by default: numbers and words of our own
    vocabulary. ``body`` is the whole body, and None unless content was asked for (or was erased).
    """

    position: int
    kind: str
    tenant: int
    run: str
    at: int
    facts: Mapping[str, int | str]
    header: bytes
    leaf: bytes
    words: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Standing:
    """How the log stands: events in it, when its newest checkpoint was signed (microseconds), and how many events each
    follower is behind."""

    size: int
    checkpoint_at: int
    lags: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Consecutive events, oldest first. ``through`` is the last position looked at, which may lie behind the last event when
    others were filtered out. A batch without events says that time has passed: ``now`` in microseconds."""

    events: tuple[Handed, ...]
    through: int
    now: int
    standing: Standing


class Ground(Protocol):
    """What a follower may ask of the log it follows."""

    @property
    def origin(self) -> str:
        """The log's name, in every event id."""
        ...

    def story(self, run: str, after: int, upto: int) -> Sequence[Handed]:
        """The start, steps, decisions, answer and end of ``run`` in positions ``after`` < p <= ``upto``."""
        ...

    def leaf(self, position: int) -> bytes | None:
        """The leaf hash at ``position``, None if the log is shorter."""
        ...

    def save(self, state: str) -> None:
        """Make ``state`` durable without moving on: what comes after is undone from it if we are killed."""
        ...


@dataclass(frozen=True)
class FollowerCapabilities:
    """What a follower promises, as data.

    ``hand_over``: ``atomic`` means that what was handed over and the position change together, so nothing is ever repeated;
    ``identified`` that after a kill the last batch may come again, each thing in it under the very id it had.
    ``batch``: how many events it likes at once.
    """

    kind: str
    hand_over: Literal["atomic", "identified"]
    batch: int = 500


class Follower(Protocol):
    """Takes events in order. One process at a time drives it, from one thread."""

    @property
    def capabilities(self) -> FollowerCapabilities: ...

    def begin(self, state: str, ground: Ground) -> None:
        """Make ready to go on from ``state`` ("" at the very first), undoing what was begun after it. Raises FollowerError."""
        ...

    def deliver(self, batch: Batch) -> str:
        """Hand ``batch`` over; the state to save with its position: "" or a JSON object, of which ``rejected`` (how many things
        the other side did not want) is shown by `follow list`. Returns only when the other side has it.

        Raises FollowerError; with ``retryable`` the same batch is given again later.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def event_id(origin: str, position: int) -> str:
    """The name of one event everywhere outside: the same however often it is handed over."""
    return f"{origin}:{position}"
