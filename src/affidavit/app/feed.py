"""The catalog as an index sees it: the join of store rows and the index port's contract."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from affidavit.domain.records import Span, chunk_name, tie_break
from affidavit.ingest.chunk import chunk_input
from affidavit.ports.index import AccessRow, ChunkRow
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog
from affidavit.store.shapes import unpack_fields, unpack_path


class CatalogFeed:
    """Implements ``ports.index.Feed`` over the catalog. Use inside a snapshot."""

    def __init__(self, catalog: Catalog, bodies: Bodies, fingerprint: str, embedder: int | None) -> None:
        self._catalog = catalog
        self._bodies = bodies
        self._fingerprint = fingerprint
        self._embedder = embedder

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def head(self) -> int:
        return self._catalog.head()

    def chunks(self, after: int, upto: int) -> Iterator[ChunkRow]:
        body, text, packed, metadata = -1, "", "", {}
        for row in self._catalog.chunk_rows(self._embedder, after, upto):
            (
                id,
                document,
                tenant,
                since,
                until,
                revision,
                ordinal,
                title,
                path,
                fields,
                start,
                stop,
                text_body,
                meta,
                vector,
            ) = row
            if text_body != body:  # chunks of a revision follow one another
                body, text = text_body, self._bodies.get(text_body).decode()
            if meta != packed:
                packed, metadata = meta, json.loads(meta)
            yield ChunkRow(
                chunk=id,
                document=document,
                tenant=tenant,
                tie=tie_break(chunk_name(revision, ordinal)),
                since=since,
                until=until,
                text=chunk_input(
                    title, Span(start, stop, unpack_path(path), "", unpack_fields(fields)), text
                ),
                vector=None if vector is None else np.frombuffer(vector, dtype="<f4"),
                metadata=metadata,
            )

    def ended(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        yield from self._catalog.ended_rows(after, upto)

    def access(self, after: int, upto: int) -> Iterator[AccessRow]:
        for document, rule, since, until in self._catalog.access_rows(after, upto):
            yield AccessRow(document, rule, since, until)
