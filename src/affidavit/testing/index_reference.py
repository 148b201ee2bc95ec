"""What an index must answer, in plain slow code, and a catalog in memory that can be changed: the oracle of the Index port."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from affidavit.domain.errors import UsageError
from affidavit.domain.filter import matches
from affidavit.domain.records import FOREVER, Scope
from affidavit.ports.index import (
    AccessRow,
    Candidate,
    ChunkRow,
    Feed,
    IndexCapabilities,
    IndexStatus,
    Query,
    SearchResult,
)
from affidavit.text.analyze import terms


def in_scope(row: ChunkRow, access: Iterable[AccessRow], scope: Scope) -> bool:
    """Whether ``scope`` sees ``row``: the meaning of ``domain.records.Scope``, word for word."""

    def rule_at(position: int) -> int | None:
        for rule in access:
            if rule.document == row.document and rule.since <= position < rule.until:
                return rule.rule
        return None

    permitted = dict(scope.instead).get(row.document)
    if permitted is None:
        permitted = rule_at(scope.position) in scope.then and rule_at(scope.head) in scope.now
    return (
        row.tenant == scope.tenant
        and row.since <= scope.position < row.until
        and permitted
        and (scope.filter is None or matches(scope.filter, row.metadata))
    )


def visible_rows(rows: Iterable[ChunkRow], access: Iterable[AccessRow], scope: Scope) -> list[ChunkRow]:
    """Those of ``rows`` that ``scope`` sees."""
    rules: dict[int, list[AccessRow]] = {}
    for rule in access:
        rules.setdefault(rule.document, []).append(rule)
    return [r for r in rows if in_scope(r, rules.get(r.document, []), scope)]


def query_terms(query: Query) -> Mapping[str, float]:
    """What each distinct term of ``query`` counts."""
    return dict.fromkeys(terms(query.text), 1.0) if query.terms is None else query.terms


def keyword_scores(rows: Sequence[ChunkRow], query: Query) -> list[float]:
    """BM25 of each of ``rows`` among ``rows``."""
    words, k1, b = query_terms(query), query.k1, query.b
    texts = [terms(r.text) for r in rows]
    total = sum(len(t) for t in texts)
    average = total / len(rows) if total else 1.0
    counts = document_frequencies(rows, list(words))
    idf = {w: words[w] * math.log(1 + (len(rows) - df + 0.5) / (df + 0.5)) for w, df in counts.items()}
    scores = []
    for text in texts:
        score = 0.0
        for word in words:
            tf = text.count(word)
            score += idf[word] * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(text) / average)) if tf else 0.0
        scores.append(score)
    return scores


def document_frequencies(rows: Sequence[ChunkRow], words: Sequence[str]) -> dict[str, int]:
    """In how many of ``rows`` each of ``words`` occurs."""
    texts = [set(terms(r.text)) for r in rows]
    return {w: sum(w in t for t in texts) for w in words}


def dense_scores(rows: Sequence[ChunkRow], query: Query) -> list[float | None]:
    """The dot product of each row's vector with the query's, in float64; None where either has none."""
    if query.vector is None:
        return [None] * len(rows)
    wanted = query.vector.astype(np.float64)
    return [None if r.vector is None else float(np.dot(r.vector.astype(np.float64), wanted)) for r in rows]


def best(rows: Sequence[ChunkRow], scores: Sequence[float | None], k: int) -> set[int]:
    """Chunks of the ``k`` largest scores; the smaller ``tie`` wins among equals."""
    have = [(-s, r.tie, r.chunk) for r, s in zip(rows, scores, strict=True) if s is not None]
    return {chunk for _, _, chunk in sorted(have)[:k]}


def among(rows: Sequence[ChunkRow], query: Query, scores: Sequence[float | None]) -> list[float | None]:
    """``scores``, None where a row's document is not one that ``query`` asks about."""
    wanted = query.documents
    return [s if wanted is None or r.document in wanted else None for r, s in zip(rows, scores, strict=True)]


