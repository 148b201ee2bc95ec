"""Keyword engines: SQLite's FTS5 joined with the access rules, and bm25s with a weight mask over the visible rows."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np

from bench.peers.handed import K1, B, Handed, K, Scope, measure


def fts5(handed: Handed) -> list[dict[str, Any]]:
    """FTS5: OR of the words, ranked by its ``bm25()``, joined with a table of tenant and rule.

    With full detail: ``detail=column`` forgets how often a word occurs, and its ``bm25()`` is then worth nothing.
    """
    db = sqlite3.connect(handed.folder / "fts5.db", isolation_level=None)
    db.execute("PRAGMA cache_size=-262144")
    db.execute("BEGIN")
    db.execute("CREATE VIRTUAL TABLE words USING fts5 (text, content='')")
    db.execute("CREATE TABLE chunks (id INTEGER PRIMARY KEY, tenant INTEGER, rule INTEGER)")
    db.execute("CREATE TABLE mine (scope INTEGER, rule INTEGER, PRIMARY KEY (scope, rule)) WITHOUT ROWID")
    db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(handed.texts))
    rows = zip(range(handed.rows), handed.tenant, handed.rule, strict=True)
    db.executemany("INSERT INTO chunks VALUES (?, ?, ?)", rows)
    numbers = {id(scope): n for n, scope in enumerate(handed.scopes)}
    for scope in handed.scopes:
        db.executemany("INSERT INTO mine VALUES (?, ?)", [(numbers[id(scope)], r) for r in scope.rules])
    db.execute("COMMIT")

    def ask(question: int, scope: Scope) -> list[int]:
        words = " OR ".join(f'"{w}"' for w in handed.asked_texts[question].split())
        if not words:
            return []
        found = db.execute(
            "SELECT w.rowid FROM words w JOIN chunks c ON c.id = w.rowid "
            "WHERE words MATCH ? AND c.tenant = ? AND EXISTS (SELECT 1 FROM mine m WHERE m.scope = ? AND m.rule = c.rule) "
            "ORDER BY bm25(words) LIMIT ?",
            (words, scope.tenant, numbers[id(scope)], K),
        )
        return [row[0] for row in found]

    return measure("SQLite FTS5", "keyword", handed, ask)


def bm25s(handed: Handed) -> list[dict[str, Any]]:
    """bm25s: its precomputed scores, multiplied by a mask of the visible rows that is kept for each person."""
    import bm25s as engine  # type: ignore[import-not-found]

    retriever = engine.BM25(k1=K1, b=B, method="lucene")
    retriever.index([text.split() for text in handed.texts], show_progress=False)
    tenant, rule = np.array(handed.tenant), np.array(handed.rule)
    masks = {id(s): ((tenant == s.tenant) & np.isin(rule, s.rules)).astype(np.float32) for s in handed.scopes}

    def ask(question: int, scope: Scope) -> list[int]:
        words = handed.asked_texts[question].split()
        if not words:
            return []
        found, scores = retriever.retrieve([words], k=K, weight_mask=masks[id(scope)], show_progress=False)
        return [int(i) for i, s in zip(found[0], scores[0], strict=True) if s > 0]

    return measure("bm25s", "keyword", handed, ask)
