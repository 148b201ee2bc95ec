"""The laboratory: one copy of the workspace, questions to ask of it, and the book of verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from affidavit.app.drills.cast import Probe, readable_by
from affidavit.app.drills.promise import SOUND, Drill, Outcome, Promise, Report, Verdict
from affidavit.app.drills.seams import Seams
from affidavit.app.drills.standin import StandIns
from affidavit.domain.canonical import Json
from affidavit.domain.clock import Clock
from affidavit.domain.errors import AffidavitError

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

T = TypeVar("T")
CRASH = "crash"
_HITS = 10


@dataclass(frozen=True)
class Seen:
    """What one request gave. ``status`` is ``answered``, ``refused``, ``found``, an error's code, or ``crash``.

    ``given`` holds everything the person was given, for comparing; ``cited`` and ``text`` what of documents was in it.
    """

    status: str
    given: Any = None
    cited: frozenset[tuple[str, str]] = frozenset()
    text: str = ""
    stale: frozenset[tuple[str, str]] = frozenset()
    degraded: str = ""
    position: int = -1
    seconds: float = 0.0
    error: str = ""
    run: str = ""
    model: str = ""

    @property
    def served(self) -> bool:
        """Not an error of any kind."""
        return self.status in ("answered", "refused", "found")

    @property
    def failed_closed(self) -> bool:
        """An error that affidavit meant: named, with nothing given."""
        return not self.served and self.status != CRASH

    def __str__(self) -> str:
        names = ", ".join(sorted(name for _, name in self.cited))
        return (f"{self.status}: {self.error}" if self.error else self.status) + (
            f" from {names}" if names else ""
        )


class Lab:
    """What a drill works with. ``folder`` is the copy, ``room`` a directory of the drill's own."""

    def __init__(
        self,
        room: Path,
        folder: Path,
        drill: Drill,
        seams: Seams,
        probes: Sequence[Probe],
        tell: Callable[[str], None],
    ) -> None:
        self.room = room
        self.folder = folder
        self.seams = seams
        self.probes = probes
        self.random = Random(f"{seams.seed} {drill.name}")  # noqa: S311  # to be repeatable, not to be unguessable
        self.report = Report(drill.name, drill.breaks)
        self._promises = {p.id: p for p in (*drill.promises, SOUND)}
        self._tell = tell

    def open(self, clock: Clock | None = None, models: StandIns | None = None) -> Workspace:
        """The copy, opened; close it. It asks ``models``, or else good stand-ins, in place of what its release names."""
        return self.seams.opened(self.folder, clock, models)

    # -- watching what a person gets

    def ask(
        self, ws: Workspace, probe: Probe, user: str = "", as_of: int | None = None, where: Json = None
    ) -> Seen:
        """What ``probe`` gets, or somebody else who asks the same."""
        return self._seen(lambda: _asked(ws, probe, user or probe.user, as_of, where))

    def search(self, ws: Workspace, probe: Probe, user: str = "", where: Json = None) -> Seen:
        """The same as a search."""
        return self._seen(lambda: _searched(ws, probe, user or probe.user, where))

    def everything(self, ws: Workspace, probe: Probe, user: str = "") -> list[Seen]:
        """The question, the search, and nothing else."""
        return [self.ask(ws, probe, user), self.search(ws, probe, user)]

    def _seen(self, act: Callable[[], Seen]) -> Seen:
        began = time.perf_counter()
        result = self.attempt(act)
        took = time.perf_counter() - began
        if isinstance(result, Seen):
            return Seen(**{**vars(result), "seconds": took})
        status = result.code if isinstance(result, AffidavitError) else CRASH
        return Seen(status, seconds=took, error=describe(result))

    def attempt(self, act: Callable[[], T]) -> T | Exception:
        """The result of ``act`` or what it raised: whatever a person would have met is an observation."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001  # a crash is a finding of the drill, not its end
            return error

    def wrongly(
        self, ws: Workspace, tenant: str, user: str, seen: Sequence[Seen]
    ) -> frozenset[tuple[str, str]]:
        """Documents cited or found in ``seen`` that ``user`` may not read."""
        cited = frozenset().union(*(s.cited for s in seen))
        return cited - readable_by(ws, tenant, user) if cited else cited

    def baseline(self, ws: Workspace, most: int | None = None) -> dict[Probe, tuple[Seen, ...]]:
        """What every question (or the first ``most``) gets before anything is broken."""
        return {probe: tuple(self.everything(ws, probe)) for probe in self.probes[:most]}

    # -- the book

    def check(self, promise: str, held: bool, saw: str, seconds: float | None = None) -> bool:
        """The verdict on a promise. Checked several times, it must hold each time: the first time it did not is told, or
        else the time that took longest."""
        known = self._promises[promise]
        before = self._verdict(known)
        verdict = Verdict(known, Outcome.KEPT if held else Outcome.BROKEN, saw, seconds)
        if before is None or _tells_more(verdict, before):
            self.report.verdicts = [v for v in self.report.verdicts if v is not before] + [verdict]
        return held

    def untried(self, promise: str, why: str) -> None:
        """The promise could not be tried here."""
        if self._verdict(self._promises[promise]) is None:
            self.report.verdicts.append(Verdict(self._promises[promise], Outcome.UNTRIED, why))

    def _verdict(self, promise: Promise) -> Verdict | None:
        return next((v for v in self.report.verdicts if v.promise is promise), None)

    def watched(self, what: str) -> None:
        """A line of the story: what was done, or what a person got."""
        self.report.watched.append(what)
        self._tell(what)

    def note(self, text: str) -> None:
        """Something that the reader of the report should know."""
        self.report.notes.append(text)

    def sound(self, ws: Workspace) -> bool:
        """The verdict of ``audit verify``."""
        began = time.perf_counter()
        result = self.attempt(ws.verify)
        took = time.perf_counter() - began
        if isinstance(result, Exception):
            return self.check("sound", False, describe(result))
        return self.check("sound", True, f"{result['events']} events verified in {took:.2f} s")

    def lost(self, ws: Workspace, tenant: str, acknowledged: Sequence[dict[str, Any]]) -> list[str]:
        """The runs that were acknowledged and are not on the record, or not with the status they had."""
        owner = ws.parts.tenant(tenant)
        lost = []
        for answer in acknowledged:
            story = self.attempt(partial(ws.runs.show, owner, answer["run"], None))
            if isinstance(story, Exception) or story["status"] != answer.get("status", "done"):
                lost.append(answer["run"])
        return lost

    def close_book(self) -> None:
        """Promises without a verdict were not tried."""
        for promise in self._promises:
            self.untried(promise, "the drill did not come to it")
        order = list(self._promises.values())
        self.report.verdicts.sort(key=lambda v: order.index(v.promise) if v.promise in order else -1)


def _tells_more(new: Verdict, old: Verdict) -> bool:
    if old.outcome is Outcome.KEPT:
        return new.outcome is Outcome.BROKEN or (new.seconds or 0) > (old.seconds or 0)
    return old.outcome is Outcome.UNTRIED


def describe(error: Exception) -> str:
    """An error in a line; a crash with its kind."""
    return error.message if isinstance(error, AffidavitError) else f"{type(error).__name__}: {error}"


def _asked(ws: Workspace, probe: Probe, user: str, as_of: int | None, where: Json) -> Seen:
    answer = ws.ask(probe.question, user, probe.tenant, as_of, where)
    citations = [c for claim in answer.claims for c in (*claim.citations, *claim.overrules)]
    return Seen(
        answer.status.value,
        answer.given(),
        frozenset((c.source, c.document) for c in citations),
        "\n".join([answer.answer, *(c.quote for c in citations)]),
        frozenset((c.source, c.document) for c in citations if c.stale),
        position=answer.position,
        run=answer.run,
        model=answer.model or "",
    )


def _searched(ws: Workspace, probe: Probe, user: str, where: Json) -> Seen:
    found = ws.search(probe.question, user, _HITS, probe.tenant, where=where).as_json()
    hits = found["hits"]
    return Seen(
        "found",
        hits,
        frozenset((h["source"], h["document"]) for h in hits),
        "\n".join(h["text"] for h in hits),
        degraded=found["degraded"] or "",
        position=found["position"],
    )
