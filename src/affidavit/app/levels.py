"""Levels of service: what a platform team promises of its sources, how it is kept, and breaches that go on record.

Every figure is a view of the log. A source does not say when something was changed in it while nobody looked, so a delay is
measured from above: from the source's own time of the change if that is credible, else from the beginning of the last whole
sync before, which would have seen it.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from affidavit.app.authority import authorise
from affidavit.app.sources import SourceDesk
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AffidavitError, ErasedError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.store.levels import EACH, Levels, Objective
from affidavit.store.people import Tenant
from affidavit.store.shapes import Source

CHANGE = "level:change"
FRESHNESS, DELETION, REVOCATION = "freshness", "deletion", "revocation"
PERMISSIONS, CITATIONS = "permissions", "citations"
LEVELS: Mapping[str, str] = {
    FRESHNESS: "a change in the source until it can be answered from",
    DELETION: "a deletion in the source until it is no longer answered from",
    REVOCATION: "a change of who may read until it holds",
    PERMISSIONS: "documents whose rules a sampled check found to be the source's own",
    CITATIONS: "statements of answers that cite what they rest on",
}
_TIMED = {FRESHNESS: "document.indexed", DELETION: "document.removed", REVOCATION: "access.changed"}
CHECKED = "source_check"
"""The action of ``audit.performed`` that says what a check against the source found."""
_WHOLE = 10_000
_DAYS, _MOST_DAYS, _MOST_SECONDS = 30, 366, 366 * 86_400
_DAY = 86_400 * MICROSECONDS
_REMEMBERED = 20_000
_ANSWERS = 2_000
"""So many answers are looked at for their citations, the newest: each is a body to open."""


@dataclass
class Counted:
    """What was counted in the window; ``worst`` and ``unread`` in microseconds, ``unread`` since the last whole sync began."""

    total: int = 0
    good: int = 0
    worst: int | None = None
    unread: int | None = None


@dataclass
class _Timeline:
    """Syncs of one source in order: those that brought a change, when whole ones began; ``floor`` is when it was registered."""

    floor: int
    changed: list[tuple[str, int]] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)

    def before(self, started: int) -> int:
        """When the last whole sync began before the one that began at ``started``."""
        n = bisect_left(self.whole, started)
        return self.whole[n - 1] if n else self.floor


class LevelDesk:
    """Declares objectives, measures, and puts what it finds on record, once."""

    def __init__(self, parts: Parts, sources: SourceDesk) -> None:
        self._parts = parts
        self._sources = sources
        self._rows = Levels(parts.database)
        self._erased = -1
        self._claims: dict[int, tuple[int, int]] = {}

    # -- objectives

    def set(
        self,
        tenant: Tenant,
        level: str,
        percent: str,
        by: str,
        within: int = 0,
        days: int = _DAYS,
        source: str = "",
    ) -> Objective:
        """Promise ``percent`` (decimal text, at most two digits after the point) of ``level`` over the last ``days``; ``within``
        seconds for what takes time. ``by`` is the operator at the machine, or who holds ``level:change``. Raises UsageError,
        UnknownNameError, AccessDeniedError."""
        _check(level, within, days)
        by = authorise(self._parts, tenant, by, CHANGE)
        if source and level == CITATIONS:
            raise UsageError("citations are promised of a tenant's answers", "leave --source out")
        id = self._sources.get(tenant, source).id if source else EACH
        objective = Objective(tenant.id, level, id, within, _share(percent), days)

        def write(tx: Transaction) -> None:
            body: dict[str, Json] = {
                "within": within,
                "share": objective.share,
                "days": days,
                "by": by,
                "source": source,
            }
            self._rows.set(objective, tx.append(_event(tenant.id, level, id, "set", body)))

        self._parts.log.write(write)
        return objective

    def remove(self, tenant: Tenant, level: str, by: str, source: str = "") -> None:
        """Promise it no longer. Raises UnknownNameError if it was not."""
        _check(level, 1 if level in _TIMED else 0, 1)
        by = authorise(self._parts, tenant, by, CHANGE)
        id = self._sources.get(tenant, source).id if source else EACH

        def write(tx: Transaction) -> None:
            if not any((o.level, o.source) == (level, id) for o in self._rows.objectives(tenant.id)):
                raise UnknownNameError(
                    f"nothing is promised for {level}", "`affidavit level show` lists levels"
                )
            self._rows.remove(
                tenant.id, level, id, tx.append(_event(tenant.id, level, id, "removed", {"by": by}))
            )

        self._parts.log.write(write)

    # -- how they are kept

    def show(self, tenant: Tenant) -> list[dict[str, Any]]:
        """Every level of every source, promised or not."""
        with self._parts.database.read():
            return self._of(tenant, LEVELS)

    def promised(self) -> list[dict[str, Any]]:
        """Every level that something is promised for, of all tenants."""
        with self._parts.database.read():
            wanted: dict[int, set[str]] = {}
            for objective in self._rows.objectives():
                wanted.setdefault(objective.tenant, set()).add(objective.level)
            tenants = [t for t in self._parts.people.tenants() if t.id in wanted]
            found = [said for t in tenants for said in self._of(t, wanted[t.id])]
        return [said for said in found if said["objective"]]

    def look(self) -> int:
        """Put on record what has been broken, or is kept again, since somebody last looked; how many that were.

        Whoever looks does this by the way, so what goes wrong here must not take their own errand down: it stays to be found.
        """
        with suppress(AffidavitError):
            return self._look()
        return 0

    def _look(self) -> int:
        found = [said for said in self.promised() if said["state"] in ("breached", "kept")]
        if not any(said["state"] != (self._found(said) or "kept") for said in found):
            return 0

        def write(tx: Transaction) -> int:
            told = 0
            for said in found:  # the log is asked again: another process may have told it just now
                if said["state"] != (self._found(said) or "kept"):
                    tx.append(
                        _event(
                            said["tenant_id"], said["level"], said["source_id"], said["state"], _told(said)
                        )
                    )
                    told += 1
            return told

        return self._parts.log.write(write)

    def _found(self, said: Mapping[str, Any]) -> str:
        return self._rows.found(said["tenant_id"], said["level"], said["source_id"])

    # -- measuring; inside a snapshot

    def _of(self, tenant: Tenant, levels: Collection[str]) -> list[dict[str, Any]]:
        objectives = {(o.level, o.source): o for o in self._rows.objectives(tenant.id)}
        sources = self._parts.catalog.sources(tenant.id)
        windows = [_DAYS, *(o.days for o in objectives.values())]
        # what came early in the window counts from the sync before, which may lie before it
        earliest = self._parts.clock.now() - 2 * max(windows) * _DAY
        lines = self._timelines(tenant, sources, earliest) if not _TIMED.keys().isdisjoint(levels) else {}
        stopped = {k.name for k in self._parts.controls.kills(tenant.id) if k.kind == "source"}
        out = []
        for level in levels:
            if level == CITATIONS:
                objective = objectives.get((level, EACH))
                out.append(_described(tenant, level, None, objective, self._citations(tenant, objective)))
                continue
            for source in sources:
                objective = objectives.get((level, source.id)) or objectives.get((level, EACH))
                if level == PERMISSIONS:
                    counted = self._permissions(source, self._begin(objective))
                else:
                    counted = self._delays(lines[source.id], level, source, objective)
                if level != FRESHNESS and source.name in stopped:
                    counted.unread = None  # nothing of it is answered anyway
                out.append(_described(tenant, level, source, objective, counted))
        return out

    def _begin(self, objective: Objective | None) -> int:
        return self._parts.clock.now() - (objective.days if objective else _DAYS) * _DAY

    def _delays(self, line: _Timeline, level: str, source: Source, objective: Objective | None) -> Counted:
        now, begin, counted = self._parts.clock.now(), self._begin(objective), Counted()
        within = (objective.within if objective else _MOST_SECONDS) * MICROSECONDS
        for run, started in line.changed:
            if started >= begin:
                change = self._rows.changes(run, _TIMED[level], line.before(started), within)
                counted.total += change.count
                counted.good += change.count - change.late
                if change.count:
                    counted.worst = max(counted.worst or 0, change.worst)
        # a last sync older than all that was looked at is known by its end alone
        last = line.whole[-1] if line.whole else max(line.floor, source.synced_at)
        counted.unread = max(0, now - last)
        return counted

    def _timelines(self, tenant: Tenant, sources: Sequence[Source], begin: int) -> dict[int, _Timeline]:
        """The syncs of ``sources`` from ``begin`` on, by the source's number."""
        lines = {source.id: _Timeline(self._rows.added(source.id)) for source in sources}
        named = {source.name: lines[source.id] for source in sources}
        for run in self._rows.syncs(tenant.id, begin):
            line = named.get(self._synced(run.body))
            if (
                line is None or run.started < line.floor
            ):  # of a source that is gone, though one of its name came back
                continue
            if run.changed:
                line.changed.append((run.run, run.started))
            if run.finished:
                line.whole.append(run.started)
        return lines

    def _synced(self, body: int) -> str:
        """The name of the source that a sync was of; "" where that was erased."""
        try:
            return str(json.loads(self._parts.bodies.get(body))["source"])
        except ErasedError:
            return ""

    def _permissions(self, source: Source, begin: int) -> Counted:
        counted = Counted()
        for event in self._parts.events.of_kind(EventKind.AUDIT_PERFORMED, newest_first=True):
            if event.at < begin:
                break
            if event.tenant == source.tenant and event.facts["action"] == CHECKED:
                body = self._parts.events.body(event)
                if body["source"] == source.id:
                    counted.total += body["checked"]
                    counted.good += body["same"]
        return counted

    def _citations(self, tenant: Tenant, objective: Objective | None) -> Counted:
        counted = Counted()
        last = next(self._parts.events.of_kind(EventKind.BODY_ERASED, newest_first=True), None)
        erased = -1 if last is None else last.position
        if erased != self._erased or len(self._claims) > _REMEMBERED:
            self._erased, self._claims = erased, {}
        for position in self._rows.answers(tenant.id, self._begin(objective), _ANSWERS):
            total, good = self._claims.get(position) or self._counted(position)
            counted.total += total
            counted.good += good
        return counted

    def _counted(self, position: int) -> tuple[int, int]:
        """How many statements the answer at ``position`` makes, and how many of them cite something. Remembered: what is on the
        log stays so, until something is erased."""
        claims: Sequence[Any] = self._parts.events.body(self._parts.events.event(position))["claims"]
        cited = sum(any(c["quote"] for c in claim["citations"]) for claim in claims)
        self._claims[position] = len(claims), cited
        return len(claims), cited


