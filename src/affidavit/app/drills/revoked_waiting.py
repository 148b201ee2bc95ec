"""Rights are taken away while a call waits for a yes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit.app.drills.errand import APPROVER, ASKED, PLACE, TEXT, Errand, filing
from affidavit.app.drills.lab import Lab
from affidavit.app.drills.promise import Promise
from affidavit.domain.answer import Answer
from affidavit.domain.tools import CallState

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace


class RevokedWaiting:
    """Implements ``Drill``."""

    name = "revoked-while-waiting"
    breaks = "a call waits for a yes; meanwhile who asked may no longer act, or no longer read what led to it"
    promises = (
        Promise("not-done", "an approved call of somebody who may no longer act is not carried out"),
        Promise("nothing-given", "nobody is given, and no model is shown, what they may no longer read"),
        Promise("replays", "the runs replay"),
    )

    def run(self, lab: Lab) -> None:
        errand = Errand(lab, lab.probes[0])
        with errand.open() as ws:
            errand.prepare(ws)
            tenant = errand.tenant(ws)
            given = errand.act(ws, ASKED, filing(PLACE))
            other = errand.act(ws, ASKED, filing(PLACE))
            if given.status.value != "waiting":
                lab.note("the document was not found to answer the question, so nothing waited")
                return
            (lab.room / "errand" / "access.toml").write_text(f'allow = ["{APPROVER}"]\n')
            ws.sync("drill-errand", tenant.name)
            errand.shown.clear()
            went = self._decided(errand, ws, other)
            quoted = [c.quote for claim in went.claims for c in claim.citations]
            lab.check(
                "nothing-given",
                not errand.read_by_model() and not any(q in TEXT for q in quoted),
                f"after who may read it was changed: {went.status.value}, {len(quoted)} quotes",
            )
            errand.desk.filed.clear()
            ws.people.grant(tenant, errand.probe.user, "role:operator", revoke=True)
            end = self._decided(errand, ws, given)
            states = errand.states(ws, given.run)
            lab.watched(f"approved after the right to act was taken away: {[s.value for s in states]}")
            done = CallState.DONE in states or bool(errand.desk.filed)
            lab.check("not-done", not done, f"{end.status.value}: {[s.value for s in states]}")
            for run in (given.run, other.run):
                lab.check("replays", *errand.replays(ws, run))
            lab.sound(ws)

    def _decided(self, errand: Errand, ws: Workspace, waits: Answer) -> Answer:
        """Somebody says yes, and the run goes on."""
        (call,) = errand.calls(ws, waits.run)
        ws.tools.approve(errand.tenant(ws), APPROVER, call.name)
        return ws.acting.go_on(errand.tenant(ws), waits.run)
