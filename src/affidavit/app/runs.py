"""The story of a run, told twice: to the asker what they were given, to an auditor everything.

The asker's view obeys noninterference too: it is built only from what was given and from the hits they could read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from affidavit.app.callstory import of_run
from affidavit.app.recorded import recorded_run, unfinished_answer
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.errors import AccessDeniedError
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER, Scope
from affidavit.domain.tools import CALL, CallState
from affidavit.events.read import ErasedBody, Recorded
from affidavit.policy.scope import decide_read
from affidavit.store.people import Tenant
from affidavit.store.runs import RunRow, Runs, Wanted

AUDIT = "audit:read"
_WITHHELD = 10
_LOOKED_AT = 1_000
_FIRST, _TOGETHER = 60, 250
_OPEN = ("waiting", "unfinished")


@dataclass(frozen=True)
class RunFilter:
    """Which runs to list; what is empty does not matter. ``text`` is sought in questions; times in microseconds, both in."""

    journey: str = ""
    status: str = ""
    principal: str = ""
    text: str = ""
    since: int = 0
    until: int = FOREVER

    def says(self, body: Mapping[str, Any]) -> bool:
        """Whether the question that a run began with holds the words: the list of runs cannot tell that by itself."""
        if not self.text:
            return True
        asked = body.get("question")
        return isinstance(asked, str) and self.text.casefold() in asked.casefold()


@dataclass(frozen=True)
class RunPage:
    """Some runs; ``before`` is where the next page begins, None after the last."""

    items: list[dict[str, Any]]
    before: int | None


class RunDesk:
    """Lists and shows runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._events = parts.events
        self._list = Runs(parts.database)

    def may_audit(self, tenant: Tenant, principal: str) -> bool:
        """Whether ``principal`` may see other people's runs and what was denied."""
        head = self._parts.log.head()
        who = self._parts.scopes.identify(tenant.id, principal, head)
        return bool(who.principals & self._parts.people.holders(tenant.id, AUDIT, head))

    def newest(self, tenant: Tenant, principal: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest runs first: a person sees their own, an auditor and the operator (None) all of the tenant."""
        return self.page(tenant, principal, limit).items

    def page(
        self,
        tenant: Tenant,
        principal: str | None,
        limit: int,
        wanted: RunFilter | None = None,
        before: int = FOREVER,
        *,
        own: bool = False,
    ) -> RunPage:
        """Up to ``limit`` runs that began before position ``before``, the newest first, and where the next page begins.

        With ``own`` theirs alone, though they may audit: what they proved themselves by may be good for less than they are.

        A search for words looks at so many runs a page and no more: the page may be short, and still not the last.
        """
        wanted = wanted or RunFilter()
        with self._parts.database.read():
            everything = principal is None or (not own and self.may_audit(tenant, principal))
            who = wanted.principal or None if everything else principal
            if not everything and wanted.principal not in ("", principal):
                return RunPage([], None)
            since = self._parts.log.position_at(wanted.since - 1) + 1
            until = min(before, self._parts.log.position_at(wanted.until) + 1)
            status = "" if wanted.status in _OPEN else wanted.status or None
            rows = self._list.newest(Wanted(tenant.id, who, wanted.journey, status, since, until))
            return self._taken(rows, limit, who, wanted)

    def _taken(self, rows: Iterator[RunRow], limit: int, who: str | None, wanted: RunFilter) -> RunPage:
        """``rows`` as far as they fit a page. Each is looked up in the log: whose a run is, the list alone does not decide."""
        items: list[dict[str, Any]] = []
        last = FOREVER
        for looked_at, (row, event, body) in enumerate(self._begun(rows)):
            if len(items) == limit or looked_at >= _LOOKED_AT:
                return RunPage(items, last)
            last = row.position
            if (who is None or body.get("principal") == who) and wanted.says(body):
                line = _headline(event, body)
                calls = of_run(self._parts, row.run) if not row.status or row.journey == "call" else []
                line["status"] = row.status or _unfinished(calls)
                if calls:
                    line["tool"] = calls[0]["tool"]
                if wanted.status in ("", line["status"]):
                    items.append(line)
        return RunPage(items, None)

    def _begun(self, rows: Iterator[RunRow]) -> Iterator[tuple[RunRow, Recorded, dict[str, Any]]]:
        """Each row with the event that begins its run, read some at a time: few at first, since a page is soon
        full, then more, for a long search."""
        together = _FIRST
        while some := list(islice(rows, together)):
            told = self._events.told([row.position for row in some])
            for row, (event, body) in zip(some, told, strict=True):
                yield row, event, body
            together = _TOGETHER

    def show(
        self, tenant: Tenant, run: str, principal: str | None, *, audit: bool = False, own: bool = False
    ) -> dict[str, Any]:
        """The story of ``run``. Raises AccessDeniedError for an unknown run and for one the reader may not see, alike.

        ``principal`` None is the operator at the machine, who sees the asker's view unless ``audit``; ``own`` as in ``page``.
        """
        with self._parts.database.read():
            events = self._events.of_run(run) if run.isascii() else []
            started = self._events.body(events[0]) if events else {}
            auditor = audit if principal is None else not own and self.may_audit(tenant, principal)
            mine = principal is None or started.get("principal") == principal
            if not events or events[0].tenant != tenant.id or not (mine or auditor):
                raise AccessDeniedError(
                    f"there is no run {run} that you may see", "`affidavit run list` shows yours"
                )
            story = self._asker_view(events, started)
            if auditor:
                story.update(self._auditor_view(tenant, events, started))
            return story

    def _asker_view(self, events: Sequence[Recorded], started: dict[str, Any]) -> dict[str, Any]:
        story = _headline(events[0], started)
        story["release"] = events[0].facts["release"]
        for event in events:
            body: Any = self._events.body(event)
            if event.kind is EventKind.RUN_FINISHED:
                story["status"] = event.facts["status"]
            elif event.kind is EventKind.ANSWER_RELEASED:
                story["given"] = body
            elif event.kind is EventKind.STEP_RECORDED and event.facts["name"] == "retrieve":
                story["retrieved"] = body["output"]["hits"]
            elif event.kind is EventKind.STEP_RECORDED and event.facts["name"] == "sync":
                story["sync"] = body["output"]
        calls = of_run(self._parts, events[0].run)
        if calls:
            story["calls"] = calls
        story.setdefault("status", _unfinished(calls))
        claims = [self._events.body(e) for e in events if e.kind is EventKind.CLAIM_RELEASED]
        if claims and "given" not in story:
            story["given"] = unfinished_answer(claims, story["release"])
        return story

    def _auditor_view(
        self, tenant: Tenant, events: Sequence[Recorded], started: dict[str, Any]
    ) -> dict[str, Any]:
        steps, decisions = [], []
        cached: list[str] = []
        timings: dict[str, int] = {}
        for event in events:
            if event.kind is EventKind.STEP_RECORDED:
                steps.append({"position": event.position, **event.facts, **self._events.body(event)})
            elif event.kind is EventKind.DECISION_MADE and event.facts["action"] != CALL:
                decisions.append({"position": event.position, **event.facts, **self._events.body(event)})
            elif event.kind is EventKind.RUN_FINISHED:
                cached = list(self._events.body(event).get("cached", ()))
                timings = self._events.body(event).get("timings", {})
        out: dict[str, Any] = {
            "positions": [events[0].position, events[-1].position],
            "steps": steps,
            "denied_at_recheck": decisions,
            "cached": cached,
            "timings": timings,
        }
        if "question" in started and not any(isinstance(self._events.body(e), ErasedBody) for e in events):
            out["withheld"] = self._withheld(tenant, started, events)
        return out

    def _withheld(
        self, tenant: Tenant, started: dict[str, Any], events: Sequence[Recorded]
    ) -> list[dict[str, Any]]:
        """What would have ranked, had the asker been allowed: computed now, from the record, at the run's own positions.

        Never computed while the person waits, so it can neither slow nor change what they get.
        """
        position, head = started["position"], started["head"]
        rules = frozenset(self._parts.catalog.rules(tenant.id))
        scope = Scope(tenant.id, rules, rules, head, position)
        asker = self._parts.scopes.identify(tenant.id, started["principal"], position)
        settings = self._parts.release_named(events[0].facts["release"]).retrieval
        found = self._parts.retriever.search(
            scope, recorded_run(self._events, list(events)).asked(), settings
        )
        chunks = [r.chunk for r in found.ranked]
        views = self._parts.catalog.views(chunks, position)
        rule_ids = {v.rule for v in views.values() if v.rule is not None}
        known = self._parts.catalog.rules_by_id(rule_ids)
        out: dict[int, dict[str, Any]] = {}
        for rank, chunk in enumerate(chunks, 1):
            view = views[chunk]
            verdict = decide_read(asker, known.get(view.rule) if view.rule is not None else None)
            if not verdict.permit and view.document not in out:
                out[view.document] = {
                    "document": view.name,
                    "source": view.source,
                    "title": view.title,
                    "rank_without_permissions": rank,
                    "rule": verdict.reason,
                }
        return list(out.values())[:_WITHHELD]


def _unfinished(calls: Sequence[dict[str, Any]]) -> str:
    """How a run stands that has not ended: it may wait for a person."""
    return "waiting" if any(c["state"] == CallState.WAITING.value for c in calls) else "unfinished"


def _headline(event: Recorded, body: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: body[name] for name in ("document", "by") if name in body},
        "run": event.run,
        "journey": event.facts["journey"],
        "at": instant(event.at),
        "position": body.get("position", event.position),
        "principal": body.get("principal"),
        "question": body.get("question"),
        "source": body.get("source"),
    }
