"""What a model drafted on its way to an answer: the shapes that pass between who writes, who checks and who gives."""

from __future__ import annotations

from dataclasses import dataclass

from affidavit.ask.watch import may_refuse
from affidavit.domain.guards import Stage
from affidavit.domain.release import Release

ANSWER = "answer"
"""The task of a route that writes answers."""


@dataclass(frozen=True)
class Drafted:
    """A claim as a model wrote it; ``citations`` are (passage id, quote)."""

    text: str
    citations: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Quoted:
    """A citation that holds: ``start`` and ``end`` are offsets into the revision's text, ``quote`` that slice."""

    passage: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True)
class Checked:
    """A claim after the check: ``quotes`` where it stands, ``fault`` in a word of ours where it does not. ``verbatim``: its words
    are those of the quotes, and these are what is given."""

    drafted: Drafted
    quotes: tuple[Quoted, ...]
    fault: str
    verbatim: bool = False

    @property
    def text(self) -> str:
        """What is given to the person."""
        return " ".join(q.quote for q in self.quotes) if self.verbatim else self.drafted.text.strip()


@dataclass(frozen=True)
class Written:
    """What a model wrote and what of it holds. ``model`` names who wrote it, as the provider says, or the target if the provider
    never came to say it. No claims: it finds that the evidence does not answer. ``incomplete``: it broke off after some claims
    were given; there are only those."""

    model: str
    claims: tuple[tuple[str, tuple[Quoted, ...]], ...]
    incomplete: bool = False


def streams(release: Release) -> bool:
    """Whether claims can be given before the answer is whole: under ``release`` nothing that comes later takes one back."""
    if release.writing is None or release.models is None or ANSWER not in release.models.tasks:
        return False
    settled = not any(option.confidence for option in release.models.tasks[ANSWER].options)
    return (
        settled and not release.writing.whole and not may_refuse(release.guarding.policy.steps(Stage.ANSWER))
    )
