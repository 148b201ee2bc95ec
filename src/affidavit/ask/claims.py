"""What a model drafted, checked against what it was given: nothing is released that its citations do not carry.

A claim stands when each of its citations names a passage of this run and quotes it, when the rules of ``ask/agreement.py`` find
nothing against it, and when the local model's vectors and the judge, where there are such, carry it. What cannot be told this
way (irony, a conclusion, a condition left out) is a known limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affidavit.ask.agreement import fault, names_in
from affidavit.ask.drafts import Checked, Drafted, Quoted
from affidavit.ask.guard import output_signals
from affidavit.ask.retrieve import Passage
from affidavit.ask.units import Unit, units
from affidavit.ask.verbatim import whole_sentences
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ModelError
from affidavit.domain.release import REPHRASED, VERBATIM

MOST_CLAIMS, MOST_CITATIONS, LONGEST = 12, 6, 1200
_TEXT: Mapping[str, Json] = {"type": "string"}


def _object(**properties: Json) -> dict[str, Json]:
    """A JSON Schema object in which everything is required and nothing else allowed, as strict modes want it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


ANSWER_SCHEMA: Mapping[str, Json] = _object(
    claims={
        "type": "array",
        "items": _object(
            text=_TEXT,
            citations={"type": "array", "items": _object(passage=_TEXT, quote=_TEXT)},
        ),
    }
)


def parse_answer(text: str) -> tuple[Drafted, ...]:
    """The claims in a model's JSON. Raises ModelError (``schema``) for anything that is not exactly of the form asked for."""
    try:
        said = json.loads(text, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"it is not JSON: {error}") from error
    claims = _only(said, "claims")
    if not isinstance(claims, list) or len(claims) > MOST_CLAIMS:
        raise _malformed(f"claims is not a list of at most {MOST_CLAIMS}")
    return tuple(_claim(c) for c in claims)


def parse_claim(text: str) -> Drafted:
    """One claim of ``parse_answer``, by itself. Raises ModelError (``schema``)."""
    try:
        return _claim(json.loads(text, object_pairs_hook=_no_twins))
    except (ValueError, RecursionError) as error:
        raise _malformed(f"a claim is not JSON: {error}") from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _claim(value: Any) -> Drafted:
    text, citations = _only(value, "text", "citations")
    if not isinstance(citations, list) or len(citations) > MOST_CITATIONS:
        raise _malformed(f"citations is not a list of at most {MOST_CITATIONS}")
    pairs = [_only(c, "passage", "quote") for c in citations]
    return Drafted(_line(text), tuple((_line(p), _line(q)) for p, q in pairs))


def _only(value: Any, *keys: str) -> Any:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise _malformed(f"an object with {', '.join(keys)} was asked for")
    found = [value[k] for k in keys]
    return found if len(keys) > 1 else found[0]


def _line(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not _unicode(value):
        raise _malformed(f"text of at most {LONGEST} characters was asked for")
    return value


def _unicode(text: str) -> bool:
    """Whether it can stand in a record: JSON can spell half a character."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _malformed(what: str) -> ModelError:
    return ModelError(
        "schema", f"the model's answer is not of the form asked for: {what}", "ask it again, or another"
    )


# -- does it hold?


def check_claim(
    drafted: Drafted,
    passages: Mapping[str, Passage],
    order: Sequence[str],
    coverage: float,
    wording: str = REPHRASED,
) -> Checked:
    """Whether ``drafted`` is carried by its citations. ``order`` gives each passage id its number; ``coverage``: the least share
    of the claim's own terms that must stand in what it cites; ``wording`` as in a release."""
    if not drafted.text.strip():
        return Checked(drafted, (), "empty")
    if output_signals(drafted.text):
        return Checked(drafted, (), "signal")
    if not drafted.citations:
        return Checked(drafted, (), "uncited")
    quotes = []
    for name, quote in drafted.citations:
        passage = passages.get(name)
        if passage is None:
            return Checked(drafted, (), "unknown_passage")
        found = locate(quote, passage)
        if found is None:
            return Checked(drafted, (), "quote_not_there")
        start, end = found
        text = passage.text[start - passage.view.start : end - passage.view.start]
        quotes.append(Quoted(order.index(name), start, end, text))
    if wording == VERBATIM:
        return _verbatim(drafted, quotes, passages, order)
    said = " ".join(q.quote for q in quotes)
    about = " ".join(" ".join((passages[n].view.title, *passages[n].view.path)) for n, _ in drafted.citations)
    strangers = frozenset(n for p in passages.values() for n in names_in(p.text))
    return Checked(drafted, tuple(quotes), fault(drafted.text, said, about, coverage, strangers))


def _verbatim(
    drafted: Drafted, quotes: Sequence[Quoted], passages: Mapping[str, Passage], order: Sequence[str]
) -> Checked:
    """The sentences that the claim is made of, each cited whole where the model quoted at least half of it."""
    cited = dict.fromkeys(name for name, _ in drafted.citations)
    known = [unit for name in cited for unit in units(order.index(name), passages[name])]
    found = whole_sentences(drafted.text, [u for u in known if _quoted(u, quotes)])
    whole = tuple(Quoted(u.passage, u.start, u.end, u.quote) for u in found)
    return Checked(drafted, whole, "" if found else "wording", verbatim=True)


def _quoted(unit: Unit, quotes: Sequence[Quoted]) -> bool:
    shares = (min(unit.end, q.end) - max(unit.start, q.start) for q in quotes if q.passage == unit.passage)
    return 2 * max(shares, default=0) >= unit.end - unit.start


def locate(quote: str, passage: Passage) -> tuple[int, int] | None:
    """Where ``quote`` stands in ``passage``, as offsets into the revision's text; white space may differ, nothing else.

    At least three words, so that a word that stands everywhere proves nothing.
    """
    words = quote.split()
    if len(words) < _LEAST_WORDS and quote.strip() != passage.text.strip():
        return None
    match = re.search(r"\s+".join(map(re.escape, words)), passage.text) if words else None
    if match is None:
        return None
    return passage.view.start + match.start(), passage.view.start + match.end()


_LEAST_WORDS = 3

Judge = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]
"""(claim, what it cites) pairs to whether each is supported: a judge target, or everything passes."""


def check_answer(
    drafted: Sequence[Drafted],
    passages: Mapping[str, Passage],
    coverage: float,
    judge: Judge | None = None,
    support: Judge | None = None,
    order: Sequence[str] | None = None,
    wording: str = REPHRASED,
) -> list[Checked]:
    """Every claim checked; one without fault is then scored by the local model and judged, where there is one to do so.
    ``order``: the ids of all passages of the run, where ``passages`` are not all of them."""
    order = list(passages) if order is None else order
    checked = [check_claim(d, passages, order, coverage, wording) for d in drafted]
    for ask, why in ((support, "unsupported"), (judge, "judged_unsupported")):
        sound = [n for n, c in enumerate(checked) if not c.fault]
        if ask is None or not sound:
            continue
        pairs = [(checked[n].drafted.text, " ".join(q.quote for q in checked[n].quotes)) for n in sound]
        for n, supported in zip(sound, ask(pairs), strict=True):
            if not supported:
                checked[n] = Checked(checked[n].drafted, (), why)
    return checked
