"""How fast the embedded index answers, over how much is visible.

``python bench/index_kernels.py [--rows 200000] [--dimensions 384] [--folder DIR] [--json FILE]``

For one tenant with all rows and for 50 tenants: p50/p95 of dense and keyword searches by share of rows visible, beside the time
to read the visible float32 vectors once; also building, persisting, opening, a folder re-share of 10,000 documents, and memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affidavit.adapters.embedded import EmbeddedIndex
from affidavit.domain.records import FOREVER, Scope
from affidavit.ports.index import AccessRow, ChunkRow, Query

SHARES = (0.5, 0.05, 0.005, 0.0005)
WORDS = 50_000
LENGTH = 100
CHUNKS_PER_DOCUMENT = 5
RULES = 2000


def spelled(number: int) -> str:
    """A word of consonants and vowels, which the stemmer leaves alone: no two numbers share one."""
    word = ""
    for _ in range(4):
        number, digit = divmod(number, 60)
        word += "bcdfghjklmnp"[digit // 5] + "aeiou"[digit % 5]
    return word + "x"


class SyntheticFeed:
    """Zipf words and clustered unit vectors, made while they are read; ``making`` is the time that took.

    Documents of a tenant are dealt to ``RULES`` rules at random, so a share of rules is a scattered share of rows.
    """

    fingerprint = "bench"

    def __init__(self, rows: int, dimensions: int, tenants: int) -> None:
        self.rows, self.dimensions, self.tenants = rows, dimensions, tenants
        self.documents = rows // CHUNKS_PER_DOCUMENT
        rng = np.random.default_rng(7)
        self.rules = rng.integers(0, RULES, self.documents)
        self.chances = 1 / np.arange(1, WORDS + 1) ** 1.05
        self.chances /= self.chances.sum()
        self.centres = rng.standard_normal((300, dimensions)).astype(np.float32)
        self.words = [spelled(w) for w in range(WORDS)]
        self.moved: list[AccessRow] = []
        self.making = 0.0

    def head(self) -> int:
        return self.documents - 1 + bool(self.moved)

    def tenant(self, document: int) -> int:
        return document * self.tenants // self.documents

    def vectors(self, rng: np.random.Generator, n: int) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self.centres[rng.integers(0, 300, n)] + 1.2 * rng.standard_normal(
            (n, self.dimensions), np.float32
        )
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out

    def chunks(self, after: int, upto: int) -> Iterator[ChunkRow]:
        """Document d is born at position d."""
        begin, end = (after + 1) * CHUNKS_PER_DOCUMENT, min(upto + 1, self.documents) * CHUNKS_PER_DOCUMENT
        for first in range(begin, end, 2000):
            started = time.perf_counter()
            rng = np.random.default_rng(first)
            n = min(2000, end - first)
            words = rng.choice(WORDS, (n, LENGTH), p=self.chances)
            texts = [" ".join(map(self.words.__getitem__, line)) for line in words.tolist()]
            vectors = self.vectors(rng, n)
            self.making += time.perf_counter() - started
            for i in range(n):
                yield self.row(first + i, texts[i], vectors[i])

    def row(self, chunk: int, text: str, vector: NDArray[np.float32]) -> ChunkRow:
        document = chunk // CHUNKS_PER_DOCUMENT
        tie = (chunk * 0x9E3779B97F4A7C15 & 2**64 - 1) >> 1
        metadata = {"kind": f"k{document % 7}", "source": "bench"}
        tenant = self.tenant(document)
        return ChunkRow(chunk, document, tenant, tie, document, FOREVER, text, vector, metadata)

    def ended(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        return iter(())

    def access(self, after: int, upto: int) -> Iterator[AccessRow]:
        held = {a.document: a for a in self.moved if a.until < FOREVER} if upto >= self.documents else {}
        for document in range(max(after + 1, 0), min(upto + 1, self.documents)):
            yield held.get(document) or AccessRow(document, int(self.rules[document]), document, FOREVER)
        if after < self.documents <= upto:
            yield from self.moved

    def reshare(self, documents: int) -> None:
        """Put ``documents`` documents under other rules, at one position."""
        at = self.documents
        old = [AccessRow(d, int(self.rules[d]), d, at) for d in range(documents)]
        self.moved = old + [AccessRow(d, (a.rule + 1) % RULES, at, FOREVER) for d, a in enumerate(old)]


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def asked(index: EmbeddedIndex, feed: SyntheticFeed, scope: Scope, query: Query) -> float:
    return timed(lambda: index.search(feed, scope, query, 50))


def percentiles(seconds: list[float]) -> tuple[float, float]:
    p50, p95 = np.percentile(np.array(seconds) * 1e3, (50, 95))
    return round(float(p50), 2), round(float(p95), 2)


def memory() -> dict[str, int]:
    """This process' memory in MB: resident, of that its own (not mapped files), and the highest so far."""
    wanted = {"VmRSS": "rss", "RssAnon": "own", "VmHWM": "peak"}
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {wanted[key]: int(line[1]) // 1024 for line in lines if (key := line[0][:-1]) in wanted}


def search_table(index: EmbeddedIndex, feed: SyntheticFeed, repeats: int) -> list[dict[str, object]]:
    """One line per share of all rows visible; with several tenants a share means that share of the tenant."""
    out: list[dict[str, object]] = []
    rng = np.random.default_rng(3)
    sparse = feed.chances.copy()
    sparse[:30] = 0
    sparse /= sparse.sum()
    for share in SHARES:
        rules = frozenset(range(max(1, round(RULES * share))))
        head = feed.head()
        scope = Scope(0, rules, rules, head, head)
        first, dense, keyword, both = [], [], [], []
        for i in range(repeats):
            text = " ".join(feed.words[w] for w in rng.choice(WORDS, 8, p=sparse, replace=False))
            vector = feed.vectors(rng, 1)[0]
            fresh = replace(scope, head=head + i + 1, position=head + i + 1)  # no cached view
            first.append(asked(index, feed, fresh, Query("", vector)))
            dense.append(asked(index, feed, scope, Query("", vector)))
            keyword.append(asked(index, feed, scope, Query(text)))
            both.append(asked(index, feed, scope, Query(text, vector)))
        shown = index.search(feed, scope, Query(""), 1).visible
        copy = np.full((max(shown, 1), feed.dimensions), 0.5, np.float32)
        read = min(timed(copy.max) for _ in range(7)) * 1e3
        p50 = percentiles(dense)[0]
        out.append(
            {
                "share": share,
                "visible": shown,
                "read_ms": round(read, 3),
                "allowed_ms": round(1 + 2.5 * read, 2),
                "dense_ms": percentiles(dense),
                "within": p50 <= 1 + 2.5 * read,
                "keyword_ms": percentiles(keyword),
                "both_ms": percentiles(both),
                "first_ms": percentiles(first),
            }
        )
    return out


def run(rows: int, dimensions: int, tenants: int, folder: Path, repeats: int) -> dict[str, object]:
    feed = SyntheticFeed(rows, dimensions, tenants)
    index = EmbeddedIndex(folder)
    head = feed.head()
    nobody = Scope(0, frozenset(), frozenset(), head, head)
    total = timed(lambda: index.search(feed, nobody, Query(""), 1))
    report: dict[str, object] = {"rows": rows, "tenants": tenants}
    report["build_chunks_per_s"] = round(rows / (total - feed.making))
    report["built_mb"] = memory()
    report["persist_s"] = round(timed(lambda: index.persist(feed)), 2)
    report["persisted_mb"] = memory()
    report["disk_mb"] = index.status().bytes // 10**6
    index = EmbeddedIndex(folder)
    report["open_s"] = round(timed(lambda: index.search(feed, nobody, Query(""), 1)), 3)
    report["searches"] = search_table(index, feed, repeats)
    report["searched_mb"] = memory()
    feed.reshare(min(10_000, feed.documents))
    changed = replace(nobody, head=head + 1, position=head + 1)
    report["reshare_ms"] = round(timed(lambda: index.search(feed, changed, Query(""), 1)) * 1e3, 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--tenants", type=int, nargs="*", default=[1, 50])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    reports = []
    for tenants in chosen.tenants:
        with tempfile.TemporaryDirectory() as folder:
            report = run(chosen.rows, chosen.dimensions, tenants, Path(folder), chosen.repeats)
        searches = report.pop("searches")
        print(json.dumps(report))
        for line in searches if isinstance(searches, list) else ():
            print("   ", json.dumps(line))
        reports.append({**report, "searches": searches})
    if chosen.json:
        chosen.json.write_text(json.dumps(reports, indent=1))


if __name__ == "__main__":
    main()
