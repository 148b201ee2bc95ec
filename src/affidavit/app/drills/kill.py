"""kill -9 at random moments, in the middle of answering, syncing and importing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from affidavit.app.drills.child import Child
from affidavit.app.drills.lab import Lab, describe
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import NAME, Stock, lay_in

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_FILES = 3  # written before each sync of the loop
_PEOPLE = 40  # in each imported file
_IMPORTS = 200  # files prepared: more than are ever read before the process dies
_LIFE = (0.02, 0.5)  # seconds from the first acknowledgement to the kill
_OFTEN = 20_000  # events up to which the log is verified after every kill, and not only at the end


class Kill:
    """Implements ``Drill``."""

    name = "kill"
    breaks = "the process is killed (kill -9) at random moments while it answers, syncs and imports people"
    promises = (
        Promise("answers", "an answer that was given is on the record, as it was given"),
        Promise(
            "syncs", "a sync that was reported is on the record, and the next sync completes whatever was not"
        ),
        Promise("imports", "people reported as imported are there, and importing again completes the rest"),
        Promise("served", "the next question is served at once, without repair by hand"),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws:
            stock = lay_in(lab, ws)
        people = _people_files(lab)
        loops: dict[str, list[dict[str, Any]]] = {
            "ask": [{"do": "ask", **_question(stock)}],
            "sync": [*_writes(stock), {"do": "sync", "source": NAME, "tenant": stock.tenant}],
            "import": [{"do": "import", "file": people, "tenant": stock.tenant}],
        }
        kinds = list(loops)
        for n in range(lab.seams.kills):
            self._once(lab, stock, kinds[n % len(kinds)], loops[kinds[n % len(kinds)]])
        for kind, promise in (("ask", "answers"), ("sync", "syncs"), ("import", "imports")):
            if kind not in kinds[: lab.seams.kills]:
                lab.untried(promise, f"{lab.seams.kills} kills are too few to come to it")
        with lab.open() as ws:
            lab.sound(ws)
        lab.note(
            "A killed process is not a lost power supply: what the disk itself forgets is not seen by this drill."
        )

    def _once(self, lab: Lab, stock: Stock, kind: str, loop: list[dict[str, Any]]) -> None:
        with Child(lab) as child:
            child.call("open", folder=str(lab.folder))
            child.send(do="forever", requests=loop)
            acknowledged = [child.next()]
            acknowledged += child.kill(lab.random.uniform(*_LIFE))
        done = [a for a in acknowledged if a["do"] == kind and "error" not in a]
        began = time.perf_counter()
        with lab.open() as ws:
            seen = stock.ask(lab, ws, stock.probes[0])
            took = time.perf_counter() - began
            lab.watched(
                f"killed while it did {kind} for the {len(done) + 1}. time; the next question took {took:.2f} s"
            )
            lab.check("served", seen.served, f"{seen}", took)
            if ws.parts.log.head() < _OFTEN:
                lab.sound(ws)
            {"ask": _answers, "sync": _syncs, "import": _imports}[kind](lab, ws, stock, done)


def _question(stock: Stock) -> dict[str, str]:
    probe = stock.probes[0]
    return {"question": probe.question, "user": probe.user, "tenant": probe.tenant}


def _writes(stock: Stock) -> list[dict[str, Any]]:
    files = [stock.folder / f"killed-{i}.txt" for i in range(_FILES)]
    return [
        {"do": "write", "file": str(f), "text": f"# Walrus {{n}}\n\n{{n}} walruses in {f.name}."}
        for f in files
    ]


def _people_files(lab: Lab) -> str:
    for n in range(_IMPORTS):
        lines = [json.dumps({"id": f"drill-{n}-{i}", "groups": [f"drill-{i % 7}"]}) for i in range(_PEOPLE)]
        (lab.room / f"people-{n}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return str(lab.room / "people-{n}.jsonl")


def _answers(lab: Lab, ws: Workspace, stock: Stock, done: list[dict[str, Any]]) -> None:
    lost = lab.lost(ws, stock.tenant, done)
    lab.check(
        "answers",
        not lost,
        f"{len(done)} answers were given, {len(lost)} of them are not on the record {lost[:1] or ''}",
    )


def _syncs(lab: Lab, ws: Workspace, stock: Stock, done: list[dict[str, Any]]) -> None:
    tenant = ws.parts.tenant(stock.tenant)
    lost = lab.lost(ws, stock.tenant, done)
    again = lab.attempt(lambda: stock.sync(ws))
    if isinstance(again, Exception):
        lab.check("syncs", False, f"the next sync failed: {describe(again)}")
        return
    source = ws.sources.get(tenant, NAME)
    with ws.parts.database.read():
        known = set(ws.parts.catalog.known(source.id))
    files = {p.name for p in stock.folder.glob("*.txt")}
    lab.check(
        "syncs",
        not lost and known == files,
        f"{len(done)} syncs were reported, {len(lost)} lost; all {len(files)} files are in",
    )


def _imports(lab: Lab, ws: Workspace, stock: Stock, done: list[dict[str, Any]]) -> None:
    names = set(ws.people.names(ws.parts.tenant(stock.tenant)))
    lost = {f"user:drill-{a['n']}-{i}" for a in done for i in range(_PEOPLE)} - names
    last = 1 + max((a["n"] for a in done), default=-1)
    ws.import_people(lab.room / f"people-{last}.jsonl", stock.tenant)
    after = set(ws.people.names(ws.parts.tenant(stock.tenant)))
    missing = {f"user:drill-{last}-{i}" for i in range(_PEOPLE)} - after
    told = f"{len(done)} imports were reported, {len(lost)} of their people lost; imported again, {len(missing)} missing"
    lab.check("imports", not lost and not missing, told)
