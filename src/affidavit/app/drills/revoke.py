"""Somebody loses access: the next question must know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.lab import Lab, Seen
from affidavit.app.drills.promise import Promise
from affidavit.app.people import Entry
from affidavit.domain.access import ANYONE

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_NONSENSE = "Which walrus guards the seventh lighthouse of Qzxv?"
_NEWCOMER = "user:drill-newcomer"
_TRIED = 4  # people who lose access, at most


class Revoke:
    """Implements ``Drill``."""

    name = "revoke"
    breaks = "people leave the groups that let them read, and are then removed"
    promises = (
        Promise("next-question", "the very next question gives nothing of what was revoked"),
        Promise("open-process", "a process that was open all along knows it on its next question"),
        Promise("as-of", "asking as of an earlier position does not bring it back"),
        Promise("like-absence", "a refusal does not tell that something was taken away"),
        Promise("others", "who may still read is given exactly what they were given before"),
        Promise("removed", "who was removed is given nothing at all"),
        Promise("permitted", "nobody is given a document they may not read"),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws, lab.open() as other:
            before = lab.baseline(ws)
            lab.baseline(other)  # its caches are warm
            users = list(dict.fromkeys(p.user for p in lab.probes))
            losing = users[: max(1, len(users) // 2)]  # the others must not notice
            tried = 0
            for probe in lab.probes:
                groups = _what_lets_in(ws, probe) if probe.document and probe.user in losing else []
                if groups and tried < _TRIED:
                    tried += 1
                    self._leave(lab, ws, other, probe, groups)
            if not tried:
                for promise in ("next-question", "open-process", "as-of", "like-absence"):
                    lab.untried(promise, "nobody who was asked about reads through a group")
            _others(lab, ws, before, losing)
            self._remove(lab, ws, other)
            lab.sound(ws)

    def _leave(self, lab: Lab, ws: Workspace, other: Workspace, probe: Probe, groups: list[str]) -> None:
        earlier = lab.ask(ws, probe).position
        tenant = ws.parts.tenant(probe.tenant)
        for group in groups:
            ws.people.leave(tenant, probe.user, group.removeprefix("group:"))
        began = time.perf_counter()
        next_question = lab.ask(ws, probe)
        took = time.perf_counter() - began
        who = f"{probe.user.removeprefix('user:')} left {', '.join(groups)}; asked about {probe.document}: "
        lab.watched(f"{who}{next_question}")
        seen = [next_question, lab.search(ws, probe)]
        self._nothing(lab, "next-question", probe, seen, who, took)
        self._nothing(lab, "open-process", probe, lab.everything(other, probe), who)
        self._nothing(lab, "as-of", probe, [lab.ask(ws, probe, as_of=earlier)], who)
        wrong = lab.wrongly(ws, probe.tenant, probe.user, seen)
        lab.check("permitted", not wrong, f"{who}{_listed(wrong)}")
        self._like_absence(lab, ws, probe, next_question)

    def _nothing(
        self, lab: Lab, promise: str, probe: Probe, seen: list[Seen], who: str, took: float | None = None
    ) -> None:
        held = all(s.served and probe.place not in s.cited for s in seen)
        lab.check(promise, held, f"{who}{'; '.join(map(str, seen[:1]))}", took)

    def _like_absence(self, lab: Lab, ws: Workspace, probe: Probe, seen: Seen) -> None:
        if seen.status != "refused":
            lab.untried("like-absence", "every question was still answered from other documents")
            return
        nonsense = lab.ask(ws, Probe(probe.tenant, probe.user, _NONSENSE))
        newcomer = lab.ask(ws, probe, _newcomer(ws, probe))
        lab.check(
            "like-absence",
            seen.given == newcomer.given and _reason(seen) == _reason(nonsense),
            "the refusal is the one of somebody who never had access, and of the kind for a question about nothing",
        )

    def _remove(self, lab: Lab, ws: Workspace, other: Workspace) -> None:
        probe = next(iter(lab.probes), None)
        if probe is None:
            return
        ws.people.remove(ws.parts.tenant(probe.tenant), probe.user)
        seen = [*lab.everything(ws, probe), *lab.everything(other, probe)]
        lab.watched(f"{probe.user.removeprefix('user:')} was removed: {seen[0]}")
        lab.check("removed", all(s.failed_closed and not s.cited for s in seen), f"{seen[0]}")


def _newcomer(ws: Workspace, probe: Probe) -> str:
    """Somebody new in the groups that the asker is left with."""
    tenant = ws.parts.tenant(probe.tenant)
    with ws.parts.database.read():
        groups = ws.parts.people.groups_of(tenant.id, probe.user, ws.parts.log.head())
    ws.load_people([Entry(_NEWCOMER, frozenset(groups))], tenant.name)
    return _NEWCOMER


def _reason(seen: Seen) -> str:
    """Why there is no answer, in affidavit's word."""
    refusal = seen.given["refusal"] if isinstance(seen.given, dict) else None
    return str(refusal["reason"]) if refusal else ""


def _what_lets_in(ws: Workspace, probe: Probe) -> list[str]:
    """The groups that the asker must leave to lose the document; none if it is open to everyone or to them by name."""
    tenant = ws.parts.tenant(probe.tenant)
    with ws.parts.database.read():
        head = ws.parts.log.head()
        direct = sorted(ws.parts.people.groups_of(tenant.id, probe.user, head))
        rules = ws.parts.catalog.rules(tenant.id)
        closures = {g: ws.parts.people.closure(tenant.id, g, head) for g in direct}

        def reads(groups: list[str]) -> bool:
            mine = frozenset({probe.user, ANYONE}).union(*(closures[g] for g in groups))
            ids = [id for id, rule in rules.items() if rule.permits(mine)]
            return probe.place in ws.parts.catalog.readable_names(tenant.id, ids)

        if reads([]):
            return []
        # one group is enough where it alone gives access: the smallest change that must already take effect
        for group in direct:
            if not reads([g for g in direct if g != group]):
                return [group]
        return direct


def _others(lab: Lab, ws: Workspace, before: dict[Probe, tuple[Seen, ...]], losing: list[str]) -> None:
    """Whoever may read exactly as much as before is given exactly what they were given before."""
    tried = 0
    for probe, seen in before.items():
        if probe.user in losing:
            continue
        tried += 1
        now = lab.everything(ws, probe)
        same = [a.given for a in seen] == [b.given for b in now]
        lab.check("others", same, f"{probe.user.removeprefix('user:')} asked about {probe.document} again")
    if not tried:
        lab.untried("others", "there is nobody else to ask")


def _listed(places: frozenset[tuple[str, str]]) -> str:
    return (
        "given wrongly: " + ", ".join(name for _, name in sorted(places))
        if places
        else "only what may be read"
    )
