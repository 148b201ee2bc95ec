"""The index port: exact, filtered search over the catalog, of which the index is only a cache.

An index *pulls*: before it searches it catches up with the catalog through a ``Feed``, so an answer is never staler than
the catalog itself, after a crash, in another process, or with every index file gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.canonical import Json
from affidavit.domain.records import Scope


@dataclass(frozen=True)
class ChunkRow:
    """A chunk to be indexed. ``since`` is the position from which it is true; ``until`` the one from which it no longer
    is (FOREVER while it is true). ``tie`` orders equal scores (larger id first is wrong: smaller ``tie`` first).
    ``text`` is what keyword search reads (title, headings and body). ``vector`` is a unit float32 vector or None."""

    chunk: int
    document: int
    tenant: int
    tie: int
    since: int
    until: int
    text: str
    vector: NDArray[np.float32] | None
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class AccessRow:
    """The rule ``rule`` governs ``document`` from ``since`` until ``until``. At most one per document and position."""

    document: int
    rule: int
    since: int
    until: int


class Feed(Protocol):
    """The catalog as the index sees it. Reads one consistent snapshot. ``after`` exclusive, ``upto`` inclusive.

    A row *changed at* a position when its ``since`` or its ``until`` equals it; so a row can come twice: once when it is
    born and again when it ends (with its ``until`` then set). ``after=-1`` gives everything, ended rows included, since as-of
    questions need them.
    """

    @property
    def fingerprint(self) -> str:
        """Of the embedder whose vectors ``chunks`` gives; "" when keyword-only."""
        ...

    def head(self) -> int:
        """The position of the last change to chunks or access in this snapshot (-1: there never was one). Cheap."""
        ...

    def chunks(self, after: int, upto: int) -> Iterator[ChunkRow]:
        """Chunks born in the range, oldest first, with their present ``until``."""
        ...

    def ended(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        """(chunk, until) of chunks born at or before ``after`` that ended in the range."""
        ...

    def access(self, after: int, upto: int) -> Iterator[AccessRow]:
        """Access rows that were born or ended in the range, oldest first, with their present ``until``."""
        ...


@dataclass(frozen=True)
class Query:
    """What to look for: ``text`` for keyword scores, ``vector`` (unit, float32) for dense scores or None.

    ``terms``: what each term counts, in place of the terms of ``text``, of which each counts 1. ``documents``: candidates are of
    these alone; every score and statistic is still over all that is in scope. ``k1`` and ``b`` are BM25's.
    """

    text: str
    vector: NDArray[np.float32] | None = None
    terms: Mapping[str, float] | None = None
    documents: frozenset[int] | None = None
    k1: float = 1.2
    b: float = 0.75


@dataclass(frozen=True)
class Candidate:
    """A chunk in scope with both its scores. ``dense`` is None without vectors; ``keyword`` is 0.0 where no term matches."""

    chunk: int
    document: int
    tie: int
    keyword: float
    dense: float | None


@dataclass(frozen=True)
class SearchResult:
    """``candidates``: the union of the best by keyword (score > 0 only) and the best by dense score, each candidate
    with both scores, ordered by ``tie``. ``visible``: how many chunks are in scope. ``terms``: each distinct query term
    and in how many chunks in scope it occurs, in query order."""

    candidates: tuple[Candidate, ...]
    visible: int
    terms: Mapping[str, int]


@dataclass(frozen=True)
class IndexCapabilities:
    """``promise``: ``exact`` (noninterference holds: every score is a function of rows in scope) or ``candidates``
    (recall bounded, the caller recomputes scores)."""

    engine: str
    promise: str
    dense: bool


@dataclass(frozen=True)
class IndexStatus:
    """``rows``: chunks held, ended ones included; ``position``: caught up to; ``segments``: files; ``bytes``: on disk.
    ``rebuilt``: why the files were thrown away and made anew since opening, or ""."""

    rows: int
    position: int
    segments: int
    bytes: int
    rebuilt: str = ""


class Index(Protocol):
    """A search engine for chunks. Several threads may search at once."""

    @property
    def capabilities(self) -> IndexCapabilities: ...

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        """Catch up with ``feed``, then the best ``k`` chunks in ``scope`` by each kind of score.

        Never fewer than ``k`` by a kind of score while more in scope have one.
        Deterministic: equal scopes over equal visible rows give equal results to the last bit, whatever else is indexed.
        """
        ...

    def persist(self, feed: Feed) -> None:
        """Catch up and write what is not on disk yet, merging small files. Called by the writer after a sync; a crash at any
        moment leaves the old files or the new ones."""
        ...

    def status(self) -> IndexStatus:
        """What is held."""
        ...
