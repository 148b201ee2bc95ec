"""What is counted from the log: a small state, saved with the position it belongs to.

Everything is an integer (times in microseconds), so the state is exact, and a restart goes on from it and counts nothing
twice. The number of different labels is bounded: what comes after the first ``MOST_LABELS`` of a kind is counted as ``other``.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from affidavit.ports.follower import Handed

MOST_LABELS = 50
OTHER = "other"
BUCKETS = tuple(
    int(s * 1e6)
    for s in (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
)
"""Upper bounds in microseconds; above the last is a bucket of its own."""


@dataclass
class Histogram:
    """Counts per bucket (one more than ``BUCKETS``) and the sum, in microseconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: int = 0

    def add(self, microseconds: int) -> None:
        self.counts[bisect_left(BUCKETS, microseconds)] += 1
        self.sum += microseconds


@dataclass
class Tally:
    """The counts. A key of ``counters`` is (metric, label values …)."""

    counters: dict[tuple[str, ...], int] = field(default_factory=dict)
    steps: dict[str, Histogram] = field(default_factory=dict)
    runs: dict[str, Histogram] = field(default_factory=dict)
    journeys: dict[str, str] = field(default_factory=dict)
    """Of runs that have not ended: which journey. Bounded; the oldest go first."""

    def add(self, events: Iterable[Handed]) -> None:
        for event in events:
            self._add(event)

    def _add(self, event: Handed) -> None:
        facts = event.facts
        self.count("events", event.kind)
        match event.kind:
            case "run.started":
                journey = str(facts["journey"])
                self.count("runs_started", journey)
                if len(self.journeys) >= MOST_OPEN:
                    del self.journeys[next(iter(self.journeys))]
                self.journeys[event.run] = journey
            case "run.finished":
                journey = self.journeys.pop(event.run, "unknown")
                self.count("runs", journey, str(facts["status"]))
                self._timed(journey, event.words.get("timings"))
            case "answer.released" if facts["status"] == "refused":
                self.count("refusals", str(event.words.get("reason", "unknown")))
            case "decision.made":
                self.count("decisions", str(facts["action"]), str(facts["effect"]))
            case "step.recorded":
                self.count("steps", str(facts["name"]))
            case "document.indexed":
                self.count("documents", "indexed")
            case "document.removed":
                self.count("documents", "removed")
            case "access.changed":
                self.count("documents", "access_changed", by=int(facts["documents"]))

    def _timed(self, journey: str, timings: Any) -> None:
        if not isinstance(timings, dict):
            return
        for step, taken in timings.items():
            _histogram(self.steps, step).add(taken)
        _histogram(self.runs, journey).add(sum(timings.values()))

    def count(self, metric: str, *labels: str, by: int = 1) -> None:
        """Add to a counter, under ``other`` once its metric has as many label sets as it may."""
        key = (metric, *labels)
        if key not in self.counters and sum(k[0] == metric for k in self.counters) >= MOST_LABELS:
            key = (metric, *(OTHER for _ in labels))
        self.counters[key] = self.counters.get(key, 0) + by

    def text(self) -> str:
        """The state to save."""
        value = {
            "counters": [[*key, n] for key, n in self.counters.items()],
            "steps": {k: [h.sum, h.counts] for k, h in self.steps.items()},
            "runs": {k: [h.sum, h.counts] for k, h in self.runs.items()},
            "journeys": self.journeys,
        }
        return json.dumps(value)

    @classmethod
    def parse(cls, text: str) -> Tally:
        if not text:
            return cls()
        value = json.loads(text)
        return cls(
            {tuple(entry[:-1]): entry[-1] for entry in value["counters"]},
            {k: Histogram(list(counts), sum) for k, (sum, counts) in value["steps"].items()},
            {k: Histogram(list(counts), sum) for k, (sum, counts) in value["runs"].items()},
            value["journeys"],
        )


MOST_OPEN = 1_000


def _histogram(into: dict[str, Histogram], label: str) -> Histogram:
    if label not in into and len(into) >= MOST_LABELS:
        label = OTHER
    return into.setdefault(label, Histogram())
