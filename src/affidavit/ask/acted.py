"""From what a model did and said to what a person is given: claims that hold, or a plain account of the calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from affidavit.ask.agent import BOUNDS, MODEL, RESULT, REVOKED, TOOL, Acted
from affidavit.ask.claims import Checked, Quoted
from affidavit.ask.hand import Observed
from affidavit.ask.retrieve import Passage
from affidavit.domain.answer import ACTS_NOT, NO_LONGER, NO_MODEL, NOT_ENOUGH, Citation, Claim, Refusal
from affidavit.runs.recorder import Run

_QUOTED = 300

Cite = Callable[[Passage, Quoted], Citation]
Stands = Callable[[Claim], bool]


def claims_of(run: Run, acted: Acted, cite: Cite, stands: Stands) -> tuple[Claim, ...]:
    """What the model said at last, as far as it holds; else, if anything was done, an account of it in our own words."""
    passages = list(acted.named.values())

    def made(checked: Checked) -> Claim:
        return Claim(checked.drafted.text.strip(), tuple(_cited(q, passages, cite) for q in checked.quotes))

    run.step(
        "check",
        {"claims": len(acted.checked), "support": "acting"},
        {"claims": [{"text": c.drafted.text, "fault": c.fault} for c in acted.checked], "end": acted.end},
    )
    drafted = [made(c) for c in acted.checked if not c.fault]
    good = [c for c in drafted if stands(c)]
    if not good:
        good = [c for c in (_account(o) for o in acted.observed if o.done) if stands(c)]
    run.step("verify", {"claims": len(drafted)}, {"verified": len(good)})
    return tuple(good)


def refusal_of(acted: Acted) -> Refusal:
    """Why there is nothing to say."""
    if acted.end == REVOKED:
        return NO_LONGER
    if acted.observed:
        return ACTS_NOT
    return NO_MODEL if acted.end in (MODEL, BOUNDS) else NOT_ENOUGH


def holds(citation: Citation, observed: Sequence[Observed]) -> bool:
    """Whether a citation of a result says what that result says."""
    found = [o for o in observed if o.call == citation.chunk and o.done]
    return bool(found) and found[0].text[citation.start : citation.end] == citation.quote


def _cited(quoted: Quoted, passages: Sequence[Passage], cite: Cite) -> Citation:
    passage = passages[quoted.passage]
    if passage.view.kind != RESULT:
        return cite(passage, quoted)
    return _of_result(passage.view.name, passage.view.revision, quoted.start, quoted.end, quoted.quote)


def _account(observed: Observed) -> Claim:
    quote = observed.text[:_QUOTED]
    cited = _of_result(observed.tool, observed.call, 0, len(quote), quote)
    return Claim(f"{observed.tool} is done; it returned: {quote}", (cited,))


def _of_result(tool: str, call: str, start: int, end: int, quote: str) -> Citation:
    """A citation of what a call of this run returned: the call stands where a document's chunk would."""
    return Citation(TOOL, tool, call, call, start, end, quote, tool, call, "", "a call of this run", 0, False)
