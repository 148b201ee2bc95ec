"""The machine's clock is wrong: set back, set forward, or jumping."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.lab import Lab, Seen
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import FRESH_DAYS, Stock, lay_in
from affidavit.domain.clock import MICROSECONDS, SystemClock

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_DAY = 86_400 * MICROSECONDS


class Skewed:
    """Implements ``domain.clock.Clock``: the machine's clock, wrong by each of ``days`` in turn."""

    def __init__(self, *days: float) -> None:
        self._days = days
        self._asked = 0
        self._real = SystemClock()

    def now(self) -> int:
        self._asked += 1
        return max(0, self._real.now() + int(self._days[self._asked % len(self._days)] * _DAY))


_CLOCKS = {
    "a day back": (-1,),
    "at the year 1970": (-100_000,),
    "ten years forward": (3_650,),
    "jumping to and fro": (400, -400, 3, -30),
}


class ClockSkew:
    """Implements ``Drill``."""

    name = "clock-skew"
    breaks = "the clock is set back, far forward, and jumps"
    promises = (
        Promise("never-backwards", "the log's times never run backwards"),
        Promise("goes-on", "answers and syncs go on, and answers are what they were"),
        Promise("as-of", "asking as of a position is exact whatever the clock says"),
        Promise(
            "fresh", "freshness is judged by the clock: forward it marks what is old, right again it does not"
        ),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws:
            stock = lay_in(lab, ws)
            before = {p: stock.ask(lab, ws, p) for p in stock.probes}
        for what, days in _CLOCKS.items():
            with lab.open(Skewed(*days)) as ws:
                self._goes_on(lab, ws, stock, before, what)
                self._as_of(lab, ws, stock, before, what)
                self._times(lab, ws, what)
        self._fresh(lab, stock)
        with lab.open() as ws:
            lab.sound(ws)

    def _goes_on(self, lab: Lab, ws: Workspace, stock: Stock, before: dict[Probe, Seen], what: str) -> None:
        counts = stock.sync(ws)
        path = stock.folder / "new.txt"
        path.write_text(f"# {what}\n\nA walrus looked at the clock.\n", encoding="utf-8")
        added = stock.sync(ws)["added"]
        path.unlink()
        removed = stock.sync(ws)["removed"]
        now = {p: stock.ask(lab, ws, p) for p in before}
        same = all(_apart_from_age(now[p]) == _apart_from_age(before[p]) for p in before)
        lab.watched(f"the clock is {what}: {next(iter(now.values()))}")
        synced = counts["unchanged"] == counts["seen"] and added == removed == 1
        lab.check(
            "goes-on", same and synced, f"{what}: {len(now)} answers as before, a document came and went"
        )

    def _as_of(self, lab: Lab, ws: Workspace, stock: Stock, before: dict[Probe, Seen], what: str) -> None:
        probe, seen = next(iter(before.items()))
        then = stock.ask(lab, ws, probe, as_of=seen.position)
        lab.check(
            "as-of",
            _apart_from_age(then) == _apart_from_age(seen),
            f"{what}: position {seen.position}: {then}",
        )

    def _times(self, lab: Lab, ws: Workspace, what: str) -> None:
        with ws.parts.database.read():
            times = [at for (at,) in ws.parts.database.each("SELECT at FROM events ORDER BY position")]
        backwards = sum(b < a for a, b in pairwise(times))
        lab.check("never-backwards", not backwards, f"{what}: {len(times)} events, {backwards} steps back")

    def _fresh(self, lab: Lab, stock: Stock) -> None:
        probe = stock.probes[0]
        with lab.open(Skewed(2 * FRESH_DAYS)) as ws:
            later = stock.ask(lab, ws, probe)
        with lab.open() as ws:
            now = stock.ask(lab, ws, probe)
        held = probe.place in later.stale and probe.place not in now.stale
        lab.check(
            "fresh",
            held,
            f"a limit of {FRESH_DAYS} days, {2 * FRESH_DAYS} days on: {'marked' if later.stale else 'not marked'}",
        )


def _apart_from_age(seen: Seen) -> object:
    """What was given, without the mark that depends on the clock by design."""
    return seen.status, seen.cited, seen.text
