"""Which findings of a guard lead to which verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affidavit.domain.guard_policy import GuardStep
from affidavit.domain.guards import Finding, Verdict, strictest


@dataclass(frozen=True)
class Decided:
    """The strictest verdict, a reason of our own words, and the findings to take out (where the verdict is ``redact``)."""

    verdict: Verdict
    reason: str
    redact: tuple[Finding, ...]


def verdict_of(step: GuardStep, finding: Finding) -> Verdict:
    """What one finding leads to: at most ``flag`` if it is not sure enough."""
    verdict = step.verdicts.get(finding.kind, step.otherwise)
    if finding.sure < step.least and verdict is not Verdict.ALLOW:
        return Verdict.FLAG
    return verdict


def decide(step: GuardStep, findings: Sequence[Finding]) -> Decided:
    """The verdict on a text in which ``step``'s guard found ``findings``."""
    each = [(verdict_of(step, f), f) for f in findings]
    verdict = strictest(v for v, _ in each)
    kinds = sorted({f.kind for v, f in each if v is verdict})
    reason = f"{step.guard}: {', '.join(kinds)}" if kinds else ""
    return Decided(verdict, reason, tuple(f for v, f in each if v is Verdict.REDACT))
