"""What leaves the house as evidence: a run's bundle, and the population of all runs of a time.

A bundle shows its reader no more than ``run show`` does. An asker's holds their question and what they were given; the steps
between, and whether anything was denied, are an auditor's. Each export is itself on the log before its file is there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from affidavit.app.proofs import ProofDesk, encoded
from affidavit.app.runs import RunDesk
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json, canonical, sha256
from affidavit.domain.errors import AccessDeniedError, UsageError, WorkspaceError
from affidavit.domain.events import Event, EventKind
from affidavit.events.evidence import Entry, Evidence, Head
from affidavit.offline.verify_affidavit import (
    ASKER,
    ASKER_KINDS,
    AUDITOR,
    BUNDLE,
    POPULATION,
    instant,
    render_page,
)
from affidavit.store.people import Tenant

_GIVEN = ("run.started", "answer.released")  # whose texts an asker may see; what a step took is for auditors


@dataclass(frozen=True)
class Exported:
    """What was written: which format, how many events, and the file's SHA-256."""

    what: str
    events: int
    digest: str
    runs: int = 1


class ExportDesk:
    """Writes evidence for readers who may have it."""

    def __init__(self, parts: Parts, proofs: ProofDesk) -> None:
        self._parts = parts
        self._proofs = proofs
        self._evidence: Evidence = proofs.evidence
        self._runs = RunDesk(parts)

    # -- the bundle of a run

    def bundle(
        self,
        tenant: Tenant,
        run: str,
        principal: str | None,
        *,
        audit: bool = False,
        own: bool = False,
        since: Sequence[int] = (),
    ) -> dict[str, Any]:
        """The bundle of ``run`` for ``principal``, without writing or recording anything.

        ``principal`` None is the operator at the machine, who gets the asker's view unless ``audit``; with ``own`` an auditor
        gets it too, of their own runs. ``since`` are sizes of
        checkpoints that the reader kept: the bundle then proves that it is the same history. Raises AccessDeniedError for an
        unknown run and for one the reader may not see, alike.
        """
        with self._parts.database.read():
            entries, view = self._permitted(tenant, run, principal, audit, own)
            head = self._evidence.newest()
            shown = [e for e in entries if view == AUDITOR or _kind(e) in ASKER_KINDS]
            value: dict[str, Any] = {
                "format": BUNDLE,
                "key": self._proofs.key(),
                "checkpoint": head.note,
                "run": run,
                "view": view,
                "events": [self._event(entry, head, view) for entry in shown],
                "release": self._release(entries[0]),
                "consistency": [self._growth(size, head) for size in sorted(set(since))],
            }
        value["page"] = render_page(value)
        value["seal"] = self._parts.signer.seal(BUNDLE, sha256(canonical(value)))
        return value

    def export(
        self,
        tenant: Tenant,
        run: str,
        path: Path,
        principal: str | None,
        *,
        audit: bool = False,
        since: Sequence[int] = (),
        page: Path | None = None,
    ) -> Exported:
        """Write ``bundle`` to ``path``, and its page to ``page``."""
        value = self.bundle(tenant, run, principal, audit=audit, since=since)
        data = canonical(value)
        done = Exported("bundle", len(value["events"]), sha256(data))
        with _whole(path) as file:
            file.write(data)
            self._record(tenant.id, done, {"by": principal or "operator", "run": run, "view": value["view"]})
        if page is not None:
            with _whole(page) as file:
                file.write(value["page"].encode())
        return done

    def give(
        self, tenant: Tenant, run: str, principal: str, since: Sequence[int] = (), *, own: bool = False
    ) -> tuple[bytes, Exported, str]:
        """``bundle`` as the bytes of its file, and whose view it holds; on record before it is given. Raises as ``bundle``."""
        value = self.bundle(tenant, run, principal, own=own, since=since)
        data = canonical(value)
        done = Exported("bundle", len(value["events"]), sha256(data))
        self._record(tenant.id, done, {"by": principal, "run": run, "view": value["view"]})
        return data, done, value["view"]

    def _permitted(
        self, tenant: Tenant, run: str, principal: str | None, audit: bool, own: bool
    ) -> tuple[list[Entry], str]:
        entries = self._evidence.of_run(run) if run.isascii() else []
        auditor = audit if principal is None else not own and self._runs.may_audit(tenant, principal)
        started = self._started(entries[0]) if entries else {}
        mine = principal is None or started.get("principal") == principal
        if not entries or entries[0].tenant != tenant.id or not (mine or auditor):
            raise AccessDeniedError(
                f"there is no run {run} that you may see", "`affidavit run list` shows yours"
            )
        return entries, AUDITOR if auditor else ASKER

    def _started(self, entry: Entry) -> dict[str, Any]:
        opened = self._evidence.opened(entry, json.loads(entry.header).get("body", ""))
        body: Any = json.loads(opened[1]) if opened is not None else {}
        return body if isinstance(body, dict) else {}

    def _event(self, entry: Entry, head: Head, view: str) -> dict[str, Any]:
        may = view == AUDITOR or _kind(entry) in _GIVEN
        return {
            "position": entry.position,
            "header": entry.header.decode(),
            "body": self._text(entry) if may else None,
            "proof": encoded(self._evidence.inclusion(entry, head)),
        }

    def _text(self, entry: Entry) -> dict[str, str] | None:
        opened = self._evidence.opened(entry, json.loads(entry.header).get("body", ""))
        return None if opened is None else {"salt": opened[0].hex(), "data": opened[1].decode()}

    def _release(self, started: Entry) -> str:
        digest = json.loads(started.header)["facts"]["release"]
        return canonical(self._parts.release_named(digest).content).decode()

    def _growth(self, size: int, head: Head) -> dict[str, Any]:
        before, proof = self._evidence.growth(size, head)
        (root,) = encoded([before.root])
        return {"size": size, "root": root, "proof": encoded(proof)}

    # -- the population of an interval

    def population(
        self,
        path: Path,
        start: int,
        end: int,
        tenant: Tenant | None,
        principal: str | None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Exported:
        """Write every run that began from ``start`` up to ``end`` (microseconds, exclusive), and the proof that none is missing.

        ``tenant`` None is the whole log. Raises AccessDeniedError unless ``principal`` is None (the operator) or may audit.
        """
        if principal is not None and (tenant is None or not self._may_audit(tenant, principal)):
            raise AccessDeniedError(
                "there is nothing here that you may export",
                "an export of everybody's runs needs the grant audit:read: affidavit people grant WHO audit:read",
            )
        if start >= end:
            raise UsageError("the interval is empty", "--from is its first day, --to its last")
        subject = 0 if tenant is None else tenant.id
        with _whole(path) as file:
            with self._parts.database.read():
                done = _Population(self._parts, self._evidence, file, subject, progress).write(start, end)
            by: dict[str, Json] = {"by": principal or "operator", "from": start, "to": end}
            self._record(subject, done, by)
        return done

    def _may_audit(self, tenant: Tenant, principal: str) -> bool:
        with self._parts.database.read():
            return self._runs.may_audit(tenant, principal)

    def _record(self, tenant: int, done: Exported, body: dict[str, Json]) -> None:
        facts: dict[str, int | str] = {"what": done.what, "events": done.events}
        event = Event(
            EventKind.AUDIT_EXPORTED,
            tenant,
            facts=facts,
            body={**body, "digest": done.digest, "runs": done.runs},
        )
        self._parts.log.write(lambda tx: tx.append(event))


class _Population:
    """Writes one population. The offline verifier works the same lines out again from the events."""

    def __init__(
        self,
        parts: Parts,
        evidence: Evidence,
        file: BinaryIO,
        tenant: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self._parts = parts
        self._evidence = evidence
        self._file = file
        self._tenant = tenant
        self._progress = progress
        self._digest = hashlib.sha256()
        self._runs: dict[str, dict[str, Any]] = {}
        self._withheld = 0

    def write(self, start: int, end: int) -> Exported:
        head = self._evidence.newest()
        first, stop = self._evidence.positions_between(start, end, head.size)
        outer, beyond = max(first - 1, 0), min(stop + 1, head.size)  # the events just outside show the edges
        _, right = self._evidence.growth(beyond, head)
        self._line(
            "head",
            {
                "format": POPULATION,
                "key": self._parts.signer.verifier(),
                "checkpoint": head.note,
                "from": start,
                "to": end,
                "tenant": self._tenant,
                "first": outer,
                "stop": beyond,
                "left": encoded(self._evidence.frontier(outer)),
                "right": encoded(right),
            },
        )
        for entry in self._evidence.between(outer, beyond):
            self._line("event", self._event(entry, first <= entry.position < stop))
            if entry.position % 1000 == 0:
                self._progress(entry.position - outer, beyond - outer)
        return self._end(beyond - outer)

    def _event(self, entry: Entry, inside: bool) -> dict[str, Any]:
        if self._tenant and entry.tenant not in (0, self._tenant):
            self._withheld += 1
            return {"position": entry.position, "leaf": entry.leaf.hex()}
        header = json.loads(entry.header)
        body = None
        if inside and header["kind"] == EventKind.RUN_STARTED.value:
            opened = self._evidence.opened(entry, header.get("body", ""))
            body = None if opened is None else {"salt": opened[0].hex(), "data": opened[1].decode()}
            self._started(entry, header, {} if opened is None else json.loads(opened[1]))
        elif inside and header["kind"] == EventKind.RUN_FINISHED.value and header["run"] in self._runs:
            self._runs[header["run"]].update(finished=entry.position, status=header["facts"]["status"])
        return {"position": entry.position, "header": entry.header.decode(), "body": body}

    def _started(self, entry: Entry, header: dict[str, Any], said: dict[str, Any]) -> None:
        self._runs[header["run"]] = {
            "run": header["run"],
            "tenant": entry.tenant,
            "position": entry.position,
            "finished": None,
            "at": instant(header["at"]),
            "journey": header["facts"]["journey"],
            "who": said.get("principal"),
            "status": "unfinished",
            "release": header["facts"]["release"],
        }

    def _end(self, events: int) -> Exported:
        days: dict[str, int] = {}
        for run in self._runs.values():
            days[run["at"][:10]] = days.get(run["at"][:10], 0) + 1
            self._line("run", run)
        end = {"days": days, "runs": len(self._runs), "events": events, "withheld": self._withheld}
        self._line("end", end)
        self._line("seal", self._parts.signer.seal(POPULATION, self._digest.hexdigest()))
        return Exported("population", events, self._digest.hexdigest(), len(self._runs))

    def _line(self, name: str, value: Any) -> None:
        line = canonical({name: value}) + b"\n"
        self._digest.update(line)
        self._file.write(line)


def _kind(entry: Entry) -> str:
    return str(json.loads(entry.header)["kind"])


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is whole and on the disk, or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            part.chmod(0o600)  # texts are in there
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror}", "choose another file") from error
    finally:
        part.unlink(missing_ok=True)
