"""Past decisions against a supposed policy: which would have come out otherwise."""

from __future__ import annotations

from collections import Counter
from typing import Any

from affidavit.app.recorded import QUESTIONS, recorded_run
from affidavit.app.supposed import SupposedPolicy
from affidavit.app.wiring import Parts
from affidavit.domain.errors import NotRepeatableError
from affidavit.domain.events import EventKind
from affidavit.policy.scope import Identity, decide_read
from affidavit.store.people import Tenant


def policy_diff(parts: Parts, tenant: Tenant, policy: SupposedPolicy, since: int) -> dict[str, Any]:
    """Every decision ``document:read`` of the tenant's questions from ``since`` (microseconds) on, decided once more.

    A decision is one document in one run: read, or denied at the recheck. Who asks is who they were then. What was never
    retrieved was never decided: ``replay RUN --with policy=FILE`` shows what a question would find newly.
    """
    changes: Counter[tuple[str, str, str, bool, str]] = Counter()
    decisions = runs = erased = 0
    with parts.database.read():
        for event in parts.events.of_kind(EventKind.RUN_STARTED, newest_first=True):
            if event.at < since:
                break
            if event.tenant != tenant.id or event.facts["journey"] not in QUESTIONS:
                continue
            try:
                recorded = recorded_run(parts.events, parts.events.of_run(event.run))
            except NotRepeatableError:
                erased += 1
                continue
            who = parts.scopes.identify(tenant.id, recorded.given["principal"], recorded.given["head"])
            runs += 1
            permitted = {(h["source"], h["document"]) for h in recorded.hits}
            denied = {(d["source"], d["document"]) for d in recorded.denials} - permitted
            for (source, document), was in [*((n, True) for n in permitted), *((n, False) for n in denied)]:
                decisions += 1
                would = _would(policy, who, source, document)
                if would is not None and would[0] != was:
                    changes[who.principal, source, document, was, would[1]] += 1
    listed = sorted(changes.items(), key=lambda c: (-c[1], c[0]))
    return {
        "since": since,
        "runs": runs,
        "erased": erased,
        "decisions": decisions,
        "changed": sum(changes.values()),
        "changes": [
            {
                "principal": who,
                "source": source,
                "document": document,
                "was": "permit" if was else "forbid",
                "would_be": "forbid" if was else "permit",
                "reason": reason,
                "runs": count,
            }
            for (who, source, document, was, reason), count in listed
        ],
    }


def _would(policy: SupposedPolicy, who: Identity, source: str, document: str) -> tuple[bool, str] | None:
    rule = policy.rule_for(source, document)
    if rule is None:
        return None
    verdict = decide_read(who, rule)
    return verdict.permit, verdict.reason
