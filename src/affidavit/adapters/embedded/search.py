"""One search over one state: the best by keyword and the best by dense score, each with both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affidavit.adapters.embedded.arrays import F64, I64, floor_of
from affidavit.adapters.embedded.dense import QueryVector, contenders, rescore, scan
from affidavit.adapters.embedded.keyword import PartScores, score
from affidavit.adapters.embedded.view import PartView, View
from affidavit.domain.errors import UsageError
from affidavit.ports.index import Candidate, Query, SearchResult
from affidavit.text.analyze import terms

_NONE = np.empty(0, np.int64)


def search_view(view: View, query: Query, k: int) -> SearchResult:
    """The answer to ``query`` over what ``view`` shows. Raises UsageError, IndexDamagedError."""
    if k < 1:
        raise UsageError(f"k is {k}", "ask for at least one result")
    vector = None if query.vector is None else QueryVector.of(query.vector)
    words = dict.fromkeys(terms(query.text), 1.0) if query.terms is None else query.terms
    scores, counts = score(view, words, query.k1, query.b)
    within = None if query.documents is None else [_rows_of(p, query.documents) for p in view.parts]
    by_keyword = _best_by_keyword(scores, within, k)
    by_vector = (
        [_NONE for _ in view.parts] if vector is None else _best_by_vector(view.parts, vector, within, k)
    )
    found: list[Candidate] = []
    for part, some, others in zip(scores, by_keyword, by_vector, strict=True):
        rows = np.union1d(some, others)
        if len(rows):
            found.extend(_candidates(part, rows, vector))
    found.sort(key=lambda c: (c.tie, c.chunk))
    return SearchResult(tuple(found), view.visible, counts)


def _candidates(part: PartScores, rows: I64, vector: QueryVector | None) -> list[Candidate]:
    segment = part.view.segment
    dense: list[float | None] = [None] * len(rows)
    if vector is not None and segment.dimensions:
        has = np.flatnonzero(segment.has[rows])
        for at, value in zip(has.tolist(), rescore(segment, rows[has], vector).tolist(), strict=True):
            dense[at] = value
    columns = (
        segment.chunk[rows].tolist(),
        segment.document[rows].tolist(),
        segment.tie[rows].tolist(),
        part.of(rows).tolist(),
        dense,
    )
    return [Candidate(*values) for values in zip(*columns, strict=True)]


def _rows_of(part: PartView, documents: frozenset[int]) -> I64:
    """The visible rows of ``documents``, ascending."""
    wanted = np.array(sorted(documents), np.int64)
    rows: I64 = part.rows[np.isin(part.segment.document[part.rows], wanted)]
    return rows


def _best_by_keyword(scores: Sequence[PartScores], within: Sequence[I64] | None, k: int) -> list[I64]:
    if within is None:
        floor = floor_of([s.scores for s in scores if s.scores is not None], k)
        rows = [s.reaching(floor) for s in scores]
    else:
        rows = [r[s.of(r) > 0] for s, r in zip(scores, within, strict=True)]
    values = [s.of(r) for s, r in zip(scores, rows, strict=True)]
    return _best([s.view for s in scores], rows, values, k)


def _best_by_vector(
    parts: Sequence[PartView], vector: QueryVector, within: Sequence[I64] | None, k: int
) -> list[I64]:
    for part in parts:
        if part.segment.dimensions not in (0, len(vector.exact)):
            raise UsageError(
                f"the query vector has {len(vector.exact)} dimensions, the index {part.segment.dimensions}",
                "embed the query with the embedder the index was built with",
            )
    if within is None:
        rows = contenders([scan(p, vector) for p in parts], k)
    else:
        rows = [
            r[p.segment.has[r]] if p.segment.dimensions else _NONE for p, r in zip(parts, within, strict=True)
        ]
    values = [rescore(p.segment, r, vector) for p, r in zip(parts, rows, strict=True)]
    return _best(parts, rows, values, k)


def _best(parts: Sequence[PartView], rows: Sequence[I64], values: Sequence[F64], k: int) -> list[I64]:
    """Per part those rows that are among the ``k`` best of all: higher values first, then smaller ties."""
    if not parts:
        return []
    ties = np.concatenate([p.segment.tie[r] for p, r in zip(parts, rows, strict=True)])
    chunks = np.concatenate([p.segment.chunk[r] for p, r in zip(parts, rows, strict=True)])
    order = np.lexsort((chunks, ties, -np.concatenate(values)))[:k]
    chosen = np.zeros(len(ties), np.bool_)
    chosen[order] = True
    bounds = np.cumsum([len(r) for r in rows])[:-1]
    return [r[c] for r, c in zip(rows, np.split(chosen, bounds), strict=True)]
