"""Drills that were begun from afar: each on a copy, in the background, its report on the log."""

from __future__ import annotations

import threading
from typing import Any

from affidavit.app.alone import Alone, Held
from affidavit.app.authority import authorise
from affidavit.app.drills.desk import DrillDesk, Orders
from affidavit.app.noting import note, noted
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.errors import AffidavitError, BusyError
from affidavit.domain.records import FOREVER
from affidavit.store.people import Tenant

RUN = "drill:run"
BEGAN, RAN = "drill.began", "drill.ran"
_WORDS = frozenset({BEGAN, RAN})


class DrillBook:
    """Begins drills and tells how they went. One at a time: each takes a copy of the workspace."""

    def __init__(self, parts: Parts, drills: DrillDesk) -> None:
        self._parts = parts
        self._drills = drills
        self._alone = Alone(parts.folder)
        self.threads: list[threading.Thread] = []

    def all(self) -> list[dict[str, Any]]:
        """Every drill there is, and what it puts to the test."""
        return [
            {"drill": d.name, "breaks": d.breaks, "promises": [p.text for p in d.promises]}
            for d in self._drills.all()
        ]

    def begin(self, tenant: Tenant, name: str, by: str) -> int:
        """Run the drill ``name`` in the background; the position at which it began.

        Raises AccessDeniedError, UsageError for a drill that there is not, BusyError while another one runs.
        """
        by, drill = authorise(self._parts, tenant, by, RUN), self._drills.named(name)
        held = self._alone.take(_lock(tenant))
        if held is None:
            raise BusyError("a drill is running", "wait until it is done; each takes a copy")
        try:
            position = note(self._parts, tenant, BEGAN, by, {"drill": drill.name})
            thread = threading.Thread(
                target=self._hold,
                args=(held, tenant, drill.name, by, position),
                name="affidavit-drill",
                daemon=True,
            )
            thread.start()
        except BaseException:
            held.release()
            raise
        self.threads = [t for t in self.threads if t.is_alive()] + [thread]
        return position

    def _hold(self, held: Held, tenant: Tenant, name: str, by: str, began: int) -> None:
        try:
            self._run(tenant, name, by, began)
        finally:
            held.release()

    def _run(self, tenant: Tenant, name: str, by: str, began: int) -> None:
        what: dict[str, Json] = {"drill": name, "began": began}
        try:
            outcomes = self._drills.run([self._drills.named(name)], Orders(tenant=tenant.name))
            what |= {"ok": outcomes.ok, "report": _recorded(outcomes.reports[0].as_json())}
        except AffidavitError as error:
            what |= {"ok": False, "error": error.message, "hint": error.hint}
        note(self._parts, tenant, RAN, by, what)

    def newest(
        self, tenant: Tenant, limit: int, before: int = FOREVER, *, watched: bool = False
    ) -> list[dict[str, Any]]:
        """How drills went that began below position ``before``, the newest first. What people were given meanwhile is in it
        only with ``watched``."""
        going_on = self._alone.taken(
            _lock(tenant)
        )  # before the snapshot: what ends meanwhile is lost to nobody
        newest = True
        found: list[dict[str, Any]] = []
        ended: dict[int, Any] = {}
        with self._parts.database.read():
            for event, body in noted(self._parts, tenant, _WORDS):
                if len(found) == limit:
                    break
                if event.facts["action"] == RAN:
                    ended[body["began"]] = event, body
                    continue
                # of two that did not end only the newer can be going on
                running, newest = newest and going_on, False
                if event.position >= before:
                    continue
                finished, said = ended.get(event.position, (None, {}))
                ok = "kept" if said.get("ok") else "broken"
                found.append(
                    {
                        "position": event.position,
                        "drill": body["drill"],
                        "by": body["by"],
                        "at": instant(event.at),
                        "state": ok if finished else "running" if running else "lost",
                        "error": said.get("error", ""),
                        "report": _shown(said.get("report"), watched=watched),
                    }
                )
        return found


def _lock(tenant: Tenant) -> str:
    return f"drill-{tenant.id}"


def _recorded(value: Any) -> Any:
    """``value`` as the log takes it: seconds, which are fractions, as text."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return {k: _recorded(v) for k, v in value.items()}
    return [_recorded(v) for v in value] if isinstance(value, list) else value


def _shown(report: Any, *, watched: bool) -> Any:
    if not report:
        return None
    return {k: v for k, v in report.items() if k != "kept_at" and (watched or k not in ("watched", "notes"))}
