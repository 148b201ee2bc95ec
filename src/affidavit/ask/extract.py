"""Step 8 without a language model: whole sentences, verbatim, each with its citation; never more than the evidence says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affidavit.ask.evidence import Evidence, Scored
from affidavit.ask.retrieve import Passage
from affidavit.domain.release import Answering

_LEXICAL_SAME, _LEXICAL_LEAST = 0.7, 4
"""Without vectors: the share of the shorter sentence's terms that both have, and how many terms it must have."""


@dataclass(frozen=True)
class Chosen:
    """A sentence of the answer, and the less canonical ones that it stands for."""

    scored: Scored
    overruled: tuple[Scored, ...]


def choose(evidence: Evidence, passages: Sequence[Passage], settings: Answering) -> list[Chosen]:
    """The best sentence and those near it, in reading order within a passage; the most canonical of those about one thing.

    Of deprecated documents only where nothing else comes near; beside others they are at most overruled.
    """
    clean, most = _current_first(evidence.units, passages, settings.margin)
    picked: list[Chosen] = []
    used: set[int] = set()
    floor = clean[0].score - settings.margin if clean else 0.0
    for n, scored in enumerate(clean[:most]):
        if len(picked) == settings.sentences or scored.score < floor:
            break
        if n in used:
            continue
        alike = [
            m
            for m in range(n, len(clean))
            if m == n or (m not in used and _same(scored, clean[m], passages, evidence.alike))
        ]
        winner = min(alike, key=lambda m: (_rank(clean[m], passages), m))
        used.update(alike)
        overruled = [clean[m] for m in alike if _rank(clean[m], passages) > _rank(clean[winner], passages)]
        picked.append(Chosen(clean[winner], tuple(overruled)))
    return _ordered(picked)


def _current_first(
    units: Sequence[Scored], passages: Sequence[Passage], margin: float
) -> tuple[Sequence[Scored], int]:
    """``units``, and how many of them may be picked: without those of deprecated documents, which then come last, if any
    other comes as near to the best as an answer's sentences may."""
    current = [u for u in units if not passages[u.unit.passage].view.deprecated]
    if not current or current[0].score < units[0].score - margin:
        return units, len(units)
    return [*current, *(u for u in units if passages[u.unit.passage].view.deprecated)], len(current)


def _rank(scored: Scored, passages: Sequence[Passage]) -> int:
    return passages[scored.unit.passage].view.rank


def _same(
    a: Scored, b: Scored, passages: Sequence[Passage], alike: frozenset[tuple[int, int]] | None
) -> bool:
    """Whether two sentences are about the same thing: near copies anywhere, or like ones in different documents."""
    if a.unit.quote == b.unit.quote:
        return True
    if passages[a.unit.passage].view.document == passages[b.unit.passage].view.document:
        return False
    if alike is not None:
        return (min(a.number, b.number), max(a.number, b.number)) in alike
    shorter = min(len(a.unit.terms), len(b.unit.terms))
    return shorter >= _LEXICAL_LEAST and len(a.unit.terms & b.unit.terms) / shorter >= _LEXICAL_SAME


def _ordered(picked: Sequence[Chosen]) -> list[Chosen]:
    """Documents in the order of their best sentence; within one passage as it is written."""
    first: dict[int, int] = {}
    for n, chosen in enumerate(picked):
        first.setdefault(chosen.scored.unit.passage, n)
    return sorted(picked, key=lambda c: (first[c.scored.unit.passage], c.scored.unit.start))
