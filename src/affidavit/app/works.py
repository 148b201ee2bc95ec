"""Work that takes longer than anybody waits for: begun from afar, done in a thread of its own, told of on the log.

One at a time of the same thing, over all processes. What was cut off (the process died, or was told to stop before it was done)
is known to be: nothing says how it ended, and nobody holds its lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from affidavit.app.alone import Alone, Held
from affidavit.app.noting import note, noted
from affidavit.app.sources import SourceDesk
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    InProgressError,
    OverloadedError,
    StoppedError,
)
from affidavit.events.read import ErasedBody, Recorded
from affidavit.ingest.sync import SyncReport
from affidavit.store.people import Tenant

BEGAN, ENDED = "work.began", "work.ended"
SYNC = "sync"
MOST = 2
"""Pieces of work of one tenant at a time, in each process: each holds a thread."""
_WORDS = frozenset({BEGAN, ENDED})
_FAULTS = 200
_AFTER = 30
Do = Callable[[Callable[[], None]], dict[str, Json]]
"""Does the work and gives what came of it. Calls what it is given now and then, which raises StoppedError when it is to stop."""


@dataclass
class _Work:
    tenant: int
    thread: threading.Thread | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class WorkDesk:
    """Begins work and tells how it went. ``by`` is who wants it done, who may have it done."""

    def __init__(self, parts: Parts, sources: SourceDesk) -> None:
        self._parts = parts
        self._sources = sources
        self._alone = Alone(parts.folder)
        self._guard = threading.Lock()
        self._works: list[_Work] = []

    # -- what there is to do

    def sync(self, tenant: Tenant, name: str, by: str, run: str) -> int:
        """Bring the source ``name`` up to date, as the run ``run``; the position at which that began.

        Raises UnknownNameError, StoppedError, InProgressError while it is being done, OverloadedError.
        """
        source = self._sources.get(tenant, name)
        self._sources.check_running(source)

        def do(check: Callable[[], None]) -> dict[str, Json]:
            def progress(report: SyncReport) -> None:
                check()

            report = self._sources.sync(source, progress, run)
            faults = [
                {"name": f.name, "code": f.code, "message": f.message, "hint": f.hint}
                for f in report.faults[:_FAULTS]
            ]
            return {"counts": dict(report.counts()), "drained": report.drained, "faults": list(faults)}

        return self._begin(tenant, _lock(source.id), {"kind": SYNC, "source": name, "run": run}, by, do)

    def syncing(self, source: int) -> bool:
        """Whether the source numbered so is being brought up to date by a server."""
        return self._alone.taken(_lock(source))

    # -- doing it

    def _begin(self, tenant: Tenant, lock: str, what: dict[str, Json], by: str, do: Do) -> int:
        work = self._place(tenant)
        held = None
        try:
            held = self._taken(lock)
            position = note(self._parts, tenant, BEGAN, by, {**what, "lock": lock})
            given = (work, held, tenant, position, by, do)
            work.thread = threading.Thread(target=self._do, args=given, name="affidavit-work", daemon=True)
            work.thread.start()
        except BaseException:
            self._over(work, held)
            raise
        return position

    def _taken(self, lock: str) -> Held:
        held = self._alone.take(lock)
        if held is None:
            raise InProgressError("this is being done already", "wait until it is done: GET /v1/works")
        return held

    def _place(self, tenant: Tenant) -> _Work:
        with self._guard:
            if sum(work.tenant == tenant.id for work in self._works) >= MOST:
                raise OverloadedError(
                    f"{MOST} pieces of work of your organisation are being done",
                    "wait until one is done: GET /v1/works",
                    _AFTER,
                    by_caller=True,
                )
            work = _Work(tenant.id)
            self._works.append(work)
        return work

    def _over(self, work: _Work, held: Held | None) -> None:
        if held is not None:
            held.release()
        with self._guard:
            self._works.remove(work)

    def _do(self, work: _Work, held: Held, tenant: Tenant, began: int, by: str, do: Do) -> None:
        def check() -> None:
            if work.stop.is_set():
                raise StoppedError(
                    "the server was told to stop", "begin it again: what was done until then is kept"
                )

        what: dict[str, Json] = {"began": began}
        try:
            try:
                what |= {"ok": True, **do(check)}
            except AffidavitError as error:
                what |= {"ok": False, "code": error.code, "error": error.message, "hint": error.hint}
            note(self._parts, tenant, ENDED, by, what)
        finally:
            self._over(work, held)

    def wait(self, seconds: float | None = None) -> None:
        """Until what goes on now is over, ``seconds`` at most for each."""
        with self._guard:
            threads = [work.thread for work in self._works if work.thread is not None]
        for thread in threads:
            thread.join(seconds)

    def close(self, seconds: float | None = None) -> None:
        """Have what goes on stop where it can be gone on with, and wait for it, ``seconds`` at most."""
        with self._guard:
            for work in self._works:
                work.stop.set()
        self.wait(seconds)

    # -- how it went

    def show(self, tenant: Tenant, position: int) -> dict[str, Any]:
        """What began at ``position``: its state, what came of it, and its events. Raises AccessDeniedError."""
        found = next((one for one in self.newest(tenant, 1, position + 1) if one["work"] == position), None)
        if found is None:
            raise AccessDeniedError(f"there is no work {position}", "list them: /v1/works")
        return found

    def newest(self, tenant: Tenant, limit: int, before: int) -> list[dict[str, Any]]:
        """Work that began below position ``before``, the newest first."""
        found: list[dict[str, Any]] = []
        ended: dict[int, tuple[Recorded, Any]] = {}
        newer: set[str] = set()
        held: dict[str, bool] = {}
        with self._parts.database.read():
            for event, body in noted(self._parts, tenant, _WORDS):
                if len(found) == limit:
                    break
                if isinstance(body, ErasedBody):
                    continue
                if event.facts["action"] == ENDED:
                    ended[body["began"]] = event, body
                    continue
                lock = body["lock"]
                if event.position < before:
                    end = ended.get(event.position)
                    # of two that did not end only the newer can be going on
                    if end is None and lock not in newer and lock not in held:
                        held[lock] = self._alone.taken(lock)
                    going_on = end is None and lock not in newer and held[lock]
                    found.append(_told(event, body, end, going_on=going_on))
                newer.add(lock)
        return found


def _told(
    event: Recorded, body: dict[str, Any], end: tuple[Recorded, Any] | None, *, going_on: bool
) -> dict[str, Any]:
    said = end[1] if end else {}
    state = "running" if going_on else "lost"
    if end is not None:
        state = "done" if said["ok"] else "failed"
    events = [(BEGAN, event)] + ([(ENDED, end[0])] if end else [])
    return {
        "work": event.position,
        "kind": body["kind"],
        "source": body["source"],
        "run": body["run"],
        "by": body["by"],
        "at": instant(event.at),
        "state": state,
        "code": said.get("code", ""),
        "error": said.get("error", ""),
        "hint": said.get("hint", ""),
        "counts": said.get("counts", {}),
        "drained": said.get("drained", False),
        "faults": said.get("faults", []),
        "items": [{"kind": kind, "position": e.position, "at": instant(e.at)} for kind, e in events],
        "ended": state != "running",
    }


def _lock(source: int) -> str:
    return f"sync-{source}"
