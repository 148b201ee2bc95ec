"""Vectors by (text digest, embedder): unchanged text is never embedded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from affidavit.domain.canonical import Json
from affidavit.domain.errors import EmbedderError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import Span
from affidavit.events.log import Log, Transaction
from affidavit.ingest.chunk import chunk_input
from affidavit.ports.embedder import Embedder, Reads, charges, reads
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog
from affidavit.store.database import Database, Row
from affidavit.store.shapes import unpack_fields, unpack_path
from affidavit.store.tokenvectors import TokenVectors
from affidavit.text.tokenvectors import FORMAT, pack, space

BATCH = 64
_PROBE = "Is anybody there?"


@dataclass(frozen=True)
class Made:
    """What a text got: its vector (float32, little-endian), and its packed token vectors where they are kept."""

    digest: str
    vector: bytes
    tokens: bytes | None = None


class Vectors:
    """Makes the vectors that are missing and keeps them; ``rejected`` collects what the embedder would not take.

    ``late``: token vectors are kept as well, if the embedder gives them. Once they are kept they go on being.
    """

    def __init__(
        self,
        database: Database,
        log: Log,
        catalog: Catalog,
        bodies: Bodies,
        embedder: Embedder,
        *,
        late: bool = False,
    ) -> None:
        self._db = database
        self._log = log
        self._catalog = catalog
        self._bodies = bodies
        self._embedder = embedder
        self._tokens = TokenVectors(catalog)
        self._wanted = late
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

    @cached_property
    def _reads(self) -> Reads | None:
        """The embedder if its token vectors are to be kept."""
        with self._db.read():
            kept = self._tokens.since(self._space) is not None
        return reads(self._embedder) if self._wanted or kept else None

    @property
    def _space(self) -> str:
        return space(self._embedder.info.fingerprint)

    @cached_property
    def _space_id(self) -> int:
        """The row of its token vectors, made on first use."""
        info, name = self._embedder.info, self._space
        return self._catalog.embedder(name) or self._log.write(
            lambda tx: self._catalog.add_embedder(name, f"{info.name} {FORMAT}", info.dimensions)
        )

    def _last(self) -> int:
        """The row whose vector a text gets last: what has one there has all."""
        return self.id if self._reads is None else self._space_id

    def make(self, texts: Iterable[tuple[str, str]]) -> list[Made]:
        """Vectors for those of (digest, text) that have none yet. Raises EmbedderError."""
        wanted, _, last = dict(texts), self.id, self._last()
        with self._db.read():
            have = self._catalog.embedded(last, wanted)
        todo = [(digest, text) for digest, text in wanted.items() if digest not in have]
        return [
            made for start in range(0, len(todo), BATCH) for made in self._taken(todo[start : start + BATCH])
        ]

    def _taken(self, batch: list[tuple[str, str]]) -> list[Made]:
        """Of those of ``batch`` that the embedder takes, what they get.

        One text that it rejects must not cost the others theirs: somebody else's document would then move the
        scores of one's own. Raises EmbedderError when it takes nothing at all, that is, when it is down.
        """
        try:
            return self._made(batch)
        except EmbedderError:
            self._embedder.embed([_PROBE])
        taken: list[Made] = []
        for one in batch:
            try:
                taken += self._made([one])
            except EmbedderError as error:
                self.rejected.append(error)
        return taken

    def _made(self, batch: list[tuple[str, str]]) -> list[Made]:
        texts = [text for _, text in batch]
        packed: list[bytes | None] = [None] * len(batch)
        if self._reads is None:
            vectors = self._embedder.embed(texts)
        else:
            readings = self._reads.read(texts)
            vectors = np.stack([r.vector for r in readings])
            packed = [pack(t, r.tokens, r.spans) for t, r in zip(texts, readings, strict=True)]
        if vectors.shape != (len(batch), self._embedder.info.dimensions) or not np.isfinite(vectors).all():
            raise EmbedderError(
                "the embedder gave vectors of another shape or not numbers", "check the endpoint"
            )
        return [
            Made(digest, np.ascontiguousarray(vector, dtype="<f4").tobytes(), tokens)
            for (digest, _), vector, tokens in zip(batch, vectors, packed or [None] * len(batch), strict=True)
        ]

    def charges(self) -> list[Json]:
        """What this thread's texts have cost since it last asked."""
        return charges(self._embedder)

    def put(self, made: list[Made]) -> None:
        """Write vectors; call inside a transaction."""
        self._catalog.put_vectors(self.id, [(m.digest, m.vector) for m in made])
        tokens = [(m.digest, m.tokens) for m in made if m.tokens is not None]
        if tokens:
            self._catalog.put_vectors(self._space_id, tokens)

    def fill(
        self, *, reindex: bool, live: bool = False, progress: Callable[[int], None] | None = None
    ) -> int:
        """Embed every chunk that lacks a vector, a batch a transaction; how many got any.

        ``reindex`` says that this embedder serves now, so the index must take the chunks in again.
        """
        return self._fill(reindex=reindex, live=live, progress=progress)

    def settle(self) -> None:
        """After ``fill``: see to it that what has a vector has token vectors, past texts too, and say so on the log; once."""
        if self._reads is None:
            return
        with self._db.read():
            if self._tokens.since(self._space) is not None:
                return
        self._fill(reindex=False, live=False, had=True)
        facts = {"subject": self._space_id, "chunks": 0}
        self._log.write(
            lambda tx: self._tokens.settle(
                self._space, tx.append(Event(EventKind.VECTORS_ADDED, facts=facts))
            )
        )

    def _fill(
        self,
        *,
        reindex: bool,
        live: bool,
        had: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """``had``: only what has a vector already."""
        made, after, embedder, last = 0, 0, self.id, self._last()
        while True:
            with self._db.read():
                rows = self._catalog.without_vector(last, 4 * BATCH, after, live=live)
                known = self._catalog.embedded(embedder, (row[1] for row in rows))
                texts = [(row[1], self._input(row)) for row in rows if not had or row[1] in known]
            if not rows:
                return made
            after = rows[-1][0]
            vectors = self.make(texts)
            new = {m.digest for m in vectors} - known
            chunks = [row[0] for row in rows if row[1] in new] if reindex else []
            self._log.write(partial(self._store, vectors, chunks))
            made += len(vectors)
            if progress is not None:
                progress(len(rows))

    def _store(self, vectors: list[Made], chunks: list[int], tx: Transaction) -> None:
        there = self._catalog.with_chunks(m.digest for m in vectors)
        self.put([m for m in vectors if m.digest in there])  # what was erased meanwhile leaves no vector
        if chunks:
            facts = {"subject": self.id, "chunks": len(chunks)}
            self._catalog.reindex(chunks, tx.append(Event(EventKind.VECTORS_ADDED, facts=facts)))

    def _input(self, row: Row) -> str:
        _, _, title, path, fields, start, stop, body = row
        text = self._bodies.get(body).decode()
        return chunk_input(title, Span(start, stop, unpack_path(path), "", unpack_fields(fields)), text)
