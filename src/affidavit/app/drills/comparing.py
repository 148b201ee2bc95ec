"""The same questions before and after damage: the same results, or a named refusal, and never something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.lab import Lab, Seen, describe
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import Stock
from affidavit.app.wiring import INDEX

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

SAME = Promise(
    "same-or-refused",
    "every question gets exactly what it got before, or a named error; never something else",
)
PERMITTED = Promise("permitted", "nobody is given a document they may not read")
RECOVERED = Promise("recovered", "the next sync leaves an index on disk that is whole")

Before = dict[Probe, tuple[Seen, ...]]


def after_damage(
    lab: Lab, before: Before, stock: Stock, what: str, mend: Callable[[], None] = lambda: None
) -> None:
    """Open the damaged copy, ask everything again, sync, and see whether the index is whole again.

    ``mend`` is what an operator must do by hand before the sync.
    """
    began = time.perf_counter()
    opened = lab.attempt(lab.open)
    if isinstance(opened, Exception):
        lab.check(SAME.id, False, f"{what}: the workspace does not open: {describe(opened)}")
        return
    with opened as ws:
        compare(lab, ws, before, what)
        took = time.perf_counter() - began
        mend()
        synced = lab.attempt(lambda: stock.sync(ws))
    lab.watched(f"{what}: {len(before)} questions and searches took {took:.2f} s")
    if isinstance(synced, Exception):
        lab.check(RECOVERED.id, False, f"{what}: the sync failed: {describe(synced)}")
        return
    left = whole(lab, before)
    lab.check(RECOVERED.id, not left, f"{what}: {left or 'opened again, nothing had to be rebuilt'}", took)


def compare(lab: Lab, ws: Workspace, before: Before, what: str) -> None:
    """Ask everything again."""
    for probe, seen in before.items():
        now = lab.everything(ws, probe)
        held = all(n.failed_closed or same(b, n) for b, n in zip(seen, now, strict=True))
        about = f"{what}; asked about {probe.document}" if probe.document else what
        lab.check(SAME.id, held, f"{about}: {now[0]}")
        wrong = lab.wrongly(ws, probe.tenant, probe.user, now)
        if probe.outsider:
            others = lab.everything(ws, probe, probe.outsider)
            wrong |= lab.wrongly(ws, probe.tenant, probe.outsider, others)
        told = ", ".join(sorted(name for _, name in wrong))
        lab.check(PERMITTED.id, not wrong, f"{about}: {told or 'only what may be read'}")


def same(before: Seen, now: Seen) -> bool:
    """Whether a person was given the same, to the last character and score."""
    return (before.status, before.given) == (now.status, now.given)


def whole(lab: Lab, before: Before) -> str:
    """What is wrong with the index on disk, or ""."""
    with lab.open() as ws:
        if not ws.status()["index"]["bytes"]:
            return "there is none on disk"
        for probe in before:
            lab.search(ws, probe)
        return str(ws.status()["index"]["rebuilt"] or "")


def index_files(lab: Lab) -> list[Path]:
    """The index's files, largest first."""
    files = [p for p in (lab.folder / INDEX).iterdir() if p.is_file() and p.stat().st_size]
    return sorted(files, key=lambda p: (-p.stat().st_size, p.name))
