"""How good a source is, and whether what is held of it agrees with the source itself. For the operator at the machine."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.app.authority import OPERATOR, is_operator
from affidavit.app.levels import CHECKED
from affidavit.app.sources import SourceDesk, connector, describe
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.ports.connector import Connector
from affidavit.store.levels import Levels
from affidavit.store.people import Tenant
from affidavit.store.quality import Quality
from affidavit.store.shapes import Source

SAMPLE, _MOST = 100, 100_000
_LISTED = 50
_SEED_BYTES = 16


@dataclass(frozen=True)
class Drift:
    """A document of which the source says something else. ``how``: ``too_wide`` where somebody could read it here whom the
    source keeps out, ``too_narrow`` the other way round, ``both``, ``gone`` where the source no longer has it or cannot
    say."""

    document: str
    how: str


class QualityDesk:
    """Shows a source's figures, and checks it."""

    def __init__(self, parts: Parts, sources: SourceDesk) -> None:
        self._parts = parts
        self._sources = sources
        self._rows = Quality(parts.database)

    def show(self, tenant: Tenant, name: str) -> dict[str, Any]:
        """What a source is and how good it is. Raises UnknownNameError."""
        source = self._sources.get(tenant, name)
        now = self._parts.clock.now()
        with self._parts.database.read():
            counts = self._rows.counts(source.id, now)
            same = self._rows.duplicates(source.id)
            sync = self._last_sync(tenant, source)
            elsewhere = self._rows.elsewhere(tenant.id, source.id)
            owners, ranks = (self._rows.by(source.id, column) for column in ("owner", "rank"))
            classes = self._rows.by(source.id, "classification")
        total = counts["documents"] or 0
        unparsed = [f for f in sync["faults"] if f["name"] and f["hides"] and f["code"] != "no_rule"]
        listed = total + len(unparsed)
        return {
            **describe(source),
            "synced": instant(source.synced_at) if source.synced_at else None,
            "documents": total,
            "owners": owners,
            "classifications": classes,
            "ranks": ranks,
            "deprecated": counts["deprecated"],
            "currency": {
                "percent": _percent(total - (counts["stale"] or 0), total),
                "stale": counts["stale"],
                "with_limit": counts["limited"],
                "with_time": counts["with_time"],
                "oldest": _moment(counts["oldest"]),
                "newest": _moment(counts["newest"]),
            },
            "completeness": {
                "percent": _percent(total, listed),
                "with_owner": counts["with_owner"],
                "with_title": counts["with_title"],
                "without_text": counts["without_text"],
                "readable_by_nobody": counts["nobody"],
            },
            "duplicates": {
                "documents": len(same),
                "in_other_sources": elsewhere,
                "listed": [{"document": one, "same_as": first} for one, first in same[:_LISTED]],
            },
            "unparsed": {
                "files": len(unparsed),
                "listed": [{k: f[k] for k in ("name", "code", "message")} for f in unparsed[:_LISTED]],
            },
        }

    def _last_sync(self, tenant: Tenant, source: Source) -> Mapping[str, Any]:
        """What the last whole sync of ``source`` put on record, empty before the first."""
        events, levels = self._parts.events, Levels(self._parts.database)
        for run in reversed(levels.syncs(tenant.id, 0)):
            step = levels.last_step(run.run) if run.finished else -1
            said = events.body(events.event(step)) if step >= 0 else {"input": {}}
            if said["input"].get("source") == source.name:
                found: Mapping[str, Any] = said["output"]
                return found
        return {"faults": []}

    # -- against the source itself

    def check(self, tenant: Tenant, name: str, by: str, sample: int = SAMPLE) -> dict[str, Any]:
        """Ask the source again who may read ``sample`` documents, drawn so that nobody can tell which, and put what comes out on
        record. Nothing is changed: a sync is what brings a difference in. Raises SourceError, StoppedError."""
        if not 1 <= sample <= _MOST:
            raise UsageError(f"--sample {sample} is not between 1 and {_MOST}", "for example --sample 100")
        if not is_operator(by):
            raise UsageError(f"{by!r} cannot check a source", f"say who you are: --by {OPERATOR}NAME")
        source = self._sources.get(tenant, name)
        self._sources.check_running(source)
        with self._parts.database.read():
            known = self._parts.catalog.known(source.id)
            rules = self._parts.catalog.rules(tenant.id)
        drawn = self._drawn(sorted(known), sample)
        drift = compared(connector(source), {n: rules[known[n].rule] for n in drawn})
        found: dict[str, Any] = {
            "documents": len(known),
            "checked": len(drawn),
            "same": len(drawn) - len(drift),
            **{how: sum(d.how == how for d in drift) for how in ("too_wide", "too_narrow", "both", "gone")},
        }
        listed: Json = [vars(d) for d in drift[:_LISTED]]
        body: dict[str, Json] = {"source": source.id, "name": source.name, "by": by, **found, "drift": listed}
        event = Event(EventKind.AUDIT_PERFORMED, tenant.id, facts={"action": CHECKED}, body=body)
        position = self._parts.log.write(lambda tx: tx.append(event))
        return {"source": source.name, "position": position, **found, "drift": [vars(d) for d in drift]}

    def _drawn(self, names: Sequence[str], sample: int) -> list[str]:
        seed = int.from_bytes(self._parts.randomness.token(_SEED_BYTES))
        chance = random.Random(seed)  # noqa: S311  # seeded with what cannot be guessed
        return sorted(chance.sample(names, min(sample, len(names))))


def compared(port: Connector, held: Mapping[str, AccessRule]) -> list[Drift]:
    """Where the source's rules differ from those that are ``held``, by document. Contents are not read. Raises SourceError."""
    left = dict(held)
    drift = []
    for page in port.changes(""):
        for item in page.items:
            if item.name in left:
                how = _difference(left.pop(item.name), item.governance.access)
                if how:
                    drift.append(Drift(item.name, how))
    drift += [Drift(name, "gone") for name in left]
    return sorted(drift, key=lambda d: d.document)


def _difference(held: AccessRule, said: AccessRule) -> str:
    if held == said:
        return ""
    inside, around = held.within(said), said.within(held)
    if inside and around:
        return ""  # written otherwise, and the same people
    return "too_narrow" if inside else "too_wide" if around else "both"


def _percent(part: int, whole: int) -> int | None:
    return part * 100 // whole if whole else None


def _moment(at: int | None) -> str | None:
    return None if at is None else instant(at)
