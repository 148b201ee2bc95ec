"""What a drill is made of: promises, and for each the verdict of having tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from affidavit.app.drills.lab import Lab


class Outcome(Enum):
    """Whether a promise held. ``UNTRIED`` is neither: it could not be put to the test here, and the report says why."""

    KEPT = "kept"
    BROKEN = "broken"
    UNTRIED = "not tried"


@dataclass(frozen=True)
class Promise:
    """One sentence that must hold whatever is broken; ``id`` names it within its drill."""

    id: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """``saw`` says in words what was observed; ``seconds`` how long it took to be true again, where that is the point."""

    promise: Promise
    outcome: Outcome
    saw: str
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        seconds = None if self.seconds is None else round(self.seconds, 3)
        return {
            "promise": self.promise.id,
            "text": self.promise.text,
            "verdict": self.outcome.value,
            "saw": self.saw,
            "seconds": seconds,
        }


@dataclass
class Report:
    """The outcome of one drill. ``watched`` tells what a person was given before and after, in order."""

    drill: str
    breaks: str
    verdicts: list[Verdict] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    kept_at: str = ""

    @property
    def ok(self) -> bool:
        """No promise was broken, and at least one was tried."""
        outcomes = [v.outcome for v in self.verdicts]
        return Outcome.BROKEN not in outcomes and Outcome.KEPT in outcomes

    def as_json(self) -> dict[str, Any]:
        return {
            "drill": self.drill,
            "breaks": self.breaks,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "verdicts": [v.as_json() for v in self.verdicts],
            "watched": list(self.watched),
            "notes": list(self.notes),
            "kept_at": self.kept_at or None,
        }


class Drill(Protocol):
    """One thing to break. ``run`` does it in the lab and gives a verdict on each of ``promises`` through ``lab.check``."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def breaks(self) -> str:
        """What is broken, in one sentence."""
        ...

    @property
    def promises(self) -> Sequence[Promise]:
        """What must hold all the same."""
        ...

    def run(self, lab: Lab) -> None:
        """Break it. A promise without a verdict when this returns counts as not tried; one that it raises about, as broken."""
        ...


RAN = Promise("ran", "the drill runs to its end")
SOUND = Promise("sound", "afterwards `audit verify` finds the log and the catalog sound")
