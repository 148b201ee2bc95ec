"""Every language model is gone: answers are made of whole sentences, none fails, and the record says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.lab import Lab, Seen
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.standin import StandIns, failing
from affidavit.app.drills.writing import (
    CHEAP,
    DEAR,
    EXTRACT,
    GOES_ON,
    PERMITTED,
    REFUSE,
    Terms,
    asked_about,
    decisions,
    publish,
    served,
    unlimited,
)
from affidavit.store.sampling import text_body

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_KINDS = {
    "connection": "no server is there",
    "auth": "the key is refused",
    "budget": "the account is out of money",
    "server": "the servers are out of order",
    "refused": "the provider refuses the content",
}


class ModelOutage:
    """Implements ``Drill``."""

    name = "model-outage"
    breaks = "no language model can be reached: no server, a refused key, an empty account, a broken server"
    promises = (
        GOES_ON,
        Promise(
            "verbatim", "nothing claims to be written by a model, and every quote stands in its document"
        ),
        PERMITTED,
        Promise("recorded", "the record says of each model why it did not answer"),
        Promise("replays", "what was answered without models replays without them"),
        Promise("comes-back", "when the models are back, they write again"),
        Promise("live", "the models that the release names write an answer now"),
    )

    def run(self, lab: Lab) -> None:
        self._live(lab)
        with lab.open() as ws:
            unlimited(ws)
            publish(ws, Terms())
            before = [lab.ask(ws, probe) for probe in asked_about(lab)]
        for kind, what in _KINDS.items():
            with lab.open(models=StandIns(failing(kind))) as ws:
                self._gone(lab, ws, what)
        with lab.open() as ws:
            publish(ws, Terms())
            after = [lab.ask(ws, probe) for probe in asked_about(lab)]
            written = all(s.model for s in (*before, *after))
            same = [s.given for s in before] == [s.given for s in after]
            lab.check("comes-back", written and same, f"written by {after[0].model or 'nobody'}: {after[0]}")
            lab.sound(ws)

    def _gone(self, lab: Lab, ws: Workspace, what: str) -> None:
        for fallback in (EXTRACT, REFUSE):
            publish(ws, Terms(fallback))
            for probe in asked_about(lab)[:1] if fallback == REFUSE else asked_about(lab):
                seen = served(lab, ws, probe, fallback, what)
                self._recorded(lab, ws, probe, seen, what)

    def _recorded(self, lab: Lab, ws: Workspace, probe: Probe, seen: Seen, what: str) -> None:
        foreign = _not_there(ws, probe, seen)
        lab.check(
            "verbatim", not seen.model and not foreign, f"{what}: {foreign or 'only quotes'} {seen.model}"
        )
        if not seen.run:
            return
        said = decisions(ws, probe, seen)
        told = {name for name, done, why in said if done in ("escalated", "skipped") and why}
        lab.check("recorded", told == {DEAR, CHEAP}, f"{what}: {said}")
        (report,) = ws.replays.replay(ws.parts.tenant(probe.tenant), [seen.run])
        lab.check(
            "replays", report.identical, f"{what}: {seen.run} {'replays' if report.identical else 'differs'}"
        )

    def _live(self, lab: Lab) -> None:
        """With the release as it is, and its own models."""
        if not lab.seams.live:
            lab.untried("live", "no model that the release names is asked without --live")
            return
        with lab.open() as ws:
            if ws.parts.release().models is None:
                lab.untried("live", "the release names no models")
                return
            probe = asked_about(lab)[0]
            seen = lab.ask(ws, probe)
            why = "" if seen.model or not seen.run else f"; {decisions(ws, probe, seen)}"
            lab.check(
                "live", bool(seen.model), f"written by {seen.model or 'nobody'}: {seen}{why}", seen.seconds
            )


def _not_there(ws: Workspace, probe: Probe, seen: Seen) -> str:
    """The first document that does not say what ``seen`` quotes from it, or ""."""
    for claim in (seen.given or {}).get("claims", ()):
        for cited in claim["citations"]:
            text = _text(ws, probe.tenant, cited["source"], cited["document"])
            if text[cited["start"] : cited["end"]] != cited["quote"] or claim["text"] not in text:
                return str(cited["document"])
    return ""


def _text(ws: Workspace, tenant: str, source: str, name: str) -> str:
    with ws.parts.database.read():
        body = text_body(ws.parts.database, ws.parts.tenant(tenant).id, source, name)
        return "" if body is None else ws.parts.bodies.get(body).decode()
