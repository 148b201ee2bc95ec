"""LanceDB: a table on disk, read with a ``where`` applied before the search; without an index, and with two kinds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from bench.peers.handed import Handed, K, Scope, measure

_LEAST_TO_INDEX = 20_000  # below, IVF lists are too small to mean anything


def lancedb(handed: Handed) -> list[dict[str, Any]]:
    """Flat, IVF_PQ and IVF_HNSW_SQ vector search, and its full-text index."""
    import lancedb as lance  # type: ignore[import-not-found]
    import pyarrow as pa  # type: ignore[import-not-found]

    width = handed.vectors.shape[1]
    data = pa.table(
        {
            "id": pa.array(range(handed.rows), pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(handed.vectors.reshape(-1)), width),
            "text": handed.texts,
            "tenant": pa.array(handed.tenant, pa.int32()),
            "rule": pa.array(handed.rule, pa.int32()),
        }
    )
    table = lance.connect(handed.folder / "lance").create_table("chunks", data, mode="overwrite")

    def by_vector(question: int, scope: Scope) -> list[int]:
        search = table.search(handed.asked[question]).distance_type("cosine")
        return _ids(search.where(_readable(scope), prefilter=True), "_distance")

    def by_words(question: int, scope: Scope) -> list[int]:
        text = handed.asked_texts[question]
        if not text:
            return []
        return _ids(table.search(text, query_type="fts").where(_readable(scope), prefilter=True), "_score")

    out = measure("lancedb flat", "dense", handed, by_vector)
    _took(
        "fts",
        lambda: table.create_fts_index("text", stem=False, remove_stop_words=False, ascii_folding=False),
    )
    out += measure("lancedb", "keyword", handed, by_words)
    if handed.rows >= _LEAST_TO_INDEX:
        for kind in ("IVF_PQ", "IVF_HNSW_SQ"):
            _took(kind, lambda kind=kind: table.create_index(metric="cosine", index_type=kind, replace=True))  # type: ignore[misc]
            out += measure(f"lancedb {kind}", "dense", handed, by_vector)
    return out


def _readable(scope: Scope) -> str:
    return f"tenant = {scope.tenant} AND rule IN ({', '.join(map(str, scope.rules))})"


def _ids(search: Any, score: str) -> list[int]:
    found: list[int] = search.select(["id", score]).limit(K).to_arrow()["id"].to_pylist()
    return found


def _took(what: str, work: Callable[[], object]) -> None:
    begin = time.perf_counter()
    work()
    print(f"  lancedb {what}: built in {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
