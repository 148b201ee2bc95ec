"""Random catalogs and questions for the Index suite: hypothesis strategies, and the steps a history is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from affidavit.domain.filter import And, AnyOf, Equals, Exists, Filter, Not, Or, Range
from affidavit.domain.records import Scope, tie_break
from affidavit.ports.index import ChunkRow, Query
from affidavit.testing.index_reference import MemoryFeed
from affidavit.text.analyze import terms

DIMENSIONS = 8
WORDS = ("invoice", "refund", "ERR-4032", "alpha", "beta", "gamma", "delta", "policy")


def unit(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    """A unit vector in the direction of ``values``; None without one."""
    row = np.array(values, np.float64)
    length = float(np.linalg.norm(row))
    return (row / length).astype(np.float32) if length else None


@dataclass(frozen=True)
class Step:
    """One move in a random history; which of the numbers count depends on ``move``."""

    move: str
    document: int = 0
    rule: int = 0
    texts: tuple[tuple[str, ...], ...] = ()
    vectors: tuple[tuple[int, ...], ...] = ()


_texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(tuple), min_size=1, max_size=3).map(tuple)
_vector = st.lists(st.integers(-2, 2), min_size=DIMENSIONS, max_size=DIMENSIONS).map(tuple)
_vectors = st.lists(_vector, min_size=3, max_size=3).map(tuple)
_documents = st.integers(0, 9)
_rules = st.integers(0, 3)
_puts = st.builds(Step, st.just("put"), _documents, _rules, _texts, _vectors)
_steps = st.one_of(
    _puts,
    _puts,
    st.builds(Step, st.just("allow"), _documents, _rules),
    st.builds(Step, st.just("remove"), _documents),
    st.builds(Step, st.sampled_from(["persist", "reopen", "search", "search"])),
)
_leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equals, st.just("kind"), st.sampled_from(["a", "b", 1, True])),
    st.builds(AnyOf, st.just("kind"), st.lists(st.sampled_from(["a", "b", 1, True]), max_size=2).map(tuple)),
    st.builds(
        Range, st.just("year"), st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.just(2))
    ),
    st.builds(Exists, st.sampled_from(["tags", "absent"])),
    st.builds(Equals, st.just("tags"), st.sampled_from(["x", "y"])),
)


def _combined(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    few = st.lists(parts, max_size=2).map(tuple)
    return st.one_of(st.builds(And, few), st.builds(Or, few), st.builds(Not, parts))


filters = st.recursive(_leaves, _combined, max_leaves=4)
_most_rules = st.sampled_from([frozenset({0, 1}), frozenset({0, 1, 2}), frozenset({1, 2, 3})])
_rule_sets = st.one_of(_most_rules, st.frozensets(_rules, max_size=4))

_instead = st.dictionaries(st.integers(0, 12), st.booleans(), max_size=3).map(
    lambda d: tuple(sorted(d.items()))
)


@dataclass(frozen=True)
class Ask:
    """A scope and query, but for the positions, which are shares of the head there will be."""

    tenant: int
    now: frozenset[int]
    then: frozenset[int] | None
    head: float
    position: float
    filter: Filter | None
    instead: tuple[tuple[int, bool], ...]
    text: tuple[str, ...]
    vector: tuple[int, ...]
    k: int
    weights: tuple[float, ...] = ()
    documents: frozenset[int] | None = None
    bm25: tuple[float, float] = (1.2, 0.75)

    def scope(self, feed: MemoryFeed) -> Scope:
        head = round(feed.head() * self.head)
        then = self.now if self.then is None else self.then
        position = round(head * self.position)
        return Scope(self.tenant, self.now, then, head, position, self.filter, self.instead)

    @property
    def query(self) -> Query:
        text = " ".join(self.text)
        counts = dict(zip(terms(text), self.weights, strict=False)) if self.weights else None
        return Query(text, unit(self.vector), counts, self.documents, *self.bm25)


_share = st.one_of(st.just(1.0), st.floats(0.5, 1))
asks = st.builds(
    Ask,
    st.integers(0, 1),
    _rule_sets,
    st.one_of(st.none(), _rule_sets),
    _share,
    _share,
    st.one_of(st.none(), st.none(), filters),
    st.one_of(st.just(()), st.just(()), _instead),
    st.lists(st.sampled_from((*WORDS, "unknown")), min_size=1, max_size=4).map(tuple),
    _vector,
    st.integers(1, 6),
    st.one_of(st.just(()), st.lists(st.sampled_from((0.3, 1.0, 2.5)), min_size=1, max_size=4).map(tuple)),
    st.one_of(st.none(), st.none(), st.frozensets(st.integers(0, 9), max_size=4)),
    st.sampled_from(((1.2, 0.75), (0.9, 0.4))),
)


def grown(seed: int, size: int) -> list[Step]:
    """A history of ``size`` steps full of words and rules: drawn lists alone are mostly too poor to tell right from wrong."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(size):
        move = str(rng.choice(["put", "put", "put", "put", "allow", "remove", "persist"]))
        texts = tuple(tuple(rng.choice(WORDS, int(rng.integers(0, 7))).tolist()) for _ in range(3))
        vectors = tuple(tuple(int(v) for v in rng.integers(-2, 3, DIMENSIONS)) for _ in range(3))
        out.append(Step(move, int(rng.integers(10)), int(rng.integers(4)), texts, vectors))
    return out


def _after(seed: int, size: int, steps: list[Step]) -> list[Step]:
    return grown(seed, size) + steps


histories = st.builds(_after, st.integers(0, 2**16), st.integers(5, 25), st.lists(_steps, max_size=10))


class World:
    """A catalog in the making. Chunks are never numbered twice, as in a real one."""

    def __init__(self, feed: MemoryFeed | None = None, first: int = 1) -> None:
        self.feed = feed or MemoryFeed()
        self._next = first

    def take(self, step: Step) -> None:
        """Apply ``step`` to the catalog, if it is of the kind that changes it."""
        if step.move == "put":
            self.feed.put(self._rows(step), step.rule)
        elif step.move == "allow":
            self.feed.allow(step.document, step.rule)
        elif step.move == "remove":
            self.feed.remove(step.document)

    def _rows(self, step: Step) -> list[ChunkRow]:
        rows = []
        for words, values in zip(step.texts, step.vectors, strict=False):
            chunk, self._next = self._next, self._next + 1
            metadata = _metadata(chunk)
            tie = tie_break(f"c{chunk}")
            rows.append(
                ChunkRow(
                    chunk,
                    step.document,
                    step.document % 2,
                    tie,
                    0,
                    0,
                    " ".join(words),
                    unit(values),
                    metadata,
                )
            )
        return rows


def _metadata(number: int) -> dict[str, Any]:
    kinds = ("a", "b", 1, True)
    out: dict[str, Any] = {"kind": kinds[number % 4], "year": number % 5}
    if number % 3:
        out["tags"] = ["x", "y"][: number % 3]
    return out