def _check(level: str, within: int, days: int) -> None:
    if level not in LEVELS:
        raise UsageError(f"there is no level {level!r}", f"one of: {', '.join(LEVELS)}")
    if (level in _TIMED) != bool(within) or not 0 <= within <= _MOST_SECONDS:
        hint = "for example --within 1h" if level in _TIMED else "leave --within out"
        raise UsageError(f"{level} {'takes time' if level in _TIMED else 'takes no time'}", hint)
    if not 1 <= days <= _MOST_DAYS:
        raise UsageError(f"{days} days cannot be measured", f"1 to {_MOST_DAYS}")


def _share(percent: str) -> int:
    """Ten-thousandths out of decimal text such as ``99.5``."""
    whole, _, rest = percent.partition(".")
    if whole.isdecimal() and len(whole) <= 3 and len(rest) <= 2 and (not rest or rest.isdecimal()):
        share = int(whole) * 100 + int(rest.ljust(2, "0"))
        if 1 <= share <= _WHOLE:
            return share
    raise UsageError(f"{percent!r} is no share", "a percentage above 0 and up to 100, such as 99.5")


def _event(tenant: int, level: str, source: int, change: str, body: dict[str, Json]) -> Event:
    facts: dict[str, int | str] = {"subject": level, "source": source, "change": change}
    return Event(EventKind.LEVEL_CHANGED, tenant, facts=facts, body=body)


