"""Vectors of chunks, and the rows that an index is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database, Row
from affidavit.store.shapes import (
    OPEN,
    batches,
)


class Embeddings:
    """The part of the catalog that embedders and indexes use. Call inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def embedder(self, fingerprint: str) -> int | None:
        return self._db.value("SELECT id FROM embedders WHERE fingerprint = ?", (fingerprint,))  # type: ignore[no-any-return]

    def add_embedder(self, fingerprint: str, name: str, dimensions: int) -> int:
        return self._db.run(
            "INSERT INTO embedders (fingerprint, name, dimensions) VALUES (?, ?, ?)",
            (fingerprint, name, dimensions),
        )

    def embedded(self, embedder: int, digests: Iterable[str]) -> set[str]:
        """Those of ``digests`` that have a vector."""
        found: set[str] = set()
        for batch in batches(sorted(set(digests))):
            rows = self._db.all(
                f"SELECT digest FROM embeddings WHERE embedder = ? AND digest IN ({','.join('?' * len(batch))})",
                (embedder, *batch),
            )
            found.update(row[0] for row in rows)
        return found

    def with_chunks(self, digests: Iterable[str]) -> set[str]:
        """Those of ``digests`` that a chunk has, now or once."""
        listed = json.dumps(sorted(set(digests)))
        rows = self._db.all(
            "SELECT DISTINCT digest FROM chunks WHERE digest IN (SELECT value FROM json_each(?))", (listed,)
        )
        return {row[0] for row in rows}

    def put_vectors(self, embedder: int, vectors: Iterable[tuple[str, bytes]]) -> None:
        """(text digest, float32 little-endian bytes) of one embedder; what is there already stays."""
        self._db.many(
            "INSERT INTO embeddings (embedder, digest, vector) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(embedder, digest, vector) for digest, vector in vectors],
        )

    def vectors(self, fingerprint: str, chunks: Sequence[int]) -> dict[int, bytes]:
        """Vectors of ``chunks`` by the embedder ``fingerprint``, of those that have one: float32, little-endian."""
        out: dict[int, bytes] = {}
        for batch in batches(chunks):
            out.update(
                self._db.all(
                    # CROSS JOIN keeps SQLite from going through all of the embedder's vectors first
                    f"""SELECT c.id, e.vector FROM embedders m CROSS JOIN chunks c
                        CROSS JOIN embeddings e ON e.embedder = m.id AND e.digest = c.digest
                        WHERE m.fingerprint = ? AND c.id IN ({",".join("?" * len(batch))})""",
                    (fingerprint, *batch),
                )
            )
        return out

    def without_vector(self, embedder: int, limit: int, after: int = 0, *, live: bool = False) -> list[Row]:
        """Chunks above id ``after`` that lack a vector: (id, digest, title, path, fields, start, stop, text body)."""
        return self._db.all(
            f"""SELECT c.id, c.digest, r.title, c.path, c.fields, c.start, c.stop, r.text_body
                FROM chunks c JOIN revisions r ON r.id = c.revision
                WHERE c.id > ? AND r.text_body IS NOT NULL {"AND c." + OPEN if live else ""}
                  AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.embedder = ? AND e.digest = c.digest)
                ORDER BY c.id LIMIT ?""",
            (after, embedder, limit),
        )

    def count_without_vector(self, embedder: int | None) -> int:
        """Live chunks that lack a vector."""
        return int(
            self._db.value(
                f"SELECT count(*) FROM chunks c WHERE c.{OPEN} AND NOT EXISTS "
                "(SELECT 1 FROM embeddings e WHERE e.embedder = ? AND e.digest = c.digest)",
                (embedder,),
            )
        )

    # -- what an index reads

    def chunk_rows(self, embedder: int | None, after: int, upto: int) -> Iterator[Row]:
        """(id, document, tenant, since, until, revision name, ordinal, title, path, fields, start, stop, text body, metadata,
        vector) of chunks born in (after, upto], oldest first; those of erased documents are not among them."""
        return self._db.each(
            """SELECT c.id, c.document, c.tenant, c.since, c.until, r.name, c.ordinal, r.title, c.path, c.fields, c.start, c.stop,
                      r.text_body, r.metadata, e.vector
               FROM chunks c JOIN revisions r ON r.id = c.revision
               LEFT JOIN embeddings e ON e.embedder = ? AND e.digest = c.digest
               WHERE c.since > ? AND c.since <= ? AND r.text_body IS NOT NULL ORDER BY c.since, c.id""",
            (embedder, after, upto),
        )

    def ended_rows(self, after: int, upto: int) -> Iterator[Row]:
        """(chunk, until) of chunks born at or before ``after`` that ended in (after, upto]."""
        return self._db.each(
            f"SELECT id, until FROM chunks WHERE until <> {FOREVER} AND until > ? AND until <= ? AND since <= ? "
            "ORDER BY until, id",
            (after, upto, after),
        )

    def access_rows(self, after: int, upto: int) -> Iterator[Row]:
        """(document, rule, since, until) born or ended in (after, upto]."""
        return self._db.each(
            f"""SELECT document, rule, since, until FROM governance WHERE since > ? AND since <= ?
                UNION
                SELECT document, rule, since, until FROM governance
                WHERE until <> {FOREVER} AND until > ? AND until <= ?
                ORDER BY since, document""",
            (after, upto, after, upto),
        )
