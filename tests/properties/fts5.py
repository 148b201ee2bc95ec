"""The mistake that noninterference forbids, as an index: FTS5's own ``bm25()``, filtered by permission after scoring."""

from __future__ import annotations

import sqlite3

from affidavit.domain.records import Scope
from affidavit.ports.index import Candidate, Feed, IndexCapabilities, IndexStatus, Query, SearchResult
from affidavit.testing.index_reference import in_scope
from affidavit.text.analyze import terms


class Fts5Index:
    """Implements ``ports.index.Index`` the way most products do. What it returns may be read; what it computes is from all."""

    @property
    def capabilities(self) -> IndexCapabilities:
        return IndexCapabilities("fts5", "candidates", False)

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        head = feed.head()
        access = list(feed.access(-1, head))
        rows = {row.chunk: row for row in feed.chunks(-1, head) if row.since <= head < row.until}
        scores = _bm25({chunk: row.text for chunk, row in rows.items()}, terms(query.text))
        visible = {chunk for chunk, row in rows.items() if in_scope(row, access, scope)}
        found = [
            Candidate(chunk, rows[chunk].document, rows[chunk].tie, score, None)
            for chunk, score in scores.items()
            if chunk in visible
        ]
        best = sorted(found, key=lambda c: (-c.keyword, c.tie))[:k]
        counts = {t: sum(t in terms(rows[c].text) for c in visible) for t in terms(query.text)}
        return SearchResult(tuple(sorted(best, key=lambda c: c.tie)), len(visible), counts)

    def persist(self, feed: Feed) -> None:
        """Nothing to write: it keeps nothing."""

    def status(self) -> IndexStatus:
        return IndexStatus(0, -1, 0, 0)


def _bm25(texts: dict[int, str], words: list[str]) -> dict[int, float]:
    """What ``bm25()`` says of each text that has one of ``words``; larger is better here."""
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE VIRTUAL TABLE pages USING fts5 (text)")
        stemmed = [(chunk, " ".join(terms(text))) for chunk, text in texts.items()]
        database.executemany("INSERT INTO pages (rowid, text) VALUES (?, ?)", stemmed)
        wanted = " OR ".join(f'"{word}"' for word in words)
        found = database.execute(
            "SELECT rowid, -bm25(pages) FROM pages WHERE pages MATCH ?", (wanted or '""',)
        )
        return dict(found.fetchall())
    finally:
        database.close()
