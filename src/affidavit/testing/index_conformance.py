"""What every implementation of the Index port must pass: subclass ``IndexConformance`` and say how to make one.

The oracle is ``reference_search``; ``MemoryFeed`` is the catalog. Checks raise AssertionError by themselves, because pytest does
not rewrite ``assert`` in here.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.domain.errors import UsageError
from affidavit.domain.records import Scope, tie_break
from affidavit.ports.index import ChunkRow, Index, Query, SearchResult
from affidavit.testing.index_reference import (
    MemoryFeed as MemoryFeed,
)
from affidavit.testing.index_reference import (
    ReferenceIndex as ReferenceIndex,
)
from affidavit.testing.index_reference import (
    among,
    dense_scores,
    keyword_scores,
    visible_rows,
)
from affidavit.testing.index_reference import (
    reference_search as reference_search,
)
from affidavit.testing.index_worlds import DIMENSIONS as DIMENSIONS
from affidavit.testing.index_worlds import WORDS as WORDS
from affidavit.testing.index_worlds import Ask as Ask
from affidavit.testing.index_worlds import Step as Step
from affidavit.testing.index_worlds import World as World
from affidavit.testing.index_worlds import asks as asks
from affidavit.testing.index_worlds import filters as filters
from affidavit.testing.index_worlds import grown as grown
from affidavit.testing.index_worlds import histories as histories
from affidavit.testing.index_worlds import unit as unit

NEAR = 1e-6

careful = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


def check(holds: bool, what: str, *seen: object) -> None:
    """Raise AssertionError unless ``holds``."""
    if not holds:
        raise AssertionError(f"{what}: {seen!r}" if seen else what)


def agrees(result: SearchResult, feed: MemoryFeed, scope: Scope, query: Query, k: int) -> None:
    """Check ``result`` against the reference: all exact but scores, which may differ by ``NEAR`` and swap what lies nearer."""
    visible = visible_rows(feed.rows, feed.access_rows, scope)
    expected = reference_search(feed.rows, feed.access_rows, scope, query, k)
    check(result.visible == expected.visible, "visible", result.visible, expected.visible)
    check(list(result.terms.items()) == list(expected.terms.items()), "terms", result.terms, expected.terms)
    order = [(c.tie, c.chunk) for c in result.candidates]
    check(order == sorted(set(order)), "candidates are not in order of tie", order)
    keyword = keyword_scores(visible, query)
    dense = dense_scores(visible, query)
    by_chunk = {r.chunk: (r, s, d) for r, s, d in zip(visible, keyword, dense, strict=True)}
    for found in result.candidates:
        check(found.chunk in by_chunk, "a chunk out of scope was given", found)
        row, s, d = by_chunk[found.chunk]
        check((found.document, found.tie) == (row.document, row.tie), "not the row's", found)
        check(abs(found.keyword - s) <= NEAR, "keyword score", found, s)
        check((found.dense is None) == (d is None), "dense score", found, d)
        check(d is None or found.dense is None or abs(found.dense - d) <= NEAR, "dense score", found, d)
    _right_ones(
        {c.chunk for c in result.candidates},
        visible,
        among(visible, query, [s or None for s in keyword]),
        among(visible, query, dense),
        k,
    )


def _right_ones(
    found: set[int],
    visible: list[ChunkRow],
    keyword: list[float | None],
    dense: list[float | None],
    k: int,
) -> None:
    """Everyone clearly among the best is there, and no one who clearly is not."""
    may: set[int] = set()
    for scores in (keyword, dense):
        have = sorted((s for s in scores if s is not None), reverse=True)
        floor = have[k - 1] if len(have) >= k else float("-inf")
        pairs = [(r.chunk, s) for r, s in zip(visible, scores, strict=True) if s is not None]
        must = {c for c, s in pairs if s > floor + NEAR}
        may |= {c for c, s in pairs if s >= floor - NEAR}
        check(must <= found, "a chunk among the best is missing", must - found)
        check(len({c for c, _ in pairs} & found) >= min(k, len(pairs)), "fewer than k", found)
    check(found <= may, "a chunk that is not among the best was given", found - may)


def same(a: SearchResult, b: SearchResult) -> None:
    """Check that two results are equal to the last bit."""
    check(a == b and repr(a) == repr(b), "two results differ", a, b)


class IndexConformance:
    """The suite. A subclass says how an index is made; a ``folder`` that holds an index already is opened."""

    keeps_files = True
    """Whether ``status`` tells of rows and files; False for fakes."""

    def make(self, folder: Path) -> Index:
        """A new index object over ``folder``."""
        raise NotImplementedError

    @careful
    @given(histories, st.lists(asks, min_size=2, max_size=3))
    def test_agrees_with_the_reference(self, steps: list[Step], questions: list[Ask]) -> None:
        self.agrees_throughout(steps, questions)

    @careful
    @given(histories, asks, histories, st.lists(st.floats(0, 1), max_size=3), st.booleans())
    def test_hidden_rows_change_nothing(
        self, steps: list[Step], ask: Ask, hidden: list[Step], stops: list[float], cut: bool
    ) -> None:
        self.is_blind_to(steps, ask, hidden, stops, cut)

    def agrees_throughout(self, steps: Sequence[Step], questions: Sequence[Ask]) -> None:
        """Follow the history, persisting and reopening as it says; at each search, and last, answer all questions rightly."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            index, world = self.make(folder), World()
            for step in [*steps, Step("search")]:
                world.take(step)
                if step.move == "persist":
                    index.persist(world.feed)
                elif step.move == "reopen":
                    index = self.make(folder)
                elif step.move == "search":
                    for ask in questions:
                        scope = ask.scope(world.feed)
                        agrees(
                            index.search(world.feed, scope, ask.query, ask.k),
                            world.feed,
                            scope,
                            ask.query,
                            ask.k,
                        )

    def is_blind_to(
        self, steps: Sequence[Step], ask: Ask, hidden: Sequence[Step], stops: Sequence[float], cut: bool
    ) -> None:
        """Two catalogs that differ only out of scope, indexed in different batches: equal results, to the last bit."""
        world = World()
        for step in steps:
            world.take(step)
        scope = ask.scope(world.feed)
        other = with_other_hidden_rows(world.feed, scope, hidden, cut)
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            plain = self.make(Path(one)).search(world.feed, scope, ask.query, ask.k)
            index = self.make(Path(two))
            for stop in sorted(stops):
                index.persist(other.at(round(other.head() * stop)))
            same(plain, index.search(other, scope, ask.query, ask.k))

    def test_equal_scores_come_by_tie(self) -> None:
        feed = MemoryFeed()
        vector = unit(range(1, DIMENSIONS + 1))
        for chunk in range(40):
            feed.put([ChunkRow(chunk, chunk, 0, tie_break(str(chunk)), 0, 0, "alpha", vector)], 0)
        scope = Scope(0, frozenset({0}), frozenset({0}), feed.head(), feed.head())
        wanted = sorted(tie_break(str(chunk)) for chunk in range(40))[:7]
        with tempfile.TemporaryDirectory() as name:
            index = self.make(Path(name))
            for query in (Query("alpha"), Query("", vector), Query("alpha", vector)):
                found = index.search(feed, scope, query, 7)
                check([c.tie for c in found.candidates] == wanted, "not by tie", query.text)

    def test_every_visible_chunk_is_found_when_k_allows(self) -> None:
        world = _small_world()
        scope = _everything(world.feed)
        with tempfile.TemporaryDirectory() as name:
            found = self.make(Path(name)).search(world.feed, scope, Query("", unit([1] * DIMENSIONS)), 10_000)
        visible = visible_rows(world.feed.rows, world.feed.access_rows, scope)
        have = [r for r in visible if r.vector is not None]
        check(len(found.candidates) == len(have) > 5, "short list", len(found.candidates), len(have))

    def test_an_empty_catalog_gives_nothing(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            index = self.make(Path(name))
            empty = MemoryFeed()
            for _ in range(2):
                found = index.search(empty, Scope(0, frozenset({1}), frozenset({1}), 5, 5), Query("alpha"), 3)
                same(found, SearchResult((), 0, {"alpha": 0}))
                index.persist(empty)
                index = self.make(Path(name))

    def test_a_scope_without_rules_sees_nothing(self) -> None:
        feed = _small_world().feed
        scope = replace(_everything(feed), now=frozenset())
        with tempfile.TemporaryDirectory() as name:
            same(
                self.make(Path(name)).search(feed, scope, Query("alpha"), 3),
                SearchResult((), 0, {"alpha": 0}),
            )

    def test_no_results_cannot_be_asked_for(self) -> None:
        feed = _small_world().feed
        with tempfile.TemporaryDirectory() as name:
            try:
                self.make(Path(name)).search(feed, _everything(feed), Query("alpha"), 0)
            except UsageError:
                return
        raise AssertionError("k = 0 was accepted")

    def test_an_older_snapshot_is_answered_as_it_stood(self) -> None:
        """A reader who opened the catalog before the index moved on."""
        world = _small_world()
        older, scope = world.feed.snapshot(), _everything(world.feed)
        query = Query("alpha policy", unit([1, 2, 0, 0, 1, 0, 0, 1]))
        with tempfile.TemporaryDirectory() as name:
            index = self.make(Path(name))
            before = index.search(older, scope, query, 4)
            for document in range(4):
                world.feed.remove(document)
            world.feed.allow(5, 3)
            agrees(
                index.search(world.feed, _everything(world.feed), query, 4),
                world.feed,
                _everything(world.feed),
                query,
                4,
            )
            same(index.search(older, scope, query, 4), before)
            same(index.search(world.feed, scope, query, 4), before)

    def test_another_history_is_noticed(self) -> None:
        """A restored backup that went another way, shorter, equally long or longer than what the index knows."""
        for extra in (1, 3, 6):
            with tempfile.TemporaryDirectory() as name:
                world = _small_world()
                backup = World(world.feed.snapshot(), first=1000)
                for document in range(3):
                    world.feed.remove(document)
                index = self.make(Path(name))
                index.persist(world.feed)
                for i in range(extra):
                    backup.take(Step("put", 4 + i, 1, (("gamma", "policy"),), ((1,) * DIMENSIONS,)))
                index = self.make(Path(name))
                scope, query = _everything(backup.feed), Query("gamma", unit([1] * DIMENSIONS))
                agrees(index.search(backup.feed, scope, query, 5), backup.feed, scope, query, 5)

    def test_another_embedder_means_new_vectors(self) -> None:
        feed = _small_world().feed
        turned = [replace(r, vector=None if r.vector is None else r.vector[::-1].copy()) for r in feed.rows]
        other = MemoryFeed(turned, feed.access_rows, "another")
        scope, query = _everything(feed), Query("alpha", unit([1, 0, 0, 2, 0, 0, 0, 1]))
        with tempfile.TemporaryDirectory() as name:
            index = self.make(Path(name))
            index.persist(feed)
            for again in (index, self.make(Path(name))):
                agrees(again.search(other, scope, query, 4), other, scope, query, 4)
            index.persist(other)
            agrees(self.make(Path(name)).search(other, scope, query, 4), other, scope, query, 4)

    def test_threads_search_while_the_catalog_changes(self) -> None:
        world = _small_world()
        with tempfile.TemporaryDirectory() as name:
            index = self.make(Path(name))
            snapshots = [world.feed.snapshot()]
            for i in range(12):
                world.take(
                    Step("put", i % 10, i % 3, (("alpha", "beta"),), ((1, i % 3) * (DIMENSIONS // 2),))
                )
                snapshots.append(world.feed.snapshot())
            faults: list[BaseException] = []

            def work(mine: Sequence[MemoryFeed]) -> None:
                query = Query("alpha gamma", unit([1, 1, 0, 0, 1, 0, 0, 1]))
                try:
                    for i, feed in enumerate(mine):
                        scope = _everything(feed)
                        agrees(index.search(feed, scope, query, 3), feed, scope, query, 3)
                        if i % 4 == 0:
                            index.persist(feed)
                except (AssertionError, ArithmeticError, LookupError, OSError, ValueError) as wrong:
                    faults.append(wrong)

            threads = [threading.Thread(target=work, args=(snapshots[i::2],)) for i in (0, 1, 0)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            check(not faults, "a thread failed", faults)

    def test_status_counts_what_is_held(self) -> None:
        world = _small_world()
        with tempfile.TemporaryDirectory() as name:
            index = self.make(Path(name))
            index.persist(world.feed)
            status = index.status()
            if self.keeps_files:
                check(status.rows == len(world.feed.rows), "rows", status)
                check(status.position == world.feed.head(), "position", status)
                check(status.segments >= 1 and status.bytes > 0 and not status.rebuilt, "files", status)
                check(self.make(Path(name)).status() == status, "reopened", status)


def with_other_hidden_rows(feed: MemoryFeed, scope: Scope, hidden: Sequence[Step], cut: bool) -> MemoryFeed:
    """A catalog with the same rows in ``scope`` and others beside them: some left out, some reworded, some added."""
    visible = {r.chunk for r in visible_rows(feed.rows, feed.access_rows, scope)}
    seen = {r.document for r in feed.rows if r.chunk in visible}
    kept = [
        r if r.chunk in visible else replace(r, text=f"{r.text} alpha alpha invoice", vector=None)
        for r in feed.rows
        if r.chunk in visible or not cut or r.chunk % 2
    ]
    access = [a for a in feed.access_rows if a.document in seen or not cut]
    other = MemoryFeed(kept, access)
    beside = World(other, first=10_000)
    for step in hidden:
        # Documents of their own: of the same tenant under a rule that is out of scope, or of another tenant.
        if step.move == "put":
            beside.take(replace(step, document=step.document + 100, rule=77))
        elif step.move in ("allow", "remove") and step.document not in seen:
            beside.take(replace(step, document=step.document + 100, rule=78))
    return other


def _small_world() -> World:
    world = World()
    rng = np.random.default_rng(5)
    for document in range(10):
        texts = tuple(tuple(rng.choice(WORDS, 6).tolist()) for _ in range(3))
        vectors = tuple(tuple(int(v) for v in rng.integers(-2, 3, DIMENSIONS)) for _ in range(3))
        world.take(Step("put", document, document % 3, texts, vectors))
    return world


def _everything(feed: MemoryFeed) -> Scope:
    rules = frozenset(range(3))
    return Scope(0, rules, rules, feed.head(), feed.head())
