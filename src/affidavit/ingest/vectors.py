"""Vectors by (text digest, embedder): unchanged text is never embedded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.canonical import Json
from affidavit.domain.errors import EmbedderError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import Span
from affidavit.events.log import Log, Transaction
from affidavit.ingest.chunk import chunk_input
from affidavit.ports.embedder import Embedder, charges
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog, unpack_fields, unpack_path
from affidavit.store.database import Database, Row

BATCH = 64
_PROBE = "Is anybody there?"


class Vectors:
    """Makes the vectors that are missing and keeps them; ``rejected`` collects what the embedder would not take."""

    def __init__(
        self, database: Database, log: Log, catalog: Catalog, bodies: Bodies, embedder: Embedder
    ) -> None:
        self._db = database
        self._log = log
        self._catalog = catalog
        self._bodies = bodies
        self._embedder = embedder
        self._id: int | None = None
        self.rejected: list[EmbedderError] = []

    @property
    def id(self) -> int:
        """The embedder's row, made on first use."""
        if self._id is None:
            info = self._embedder.info
            self._id = self._catalog.embedder(info.fingerprint) or self._log.write(
                lambda tx: self._catalog.add_embedder(info.fingerprint, info.name, info.dimensions)
            )
        return self._id

    def make(self, texts: Iterable[tuple[str, str]]) -> list[tuple[str, bytes]]:
        """Vectors for those of (digest, text) that have none yet. Raises EmbedderError."""
        wanted, embedder = dict(texts), self.id
        with self._db.read():
            have = self._catalog.embedded(embedder, wanted)
        todo = [(digest, text) for digest, text in wanted.items() if digest not in have]
        out: list[tuple[str, bytes]] = []
        for start in range(0, len(todo), BATCH):
            batch, vectors = self._embedded(todo[start : start + BATCH])
            if (
                vectors.shape != (len(batch), self._embedder.info.dimensions)
                or not np.isfinite(vectors).all()
            ):
                raise EmbedderError(
                    "the embedder gave vectors of another shape or not numbers", "check the endpoint"
                )
            out += [
                (digest, np.ascontiguousarray(vector, dtype="<f4").tobytes())
                for (digest, _), vector in zip(batch, vectors, strict=True)
            ]
        return out

    def _embedded(self, batch: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], NDArray[np.float32]]:
        """Those of ``batch`` that the embedder takes, with their vectors.

        One text that it rejects must not cost the others theirs: somebody else's document would then move the
        scores of one's own. Raises EmbedderError when it takes nothing at all, that is, when it is down.
        """
        try:
            return batch, self._embedder.embed([text for _, text in batch])
        except EmbedderError:
            self._embedder.embed([_PROBE])
        taken: list[tuple[str, str]] = []
        vectors = [np.zeros((0, self._embedder.info.dimensions), np.float32)]
        for one in batch:
            try:
                vectors.append(self._embedder.embed([one[1]]))
                taken.append(one)
            except EmbedderError as error:
                self.rejected.append(error)
        return taken, np.concatenate(vectors)

    def charges(self) -> list[Json]:
        """What this thread's texts have cost since it last asked."""
        return charges(self._embedder)

    def put(self, vectors: list[tuple[str, bytes]]) -> None:
        """Write vectors; call inside a transaction."""
        self._catalog.put_vectors(self.id, vectors)

    def fill(
        self, *, reindex: bool, live: bool = False, progress: Callable[[int], None] | None = None
    ) -> int:
        """Embed every chunk that lacks a vector, a batch a transaction; how many vectors were made.

        ``reindex`` says that this embedder serves now, so the index must take the chunks in again.
        """
        made, after, embedder = 0, 0, self.id
        while True:
            with self._db.read():
                rows = self._catalog.without_vector(embedder, 4 * BATCH, after, live=live)
                texts = [(row[1], self._input(row)) for row in rows]
            if not rows:
                return made
            after = rows[-1][0]
            vectors = self.make(texts)
            have = {digest for digest, _ in vectors}
            chunks = [row[0] for row in rows if row[1] in have] if reindex else []
            self._log.write(partial(self._store, vectors, chunks))
            made += len(vectors)
            if progress is not None:
                progress(len(rows))

    def _store(self, vectors: list[tuple[str, bytes]], chunks: list[int], tx: Transaction) -> None:
        there = self._catalog.with_chunks(digest for digest, _ in vectors)
        self.put([one for one in vectors if one[0] in there])  # what was erased meanwhile leaves no vector
        if chunks:
            facts = {"subject": self.id, "chunks": len(chunks)}
            self._catalog.reindex(chunks, tx.append(Event(EventKind.VECTORS_ADDED, facts=facts)))

    def _input(self, row: Row) -> str:
        _, _, title, path, fields, start, stop, body = row
        text = self._bodies.get(body).decode()
        return chunk_input(title, Span(start, stop, unpack_path(path), "", unpack_fields(fields)), text)
