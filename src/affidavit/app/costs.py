"""What runs cost: a view of the log. Every number here is in a body or header of the log, and can be worked out from it again.

The view is kept as sums beside the catalog and goes on from where it was, so that it is quick however long the log is. It holds
pseudonyms in place of names: erasing a person leaves their sums, and nothing that says whose they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from affidavit.domain.errors import LogDamagedError
from affidavit.domain.events import EventKind
from affidavit.events.read import Reader, Recorded
from affidavit.models.caller import CHARGED, EMBED
from affidavit.models.prices import day
from affidavit.store.budgets import EACH, WORKSPACE, Budget
from affidavit.store.database import Database
from affidavit.store.spending import AMOUNTS, Amounts, Key, Ledger, Spent, squared

STAGES: Mapping[str, str] = {
    "identify_scope": "permission",
    "guard_route": "guard",
    "embed": "embedding",
    "retrieve": "retrieval",
    "recheck": "retrieval",
    "suffice": "rerank",
    "generate_verify": "inference",
}
"""Stage of each lap in ``timings``; other laps are ``other``. Laps called ``model…`` wait for another machine: not counted."""
_Part: TypeAlias = tuple[str, str, str, str, str, Amounts]
"""(stage, task, provider, model, currency, amounts)."""
_TASKS = {EMBED: "embedding", "rerank": "rerank"}
_BATCH, _STEP = 2_000, 50
_LARGEST = 2**53 - 1
_NONE: Amounts = (0,) * len(AMOUNTS)  # type: ignore[assignment]  # as many as there are names


@dataclass(frozen=True)
class Line:
    """A part of what one run cost."""

    key: Key
    amounts: Amounts


def lines(events: Reader, run: Sequence[Recorded], mark: Callable[[int, str], str]) -> Iterator[Line]:
    """What the run of these events cost: a line a call and a line a stage for this machine's time, each in parts for the
    sources that the answer rests on.

    What was erased costs nothing here. Raises LogDamagedError for an event that says nothing sensible.
    """
    try:
        yield from _Folded(events, run, mark).lines()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # whoever holds the log's key can sign events that say nothing sensible
        raise LogDamagedError(
            f"run {run[0].run}: what it cost is not of the form that affidavit writes ({error!r})",
            "run `affidavit audit verify`; restore the workspace from a backup",
        ) from error


class _Folded:
    """One run on its way into the view."""

    def __init__(self, events: Reader, run: Sequence[Recorded], mark: Callable[[int, str], str]) -> None:
        self._events = events
        self._run = run
        self._kinds = {e.kind: e for e in run}
        self._start, self._end = self._kinds[EventKind.RUN_STARTED], self._kinds[EventKind.RUN_FINISHED]
        self._said = events.body(self._start) or {}
        principal = self._said.get("principal", "")
        self._who = mark(self._end.tenant, principal) if isinstance(principal, str) and principal else ""

    def lines(self) -> Iterator[Line]:
        parts = [*self._charges(), *self._time()]
        sources = self._sources() if parts else ()
        for part in parts:
            for source, share in _shared(part[-1], sources):
                yield self._line(part, source, share)

    def _line(self, part: _Part, source: str, amounts: Amounts) -> Line:
        stage, task, provider, model, currency, _ = part
        release = str(self._start.facts["release"])
        common = day(self._end.at), self._end.tenant, self._who
        return Line((*common, stage, task, provider, model, release, source, currency), amounts)

    def _charges(self) -> Iterator[_Part]:
        for event in self._run:
            if event.kind is EventKind.STEP_RECORDED and event.facts["name"].startswith(CHARGED):
                output = (self._events.body(event) or {}).get("output")
                for said in output.get("charges", ()) if isinstance(output, dict) else ():
                    yield _charged(said)

    def _time(self) -> Iterator[_Part]:
        if self._start.facts["journey"] == "sync":
            yield "ingest", "", "", "", "", _timed(self._end.at - self._start.at)
            return
        timings = (self._events.body(self._end) or {}).get("timings") or {}
        for lap, taken in timings.items():
            if not lap.startswith("model"):
                yield STAGES.get(lap, "other"), "", "", "", "", _timed(taken)

    def _sources(self) -> Sequence[str]:
        """The sources that the answer cites, or the one that was read."""
        if isinstance(self._said.get("source"), str):
            return (self._said["source"],)
        answer = self._kinds.get(EventKind.ANSWER_RELEASED)
        given = {} if answer is None else self._events.body(answer) or {}
        claims = given.get("claims") or ()
        return sorted({str(c["source"]) for claim in claims for c in claim.get("citations") or ()})


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is not a count")
    return value


def _timed(taken: Any) -> Amounts:
    return 0, 0, 0, 0, 0, 0, _count(taken), 0


def _charged(said: Mapping[str, Any]) -> _Part:
    task, priced = str(said["task"]), said["micro"] is not None
    counts = [_count(said[name]) for name in ("input", "cached", "output")]
    cost = _count(said["micro"]) if priced else 0
    amounts = (1, counts[0], counts[1], counts[2], cost, int(bool(said["flag"])), 0, squared(cost))
    currency = str(said["currency"]) if priced else ""
    return _TASKS.get(task, "inference"), task, str(said["provider"]), str(said["model"]), currency, amounts


def _shared(amounts: Amounts, sources: Sequence[str]) -> Iterator[tuple[str, Amounts]]:
    """``amounts`` in equal parts for ``sources``; what does not divide goes to the first."""
    count = len(sources)
    if count < 2:
        yield sources[0] if sources else "", amounts
        return
    for n, source in enumerate(sources):
        share = tuple((amount + count - 1 - n) // count for amount in amounts)
        yield source, share  # type: ignore[misc]  # as many as there were


class CostView:
    """The sums, and how to bring them up to the log's end."""

    def __init__(
        self, database: Database, events: Reader, ledger: Ledger, mark: Callable[[int, str], str]
    ) -> None:
        self._db = database
        self._events = events
        self._ledger = ledger
        self._mark = mark

    def catch_up(self, progress: Callable[[int], None] | None = None) -> int:
        """Fold every run that finished since the last time; how many. Another process may do the same meanwhile."""
        self._check_same_log()
        folded = 0
        while True:
            ended, done = self._fold(_BATCH)
            if not ended:
                return folded
            if done:
                folded += ended
                if progress is not None:
                    progress(ended)

    def step(self, most: int = _STEP) -> int:
        """Fold up to ``most`` runs; how many are left."""
        self._check_same_log()
        ended, _ = self._fold(most)
        if ended < most:
            return 0
        position, _ = self._ledger.folded()
        sql = "SELECT count(*) FROM events WHERE kind = ? AND position > ?"
        return int(self._db.value(sql, (EventKind.RUN_FINISHED.value, position)))

    def _fold(self, most: int) -> tuple[int, bool]:
        """How many runs were folded, and whether no other process did so in the same moment."""
        before, _ = self._ledger.folded()
        with self._db.read():
            ended = self._ended(before, most)
            sums = self._sums(ended)
        if not ended:
            return 0, False
        position, _, leaf = ended[-1]
        return len(ended), self._ledger.fold(before, position, bytes(leaf), sums.items())

    def _check_same_log(self) -> None:
        """A log that was set back or rewritten has another event where the view left off: then it begins anew."""
        position, leaf = self._ledger.folded()
        if position < 0:
            return
        found = self._db.value("SELECT leaf FROM events WHERE position = ?", (position,))
        if found is None or bytes(found) != leaf:
            self._ledger.forget()

    def _ended(self, after: int, most: int) -> list[tuple[int, str, bytes]]:
        rows = self._db.all(
            "SELECT position, run, leaf FROM events WHERE kind = ? AND position > ? ORDER BY position LIMIT ?",
            (EventKind.RUN_FINISHED.value, after, most),
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def _sums(self, ended: Sequence[tuple[int, str, bytes]]) -> dict[Key, Amounts]:
        sums: dict[Key, Amounts] = {}
        for _, run, _ in ended:
            for line in lines(self._events, self._events.of_run(run), self._mark):
                before = sums.get(line.key, _NONE)
                sums[line.key] = tuple(a + b for a, b in zip(before, line.amounts, strict=True))  # type: ignore[assignment]
        return sums

    def spent(self, budget: Budget, who: str, begin: int, end: int) -> Spent:
        """What the log says was spent of ``budget`` by ``who`` ("": by all it is for) from the beginning of a day to that of
        another."""
        self.catch_up()
        whose = (who if budget.who == EACH else budget.who) or None
        tenant = None if budget.tenant == WORKSPACE else budget.tenant
        return self._ledger.spent((day(begin), day(end)), tenant, whose, budget.task, budget.currency)
