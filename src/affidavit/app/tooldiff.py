"""Past decisions about tools against other rules: which would have come out otherwise.

A decision is one proposed call: who proposed it, with which arguments and labels, in the mode and with the roles of that moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.app.wiring import Parts
from affidavit.domain.decisions import Wish
from affidavit.domain.errors import UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.tools import CALL
from affidavit.events.read import ErasedBody, Recorded
from affidavit.store.people import Tenant

if TYPE_CHECKING:  # Cedar itself takes a while to load
    from affidavit.policy.cedar import Cedar

PROPOSED = "call.proposed"
_PROPOSAL = "propose"
MOST = 5_000
"""Decisions that are made once more for somebody who waits."""


@dataclass(frozen=True)
class Decided:
    """One recorded decision: what was wished, and the verdict and rules of then. ``wish`` is None where it was erased."""

    wish: Wish | None
    verdict: str
    rules: tuple[str, ...]


def decided(parts: Parts, tenant: Tenant, since: int) -> Iterator[Decided]:
    """The tenant's decisions on proposals from ``since`` (microseconds) on, newest first. Call inside a snapshot."""
    for event in parts.events.of_kind(EventKind.DECISION_MADE, newest_first=True, tenants=(tenant.id,)):
        if event.at < since:
            return
        if event.facts["action"] != CALL:
            continue
        body = parts.events.body(event)
        if isinstance(body, ErasedBody):
            yield Decided(None, event.facts["effect"], ())
        elif body["when"] == _PROPOSAL:
            wish = _wish(parts, event, body["call"])
            yield Decided(wish, event.facts["effect"], tuple(body["rules"]))


def _wish(parts: Parts, decision: Recorded, call: str) -> Wish | None:
    """What was wished, with everything else as it stood at the decision's position."""
    for event in parts.events.of_run(decision.run):
        body = parts.events.body(event) if event.kind.value == PROPOSED else {}
        if body.get("call") != call:
            continue
        at, who = decision.position, body["principal"]
        principals = parts.scopes.identify(decision.tenant, who, at).principals
        context = {
            **body["context"],
            "arguments": body["arguments"],
            "mode": parts.controls.mode(decision.tenant, at),
            "time": decision.at,
            "person": parts.people.facts(decision.tenant, who, at),
        }
        roles = parts.people.roles_of(decision.tenant, principals, at)
        return Wish(decision.tenant, who, principals, roles, CALL, body["tool"], {}, context)
    return None


def tool_diff(parts: Parts, tenant: Tenant, policy: Cedar, since: int, most: int = 0) -> dict[str, Any]:
    """Every such decision, made once more by ``policy``. Raises UsageError for more than ``most``; 0: however many."""
    changes: Counter[tuple[str, str, str, str, tuple[str, ...]]] = Counter()
    decisions = erased = 0
    with parts.database.read():
        for n, each in enumerate(decided(parts, tenant, since)):
            if most and n == most:
                raise UsageError(
                    f"there are more than {most} decisions since then",
                    "ask for fewer days; at the machine: affidavit policy diff compares any number",
                )
            if each.wish is None:
                erased += 1
                continue
            decisions += 1
            would = policy.decide(each.wish, tenant.name)
            if would.verdict.value != each.verdict:
                rules = would.errors or would.rules
                changes[
                    each.wish.principal, each.wish.resource, each.verdict, would.verdict.value, rules
                ] += 1
    listed = sorted(changes.items(), key=lambda c: (-c[1], c[0]))
    return {
        "since": since,
        "policy": policy.digest,
        "decisions": decisions,
        "erased": erased,
        "changed": sum(changes.values()),
        "changes": [
            {"principal": who, "tool": tool, "was": was, "would_be": would, "rules": list(rules), "calls": n}
            for (who, tool, was, would, rules), n in listed
        ],
    }
