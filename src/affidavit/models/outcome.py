"""What a call of the plane has come to, as it stands in the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from affidavit.domain.canonical import Json
from affidavit.ports.model import ChatResult, from_plain, plain

_DETAIL = 300


@dataclass(frozen=True)
class Judged:
    """What the caller's check says of an answer. ``reason`` is a word: ``schema``, ``claims``, ``disagreement``, …; ``detail``
    for the auditor. ``confidence`` from 0 to 1 is held against the option's demand; None says nothing, and meets none."""

    ok: bool
    reason: str = ""
    detail: str = ""
    confidence: float | None = None


GOOD = Judged(True)
Check = Callable[[ChatResult], Judged]


@dataclass(frozen=True)
class Decision:
    """One turn of the route: ``what`` is ``skipped``, ``asked``, ``retried``, ``repaired``, ``hedged``, ``escalated``,
    ``accepted`` or ``ended``; ``why`` a word of ours; ``detail`` may hold words of others."""

    option: str
    what: str
    why: str
    detail: str = ""


@dataclass(frozen=True)
class Attempt:
    """One question put to a target, or to a rule.

    ``kind``: "" for an answer, else that of the ModelError, or ``abandoned`` where the answer was not waited for. ``ms`` from its
    turn to its end, ``waited`` for its turn. ``input`` and ``output``: tokens, -1 unknown.
    """

    option: str
    kind: str
    ms: int
    waited: int
    hedge: bool
    input: int = -1
    output: int = -1


@dataclass(frozen=True)
class Outcome:
    """``result`` was accepted and ``option`` gave it; or it is None, and ``reason`` says why: ``no_route`` (no model may see
    this, or none is set up for the task), ``failed`` (all were asked), ``spent`` (no budget has room, or the accounts are out
    of money), ``busy``, ``deadline``, ``cut`` (a stream of which something was released already) or ``cancelled``."""

    result: ChatResult | None
    option: str
    reason: str
    decisions: tuple[Decision, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def exhausted(self) -> bool:
        """Nothing can be used: answer without a model, or refuse."""
        return self.result is None

    def as_json(self) -> dict[str, Json]:
        """The step's output."""
        return {
            "result": None if self.result is None else plain(self.result),
            "option": self.option,
            "reason": self.reason,
            "decisions": [asdict(d) for d in self.decisions],
            "attempts": [asdict(a) for a in self.attempts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        """The inverse of ``as_json``: what a replay is given."""
        return cls(
            None if value["result"] is None else from_plain(value["result"]),
            value["option"],
            value["reason"],
            tuple(Decision(**d) for d in value["decisions"]),
            tuple(Attempt(**a) for a in value["attempts"]),
        )


def detail(text: str) -> str:
    """``text`` from outside as it may stand in the record: short, and valid Unicode."""
    return text[:_DETAIL].encode("utf-8", "replace").decode()
