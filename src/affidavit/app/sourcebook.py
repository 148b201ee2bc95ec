"""Sources for whoever looks after them: how fresh, how many documents, what the last syncs said."""

from __future__ import annotations

from itertools import islice
from typing import Any

from affidavit.app.sources import SourceDesk
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.events import EventKind
from affidavit.events.read import Recorded
from affidavit.store.people import Tenant
from affidavit.store.runs import Runs, Wanted
from affidavit.store.shapes import Source

_SYNCS, _LOOKED_AT = 12, 200
"""Syncs of a source that are told of, among so many of the newest: a page must not read the whole log."""


class SourceBook:
    """Tells of sources. Paths of this machine are left out: they are nobody's business over the network."""

    def __init__(self, parts: Parts, sources: SourceDesk) -> None:
        self._parts = parts
        self._sources = sources
        self._runs = Runs(parts.database)

    def all(self, tenant: Tenant) -> list[dict[str, Any]]:
        """Every source with its figures and its last sync."""
        with self._parts.database.read():
            syncs = self._syncs(tenant)
            return [self._told(s, syncs.get(s.name, [])) for s in self._parts.catalog.sources(tenant.id)]

    def show(self, tenant: Tenant, name: str) -> dict[str, Any]:
        """One source with its newest syncs. Raises UnknownNameError."""
        source = self._sources.get(tenant, name)
        with self._parts.database.read():
            found = self._syncs(tenant).get(name, [])
            return {**self._told(source, found), "syncs": found[:_SYNCS]}

    def _told(self, source: Source, syncs: list[dict[str, Any]]) -> dict[str, Any]:
        parts = self._parts
        known = parts.catalog.known(source.id)
        rules = parts.catalog.rules_by_id({k.rule for k in known.values()})
        nobody = sum(not rules[k.rule].layers for k in known.values() if k.rule in rules)
        stopped = next(
            (
                k.reason
                for k in parts.controls.kills(source.tenant)
                if k.whole or k.what == f"source:{source.name}"
            ),
            "",
        )
        return {
            "name": source.name,
            "kind": source.kind,
            "synced": instant(source.synced_at) if source.synced_at else None,
            "age": parts.clock.now() - source.synced_at if source.synced_at else None,
            "documents": len(known),
            "readable_by_nobody": nobody,
            "stopped": stopped,
            "faults": syncs[0]["faults"] if syncs else [],
        }

    def _syncs(self, tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
        """The newest syncs of each source."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in islice(self._runs.newest(Wanted(tenant.id, journey="sync")), _LOOKED_AT):
            event = self._parts.events.event(row.position)
            name = (self._parts.events.body(event) or {}).get("source", "")
            mine = found.setdefault(str(name), [])
            if len(mine) < _SYNCS:
                mine.append(self._sync(event))
        return found

    def _sync(self, started: Recorded) -> dict[str, Any]:
        events = self._parts.events.of_run(started.run)
        said: Json = {}
        for event in reversed(events):
            if event.kind is EventKind.STEP_RECORDED and event.facts["name"] == "sync":
                said = (self._parts.events.body(event) or {}).get("output") or {}
                break
        ended = next((e for e in reversed(events) if e.kind is EventKind.RUN_FINISHED), None)
        found = said if isinstance(said, dict) else {}
        return {
            "run": started.run,
            "at": instant(started.at),
            "took": None if ended is None else ended.at - started.at,
            "counts": found.get("counts", {}),
            "faults": found.get("faults", []),
        }
