"""What the drills of language models share: a release in which two stand-ins write, and what must hold of every answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.lab import Lab, Seen
from affidavit.app.drills.promise import Promise
from affidavit.ask.prompt import prompt
from affidavit.domain.canonical import Json

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

DEAR, CHEAP = "dear", "cheap"
"""The two targets, in the order in which they are asked."""
KIND = "drill"
EXTRACT, REFUSE = "extractive", "refuse"
BY = "operator:drill"
AMPLE = 60.0
"""Seconds that are enough for a stand-in on any machine."""
_QUESTIONS = 2

GOES_ON = Promise(
    "goes-on",
    "every question is answered from whole sentences, or refused where the release wants that; none fails",
)
PERMITTED = Promise("permitted", "nobody is given a document they may not read")


@dataclass(frozen=True)
class Terms:
    """How the drill's release has answers written. ``fallback`` where no model does; ``first``: seconds for a try of the dear
    target; ``all``: for a whole question; ``room``: what must be left in the budget for the dear target."""

    fallback: str = EXTRACT
    first: float = AMPLE
    all: float = AMPLE
    room: str = ""


def publish(ws: Workspace, terms: Terms) -> None:
    """Publish the copy's own release with the drill's models in it. How claims are checked stays as the release has it."""
    content = dict(ws.parts.release().content)
    own = content.get("write")
    write: dict[str, Json] = {**_writing(), **(own if isinstance(own, Mapping) else {})}
    write.update(fallback=terms.fallback, milliseconds=round(1000 * terms.all))
    content["write"] = write
    content["models"] = {
        "targets": {name: _target(name) for name in (DEAR, CHEAP)},
        "tasks": {"answer": {"options": [_option(DEAR, terms.first, terms.room), _option(CHEAP, AMPLE)]}},
    }
    ws.publish(content)


def _writing() -> dict[str, Json]:
    asked = prompt("select", 1)
    return {
        "prompt": asked.name,
        "version": asked.version,
        "digest": asked.digest,
        "tokens": 6000,
        "coverage": "0.6",
        "whole": False,
    }


def _target(name: str) -> Json:
    # local, so that whatever a passage is classified as it may be shown
    return {"kind": KIND, "model": name, "version": "", "base_url": "", "local": True, "region": ""}


def _option(name: str, seconds: float, room: str = "") -> Json:
    return {
        "target": name,
        "temperature": "0",
        "top_p": "",
        "seed": 7,
        "max_tokens": 800,
        "timeout_ms": max(1, round(1000 * seconds)),
        "attempts": 1,
        **({"when": {"room": room}} if room else {}),
    }


def unlimited(ws: Workspace) -> None:
    """Take the copy's budgets away: a drill does not depend on what was spent today."""
    for number in {b["budget"] for b in ws.budgets.show()}:
        ws.budgets.remove(number, BY)


def asked_about(lab: Lab) -> Sequence[Probe]:
    """The questions that the drill asks."""
    told = [p for p in lab.probes if p.document] or lab.probes
    return told[:_QUESTIONS]


def served(lab: Lab, ws: Workspace, probe: Probe, fallback: str, what: str) -> Seen:
    """Ask while no model gives anything that can be used, with the verdicts on ``GOES_ON`` and ``PERMITTED``."""
    seen = lab.ask(ws, probe)
    lab.watched(f"{what}; {probe}: {seen}")
    lab.check(GOES_ON.id, _as_wanted(seen, probe, fallback), f"{what}: {seen}", seen.seconds)
    # a refusal gives nothing to anybody, so that an outsider's would show nothing either
    permitted(lab, ws, probe, seen, what, outsider=fallback != REFUSE)
    return seen


def permitted(lab: Lab, ws: Workspace, probe: Probe, seen: Seen, what: str, *, outsider: bool = True) -> None:
    """The verdict on ``PERMITTED``, also of somebody who may not read the document."""
    wrong = lab.wrongly(ws, probe.tenant, probe.user, [seen])
    if outsider and probe.outsider:
        wrong |= lab.wrongly(ws, probe.tenant, probe.outsider, [lab.ask(ws, probe, probe.outsider)])
    lab.check(PERMITTED.id, not wrong, f"{what}: {len(wrong)} documents given wrongly")


def _as_wanted(seen: Seen, probe: Probe, fallback: str) -> bool:
    if fallback == REFUSE:
        return seen.status == "refused"
    return seen.status == "answered" if probe.document else seen.served


def steps(ws: Workspace, probe: Probe, seen: Seen) -> list[dict[str, Any]]:
    """What the record says of the run, step by step."""
    story = ws.runs.show(ws.parts.tenant(probe.tenant), seen.run, None, audit=True)
    found: list[dict[str, Any]] = story["steps"]
    return found


def decisions(ws: Workspace, probe: Probe, seen: Seen) -> list[tuple[str, str, str]]:
    """(target, what, why) of every decision about a model in the run."""
    made = [s["output"]["decisions"] for s in steps(ws, probe, seen) if s["name"] == "model"]
    return [(d["option"], d["what"], d["why"]) for each in made for d in each]
