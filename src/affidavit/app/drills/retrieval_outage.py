"""The index is gone, unreadable, or of another day; or the record cannot be written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from affidavit.app.drills.comparing import PERMITTED, RECOVERED, SAME, Before, after_damage, same
from affidavit.app.drills.lab import Lab
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import Stock, lay_in
from affidavit.app.wiring import INDEX, KEY


def _remove(index: Path) -> None:
    shutil.rmtree(index)


def _file_instead(index: Path) -> None:
    shutil.rmtree(index)
    index.write_bytes(b"not an index")


def _rubbish(index: Path) -> None:
    for path in index.glob("*.json"):
        path.write_bytes(b"\x00rubbish")


def _clear(index: Path) -> None:
    """A stranger's file is for the operator to take away; nobody else may."""
    if index.is_file():
        index.unlink()


_DAMAGES: dict[str, Callable[[Path], None]] = {
    "the index is removed": _remove,
    "a file stands where the index was": _file_instead,
    "the index's manifest is rubbish": _rubbish,
}


class RetrievalOutage:
    """Implements ``Drill``."""

    name = "retrieval-outage"
    breaks = "the index is removed, unreadable, rubbish, or of another day; then the log's key is taken away"
    promises = (
        SAME,
        PERMITTED,
        RECOVERED,
        Promise(
            "open-process", "a process whose index is taken away while it is open goes on answering the same"
        ),
        Promise("other-day", "an index of another day put in its place changes nothing"),
        Promise("no-record", "while nothing can be recorded nothing is answered, and afterwards it goes on"),
    )

    def run(self, lab: Lab) -> None:
        index = lab.folder / INDEX
        yesterday = lab.room / "yesterday"
        with lab.open() as ws:
            shutil.copytree(index, yesterday)
            stock = lay_in(lab, ws)
            before = lab.baseline(ws)
        for what, damage in _DAMAGES.items():
            damage(index)
            after_damage(lab, before, stock, what, lambda: _clear(index))
        self._unreadable(lab, before, stock, index)
        self._taken_away(lab, before, index)
        self._other_day(lab, stock, index, yesterday)
        self._no_record(lab, before)
        with lab.open() as ws:
            lab.sound(ws)

    def _unreadable(self, lab: Lab, before: Before, stock: Stock, index: Path) -> None:
        if os.geteuid() == 0:
            lab.note(
                "Permissions do not bind root, so an index that may not be read was not tried: run it as another user."
            )
            return
        for path in index.iterdir():
            path.chmod(0)
        after_damage(lab, before, stock, "the index's files may not be read")

    def _taken_away(self, lab: Lab, before: Before, index: Path) -> None:
        with lab.open() as ws:
            lab.baseline(ws)
            shutil.rmtree(index)
            for probe, seen in before.items():
                now = lab.everything(ws, probe)
                held = all(same(a, b) for a, b in zip(seen, now, strict=True))
                lab.check("open-process", held, f"asked about {probe.document}: {now[0]}")

    def _other_day(self, lab: Lab, stock: Stock, index: Path, yesterday: Path) -> None:
        """The index from before the drill's own source came, and before one document of it went."""
        gone = stock.probes[0]
        with lab.open() as ws:
            stock.file(gone).unlink()
            stock.sync(ws)
            wanted = [stock.search(lab, ws, p).given for p in stock.probes]
        shutil.rmtree(index)
        shutil.copytree(yesterday, index)
        with lab.open() as ws:
            found = [stock.search(lab, ws, p) for p in stock.probes]
        held = [s.given for s in found] == wanted and all(gone.place not in s.cited for s in found)
        lab.check(
            "other-day",
            held,
            f"an index older than {len(found)} documents and a deletion: the hits are today's",
        )

    def _no_record(self, lab: Lab, before: Before) -> None:
        key, away = lab.folder / KEY, lab.room / "key"
        key.rename(away)
        with lab.open() as ws:
            seen = [s for probe in before for s in lab.everything(ws, probe)]
        away.rename(key)
        closed = bool(seen) and all(s.failed_closed for s in seen)
        told = str(seen[0]) if seen else "nothing was asked"
        lab.watched(f"the log's key was taken away: {told}")
        with lab.open() as ws:
            again = all(s.served for probe in before for s in lab.everything(ws, probe))
        lab.check("no-record", closed and again, told)
