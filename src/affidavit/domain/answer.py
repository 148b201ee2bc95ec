"""What a person is given: an answer made of cited claims, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from affidavit.domain.records import RunStatus


@dataclass(frozen=True)
class Citation:
    """A verbatim piece of a revision: ``text[start:end] == quote``, in characters.

    ``permitted_by`` says which entries of the access rule let the reader in; ``stale`` that the source has not changed
    the document for longer than its freshness limit, ``deprecated`` that its owner says it holds no more.
    """

    source: str
    document: str
    revision: str
    chunk: str
    start: int
    end: int
    quote: str
    title: str
    location: str
    indexed_at: str
    permitted_by: str
    rank: int
    stale: bool
    deprecated: bool = False

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Claim:
    """One sentence of the answer with what supports it; ``overrules`` cites less canonical documents on the same thing."""

    text: str
    citations: tuple[Citation, ...]
    overrules: tuple[Citation, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "citations": [c.as_json() for c in self.citations],
            "overrules": [c.as_json() for c in self.overrules],
        }


@dataclass(frozen=True)
class GivenClaim:
    """A claim that is given before its answer is whole: verified, and on the record of ``run`` as its ``number``-th, from 1."""

    run: str
    number: int
    claim: Claim

    def as_json(self) -> dict[str, Any]:
        return {"run": self.run, "number": self.number, **self.claim.as_json()}


@dataclass(frozen=True)
class Responsible:
    """The owner of a document that the person may read, and which document that is."""

    owner: str
    source: str
    document: str


@dataclass(frozen=True)
class Refusal:
    """Why there is no answer, in a word of ours, and what the person can do.

    ``missing``: words of the question that nothing found has; ``ask``: who answers for the closest document found. Both only
    where evidence was looked for.
    """

    reason: str
    message: str
    next_steps: tuple[str, ...]
    missing: tuple[str, ...] = ()
    ask: Responsible | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "message": self.message,
            "next_steps": list(self.next_steps),
            "missing": list(self.missing),
            "ask": None if self.ask is None else dict(vars(self.ask)),
        }


NOT_ENOUGH = Refusal(
    "not_enough_evidence",
    "I found nothing you may read that answers this.",
    (
        "Ask in other words, or name the product, person or document you mean.",
        "If you think a document should answer this, ask its owner whether it exists and whether you may read it.",
    ),
)


GUARDED_QUESTION = Refusal(
    "guarded_question",
    "A rule for questions forbids to answer this one.",
    ("Ask without what the rule is about: a password, a person's data, an order to an assistant.",),
)


GUARDED_ANSWER = Refusal(
    "guarded_answer",
    "There is an answer, and a rule for answers forbids to give it.",
    ("Ask whoever looks after this workspace which rule it is; name the run.",),
)


NO_MODEL = Refusal(
    "no_model",
    "There is evidence, but no answer could be written that holds.",
    ("Ask again in a while.", "Search for the passages themselves: affidavit search."),
)


ACTS_NOT = Refusal(
    "not_done",
    "Nothing of what was asked for was done, and there is nothing more to say.",
    ("Look at why: affidavit run show RUN.", "Ask in other words, and name whom and what you mean."),
)


NO_LONGER = Refusal(
    "not_enough_evidence",
    "What this was about may no longer be read; it was ended.",
    ("Ask again.", "What was done by then stands in the record: affidavit run show RUN."),
)


def unclear_question(back: str) -> Refusal:
    """What is said when nobody could tell what a question of a conversation means; ``back`` asks the person."""
    return Refusal("unclear", back, ("Ask again, and name what you mean.",))


@dataclass(frozen=True)
class Answer:
    """The outcome of one question. ``position`` is the catalog's as the answer saw it; ``timings`` are microseconds.

    ``understood``: the question as it was put when it followed others, "" where it stood alone. ``incomplete``: why there may
    be more to say than was said ("" where the answer is whole): ``model``, it broke off; ``interrupted``, whoever asked did;
    ``bounds``, no more calls were allowed; ``revoked``, it was ended. ``actions``: the calls of tools, each with its state.
    """

    run: str
    position: int
    status: RunStatus
    answer: str
    claims: tuple[Claim, ...]
    refusal: Refusal | None
    release: str
    model: str | None = None
    understood: str = ""
    incomplete: str = ""
    timings: Mapping[str, int] = field(default_factory=dict)
    cost: Mapping[str, Any] | None = None
    actions: Sequence[Mapping[str, Any]] = ()

    def given(self) -> dict[str, Any]:
        """What the person is told: a function of what they may read and of the release, and of nothing else."""
        return {
            "status": self.status.value,
            "answer": self.answer,
            "claims": [c.as_json() for c in self.claims],
            "refusal": self.refusal.as_json() if self.refusal else None,
            "model": self.model,
            "release": self.release,
            **({"understood": self.understood} if self.understood else {}),
            **({"incomplete": self.incomplete} if self.incomplete else {}),
            **({"actions": [dict(a) for a in self.actions]} if self.actions else {}),
        }

    def as_json(self) -> dict[str, Any]:
        """``given`` with the run, its position, what it took and what it cost."""
        return {
            "run": self.run,
            "position": self.position,
            **self.given(),
            "timings": dict(self.timings),
            "cost": self.cost,
        }
