"""Replays, counterfactuals and explanations for people, and who may have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from affidavit.app.explain import Explainer
from affidavit.app.policydiff import policy_diff
from affidavit.app.replay import Replayer, ReplayReport
from affidavit.app.runs import RunDesk
from affidavit.app.supposed import SupposedPolicy
from affidavit.app.tooldiff import tool_diff
from affidavit.app.whatif import WhatIf
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AccessDeniedError
from affidavit.domain.events import Event, EventKind
from affidavit.store.people import Tenant

if TYPE_CHECKING:  # Cedar itself takes a while to load
    from affidavit.policy.cedar import Cedar

REPLAY = "audit:replay"
_DAY = 86_400 * MICROSECONDS


class ReplayDesk:
    """Replays runs for people: the operator at the machine, or somebody who holds ``audit:replay``."""

    def __init__(self, parts: Parts, runs: RunDesk, position: Callable[[str], int]) -> None:
        self._parts = parts
        self._replayer = Replayer(parts)
        self._what_if = WhatIf(parts, self._replayer, position)
        self._explainer = Explainer(parts, runs, self._what_if)

    def _check(self, tenant: Tenant, principal: str | None) -> None:
        """Raise AccessDeniedError unless ``principal`` may replay; None is the operator."""
        if principal is None:
            return
        with self._parts.database.read():
            head = self._parts.log.head()
            who = self._parts.scopes.identify(tenant.id, principal, head)
            if not who.principals & self._parts.people.holders(tenant.id, REPLAY, head):
                raise AccessDeniedError(
                    f"{principal} may not replay runs",
                    f"the operator can grant {REPLAY}: affidavit people grant",
                )

    def runs(self, tenant: Tenant, journey: str = "") -> list[str]:
        """The ids of the tenant's finished runs, oldest first."""
        with self._parts.database.read():
            return [id for id, kind in self._parts.events.finished(tenant.id) if journey in ("", kind)]

    def replay(
        self,
        tenant: Tenant,
        runs: Iterable[str],
        principal: str | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> Iterator[ReplayReport]:
        """Replay ``runs`` one after the other. Raises AccessDeniedError for one that is not the tenant's."""
        self._check(tenant, principal)
        for run in runs:
            yield self._replayer.replay(tenant, run)
            progress()

    def what_if(
        self, tenant: Tenant, run: str, changes: Sequence[tuple[str, str]], principal: str | None = None
    ) -> dict[str, Any]:
        """``run`` with ``changes`` (key, value): before, after, difference. Somebody has looked: that goes on the log."""
        self._check(tenant, principal)
        recorded = self._replayer.recorded(tenant, run)
        found = self._what_if.run(recorded, changes)
        self._looked(tenant, principal, "what_if", {"run": run, "with": [list(c) for c in changes]})
        return found

    def explain(self, tenant: Tenant, run: str, principal: str | None = None) -> dict[str, Any]:
        """A postmortem's questions about ``run``, answered. Somebody has looked: that goes on the log."""
        self._check(tenant, principal)
        recorded = self._replayer.recorded(tenant, run)
        found = self._explainer.explain(tenant, recorded)
        self._looked(tenant, principal, "explain", {"run": run})
        return found

    def policy_diff(
        self, tenant: Tenant, policy: SupposedPolicy, days: int, principal: str | None = None
    ) -> dict[str, Any]:
        """The decisions of the last ``days`` that ``policy`` would have made otherwise."""
        self._check(tenant, principal)
        found = policy_diff(self._parts, tenant, policy, self._parts.clock.now() - days * _DAY)
        self._looked(tenant, principal, "policy_diff", {"days": days})
        return found

    def tool_diff(
        self, tenant: Tenant, policy: Cedar, days: int, principal: str | None = None, most: int = 0
    ) -> dict[str, Any]:
        """The decisions about tools of the last ``days`` that ``policy`` would have made otherwise. Raises UsageError where there
        are more than ``most``; 0: however many."""
        self._check(tenant, principal)
        found = tool_diff(self._parts, tenant, policy, self._parts.clock.now() - days * _DAY, most)
        self._looked(tenant, principal, "policy_diff", {"days": days, "policy": policy.digest})
        return found

    def _looked(self, tenant: Tenant, principal: str | None, action: str, what: dict[str, Json]) -> None:
        body: dict[str, Json] = {"by": principal or "operator", **what}
        event = Event(EventKind.AUDIT_PERFORMED, tenant.id, facts={"action": action}, body=body)
        self._parts.log.write(lambda tx: tx.append(event))
