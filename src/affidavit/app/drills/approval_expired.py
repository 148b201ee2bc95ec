"""Nobody says yes in time."""

from __future__ import annotations

from affidavit.app.drills.clock_skew import Skewed
from affidavit.app.drills.errand import APPROVER, ASKED, PLACE, Errand, filing
from affidavit.app.drills.lab import Lab
from affidavit.app.drills.promise import Promise
from affidavit.domain.answer import Answer
from affidavit.domain.errors import RefusedError
from affidavit.gateway.callbook import APPROVAL_DAYS


class ApprovalExpired:
    """Implements ``Drill``."""

    name = "approval-expired"
    breaks = "a call waits for a yes, and the yes comes after its time is over"
    promises = (
        Promise("not-done", "a yes that comes too late does not count, and nothing is done"),
        Promise("ends", "the run goes on, ends, and says that the call was not made"),
        Promise("replays", "the run replays"),
    )

    def run(self, lab: Lab) -> None:
        errand = Errand(lab, lab.probes[0])
        with errand.open() as ws:
            errand.prepare(ws)
            given = errand.act(ws, ASKED, filing(PLACE))
            waits = errand.calls(ws, given.run) if given.status.value == "waiting" else []
        if not waits:
            lab.note("the document was not found to answer the question, so nothing waited")
            return
        with errand.open(Skewed(APPROVAL_DAYS + 1)) as ws:
            late = lab.attempt(lambda: ws.tools.approve(errand.tenant(ws), APPROVER, waits[0].name))
            refused = isinstance(late, RefusedError)
            lab.watched(f"a yes after {APPROVAL_DAYS + 1} days: {'does not count' if refused else late}")
            lab.check(
                "not-done", refused and not errand.desk.filed, f"filed at {errand.desk.filed or 'no place'}"
            )
            ws.tools.gateway.work()
            went = {run: end for run, end in ws.acting.work() if isinstance(end, Answer)}
            end = went.get(given.run)
            told = [] if end is None else [a["state"] for a in end.actions]
            lab.check(
                "ends",
                told == ["expired"],
                f"{'it still waits' if end is None else end.status.value}: {told}",
            )
            lab.check("replays", *errand.replays(ws, given.run))
            lab.sound(ws)
