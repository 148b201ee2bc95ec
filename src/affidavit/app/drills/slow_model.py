"""A language model takes for ever: the time that the release allows is kept, and who is next answers."""

from __future__ import annotations

import time

from affidavit.app.drills.lab import Lab
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.standin import Act, Silence, StandIns, write
from affidavit.app.drills.writing import (
    AMPLE,
    CHEAP,
    DEAR,
    EXTRACT,
    GOES_ON,
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
from affidavit.ports.model import Cancel, ChatRequest

_MOMENT = 0.02  # seconds between two looks at whether the call was given up


class SlowModel:
    """Implements ``Drill``."""

    name = "slow-model"
    breaks = "language models accept a question and say nothing, or answer long after their time"
    promises = (
        Promise("next", "while the first model is silent, the next one writes the answer"),
        Promise("in-time", "no answer takes longer than the release gives its models"),
        GOES_ON,
        Promise("late", "what a model says after its time is given to nobody"),
        PERMITTED,
    )

    def run(self, lab: Lab) -> None:
        silence = Silence(lab.seams.silence)
        try:
            self._one_silent(lab, silence)
            self._all_silent(lab, silence.act, "every model is silent", EXTRACT)
            self._all_silent(lab, silence.act, "every model is silent", REFUSE)
        finally:
            silence.end()
        self._all_silent(lab, _too_late, "every model answers too late", EXTRACT)
        with lab.open() as ws:
            lab.sound(ws)

    def _one_silent(self, lab: Lab, silence: Silence) -> None:
        with lab.open(models=StandIns(**{DEAR: silence.act})) as ws:
            unlimited(ws)
            publish(ws, Terms(first=lab.seams.patience))
            probe = asked_about(lab)[0]
            seen = lab.ask(ws, probe)
            what = "the first model is silent"
            lab.watched(f"{what}: written by {seen.model or 'nobody'} after {seen.seconds:.1f} s")
            lab.check(
                "next", CHEAP in seen.model, f"{what}: {seen}; {decisions(ws, probe, seen)}", seen.seconds
            )
            permitted(lab, ws, probe, seen, what)

    def _all_silent(self, lab: Lab, act: Act, what: str, fallback: str) -> None:
        limit = lab.seams.patience + lab.seams.slack
        with lab.open(models=StandIns(act)) as ws:
            unlimited(ws)
            publish(ws, Terms(fallback, all=lab.seams.patience))
            for probe in asked_about(lab)[:1]:
                seen = served(lab, ws, probe, fallback, what)
                took = f"{what}: {seen.seconds:.1f} s, {limit:.1f} s were allowed"
                lab.check("in-time", seen.seconds <= limit, took, seen.seconds)
                lab.check("late", not seen.model, f"{what}: written by {seen.model or 'nobody'}")


def _too_late(request: ChatRequest, cancel: Cancel | None) -> str:
    """Answers as soon as nobody waits any more."""
    for _ in range(round(AMPLE / _MOMENT)):
        if cancel is None or cancel.is_set:
            break
        time.sleep(_MOMENT)
    return write(request)
