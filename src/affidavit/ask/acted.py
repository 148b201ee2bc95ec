"""From what a model did and said to what a person is given: claims that hold, or a plain account of the calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affidavit.ask.drafts import Checked, Quoted
from affidavit.ask.hand import Observed
from affidavit.ask.retrieve import Passage
from affidavit.domain.answer import ACTS_NOT, NO_LONGER, NO_MODEL, NOT_ENOUGH, Citation, Claim, Refusal
from affidavit.runs.recorder import Run

OF_ITSELF, BOUNDS, MODEL, REVOKED = "", "bounds", "model", "revoked"
"""How a loop ends: the model is done, its calls are used up, no model can be had (or the time is over), or who asks may no longer
read what it was shown."""
TOOL, RESULT = "tool", "result"
"""The source and the kind of what a call returned, where a document's would stand."""
_QUOTED = 300

Cite = Callable[[Passage, Quoted], Citation]
Stands = Callable[[Claim, Claim], bool]
"""Whether a claim may be given; the second is the same with its citations of documents alone."""


@dataclass(frozen=True)
class Acted:
    """``named``: what may be cited, by the id the model knows it by, in order. ``checked``: what it said at last."""

    observed: Sequence[Observed]
    named: Mapping[str, Passage]
    checked: Sequence[Checked]
    model: str | None
    end: str


@dataclass(frozen=True)
class Concluded:
    """What a person is given: claims, or why there are none; and what became of each call."""

    claims: tuple[Claim, ...]
    refusal: Refusal | None
    model: str | None
    end: str
    actions: Sequence[Mapping[str, Any]]


def conclude(run: Run, acted: Acted, cite: Cite, stands: Stands) -> Concluded:
    """What the model said at last, as far as it holds; else, if anything was done, an account of it in our own words."""
    passages = list(acted.named.values())
    run.step(
        "check",
        {"claims": len(acted.checked), "support": "acting"},
        {"claims": [{"text": c.drafted.text, "fault": c.fault} for c in acted.checked], "end": acted.end},
    )
    drafted = [
        Claim(c.text, tuple(_cited(q, passages, cite) for q in c.quotes))
        for c in acted.checked
        if not c.fault
    ]
    good = [c for c in drafted if _holds(c, acted, stands)]
    if not good and acted.end != REVOKED:
        good = [c for c in map(_account, acted.observed) if c is not None and _holds(c, acted, stands)]
    run.step("verify", {"claims": len(drafted)}, {"verified": len(good)})
    refusal = None if good else _refusal(acted)
    return Concluded(tuple(good), refusal, acted.model, acted.end, _actions(acted.observed))


def _refusal(acted: Acted) -> Refusal:
    """Why there is nothing to say."""
    if acted.end == REVOKED:
        return NO_LONGER
    if acted.observed:
        return ACTS_NOT
    return NO_MODEL if acted.end in (MODEL, BOUNDS) else NOT_ENOUGH


def _holds(claim: Claim, acted: Acted, stands: Stands) -> bool:
    """Whether each citation says what was read or returned, and the claim may be given."""
    calls = {o.call: o for o in acted.observed if o.done}
    results = [c for c in claim.citations if c.source == TOOL and c.chunk in calls]
    read = replace(claim, citations=tuple(c for c in claim.citations if c not in results))
    true = all(calls[c.chunk].text[c.start : c.end] == c.quote for c in results)
    return true and stands(claim, read)


def _cited(quoted: Quoted, passages: Sequence[Passage], cite: Cite) -> Citation:
    passage = passages[quoted.passage]
    if passage.view.kind != RESULT:
        return cite(passage, quoted)
    return _of_result(passage.view.name, passage.view.revision, quoted.start, quoted.end, quoted.quote)


def _account(observed: Observed) -> Claim | None:
    if not observed.done:
        return None
    quote = observed.text[:_QUOTED]
    cited = _of_result(observed.tool, observed.call, 0, len(quote), quote)
    return Claim(f"{observed.tool} is done; it returned: {quote}", (cited,))


def _of_result(tool: str, call: str, start: int, end: int, quote: str) -> Citation:
    """A citation of what a call of this run returned: the call stands where a document's chunk would."""
    return Citation(TOOL, tool, call, call, start, end, quote, tool, call, "", "a call of this run", 0, False)


def _actions(observed: Sequence[Observed]) -> list[dict[str, Any]]:
    """What a person is told of the calls."""
    return [
        {"call": o.call, "tool": o.tool, "state": o.state, **({"why": o.why} if o.why else {})}
        for o in observed
    ]
