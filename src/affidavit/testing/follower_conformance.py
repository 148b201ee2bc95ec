"""What every follower must do. Subclass ``FollowerConformance`` and give it an ``outside`` fixture.

::

    class TestOcsf(FollowerConformance):
        @pytest.fixture
        def outside(self, tmp_path: Path) -> Outside:
            return OcsfOutside(tmp_path / "siem.jsonl")
"""

# ruff: noqa: S101 (these are tests)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytest

from affidavit.domain.events import Event, EventKind, header_bytes
from affidavit.events.merkle import leaf_hash
from affidavit.ports.follower import Batch, Follower, Handed, Standing
from affidavit.testing.clock import START

ORIGIN = "affidavit/0123456789abcdef"
Facts = Mapping[str, int | str]


class Outside(Protocol):
    """The other side of a follower."""

    def follower(self) -> Follower:
        """A new follower that hands over to it, as a new process would make it."""
        ...

    def received(self) -> list[str]:
        """What it holds in the order of arrival, named so that the same thing has the same name; repeats included."""
        ...

    def expected(self, events: Sequence[Handed]) -> list[str]:
        """What it should hold, by the same names, once ``events`` are handed over."""
        ...


def handed(
    position: int,
    kind: EventKind,
    facts: Facts,
    run: str = "",
    words: Mapping[str, Any] | None = None,
    body: Any = None,
) -> Handed:
    """An event as the tail of a log would give it, a millisecond for each position."""
    at = START + position * 1000
    header = header_bytes(Event(kind, 1, run, facts), at, "")
    return Handed(position, kind.value, 1, run, at, facts, header, leaf_hash(header), words or {}, body)


def log_of_runs(runs: int) -> list[Handed]:
    """A log with a tenant, documents and so many runs, every third refused, each with a denial."""
    out = [
        handed(0, EventKind.TENANT_CREATED, {"subject": 1}),
        handed(1, EventKind.DOCUMENT_INDEXED, {"subject": 1, "chunks": 2, "source": 1}),
        handed(2, EventKind.DOCUMENT_REMOVED, {"subject": 1, "source": 1}),
    ]
    for number in range(runs):
        run, status = f"run-{number:016d}", "refused" if number % 3 == 0 else "answered"
        words: dict[str, Any] = (
            {"reason": "not_enough_evidence", "claims": 0} if status == "refused" else {"claims": 2}
        )
        parts: list[tuple[EventKind, dict[str, int | str], dict[str, Any]]] = [
            (EventKind.RUN_STARTED, {"journey": "ask", "release": "ab" * 32}, {}),
            (EventKind.STEP_RECORDED, {"step": 1, "name": "guard"}, {}),
            (EventKind.STEP_RECORDED, {"step": 2, "name": "retrieve"}, {}),
            (EventKind.DECISION_MADE, {"step": 2, "action": "document:read", "effect": "forbid"}, {}),
            (EventKind.ANSWER_RELEASED, {"status": status}, words),
            (
                EventKind.RUN_FINISHED,
                {"status": status, "steps": 2},
                {"timings": {"guard": 40, "retrieve": 960}},
            ),
        ]
        for kind, facts, said in parts:
            out.append(handed(len(out), kind, facts, run, said))
    return out


class MemoryLog:
    """Implements ``Ground`` over a list of events, and drives a follower as the desk does."""

    origin = ORIGIN

    def __init__(self, events: Sequence[Handed]) -> None:
        self.events = events
        self.state = ""
        self.position = -1

    def story(self, run: str, after: int, upto: int) -> list[Handed]:
        return [e for e in self.events if e.run == run and after < e.position <= upto]

    def leaf(self, position: int) -> bytes | None:
        return self.events[position].leaf if position < len(self.events) else None

    def save(self, state: str) -> None:
        self.state = state

    def batch(self, size: int) -> Batch:
        """The next ``size`` events."""
        events = tuple(self.events[self.position + 1 :][:size])
        through = events[-1].position if events else self.position
        now = START + len(self.events) * 1000
        return Batch(events, through, now, Standing(len(self.events), START, {"other": 3}))

    def drive(self, follower: Follower, size: int, batches: int = 10**6) -> None:
        """Hand over so many batches, or all there are, and close ``follower``, which may be used again."""
        try:
            follower.begin(self.state, self)
            for _ in range(batches):
                batch = self.batch(size)
                if not batch.events:
                    return
                self.state = follower.deliver(batch)
                self.position = batch.through
        finally:
            follower.close()


def once(names: Sequence[str]) -> list[str]:
    """Each name where it came first: what a receiver keeps that drops what it knows."""
    return list(dict.fromkeys(names))


class FollowerConformance:
    """The suite."""

    def test_it_says_what_it_promises(self, outside: Outside) -> None:
        follower = outside.follower()
        assert follower.capabilities.kind
        assert follower.capabilities.hand_over in ("atomic", "identified")
        assert follower.capabilities.batch > 0
        follower.close()

    @pytest.mark.parametrize("size", [1, 4, 1000])
    def test_everything_arrives_once_however_it_is_cut(self, outside: Outside, size: int) -> None:
        log = MemoryLog(log_of_runs(4))
        follower = outside.follower()
        log.drive(follower, size)
        assert outside.received() == outside.expected(log.events)
        follower.close()

    def test_another_process_goes_on(self, outside: Outside) -> None:
        log = MemoryLog(log_of_runs(4))
        for _ in range(9):
            follower = outside.follower()
            log.drive(follower, 5, batches=1)
            follower.close()
        assert outside.received() == outside.expected(log.events)

    @pytest.mark.parametrize("size", [1, 5])
    def test_a_kill_after_a_delivery_neither_loses_nor_repeats(self, outside: Outside, size: int) -> None:
        log = MemoryLog(log_of_runs(4))
        while log.position + 1 < len(log.events):
            killed = outside.follower()
            killed.begin(log.state, log)
            killed.deliver(log.batch(size))  # the state it gives back is never saved
            killed.close()
            again = outside.follower()
            log.drive(again, size, batches=1)
            again.close()
        received, expected = outside.received(), outside.expected(log.events)
        if outside.follower().capabilities.hand_over == "atomic":
            assert received == expected
        else:
            assert once(received) == expected
            assert len(received) > len(expected), "nothing was repeated: this test tests nothing"

    def test_time_that_passes_hands_over_nothing(self, outside: Outside) -> None:
        log = MemoryLog(log_of_runs(2))
        follower = outside.follower()
        log.drive(follower, 1000)
        before = outside.received()
        for _ in range(3):
            assert follower.deliver(log.batch(1000)) == log.state
        assert outside.received() == before
        follower.close()

    def test_kinds_it_has_never_heard_of_pass(self, outside: Outside) -> None:
        known = log_of_runs(1)
        facts: Facts = {"what": "x" * 300, "change": "\x1b[31m\n", "count": -1}
        strange = Handed(len(known), "thing.happened", 1, "", START, facts, b"{}", leaf_hash(b"{}"))
        log = MemoryLog([*known, strange])
        follower = outside.follower()
        log.drive(follower, 1000)
        assert outside.received() == outside.expected(log.events)
        follower.close()

    def test_it_can_be_closed_twice(self, outside: Outside) -> None:
        follower = outside.follower()
        MemoryLog(log_of_runs(1)).drive(follower, 1000)
        follower.close()
        follower.close()
