"""The source and the index part ways: a document grows old, changes unseen, or the whole source goes out of reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.lab import Lab, Seen, describe
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import FRESH_DAYS, MANIFEST, Stock, age, lay_in

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_MARK = "zq7391"


class StaleSource:
    """Implements ``Drill``."""

    name = "stale-source"
    breaks = "a document outlives its freshness limit, changes without a sync, and its folder vanishes and comes back"
    promises = (
        Promise("marked", "a citation says when its document is older than its freshness limit"),
        Promise("one-revision", "until the sync, the answer is the old revision's, whole and cited as such"),
        Promise("new-text", "after the sync the new text is quoted and the old is not"),
        Promise(
            "vanished", "a folder out of reach is an error that says so, and nothing indexed is taken out"
        ),
        Promise("comes-back", "when the folder is back, a sync finds everything unchanged"),
        Promise(
            "broken-rule", "an access file that is not understood means nobody reads, until it is mended"
        ),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws:
            stock = lay_in(lab, ws)
            self._grow_old(lab, ws, stock, stock.probes[0])
            self._change(lab, ws, stock, stock.probes[-1])
            self._vanish(lab, ws, stock)
            self._break_rule(lab, ws, stock)
            lab.sound(ws)

    def _grow_old(self, lab: Lab, ws: Workspace, stock: Stock, probe: Probe) -> None:
        fresh = stock.ask(lab, ws, probe)
        path = stock.file(probe)
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\n", encoding="utf-8", newline="")
        age(path, 2 * FRESH_DAYS)
        stock.sync(ws)
        old = stock.ask(lab, ws, probe)
        saw = f"{probe.document}, unchanged for {2 * FRESH_DAYS} days with a limit of {FRESH_DAYS}: {old}"
        lab.check("marked", probe.place not in fresh.stale and probe.place in old.stale, saw)
        path.write_text(text, encoding="utf-8", newline="")
        stock.sync(ws)

    def _change(self, lab: Lab, ws: Workspace, stock: Stock, probe: Probe) -> None:
        before = stock.ask(lab, ws, probe)
        path, sentence = stock.file(probe), probe.question.removesuffix("?")
        first, _, rest = sentence.partition(" ")
        text = path.read_text(encoding="utf-8")
        changed = text.replace(sentence, f"{first} {_MARK} {rest}")
        path.write_text(changed, encoding="utf-8", newline="")
        unseen = stock.ask(lab, ws, probe)
        lab.watched(f"{probe.document} was changed, not synced: {unseen}")
        lab.check(
            "one-revision",
            unseen.given == before.given and _MARK not in unseen.text,
            "the answer is the same to the last character",
        )
        stock.sync(ws)
        after = [stock.ask(lab, ws, probe), stock.search(lab, ws, probe)]
        lab.watched(f"{probe.document} was synced: {after[0]}")
        said = _MARK in after[0].text and all(sentence not in s.text for s in after)
        lab.check("new-text", said and probe.place in after[0].cited, f"{after[0]}")

    def _vanish(self, lab: Lab, ws: Workspace, stock: Stock) -> None:
        before = self._answers(lab, ws, stock)
        away = stock.folder.with_name("away")
        stock.folder.rename(away)
        error = lab.attempt(lambda: stock.sync(ws))
        during = self._answers(lab, ws, stock)
        said = isinstance(error, Exception) and getattr(error, "code", "") == "source"
        told = describe(error) if isinstance(error, Exception) else f"the sync said {error}"
        lab.watched(f"the folder vanished: {told}")
        same = _given(before) == _given(during)
        lab.check(
            "vanished", said and same, f"{told}; {len(before)} answers {'as before' if same else 'changed'}"
        )
        away.rename(stock.folder)
        counts = lab.attempt(lambda: stock.sync(ws))
        whole = isinstance(counts, dict) and counts["removed"] == counts["added"] == counts["faults"] == 0
        lab.check(
            "comes-back", whole and _given(self._answers(lab, ws, stock)) == _given(before), f"{counts}"
        )

    def _break_rule(self, lab: Lab, ws: Workspace, stock: Stock) -> None:
        before = self._answers(lab, ws, stock)
        path = stock.folder / MANIFEST
        rules = path.read_bytes()
        path.write_bytes(rules + b'\nalow = ["anyone"\n')
        counts = stock.sync(ws)
        during = self._answers(lab, ws, stock)
        closed = counts["faults"] > 0 and not any(s.cited for s in during)
        lab.watched(f"its {MANIFEST} was broken: {during[0]}")
        path.write_bytes(rules)
        stock.sync(ws)
        mended = _given(self._answers(lab, ws, stock)) == _given(before)
        lab.check(
            "broken-rule", closed and mended, f"{counts['faults']} fault told; mended, the answers are back"
        )

    def _answers(self, lab: Lab, ws: Workspace, stock: Stock) -> list[Seen]:
        return [stock.ask(lab, ws, p) for p in stock.probes]


def _given(seen: list[Seen]) -> list[object]:
    return [s.given for s in seen]
