"""Runs drills: a copy for each, a report of each, nothing left behind unless asked for."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from affidavit.app.drills.cast import Probe, choose
from affidavit.app.drills.lab import Lab, describe
from affidavit.app.drills.promise import RAN, Drill, Outcome, Report, Verdict
from affidavit.app.drills.registry import DRILLS
from affidavit.app.drills.seams import Opener, Seams
from affidavit.app.drills.taking import check_room, needed, take_copy
from affidavit.domain.access import named
from affidavit.domain.errors import UsageError

QUESTIONS = 6


@dataclass(frozen=True)
class Orders:
    """How drills are to be run. ``questions`` are (question, person, tenant); without any they are chosen from the documents.

    ``workdir`` is where copies are made ("" for the system's place), ``keep`` leaves them there. ``live``: the language models
    that the release names may be asked.
    """

    questions: Sequence[tuple[str, str, str]] = ()
    tenant: str = ""
    workdir: Path | None = None
    keep: bool = False
    kills: int = 6
    seed: int = 1
    live: bool = False
    tell: Callable[[str], None] = lambda _: None

    def asking(self, questions: Sequence[tuple[str, str, str]], tell: Callable[[str], None]) -> Orders:
        """The same orders with questions, and with somebody to tell of progress."""
        return replace(self, questions=questions, tell=tell)


@dataclass
class Outcomes:
    """All reports of one run."""

    folder: str
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return bool(self.reports) and all(r.ok for r in self.reports)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "workspace": self.folder,
            "seconds": round(self.seconds, 3),
            "drills": [r.as_json() for r in self.reports],
        }


class DrillDesk:
    """Drills of the workspace in ``folder``, which is only read."""

    def __init__(self, folder: Path, opener: Opener, seams: Seams | None = None) -> None:
        self._folder = folder
        self._seams = seams or Seams(opener)

    def all(self) -> list[Drill]:
        """Every drill there is."""
        return list(DRILLS.values())

    def named(self, name: str) -> Drill:
        """The drill called ``name``. Raises UsageError."""
        if name not in DRILLS:
            raise UsageError(f"there is no drill {name!r}", f"one of: {', '.join(DRILLS)}, all")
        return DRILLS[name]

    def needed(self) -> int:
        """Bytes on disk that a drill takes while it runs."""
        return needed(self._folder)

    def run(self, drills: Sequence[Drill], orders: Orders | None = None) -> Outcomes:
        """Run ``drills`` one after another, each on a copy of its own. Raises DiskFullError before anything is copied."""
        orders = orders or Orders()
        began = time.perf_counter()
        outcomes = Outcomes(str(self._folder))
        seams = replace(self._seams, seed=orders.seed, kills=orders.kills, live=orders.live)
        probes: list[Probe] = []
        with _room(self._folder, orders) as room:
            for number, drill in enumerate(drills, 1):
                check_room(self._folder, room)
                orders.tell(f"{drill.name}: copying")
                place = room / f"{number:02}"
                take_copy(self._folder, place / "ws")
                self._outside_sources(place / "ws", room)
                probes = probes or self._probes(place / "ws", orders, seams)
                report = self._one(drill, place, probes, orders, seams)
                outcomes.reports.append(report)
                if orders.keep:
                    report.kept_at = str(place)
                else:
                    shutil.rmtree(place, ignore_errors=True)
        outcomes.seconds = time.perf_counter() - began
        return outcomes

    def _one(
        self, drill: Drill, place: Path, probes: Sequence[Probe], orders: Orders, seams: Seams
    ) -> Report:
        began = time.perf_counter()
        lab = Lab(
            place, place / "ws", drill, seams, probes, lambda text: orders.tell(f"{drill.name}: {text}")
        )
        ended = lab.attempt(lambda: drill.run(lab))
        lab.close_book()
        if isinstance(ended, Exception):
            lab.report.verdicts.insert(0, Verdict(RAN, Outcome.BROKEN, describe(ended)))
        lab.report.seconds = time.perf_counter() - began
        return lab.report

    def _probes(self, copy: Path, orders: Orders, seams: Seams) -> list[Probe]:
        """The questions asked for first, then chosen ones: a drill may need a document that somebody can lose."""
        with seams.opened(copy) as ws:
            asked = []
            for question, user, tenant in orders.questions:
                who = named(user)
                answer = ws.ask(question, who, tenant)
                cited = [c for claim in answer.claims for c in claim.citations]
                place = (cited[0].source, cited[0].document) if cited else ("", "")
                asked.append(Probe(ws.parts.tenant(tenant).name, who, question, *place, said=True))
            chosen = choose(ws, QUESTIONS, orders.tenant)
        found = [*asked, *chosen]
        if not found:
            raise UsageError(
                "the workspace holds nothing that somebody could ask about",
                "sync a source and import people; or give a question: --question TEXT --as USER",
            )
        return found

    def _outside_sources(self, copy: Path, room: Path) -> None:
        """A drill writes documents, which must never be where a real source would find them. Raises UsageError."""
        with self._seams.open(copy, None) as ws, ws.parts.database.read():
            tenants = ws.parts.people.tenants()
            places = [Path(s.location) for t in tenants for s in ws.parts.catalog.sources(t.id)]
        for place in places:
            if room.resolve().is_relative_to(place):
                raise UsageError(
                    f"{room.parent} is inside the source {place}", "name another folder: --workdir DIR"
                )


@contextmanager
def _room(folder: Path, orders: Orders) -> Iterator[Path]:
    """A private directory for copies; its name begins with a dot, so that no folder source would read it."""
    base = orders.workdir or Path(tempfile.gettempdir())
    if not base.is_dir():
        raise UsageError(f"{base} is not a folder", "make it first, or leave --workdir out")
    if base.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{base} is inside the workspace", "name a folder outside of it: --workdir DIR")
    room = base.resolve() / f".affidavit-drill-{secrets.token_hex(6)}"
    room.mkdir(mode=0o700)
    try:
        yield room
    finally:
        if not orders.keep:
            shutil.rmtree(room, ignore_errors=True)
