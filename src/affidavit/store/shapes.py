"""What the catalog's rows are to whoever asks for them, and how their fields are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.canonical import canonical, digest
from affidavit.domain.records import FOREVER, Span
from affidavit.store.database import Row

OPEN = f"until = {FOREVER}"
"""What is so now, as SQL."""
_IN = 500  # parameters a statement; SQLite's own limit is far above, Postgres' plans prefer few shapes


@dataclass(frozen=True)
class Source:
    """A registered source. ``settings`` is the connector's own; ``synced_at`` in microseconds, 0 for never."""

    id: int
    tenant: int
    name: str
    kind: str
    location: str
    settings: Mapping[str, Any]
    cursor: str
    synced_at: int


@dataclass(frozen=True)
class Known:
    """A document as the catalog holds it now."""

    document: int
    stamp: str
    rule: int
    governance: Row
    """(owner, classification, rank, fresh_days, deprecated)"""
    location: str
    revision: str
    metadata: str
    title: str
    digest: str
    """Of its text."""


@dataclass(frozen=True)
class NewRevision:
    """What a document's new state is made of."""

    name: str
    title: str
    location: str
    media_type: str
    metadata: str
    digest: str
    modified: int | None
    indexed_at: int
    source_body: int | None
    text_body: int
    spans: Sequence[Span]
    chunk_digests: Sequence[str]


def revision_details(revision: NewRevision) -> str:
    """Digest of what a revision says besides its text; the log holds it, so that a change by hand is found."""
    return digest(
        [revision.location, revision.media_type, revision.metadata, revision.modified, revision.indexed_at]
    )


def chunk_details(chunks: Iterable[tuple[Span, str]]) -> str:
    """Digest of a revision's chunks in order: offsets, headings, kind, fields and text digest of each."""
    return digest([[s.start, s.end, list(s.path), s.kind, pack_fields(s.fields), text] for s, text in chunks])


@dataclass(frozen=True)
class ChunkView:
    """A chunk with everything a citation needs, and the rule that governs it at the position asked about."""

    chunk: int
    document: int
    tenant: int
    name: str
    source: str
    revision: str
    ordinal: int
    start: int
    stop: int
    path: tuple[str, ...]
    kind: str
    title: str
    location: str
    """Where a person finds it, of a PDF at the page where the chunk begins."""
    modified: int | None
    indexed_at: int
    text_body: int
    rule: int | None
    owner: str
    classification: str
    rank: int
    """As governed; what is deprecated comes ``BEHIND`` everything else."""
    fresh_days: int
    deprecated: bool
    valid: bool


@dataclass(frozen=True)
class DocumentState:
    """A document at a position: its revision (None while it has none) and since when, and what governs it."""

    id: int
    source: str
    name: str
    revision: str | None
    revised: int
    rule: int | None
    owner: str
    classification: str
    rank: int


def pack_path(path: tuple[str, ...]) -> str:
    return canonical(list(path)).decode()


def pack_fields(fields: tuple[tuple[str, str], ...]) -> str:
    """A chunk's fields as its row holds them."""
    return canonical([list(pair) for pair in fields]).decode()


def unpack_fields(text: str) -> tuple[tuple[str, str], ...]:
    """The fields of a chunk row."""
    return tuple((name, value) for name, value in json.loads(text))


def unpack_path(text: str) -> tuple[str, ...]:
    """The heading path of a chunk row."""
    return tuple(json.loads(text))


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``items`` in pieces that fit one statement."""
    for start in range(0, len(items), _IN):
        yield items[start : start + _IN]
