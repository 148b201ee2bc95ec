"""How questions went, day by day: how many, how they ended, how long they took, whether they cite. A view of the log.

The counts are kept beside the catalog and go on from where they were. Whoever looks counts a bounded part of what is new and is
told how much is left: a page must not wait for the whole log.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from affidavit.app.chasing import Chase
from affidavit.app.recorded import QUESTIONS, unfinished_answer
from affidavit.app.wiring import Parts
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.records import RunStatus
from affidavit.events.read import Recorded
from affidavit.models.prices import day
from affidavit.store.figures import Figures, Key
from affidavit.store.people import Tenant

BATCH = 50
"""Runs that are counted in one go, before anything is given."""
MOST_DAYS = 366
_FIRST_YEAR = 1970
_STEPS_PER_OCTAVE = 4
_EDGES = tuple(sorted({round(2 ** (n / _STEPS_PER_OCTAVE)) for n in range(4, 36 * _STEPS_PER_OCTAVE)}))
"""Microseconds at which a bucket of durations begins: a quarter of an octave each, so a quantile is right within 19 %."""
_RAN, _TOOK, _STAGE, _REFUSED, _ENDED = "ran:", "took:", "stage:", "refused:", "ended:"
_CLAIMS, _CITED = "claims", "cited"
_QUANTILES = (50, 95, 99)


class FiguresDesk:
    """Counts finished runs and says what was counted."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept = Figures(parts.folder)
        self.chase = Chase("affidavit-figures", self.catch_up)

    def close(self) -> None:
        """Stop counting and let go of the file; it is opened again when it is needed."""
        self.chase.close()
        self._kept.close()

    def catch_up(self, most: int = BATCH) -> int:
        """Count up to ``most`` runs that finished since the last time; how many are left. Another process may do the same."""
        self._check_same_log()
        before, _ = self._kept.folded()
        with self._parts.database.read():
            ended = self._ended(before, most)
            left = self._left(ended[-1][0] if len(ended) == most else None)
            counted: Counter[Key] = Counter()
            for _, run, _ in ended:
                self._folded(run, counted)
        if ended:
            position, _, leaf = ended[-1]
            self._kept.fold(before, position, bytes(leaf), counted.items())
        return left

    def _check_same_log(self) -> None:
        """A log that was set back or rewritten has another event where the count left off: then it begins anew."""
        position, leaf = self._kept.folded()
        if position < 0:
            return
        found = self._parts.database.value("SELECT leaf FROM events WHERE position = ?", (position,))
        if found is None or bytes(found) != leaf:
            self._kept.forget()

    def _ended(self, after: int, most: int) -> list[tuple[int, str, bytes]]:
        rows = self._parts.database.all(
            "SELECT position, run, leaf FROM events WHERE kind = ? AND position > ? ORDER BY position LIMIT ?",
            (EventKind.RUN_FINISHED.value, after, most),
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def _left(self, after: int | None) -> int:
        if after is None:
            return 0
        sql = "SELECT count(*) FROM events WHERE kind = ? AND position > ?"
        return int(self._parts.database.value(sql, (EventKind.RUN_FINISHED.value, after)))

    def _folded(self, run: str, counted: Counter[Key]) -> None:
        try:
            self._count(run, counted)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            # whoever holds the log's key can sign events that say nothing sensible
            raise LogDamagedError(
                f"run {run}: how it went is not of the form that affidavit writes ({error!r})",
                "run `affidavit audit verify`; restore the workspace from a backup",
            ) from error

    def _count(self, run: str, counted: Counter[Key]) -> None:
        events = self._parts.events.of_run(run)
        started, ended = events[0], next(e for e in reversed(events) if e.kind is EventKind.RUN_FINISHED)
        when = day(ended.at)
        counted[ended.tenant, when, _RAN + started.facts["journey"]] += 1
        if started.facts["journey"] not in QUESTIONS or started.facts["journey"] == "search":
            return
        for name, count in self._of_answer(events, ended):
            counted[ended.tenant, when, name] += count

    def _of_answer(self, events: Sequence[Recorded], ended: Recorded) -> Iterator[tuple[str, int]]:
        yield _ENDED + ended.facts["status"], 1
        timings = (self._parts.events.body(ended) or {}).get("timings") or {}
        if timings:
            yield f"{_TOOK}{bisect_right(_EDGES, sum(timings.values()))}", 1
        for lap, taken in timings.items():
            yield _STAGE + lap, taken
        answer = self._answer(events)
        claims = answer.get("claims") or ()
        yield _CLAIMS, len(claims)
        yield _CITED, sum(any(c.get("quote") for c in claim.get("citations") or ()) for claim in claims)
        if answer.get("refusal"):
            yield f"{_REFUSED}{answer['refusal']['reason']}", 1

    def _answer(self, events: Sequence[Recorded]) -> Mapping[str, Any]:
        """What was given, also by a run that broke off; {} where that was erased."""
        bodies = self._parts.events.body
        given = [bodies(e) for e in events if e.kind is EventKind.ANSWER_RELEASED]
        if given:
            return given[0] or {}
        claims = [bodies(e) for e in events if e.kind is EventKind.CLAIM_RELEASED]
        return unfinished_answer(claims, events[0].facts["release"]) if claims else {}

    # -- what was counted

    def show(self, tenant: Tenant, days: int = 30, most: int = BATCH, until: str = "") -> dict[str, Any]:
        """The ``days`` up to the day ``until`` (ISO 8601; "" is today): each day's counts, and all of them together.

        ``uncounted`` runs are on the log and not in here. Raises UsageError for what is no day.
        """
        left = self.catch_up(most)
        if left:
            self.chase.begin()
        last = (
            _day(until)
            if until
            else datetime.fromtimestamp(self._parts.clock.now() // MICROSECONDS, UTC).date()
        )
        first = last - timedelta(days=days - 1)
        by_day: dict[str, Counter[str]] = {
            (first + timedelta(days=n)).isoformat(): Counter() for n in range(days)
        }
        whole: Counter[str] = Counter()
        for when, name, count in self._kept.of(tenant.id, first.isoformat()):
            if when <= last.isoformat():
                by_day.setdefault(when, Counter())[name] += count
                whole[name] += count
        return {
            "since": first.isoformat(),
            "until": last.isoformat(),
            "uncounted": left,
            "days": [{"day": when, **_told(counts)} for when, counts in sorted(by_day.items())],
            "total": _told(whole),
            "latency": _histogram(whole),
            "stages": _listed(whole, _STAGE, "stage"),
            "refusals": _listed(whole, _REFUSED, "reason"),
            "journeys": _listed(whole, _RAN, "journey"),
        }


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no day", "write it as 2026-11-21") from error
    if found.year < _FIRST_YEAR:
        raise UsageError(f"nothing was asked in {found.year}", "write a day as 2026-11-21")
    return found


def _told(counts: Mapping[str, int]) -> dict[str, Any]:
    claims = counts.get(_CLAIMS, 0)
    took = _took(counts)
    return {
        **{status.value: counts.get(_ENDED + status.value, 0) for status in RunStatus},
        "claims": claims,
        "cited": counts.get(_CITED, 0),
        "timed": sum(took.values()),
        **{f"p{q}": _quantile(took, q) for q in _QUANTILES},
    }


def _took(counts: Mapping[str, int]) -> dict[int, int]:
    found = {int(n.removeprefix(_TOOK)): c for n, c in counts.items() if n.startswith(_TOOK)}
    return dict(sorted(found.items()))


def _quantile(took: Mapping[int, int], percent: int) -> int | None:
    """Microseconds within which ``percent`` of them ended, from above; None of nothing."""
    wanted, seen = -(-sum(took.values()) * percent // 100), 0
    for bucket, count in took.items():
        seen += count
        if seen >= wanted:
            return _EDGES[min(bucket, len(_EDGES) - 1)]
    return None


def _histogram(counts: Mapping[str, int]) -> list[dict[str, int]]:
    """Durations by octave, without gaps: from (microseconds), to, and how many."""
    took = _took(counts)
    if not took:
        return []
    octaves: Counter[int] = Counter()
    for bucket, count in took.items():
        octaves[max(0, _EDGES[min(max(bucket - 1, 0), len(_EDGES) - 1)].bit_length() - 1)] += count
    return [
        {"from": 2**n, "to": 2 ** (n + 1), "count": octaves[n]} for n in range(min(octaves), max(octaves) + 1)
    ]


def _listed(counts: Mapping[str, int], prefix: str, called: str) -> list[dict[str, Any]]:
    found = [(n.removeprefix(prefix), c) for n, c in counts.items() if n.startswith(prefix) and c]
    return [{called: name, "count": count} for name, count in sorted(found, key=lambda f: (-f[1], f[0]))]
