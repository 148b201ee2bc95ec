"""The claims of a written answer on their way to the person, one by one: verified, put on record, made durable, handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from affidavit.ask.drafts import Quoted
from affidavit.domain.answer import Claim, GivenClaim
from affidavit.runs.recorder import Run

OnClaim = Callable[[GivenClaim], None]
"""Is given each claim once, in order, after it is durable. It is called in the thread that asked; what it raises ends the answer
there, and the record says so."""


@dataclass(frozen=True)
class Handing:
    """What a repetition leaves out: ``durable`` writes what a run has collected, ``hand`` gives the claim."""

    durable: Callable[[], None]
    hand: OnClaim


class Giving:
    """One answer. ``make`` makes a claim of a text and what it quotes; ``stands`` verifies one and passes it through the guards.
    ``claims``: all that were drafted; ``given``: those that were handed over."""

    def __init__(
        self,
        run: Run,
        make: Callable[[str, Sequence[Quoted]], Claim],
        stands: Callable[[Claim], bool],
        handing: Handing | None,
    ) -> None:
        self._run = run
        self.make = make
        self.stands = stands
        self._handing = handing
        self.claims: list[Claim] = []
        self.given: list[Claim] = []

    def offer(self, text: str, quotes: Sequence[Quoted]) -> bool:
        """Give the claim if it stands; whether it was given."""
        claim = self.make(text, quotes)
        self.claims.append(claim)
        if not self.stands(claim):
            return False
        self._run.release_claim(claim.as_json())
        if self._handing is not None:
            self._handing.durable()
        self.given.append(claim)
        if self._handing is not None:
            self._handing.hand(GivenClaim(self._run.id, len(self.given), claim))
        return True

    def forget(self) -> None:
        """The answer begins anew: none of its claims was given."""
        self.claims.clear()
