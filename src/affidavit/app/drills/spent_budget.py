"""The money runs out: a cheaper model when little is left, none when nothing is, and it is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.clock_skew import Skewed
from affidavit.app.drills.lab import Lab, Seen
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.standin import StandIns
from affidavit.app.drills.writing import (
    BY,
    CHEAP,
    DEAR,
    EXTRACT,
    GOES_ON,
    KIND,
    PERMITTED,
    REFUSE,
    Terms,
    asked_about,
    decisions,
    permitted,
    publish,
    served,
    unlimited,
)
from affidavit.domain.events import EventKind
from affidavit.models.prices import micro, told
from affidavit.ports.prices import MILLION

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_PLENTY, _LITTLE, _ROOM = "1000", 5 * MILLION, "50"
"""What a day may cost at first, what is left then, and from how much on the dear model is asked."""
_PRICES = [
    {"provider": KIND, "model": DEAR, "input": "100", "output": "100"},
    {"provider": KIND, "model": CHEAP, "input": "1", "output": "1"},
]


class SpentBudget:
    """Implements ``Drill``."""

    name = "spent-budget"
    breaks = "the budget of the day is nearly spent, then spent"
    promises = (
        Promise("cheaper", "when little is left the cheaper model writes, as the release says"),
        Promise("not-asked", "when nothing is left no model is asked, and the record says that this is why"),
        GOES_ON,
        Promise("told-once", "that it is spent goes on the log once, though two processes are at work"),
        Promise("counted", "what was counted against the budget is what the log says was spent"),
        Promise("next-day", "the next day models are asked again"),
        PERMITTED,
    )

    def run(self, lab: Lab) -> None:
        models = StandIns()
        with lab.open(models=models) as ws, lab.open(models=models) as other:
            unlimited(ws)
            _priced(ws)
            publish(ws, Terms(room=_ROOM))
            probe = asked_about(lab)[0]
            number = _limit(ws, _PLENTY)
            first = lab.ask(ws, probe)
            lab.watched(f"plenty is left: written by {first.model or 'nobody'}")
            self._little(lab, ws, probe, first)
            self._nothing(lab, ws, other, probe, models)
            self._told(lab, ws, number)
            self._counted(lab, ws, probe)
        with lab.open(Skewed(1), models=models) as ws:
            seen = lab.ask(ws, probe)
            lab.watched(f"the next day: written by {seen.model or 'nobody'}")
            lab.check("next-day", bool(seen.model), f"{seen}; {decisions(ws, probe, seen)}")
            lab.sound(ws)

    def _little(self, lab: Lab, ws: Workspace, probe: Probe, first: Seen) -> None:
        _limit(ws, told(_spent(ws) + _LITTLE))
        seen = lab.ask(ws, probe)
        lab.watched(f"little is left: written by {seen.model or 'nobody'}")
        held = DEAR in first.model and CHEAP in seen.model
        lab.check("cheaper", held, f"{first.model or 'nobody'}, then {seen.model or 'nobody'}")
        permitted(lab, ws, probe, seen, "little is left")

    def _nothing(self, lab: Lab, ws: Workspace, other: Workspace, probe: Probe, models: StandIns) -> None:
        for fallback in (EXTRACT, REFUSE):
            publish(ws, Terms(fallback, room=_ROOM))
            _limit(ws, told(_spent(ws)))
            before = len(models.asked)
            for process in (ws, other):
                seen = served(lab, process, probe, fallback, "nothing is left")
                said = decisions(process, probe, seen) if seen.run else []
                why = {(name, reason) for name, what, reason in said if what in ("skipped", "escalated")}
                asked = len(models.asked) - before
                held = not asked and why == {(DEAR, "room"), (CHEAP, "budget")}
                lab.check("not-asked", held, f"models were asked {asked} times; {said}")

    def _told(self, lab: Lab, ws: Workspace, number: int) -> None:
        found = [
            e.facts["change"]
            for e in ws.parts.events.of_kind(EventKind.BUDGET_CHANGED)
            if e.facts["subject"] == number
        ]
        held = found.count("spent") == 1 and found.count("warned") <= 1
        lab.check("told-once", held, f"on the log: {', '.join(found)}")

    def _counted(self, lab: Lab, ws: Workspace, probe: Probe) -> None:
        of_models = ws.money.costs("model")["rows"]
        logged = sum(row["micro"] for row in of_models if row["model"].startswith(f"{KIND}/"))
        counted = _spent(ws)
        lab.check("counted", counted == logged > 0, f"{told(counted)} counted, {told(logged)} on the log")


def _priced(ws: Workspace) -> None:
    """The copy's prices, and those of the drill's models."""
    declared: dict[str, Any] = ws.money.prices()["declared"] or {}
    ws.money.set_prices({**declared, "price": [*declared.get("price", ()), *_PRICES]}, BY)


def _limit(ws: Workspace, amount: str) -> int:
    said = ws.budgets.set("workspace", amount, "day", BY)
    return int(said["budget"])


def _spent(ws: Workspace) -> int:
    """What the budget has counted, in micro-units."""
    (shown,) = ws.budgets.show()
    return micro(shown["spent"])
