"""A tool fails in every way there is: it says no, it crashes, it says nothing of use."""

from __future__ import annotations

from collections.abc import Callable

from affidavit.app.drills.errand import ORDERED, SAID, Errand, filing
from affidavit.app.drills.lab import Lab
from affidavit.app.drills.promise import Promise
from affidavit.domain.errors import ToolError
from affidavit.domain.tools import CallState


def _refuses() -> None:
    raise ToolError("the desk is closed")


def _crashes() -> None:
    raise ConnectionError("no answer")


_WAYS: dict[str, tuple[Callable[[], None], CallState]] = {
    "it says no": (_refuses, CallState.FAILED),
    "it crashes": (_crashes, CallState.UNKNOWN),
}


class ToolFailure:
    """Implements ``Drill``."""

    name = "tool-failure"
    breaks = "a tool that a model calls says no, or crashes so that nobody knows whether it was done"
    promises = (
        Promise("told", "the person is told that it failed, and nothing is said to be done"),
        Promise("once", "a call whose end nobody knows is not made again by itself"),
        Promise("replays", "the run replays without the tool"),
    )

    def run(self, lab: Lab) -> None:
        errand = Errand(lab, lab.probes[0])
        with errand.open() as ws:
            errand.prepare(ws)
            for what, (fails, state) in _WAYS.items():
                errand.desk.fails = fails
                errand.desk.filed.clear()
                given = errand.act(ws, ORDERED, filing(SAID))
                told = [a["state"] for a in given.actions]
                lab.watched(f"{what}: {given.status.value}, {told}")
                lab.check("told", told == [state.value] and not given.claims, f"{what}: {told}")
                ws.tools.gateway.work()
                lab.check(
                    "once", len(errand.desk.filed) == 1, f"{what}: called {len(errand.desk.filed)} times"
                )
                lab.check("replays", *errand.replays(ws, given.run))
            lab.sound(ws)
