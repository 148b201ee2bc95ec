"""A document is deleted where it came from: once the sync has seen that, nobody may be answered from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from affidavit.app.drills.lab import Lab, Seen
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import NAME, Stock, lay_in
from affidavit.ingest.sync import SyncReport

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace


class Delete:
    """Implements ``Drill``."""

    name = "delete"
    breaks = "a document is deleted from its source, and the source is synced"
    promises = (
        Promise("before-the-end", "it is out of search and answers before the sync ends"),
        Promise("gone", "after the sync nobody finds it, is answered from it, or sees it cited"),
        Promise("as-of", "asking as of an earlier position does not bring it back"),
        Promise("open-process", "a process that was open all along no longer has it either"),
        Promise("only-it", "no other document of the source is taken out"),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws, lab.open() as other:
            stock = lay_in(lab, ws)
            probe, rest = stock.probes[0], stock.probes[1:]
            first = stock.ask(lab, other, probe)
            before = [stock.ask(lab, ws, p) for p in rest]
            lab.watched(f"before, asked about {probe.document}: {first}")
            stock.file(probe).unlink()
            during: list[Seen] = []

            def look(report: SyncReport) -> None:
                if report.removed and not during:
                    during.extend((stock.ask(lab, other, probe), stock.search(lab, other, probe)))

            began = time.perf_counter()
            (report,) = ws.sync(NAME, stock.tenant, look)
            took = time.perf_counter() - began
            lab.watched(f"the sync took {report.removed} document out in {took:.2f} s")
            if during:
                self._gone(lab, "before-the-end", stock, during, took)
            else:
                lab.check(
                    "before-the-end", False, "the sync ended without having said that it takes anything out"
                )
            self._after(lab, ws, other, stock, first.position)
            after = [stock.ask(lab, ws, p) for p in rest]
            kept = report.removed == 1 and [s.given for s in before] == [s.given for s in after]
            lab.check(
                "only-it", kept, f"{report.removed} taken out; the other {len(rest)} answers are as before"
            )
            lab.sound(ws)

    def _after(self, lab: Lab, ws: Workspace, other: Workspace, stock: Stock, earlier: int) -> None:
        probe = stock.probes[0]
        users = [probe.user, *([probe.outsider] if probe.outsider else [])]
        seen = [
            s for user in users for s in (stock.ask(lab, ws, probe, user), stock.search(lab, ws, probe, user))
        ]
        self._gone(lab, "gone", stock, seen)
        lab.watched(f"afterwards: {seen[0]}")
        self._gone(
            lab, "open-process", stock, [stock.ask(lab, other, probe), stock.search(lab, other, probe)]
        )
        self._gone(lab, "as-of", stock, [stock.ask(lab, ws, probe, as_of=earlier)])

    def _gone(
        self, lab: Lab, promise: str, stock: Stock, seen: list[Seen], took: float | None = None
    ) -> None:
        place = stock.probes[0].place
        held = all(s.served and place not in s.cited for s in seen)
        lab.check(promise, held, "; ".join(map(str, seen[:2])), took)