def reference_search(
    rows: Iterable[ChunkRow],
    access: Sequence[AccessRow],
    scope: Scope,
    query: Query,
    k: int,
) -> SearchResult:
    """The reference meaning of ``Index.search``."""
    visible = visible_rows(rows, access, scope)
    keyword = keyword_scores(visible, query)
    dense = dense_scores(visible, query)
    chosen = best(visible, among(visible, query, [s or None for s in keyword]), k) | best(
        visible, among(visible, query, dense), k
    )
    found = [
        Candidate(r.chunk, r.document, r.tie, s, d)
        for r, s, d in zip(visible, keyword, dense, strict=True)
        if r.chunk in chosen
    ]
    counts = document_frequencies(visible, list(query_terms(query)))
    return SearchResult(tuple(sorted(found, key=lambda c: (c.tie, c.chunk))), len(visible), counts)


class MemoryFeed:
    """A catalog in memory. Each mutating method is one position of the log. ``snapshot`` is what a reader holds."""

    def __init__(
        self, rows: Iterable[ChunkRow] = (), access: Iterable[AccessRow] = (), fingerprint: str = "f"
    ) -> None:
        self.rows = list(rows)
        self.access_rows = list(access)
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def snapshot(self) -> MemoryFeed:
        """A copy that later changes do not reach."""
        return MemoryFeed(self.rows, self.access_rows, self._fingerprint)

    def at(self, position: int) -> MemoryFeed:
        """The catalog as a reader saw it at ``position``."""

        def shown(until: int) -> int:
            return until if until <= position else FOREVER

        return MemoryFeed(
            [replace(r, until=shown(r.until)) for r in self.rows if r.since <= position],
            [replace(a, until=shown(a.until)) for a in self.access_rows if a.since <= position],
            self._fingerprint,
        )

    def head(self) -> int:
        times = [t for r in self.rows for t in (r.since, r.until)]
        times += [t for a in self.access_rows for t in (a.since, a.until)]
        return max((t for t in times if t < FOREVER), default=-1)

    def chunks(self, after: int, upto: int) -> Iterator[ChunkRow]:
        born = [r for r in self.rows if after < r.since <= upto]
        return iter(sorted(born, key=lambda r: (r.since, r.chunk)))

    def ended(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        return iter([(r.chunk, r.until) for r in self.rows if r.since <= after < r.until <= upto])

    def access(self, after: int, upto: int) -> Iterator[AccessRow]:
        moved = [a for a in self.access_rows if after < a.since <= upto or after < a.until <= upto]
        return iter(sorted(moved, key=lambda a: (a.since, a.document)))

    def put(self, rows: Iterable[ChunkRow], rule: int | None = None) -> None:
        """Replace the chunks of the rows' document by ``rows`` (dated by this); with ``rule``, set its access too."""
        new, at = list(rows), self.head() + 1
        if not new:
            return
        self._end_chunks(new[0].document, at)
        self.rows += [replace(r, since=at, until=FOREVER) for r in new]
        if rule is not None:
            self._set_rule(new[0].document, rule, at)

    def allow(self, document: int, rule: int) -> None:
        """Let ``rule`` govern ``document`` from now on."""
        self._set_rule(document, rule, self.head() + 1)

    def remove(self, document: int) -> None:
        """End the document: its chunks and its access row."""
        at = self.head() + 1
        self._end_chunks(document, at)
        self._end_rule(document, at)

    def _end_chunks(self, document: int, at: int) -> None:
        self.rows = [
            replace(r, until=at) if r.document == document and r.until == FOREVER else r for r in self.rows
        ]

    def _end_rule(self, document: int, at: int) -> None:
        self.access_rows = [
            replace(a, until=at) if a.document == document and a.until == FOREVER else a
            for a in self.access_rows
        ]

    def _set_rule(self, document: int, rule: int, at: int) -> None:
        self._end_rule(document, at)
        self.access_rows.append(AccessRow(document, rule, at, FOREVER))


class ReferenceIndex:
    """The reference meaning as an index: reads the whole feed at every search. A fake for small tests, and the pattern of
    ``exact``."""

    @property
    def capabilities(self) -> IndexCapabilities:
        return IndexCapabilities("reference", "exact", True)

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        if k < 1:
            raise UsageError(f"k is {k}", "ask for at least one result")
        head = feed.head()
        return reference_search(feed.chunks(-1, head), list(feed.access(-1, head)), scope, query, k)

    def persist(self, feed: Feed) -> None:
        """Nothing to write: it keeps nothing."""

    def status(self) -> IndexStatus:
        return IndexStatus(0, -1, 0, 0)
