"""The embedded index passes the suite of its port; and the suite fails for indexes that are broken on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from affidavit.adapters.embedded import EmbeddedIndex
from affidavit.adapters.embedded import search as search_module
from affidavit.adapters.embedded.access import AccessBatch, AccessTable
from affidavit.adapters.embedded.arrays import Directory, floor_of
from affidavit.adapters.embedded.build import Builder
from affidavit.adapters.embedded.dense import QueryVector, contenders, rescore, scan
from affidavit.adapters.embedded.keyword import PartScores, score
from affidavit.adapters.embedded.merge import choose
from affidavit.adapters.embedded.metadata import MetadataTable, encode
from affidavit.adapters.embedded.segment import Segment, quantise
from affidavit.adapters.embedded.view import PartView, View
from affidavit.domain.errors import UsageError
from affidavit.domain.filter import Filter, matches
from affidavit.domain.records import FOREVER, Scope, tie_break
from affidavit.ports.index import AccessRow, ChunkRow, Feed, Index, Query, SearchResult
from affidavit.testing.index_conformance import (
    Ask,
    IndexConformance,
    MemoryFeed,
    ReferenceIndex,
    Step,
    agrees,
    asks,
    careful,
    filters,
    histories,
    same,
)


class TestEmbedded(IndexConformance):
    def make(self, folder: Path) -> Index:
        return EmbeddedIndex(folder)


class TestInMemory(IndexConformance):
    """Without a folder: reopening starts from nothing."""

    keeps_files = False

    def make(self, folder: Path) -> Index:
        return EmbeddedIndex(None)


class TestReference(IndexConformance):
    """The oracle as an index: the suite is not about one engine."""

    keeps_files = False

    def make(self, folder: Path) -> Index:
        return ReferenceIndex()


# -- indexes that are broken on purpose


class WeighsHiddenRows(EmbeddedIndex):
    """Takes the number of rows and their average length over the whole tenant, as a shared engine would."""

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        rows = [r for r in feed.chunks(-1, feed.head()) if r.tenant == scope.tenant]
        hidden = len(rows)

        def leaky(
            view: View, words: Mapping[str, float], k1: float, b: float
        ) -> tuple[list[PartScores], dict[str, int]]:
            return score(View(view.parts, hidden, view.average), words, k1, b)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search_module, "score", leaky)
            return super().search(feed, scope, query, k)


class NothingEnds:
    """A feed that hides when rows and rules end."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.fingerprint = feed.fingerprint

    def head(self) -> int:
        return self.feed.head()

    def chunks(self, after: int, upto: int) -> Iterator[ChunkRow]:
        return (replace(r, until=FOREVER) for r in self.feed.chunks(after, upto))

    def ended(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        return iter(())

    def access(self, after: int, upto: int) -> Iterator[AccessRow]:
        return self.feed.access(after, upto)


class ForgetsUntil(EmbeddedIndex):
    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        return super().search(NothingEnds(feed), scope, query, k)


class TrustsThen(EmbeddedIndex):
    """Lets in who could read then, whatever has been withdrawn since."""

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        return super().search(feed, replace(scope, head=scope.position, now=scope.then), query, k)


class TrustsNow(EmbeddedIndex):
    """Lets in who may read now, whatever they could read then."""

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        index = EmbeddedIndex(None)
        rows = [replace(a, since=0) if a.until == FOREVER else a for a in feed.access(-1, feed.head())]
        lenient = MemoryFeed(feed.chunks(-1, feed.head()), rows)
        return index.search(lenient, replace(scope, then=scope.now), query, k)


class ReturnsShort(EmbeddedIndex):
    """Like an approximate index: filters after it has found."""

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        found = super().search(feed, scope, query, k)
        return replace(found, candidates=found.candidates[:-1])


class RoundsScores(EmbeddedIndex):
    """Scores in float32."""

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        found = super().search(feed, scope, query, k)
        return replace(
            found, candidates=tuple(replace(c, keyword=c.keyword * 1.0001) for c in found.candidates)
        )


_plainly = settings(careful, phases=[Phase.generate], database=None, derandomize=True)


@pytest.mark.parametrize(
    "broken", [WeighsHiddenRows, ForgetsUntil, TrustsThen, TrustsNow, ReturnsShort, RoundsScores]
)
def test_the_reference_catches(broken: type[EmbeddedIndex]) -> None:
    """With as many examples as the suite takes; only the shrinking, which is slow, is left out."""
    suite = suite_of(broken)

    @_plainly
    @given(histories, st.lists(asks, min_size=2, max_size=3))
    def attempt(steps: list[Step], questions: list[Ask]) -> None:
        suite.agrees_throughout(steps, questions)

    with pytest.raises(AssertionError):
        attempt()


def test_noninterference_catches_scores_weighed_by_hidden_rows() -> None:
    suite = suite_of(WeighsHiddenRows)

    @_plainly
    @given(histories, asks, histories, st.lists(st.floats(0, 1), max_size=3), st.booleans())
    def attempt(steps: list[Step], ask: Ask, hidden: list[Step], stops: list[float], cut: bool) -> None:
        suite.is_blind_to(steps, ask, hidden, stops, cut)

    with pytest.raises(AssertionError, match="two results differ"):
        attempt()


def suite_of(broken: type[EmbeddedIndex]) -> IndexConformance:
    class Suite(IndexConformance):
        def make(self, folder: Path) -> Index:
            return broken(folder)

    return Suite()


# -- pieces


def rows_of(n: int, rng: np.random.Generator, dimensions: int = 48) -> list[ChunkRow]:
    """Rows with clustered vectors (so that there is much to confuse) and Zipf words."""
    centres = rng.standard_normal((5, dimensions))
    out = []
    for chunk in range(n):
        raw = centres[chunk % 5] + 0.3 * rng.standard_normal(dimensions)
        vector = (raw / np.linalg.norm(raw)).astype(np.float32)
        words = " ".join(f"word{w}" for w in np.minimum(rng.zipf(1.4, 12), 60))
        out.append(ChunkRow(chunk, chunk // 3, chunk % 2, tie_break(str(chunk)), 0, FOREVER, words, vector))
    return out


def segment_of(rows: list[ChunkRow]) -> Segment:
    builder = Builder()
    for row in rows:
        builder.add(row)
    return builder.finish(lambda documents: np.zeros(len(documents), np.int32))[0]


def test_thousands_of_rows_agree_with_the_reference() -> None:
    """Large enough for every way of scanning: whole ranges, runs, gathered rows; side by side and one by one."""
    rng = np.random.default_rng(11)
    rows = rows_of(6000, rng)
    for share in (1.0, 0.3, 0.05, 0.004):
        access = [AccessRow(d, int(rng.random() < share), 0, FOREVER) for d in range(2000)]
        feed = MemoryFeed(rows, access)
        scope = Scope(1, frozenset({1}), frozenset({1}), 0, 0)
        index = EmbeddedIndex(None)
        for _ in range(2):
            query = Query("word1 word3 word40 word59 nowhere", rows[int(rng.integers(6000))].vector)
            agrees(index.search(feed, scope, query, 10), feed, scope, query, 10)


def test_scattered_and_contiguous_layouts_give_the_same_bits() -> None:
    """The same visible rows alone, and lost among hidden ones: other kernels, equal results."""
    rng = np.random.default_rng(12)
    rows = rows_of(5000, rng)
    shown = [r for r in rows if r.document % 17 == 0]
    access = [AccessRow(d, int(d % 17 == 0), 0, FOREVER) for d in range(2000)]
    scope = Scope(0, frozenset({1}), frozenset({1}), 0, 0)
    crowded, alone = EmbeddedIndex(None), EmbeddedIndex(None)
    for i in range(10):
        query = Query(f"word{i + 1} word2 word5", rows[i].vector)
        a = crowded.search(MemoryFeed(rows, access), scope, query, 20)
        same(a, alone.search(MemoryFeed(shown, access), scope, query, 20))


@pytest.mark.parametrize("dimensions", [1, 3, 17, 384])
def test_bounds_hold_and_contenders_include_the_best(dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    rows = rows_of(700, rng, dimensions)
    spiky = np.zeros(dimensions, np.float32)
    spiky[0] = 1
    rows += [replace(r, chunk=r.chunk + 700, vector=spiky) for r in rows[:20]]
    segment = segment_of(rows)
    low, high = segment.tenant_range(0)
    view = PartView(segment, low, high, np.arange(low, high))
    for vector in (rows[3].vector, spiky, np.zeros(dimensions, np.float32), rows[0].vector):
        assert vector is not None
        query = QueryVector.of(vector)
        exact = segment.vectors[low:high].astype(np.float64) @ vector.astype(np.float64)
        bounds = scan(view, query)
        assert (bounds.lower <= exact).all()
        assert (exact <= bounds.upper).all()
        (kept,) = contenders([bounds], 9)
        best = set(np.argsort(-exact, kind="stable")[:9].tolist())
        floor = np.sort(exact)[-9]
        assert {low + b for b in best if exact[b] > floor + 1e-12} <= set(kept.tolist())
        assert len(kept) >= 9
        np.testing.assert_allclose(rescore(segment, kept, query), exact[kept - low], atol=1e-12)


def test_a_full_score_depends_on_its_row_only() -> None:
    rng = np.random.default_rng(1)
    for dimensions in (1, 7, 129, 384, 1024):
        segment = segment_of(rows_of(300, rng, dimensions))
        query = QueryVector.of(segment.vectors[5])
        together = rescore(segment, np.arange(300), query)
        alone = [rescore(segment, np.array([i]), query)[0] for i in range(300)]
        assert together.tolist() == alone


@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([0, 5, 600, 9000]))
@settings(max_examples=40, deadline=None)
def test_floor_is_reached_by_k(seed: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(n).round(1), rng.standard_normal(n // 3).round(2)]
    floor, together = floor_of(values, k), np.concatenate(values)
    assert (together >= floor).sum() >= min(k, len(together))
    assert floor == -np.inf or floor <= np.sort(together)[-k]


@given(filters, st.lists(st.dictionaries(st.sampled_from(["kind", "year", "tags"]), st.one_of(
    st.sampled_from(["a", "b", 0, 1, 2, True, False, None, []]), st.lists(st.sampled_from(["x", "y", 1, True]))
)), max_size=8))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_filters_mean_what_they_mean(filter: Filter, metadata: list[dict[str, object]]) -> None:
    table = MetadataTable.of([encode(m) for m in metadata])  # type: ignore[arg-type]
    assert table.passing(filter).tolist() == [matches(filter, m) for m in metadata]  # type: ignore[arg-type]


def test_a_directory_keeps_its_ordinals() -> None:
    first = Directory.empty().extend(np.array([50, 7, 50, 30]))
    second = first.extend(np.array([8, 7, 99, -3]))
    assert second.find(np.array([7, 30, 50])).tolist() == first.find(np.array([7, 30, 50])).tolist()
    assert second.find(np.array([8, 99, -3, 1000])).tolist()[-1] == -1
    assert second.ids[second.find(np.array([99, 8]))].tolist() == [99, 8]


def test_a_row_of_access_may_come_twice() -> None:
    documents, rules = Directory.empty().extend(np.arange(3)), Directory.empty().extend(np.arange(5))
    open_row, ended = AccessRow(1, 4, 0, FOREVER), AccessRow(1, 4, 0, 2)
    table = AccessTable.empty()
    for rows in ([open_row], [open_row], [ended, AccessRow(1, 2, 2, FOREVER)], [ended]):
        table = table.apply(AccessBatch.of(rows), documents, rules)
    assert [table.rules_at(p).tolist()[1] for p in (0, 1, 2, 9)] == [4, 4, 2, 2]
    assert table.rules_at(9).tolist() == [-1, 2, -1]


@pytest.mark.parametrize(
    ("sizes", "new", "chosen"),
    [
        ([], 5, []),
        ([1000], 5, []),
        ([8, 1000], 5, [0]),
        ([30, 8, 1000], 10, [1, 0]),
        ([10**i for i in range(2, 10)], 0, []),
        ([10**i for i in range(2, 10)], 1, [0]),
    ],
)
def test_small_files_are_merged(sizes: list[int], new: int, chosen: list[int]) -> None:
    assert choose(sizes, new, 8) == chosen


def test_codes_of_nothing_are_nothing() -> None:
    codes = quantise(np.zeros((2, 4), np.float32))
    assert not codes.codes.any()
    assert (codes.scale == 1).all()


def test_a_vector_that_is_not_a_number_counts_as_none() -> None:
    bad = ChunkRow(1, 1, 0, 5, 0, FOREVER, "alpha", np.full(4, np.nan, np.float32))
    feed = MemoryFeed([bad], [AccessRow(1, 1, 0, FOREVER)])
    scope = Scope(0, frozenset({1}), frozenset({1}), 0, 0)
    found = EmbeddedIndex(None).search(feed, scope, Query("alpha", np.ones(4, np.float32)), 3)
    assert [(c.chunk, c.dense) for c in found.candidates] == [(1, None)]


@pytest.mark.parametrize(
    "vector", [np.ones(3, np.float32), np.full(48, np.inf, np.float32), np.ones((1, 48), np.float32)]
)
def test_a_query_vector_that_does_not_fit_is_refused(
    vector: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> None:
    feed = MemoryFeed(rows_of(4, np.random.default_rng(0)), [AccessRow(0, 1, 0, FOREVER)])
    with pytest.raises(UsageError):
        EmbeddedIndex(None).search(feed, Scope(0, frozenset({1}), frozenset({1}), 0, 0), Query("", vector), 3)


def test_vectors_of_two_lengths_are_refused() -> None:
    rows = rows_of(4, np.random.default_rng(0))
    rows[2] = replace(rows[2], vector=np.ones(3, np.float32))
    with pytest.raises(UsageError, match="dimensions"):
        EmbeddedIndex(None).search(MemoryFeed(rows), Scope(0, frozenset(), frozenset(), 0, 0), Query(""), 1)


def test_of_asked_documents_only_what_matches_is_found_and_statistics_are_of_all() -> None:
    rows = [
        ChunkRow(n, n, 0, n, 0, FOREVER, text, None)
        for n, text in enumerate(["alpha beta", "beta", "alpha", "gamma"])
    ]
    feed = MemoryFeed(rows, [AccessRow(n, 1, 0, FOREVER) for n in range(4)])
    scope = Scope(0, frozenset({1}), frozenset({1}), 0, 0)
    whole = EmbeddedIndex(None).search(feed, scope, Query("alpha"), 9)
    some = EmbeddedIndex(None).search(feed, scope, Query("alpha", documents=frozenset({1, 2, 77})), 9)
    assert [c for c in whole.candidates if c.document == 2] == list(some.candidates)
    assert (some.visible, some.terms) == (4, {"alpha": 2})
