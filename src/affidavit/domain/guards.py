"""What a guard says: findings with their place, and the verdict that a policy draws from them.

A guard only finds. Which findings lead to which verdict is decided by ``policy/guards.py`` from the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from affidavit.domain.canonical import Json


class Verdict(str, Enum):
    """From the mildest to the strictest. ``flag`` only records; ``redact`` takes the findings' text out."""

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    REFUSE = "refuse"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return _ORDER[self]


_ORDER = {verdict: n for n, verdict in enumerate(Verdict)}


class Stage(str, Enum):
    """What is looked at: the person's words, a passage that would be evidence, what would be given."""

    QUESTION = "question"
    PASSAGE = "passage"
    ANSWER = "answer"


@dataclass(frozen=True)
class Finding:
    """``guard``: whose. ``kind``: a word of that guard (``secret``, ``orders``, ``S1``). ``start``, ``end``: character
    offsets into
    the text that was given; both 0 where a guard judges the whole. ``confidence``: decimal text from ``0`` to ``1``."""

    guard: str
    kind: str
    start: int
    end: int
    reason: str
    confidence: str = "1"

    @property
    def whole(self) -> bool:
        """Whether it is about the whole text and not about a place in it."""
        return self.start == self.end

    @property
    def sure(self) -> Decimal:
        """``confidence`` as a number."""
        return Decimal(self.confidence)

    def plain(self) -> dict[str, Json]:
        """As JSON for a run's record; never holds the text that was found."""
        return {
            "guard": self.guard,
            "kind": self.kind,
            "start": self.start,
            "end": self.end,
            "reason": self.reason,
            "confidence": self.confidence,
        }


@dataclass(frozen=True)
class Outcome:
    """What came of one guard: the verdict, why, what it cost in microseconds of waiting, and how it ``failed``: "" if it did
    not, ``error``, ``timeout``, ``missing`` (the release names a guard that is not there) or ``remote`` (the text may not leave
    the machine)."""

    guard: str
    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]
    cost: int
    failed: str = ""

    def plain(self) -> dict[str, Json]:
        """As JSON for a run's record. ``cost`` is left out: a replay takes another time and must give the same bytes."""
        return {
            "guard": self.guard,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "findings": [f.plain() for f in self.findings],
            "failed": self.failed,
        }


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """The strictest of ``verdicts``; ``allow`` of none."""
    return max(verdicts, key=lambda v: v.rank, default=Verdict.ALLOW)


def take_out(text: str, findings: Sequence[Finding]) -> str:
    """``text`` with each finding's place replaced by ``[redacted KIND]``. Where they overlap one replacement stands for all,
    named after the first. One that is about the whole text leaves nothing else."""
    whole = next((f for f in findings if f.whole), None)
    if whole is not None:
        return f"[redacted {whole.kind}]"
    out: list[str] = []
    last = 0
    for start, end, kind in merged(findings):
        out += [text[last:start], f"[redacted {kind}]"]
        last = end
    return "".join(out) + text[last:]


def merged(findings: Iterable[Finding]) -> list[tuple[int, int, str]]:
    """The places of ``findings`` as disjoint (start, end, kind) in text order."""
    out: list[tuple[int, int, str]] = []
    for start, end, kind in sorted((f.start, f.end, f.kind) for f in findings):
        if out and start < out[-1][1]:
            first, before, name = out[-1]
            out[-1] = (first, max(before, end), name)
        else:
            out.append((start, end, kind))
    return out
