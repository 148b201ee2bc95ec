"""Sources: register, sync, watch."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from affidavit.adapters.folder import FolderConnector
from affidavit.adapters.jsonl import JsonlConnector
from affidavit.app.wiring import LOCKS, Parts
from affidavit.domain.access import check_name, principal
from affidavit.domain.canonical import Json
from affidavit.domain.errors import BusyError, EmbedderError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.ingest.sync import Sync, SyncReport
from affidavit.ports.connector import Connector, Fault
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.keeping import Keeping
from affidavit.store.people import Tenant
from affidavit.store.shapes import Source

KINDS = ("folder", "jsonl")


def connector(source: Source) -> Connector:
    """The connector of a registered source."""
    if source.kind == "folder":
        return FolderConnector(Path(source.location))
    settings = source.settings
    return JsonlConnector(
        Path(source.location), mapping=settings.get("mapping"), allow=settings.get("allow", ())
    )


class SourceDesk:
    """Registers sources and brings them up to date."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._catalog = parts.catalog

    def add(
        self,
        tenant: Tenant,
        kind: str,
        location: Path,
        name: str,
        mapping: dict[str, str],
        allow: Sequence[str],
    ) -> Source:
        """Register a source. Raises UsageError when it cannot be one."""
        check_name(name, "source name")
        if kind not in KINDS:
            raise UsageError(f"there is no source kind {kind!r}", f"one of: {', '.join(KINDS)}")
        if "/" in name or ":" in name:
            raise UsageError(f"source name {name!r} holds / or :", "choose a name without them")
        place = location.resolve()
        if kind == "folder" and not place.is_dir():
            raise UsageError(f"{place} is not a folder", "give the folder that holds the documents")
        if kind == "jsonl" and not place.is_file():
            raise UsageError(f"{place} is not a file", "give a .jsonl file")
        if kind == "folder" and (mapping or allow):
            raise UsageError(
                "--map and --allow are for jsonl sources", "a folder's rules stand in its access.toml files"
            )
        settings: dict[str, Any] = {"allow": [principal(p) for p in allow]} if allow else {}
        if mapping:
            settings["mapping"] = mapping
        return self._parts.log.write(lambda tx: self._add(tenant, kind, str(place), name, settings, tx))

    def _add(
        self, tenant: Tenant, kind: str, location: str, name: str, settings: dict[str, Any], tx: Transaction
    ) -> Source:
        if self._catalog.source(tenant.id, name) is not None:
            raise UsageError(
                f"there is a source {name!r} already", "choose another --name, or remove it first"
            )
        source = Source(self._catalog.next_source(), tenant.id, name, kind, location, settings, "", 0)
        connector(source)  # a bad mapping is an error now, not at the first sync
        facts: dict[str, int | str] = {"subject": source.id, "change": "added"}
        body: Json = {"name": name, "kind": kind, "location": location, "settings": settings}
        self._catalog.add_source(
            source, tx.append(Event(EventKind.SOURCE_CHANGED, tenant.id, facts=facts, body=body))
        )
        return source

    def all(self, tenant: Tenant) -> list[Source]:
        with self._parts.database.read():
            return self._catalog.sources(tenant.id)

    def get(self, tenant: Tenant, name: str) -> Source:
        """The source called ``name``. Raises UnknownNameError."""
        with self._parts.database.read():
            found = self._catalog.source(tenant.id, name)
            names = ", ".join(s.name for s in self._catalog.sources(tenant.id)) or "none yet"
        if found is None:
            raise UnknownNameError(f"there is no source {name!r} in {tenant.name}", f"known sources: {names}")
        return found

    def remove(self, tenant: Tenant, name: str) -> int:
        """Take a source and all its documents out; how many documents that were."""
        source = self.get(tenant, name)
        with self.locked(source.id, source.name):
            return self._parts.log.write(lambda tx: self._remove(tenant, source, tx))

    def _remove(self, tenant: Tenant, source: Source, tx: Transaction) -> int:
        known = self._catalog.known(source.id)
        for document in known.values():
            facts: dict[str, int | str] = {"subject": document.document, "source": source.id}
            body = {"revision": document.revision}
            position = tx.append(Event(EventKind.DOCUMENT_REMOVED, tenant.id, facts=facts, body=body))
            self._catalog.end_document(document.document, position)
        facts = {"subject": source.id, "change": "removed"}
        position = tx.append(
            Event(EventKind.SOURCE_CHANGED, tenant.id, facts=facts, body={"name": source.name})
        )
        self._catalog.end_source(source.id, position)
        return len(known)

    def sync(
        self, source: Source, progress: Callable[[SyncReport], None] = lambda report: None, run_id: str = ""
    ) -> SyncReport:
        """Bring ``source`` up to date, then write the index. Raises SourceError, BusyError, StoppedError. ``run_id`` names
        the run; "" has one made."""
        progress = self._unless_stopped(source, progress)
        with self.locked(source.id, source.name):
            vectors = self._parts.vectors(self._parts.embedder)
            late: list[Fault] = []
            if vectors is not None:
                try:
                    vectors.fill(reindex=True, live=True)
                    vectors.settle()
                except EmbedderError as error:
                    late.append(Fault("", error.code, error.message, error.hint, hides=False))
            release = self._parts.release()
            run = Run(run_id or new_run_id(self._parts.randomness), source.tenant, "sync", release.digest)
            sync = Sync(
                self._parts.database,
                self._parts.log,
                self._catalog,
                self._parts.clock,
                source,
                connector(source),
                vectors,
                run,
                progress,
                self._barred(source),
                release.chunking,
            )
            report = sync.run()
            late += (
                [Fault("", e.code, e.message, e.hint, hides=False) for e in vectors.rejected]
                if vectors
                else []
            )
            report.faults += [f for f in late if f not in report.faults]
        with self._parts.database.read():
            self._parts.index.persist(self._parts.feed())
        return report

    def _unless_stopped(
        self, source: Source, progress: Callable[[SyncReport], None]
    ) -> Callable[[SyncReport], None]:
        """``progress`` that ends the sync once the source is stopped. Raises StoppedError if it is already."""

        def step(report: SyncReport) -> None:
            self.check_running(source)
            progress(report)

        self.check_running(source)
        return step

    def check_running(self, source: Source) -> None:
        """Raise StoppedError if ``source`` may not be read now."""
        for kill in self._parts.controls.kills(source.tenant):
            if kill.whole or (kill.kind, kill.name) == ("source", source.name):
                raise kill.error()

    def _barred(self, source: Source) -> Callable[[str], bool]:
        """Whether an item of ``source`` was erased and not let in again."""
        with self._parts.database.read():
            marks = Keeping(self._parts.database).barred(source.tenant)
        return lambda name: (
            bool(marks) and self._parts.mark("document", source.tenant, source.name, name) in marks
        )

    def watch(self, source: Source) -> Iterator[None]:
        """Yields whenever ``source`` may have changed. Raises UsageError if it cannot be watched."""
        port = connector(source)
        if not port.capabilities.watch:
            raise UsageError(f"a {source.kind} source cannot be watched", "sync it on a schedule instead")
        return port.watch()

    @contextmanager
    def locked(self, source: int, name: str) -> Iterator[None]:
        """One sync a source, over all processes; the lock goes with the process that held it."""
        folder = self._parts.folder / LOCKS
        folder.mkdir(exist_ok=True)
        with (folder / f"source-{source}.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise BusyError(
                    f"source {name!r} is being synced by process {holder}", "wait until it is done"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def describe(source: Source) -> dict[str, Any]:
    """A source for ``--json``."""
    return {
        "name": source.name,
        "kind": source.kind,
        "location": source.location,
        "settings": json.loads(json.dumps(source.settings)),
        "synced_at": source.synced_at,
    }
