"""Language models answer in the wrong form, or with what is not so: they are asked once more, then done without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from affidavit.app.drills.lab import Lab
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.standin import Act, StandIns, data, write
from affidavit.app.drills.writing import (
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

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

UNTRUE = "zqorvex 48613"
"""Stands in everything untrue that the drill's models say, and in no document."""
_MOST = 3  # two targets, and one of them once more


def _claiming(text: str, passage: str = "P1", quote: str = "") -> str:
    cited = {"passage": passage, "quote": quote or text}
    return json.dumps({"claims": [{"text": text, "citations": [cited]}]})


def _always(text: str) -> Act:
    return lambda request, cancel: text


def _half(request: ChatRequest, cancel: Cancel | None) -> str:
    whole = write(request)
    return whole[: len(whole) // 2]


def _more(request: ChatRequest, cancel: Cancel | None) -> str:
    return f"{write(request)}\nThe {UNTRUE} is certain."


def _echo(request: ChatRequest, cancel: Cancel | None) -> str:
    return f"{UNTRUE}\n" + "\n".join(m.content for m in request.messages)


def _false_number(request: ChatRequest, cancel: Cancel | None) -> str:
    """A true quote under a claim that it does not carry."""
    said = json.loads(write(request))["claims"][0]
    return _claiming(f"{said['text'].rstrip('.')} and {UNTRUE}.", *said["citations"][0].values())


def _of_nobody(request: ChatRequest, cancel: Cancel | None) -> str:
    """A passage that was not shown."""
    return _claiming(f"It is {UNTRUE} to be sure.", f"P{len(data(request)) + 7}")


_FORMS: Mapping[str, Act] = {
    "rubbish": _always(f"I think it is {UNTRUE}."),
    "nothing": _always(""),
    "half an answer": _half,
    "an answer and more": _more,
    "another form": _always(json.dumps({"answer": f"It is {UNTRUE}."})),
    "the prompt": _echo,
}
_UNTRUTHS: Mapping[str, Act] = {
    "a quote that stands nowhere": _always(_claiming(f"The answer is {UNTRUE} without doubt.")),
    "a claim that its quote does not carry": _false_number,
    "a passage that was not shown": _of_nobody,
}


class WrongSchema:
    """Implements ``Drill``."""

    name = "wrong-schema"
    breaks = (
        "language models answer in the wrong form, cut off, with the prompt, with made-up quotes and numbers"
    )
    promises = (
        Promise(
            "repaired", "a model that gets the form wrong is asked once more, and its good answer is given"
        ),
        Promise("once", "it is asked once more and no more than that"),
        GOES_ON,
        Promise("unverified", "nothing that its citations do not carry is given to anybody"),
        PERMITTED,
    )

    def run(self, lab: Lab) -> None:
        models = StandIns()
        with lab.open(models=models) as ws:
            unlimited(ws)
            publish(ws, Terms())
            for what, act in _FORMS.items():
                self._repaired(lab, ws, models, what, act)
            for fallback in (EXTRACT, REFUSE):
                publish(ws, Terms(fallback))
                for what, models.act in {**_FORMS, **_UNTRUTHS}.items():
                    self._never_right(lab, ws, models, what, fallback)
            lab.sound(ws)

    def _repaired(self, lab: Lab, ws: Workspace, models: StandIns, what: str, act: Act) -> None:
        """The first answer has the wrong form, the second is good."""
        turns = [act, write]

        def once_wrong(request: ChatRequest, cancel: Cancel | None) -> str:
            return turns.pop(0)(request, cancel) if turns else write(request)

        models.act = once_wrong
        models.asked.clear()
        probe = asked_about(lab)[0]
        seen = lab.ask(ws, probe)
        lab.watched(f"first {what}, then a good answer: written by {seen.model or 'nobody'}")
        told = f"{what}: {seen}; {decisions(ws, probe, seen)}"
        lab.check("repaired", DEAR in seen.model and models.counted() == {DEAR: 2}, told)
        lab.check("unverified", UNTRUE not in f"{seen.given}", told)
        permitted(lab, ws, probe, seen, what, outsider=False)

    def _never_right(self, lab: Lab, ws: Workspace, models: StandIns, what: str, fallback: str) -> None:
        models.asked.clear()
        probe = asked_about(lab)[0]
        seen = served(lab, ws, probe, fallback, what)
        lab.check("unverified", UNTRUE not in f"{seen.given}", f"{what}: {seen}")
        # an outsider's question counts too, and may have been put to the models
        questions = 2 if fallback == EXTRACT and probe.outsider else 1
        asked = len(models.asked)
        told = f"{what}: models were asked {asked} times for {questions} questions"
        lab.check("once", asked <= questions * _MOST, told)
