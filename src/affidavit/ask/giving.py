"""The claims of a written answer on their way to the person, one by one: verified, put on record, made durable, handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from affidavit.ask.claims import Quoted
from affidavit.domain.answer import Claim, GivenClaim
from affidavit.runs.recorder import Run

OnClaim = Callable[[GivenClaim], None]
"""Is given each claim once, in order, after it is durable. Called by whoever asked for the answer, in their own thread; what it
raises ends the answer there, and the record says so."""


@dataclass(frozen=True)
class Handing:
    """What a repetition leaves out: ``durable`` writes what a run has collected, ``hand`` gives the claim."""

    durable: Callable[[], None]
    hand: OnClaim


class Giving:
    """One answer. ``made`` makes a claim of a text and what it quotes; ``stands`` verifies one and passes it through the guards."""

    def __init__(
        self,
        run: Run,
        made: Callable[[str, Sequence[Quoted]], Claim],
        stands: Callable[[Claim], bool],
        handing: Handing | None,
    ) -> None:
        self._run = run
        self._made = made
        self._stands = stands
        self._handing = handing
        self.offered: list[Claim] = []
        self.given: list[Claim] = []

    def offer(self, text: str, quotes: Sequence[Quoted]) -> bool:
        """Give the claim if it stands; whether it was given."""
        claim = self._made(text, quotes)
        self.offered.append(claim)
        if not self._stands(claim):
            return False
        self._run.release_claim(claim.as_json())
        if self._handing is not None:
            self._handing.durable()
        self.given.append(claim)
        if self._handing is not None:
            self._handing.hand(GivenClaim(self._run.id, len(self.given), claim))
        return True