def _told(said: Mapping[str, Any]) -> dict[str, Json]:
    """What a breach says: the figure and what was promised."""
    kept = ("source", "objective", "total", "good", "percent", "worst_seconds", "unread_seconds", "overdue")
    return {name: said[name] for name in kept}


def _described(
    tenant: Tenant, level: str, source: Source | None, objective: Objective | None, counted: Counted
) -> dict[str, Any]:
    bad = counted.total - counted.good
    overdue = bool(
        objective and counted.unread is not None and counted.unread > objective.within * MICROSECONDS
    )
    return {
        "level": level,
        "meaning": LEVELS[level],
        "tenant": tenant.name,
        "tenant_id": tenant.id,
        "source": None if source is None else source.name,
        "source_id": EACH if source is None else source.id,
        "state": _state(objective, counted, overdue=overdue),
        "each": objective is not None and objective.source == EACH,
        "objective": None
        if objective is None
        else {
            "percent": _percent(objective.share, _WHOLE),
            "within_seconds": objective.within or None,
            "days": objective.days,
        },
        "total": counted.total,
        "good": counted.good,
        "percent": _percent(counted.good, counted.total) if counted.total else None,
        "worst_seconds": None if counted.worst is None else counted.worst // MICROSECONDS,
        "unread_seconds": None if counted.unread is None else counted.unread // MICROSECONDS,
        "overdue": overdue,
        "budget_left_percent": None if objective is None else _left(objective, counted.total, bad),
    }


def _percent(part: int, whole: int) -> str:
    """Rounded down: 99.99 is not said to be all."""
    share = part * _WHOLE // whole
    return f"{share // 100}.{share % 100:02}"


def _state(objective: Objective | None, counted: Counted, *, overdue: bool) -> str:
    if objective is None:
        return "open"
    bad = counted.total - counted.good
    if overdue or bad * _WHOLE > (_WHOLE - objective.share) * counted.total:
        return "breached"
    return "unmeasured" if not counted.total and objective.level not in _TIMED else "kept"


def _left(objective: Objective, total: int, bad: int) -> int | None:
    """What is left of the failures that the objective allows, in percent; below 0 there were more."""
    allowed = (_WHOLE - objective.share) * total
    if not allowed:
        return None if not total else 0 if bad else 100
    return 100 - -(-100 * bad * _WHOLE // allowed)
