"""Sources, documents, revisions, chunks, governance and embeddings as rows.

Every write takes the ``position`` of the event that caused it and moves the ``catalog`` head there, which is how an
index learns that there is something to catch up with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json, canonical, digest
from affidavit.domain.media import at_page
from affidavit.domain.records import BEHIND, FOREVER, Governance, Span, chunk_name
from affidavit.store.database import Database, Row

_OPEN = f"until = {FOREVER}"
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


_SOURCE = "id, tenant, name, kind, location, settings, cursor, synced_at"


class Catalog:
    """Rows about documents. Call inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- heads

    def head(self) -> int:
        """The position of the last change that an index must know of, -1 if there was none."""
        position = self._db.value("SELECT position FROM heads WHERE name = 'catalog'")
        return -1 if position is None else int(position)

    def _touch(self, position: int) -> None:
        self._db.run(
            "INSERT INTO heads (name, position) VALUES ('catalog', ?) "
            "ON CONFLICT (name) DO UPDATE SET position = max(position, excluded.position)",
            (position,),
        )

    # -- access rules

    def intern(self, tenant: int, rule: AccessRule) -> int:
        """The id of ``rule``; equal rules share one."""
        found = self._db.value(
            "SELECT id FROM access_rules WHERE tenant = ? AND digest = ?", (tenant, rule.digest)
        )
        if found is not None:
            return int(found)
        return self._db.run(
            "INSERT INTO access_rules (tenant, digest, rule) VALUES (?, ?, ?)",
            (tenant, rule.digest, canonical(rule.as_json()).decode()),
        )

    def rules(self, tenant: int, after: int = 0) -> dict[int, AccessRule]:
        """The tenant's rules with an id above ``after``."""
        rows = self._db.all(
            "SELECT id, rule FROM access_rules WHERE tenant = ? AND id > ? ORDER BY id", (tenant, after)
        )
        return {id: AccessRule.from_json(json.loads(text)) for id, text in rows}

    def rules_by_id(self, ids: Iterable[int]) -> dict[int, AccessRule]:
        """Some rules, whosever they are."""
        out: dict[int, AccessRule] = {}
        for batch in _batches(sorted(ids)):
            marks = ",".join("?" * len(batch))
            for id, text in self._db.all(f"SELECT id, rule FROM access_rules WHERE id IN ({marks})", batch):
                out[id] = AccessRule.from_json(json.loads(text))
        return out

    def last_rule(self, tenant: int) -> int:
        return int(
            self._db.value("SELECT coalesce(max(id), 0) FROM access_rules WHERE tenant = ?", (tenant,))
        )

    # -- sources

    def sources(self, tenant: int) -> list[Source]:
        rows = self._db.all(
            f"SELECT {_SOURCE} FROM sources WHERE tenant = ? AND {_OPEN} ORDER BY name", (tenant,)
        )
        return [_source(row) for row in rows]

    def source(self, tenant: int, name: str) -> Source | None:
        row = self._db.one(
            f"SELECT {_SOURCE} FROM sources WHERE tenant = ? AND name = ? AND {_OPEN}", (tenant, name)
        )
        return None if row is None else _source(row)

    def next_source(self) -> int:
        return int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM sources"))

    def add_source(self, source: Source, position: int) -> None:
        self._db.run(
            "INSERT INTO sources (id, tenant, name, kind, location, settings, since, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source.id,
                source.tenant,
                source.name,
                source.kind,
                source.location,
                canonical(source.settings).decode(),
                position,
                FOREVER,
            ),
        )

    def end_source(self, source: int, position: int) -> None:
        self._db.run(f"UPDATE sources SET until = ? WHERE id = ? AND {_OPEN}", (position, source))

    def save_cursor(self, source: int, cursor: str, synced_at: int) -> None:
        """Where the next sync goes on; ``synced_at`` 0 leaves the time of the last whole sync as it is."""
        self._db.run(
            "UPDATE sources SET cursor = ?, synced_at = CASE WHEN ? = 0 THEN synced_at ELSE ? END WHERE id = ?",
            (cursor, synced_at, synced_at, source),
        )

    # -- documents

    def known(self, source: int) -> dict[str, Known]:
        """Every live document of a source by name."""
        rows = self._db.each(
            f"""SELECT d.name, d.id, d.stamp, g.rule, g.owner, g.classification, g.rank, g.fresh_days, g.deprecated,
                       r.location, r.name, r.metadata, r.title, r.digest
                FROM documents d
                JOIN governance g ON g.document = d.id AND g.{_OPEN}
                JOIN revisions r ON r.document = d.id AND r.{_OPEN}
                WHERE d.source = ? AND d.{_OPEN}""",
            (source,),
        )
        return {
            row[0]: Known(row[1], row[2], row[3], row[4:9], row[9], row[10], row[11], row[12], row[13])
            for row in rows
        }

    def next_document(self) -> int:
        return int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM documents"))

    def add_document(self, id: int, tenant: int, source: int, name: str, stamp: str, position: int) -> None:
        self._db.run(
            "INSERT INTO documents (id, tenant, source, name, stamp, since, until) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, tenant, source, name, stamp, position, FOREVER),
        )

    def set_stamp(self, document: int, stamp: str) -> None:
        self._db.run("UPDATE documents SET stamp = ? WHERE id = ?", (stamp, document))

    def end_document(self, document: int, position: int) -> None:
        """Take a document out: its revision, chunks and rule end with it."""
        self._db.run(f"UPDATE documents SET until = ? WHERE id = ? AND {_OPEN}", (position, document))
        self._db.run(f"UPDATE governance SET until = ? WHERE document = ? AND {_OPEN}", (position, document))
        self._end_revision(document, position)
        self._touch(position)

    def _end_revision(self, document: int, position: int) -> None:
        self._db.run(f"UPDATE revisions SET until = ? WHERE document = ? AND {_OPEN}", (position, document))
        self._db.run(f"UPDATE chunks SET until = ? WHERE document = ? AND {_OPEN}", (position, document))

    def replace(self, tenant: int, document: int, new: NewRevision, position: int) -> None:
        """Give ``document`` a new revision; the old one ends at the same position."""
        self._end_revision(document, position)
        revision = self._db.run(
            "INSERT INTO revisions (document, name, title, location, media_type, metadata, digest, modified, indexed_at, "
            "source_body, text_body, since, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document,
                new.name,
                new.title,
                new.location,
                new.media_type,
                new.metadata,
                new.digest,
                new.modified,
                new.indexed_at,
                new.source_body,
                new.text_body,
                position,
                FOREVER,
            ),
        )
        self._db.many(
            "INSERT INTO chunks (revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, since, until) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    revision,
                    document,
                    tenant,
                    n,
                    s.start,
                    s.end,
                    _pack_path(s.path),
                    s.kind,
                    pack_fields(s.fields),
                    digest,
                    position,
                    FOREVER,
                )
                for n, (s, digest) in enumerate(zip(new.spans, new.chunk_digests, strict=True))
            ],
        )
        self._touch(position)

    def govern(self, rows: Iterable[tuple[int, int, Governance]], position: int) -> None:
        """Set (document, rule id, governance) for many documents at once, a statement for each distinct governance."""
        groups: dict[tuple[int, Governance], list[int]] = {}
        for document, rule, governance in rows:
            groups.setdefault((rule, governance), []).append(document)
        for (rule, g), documents in groups.items():
            listed = json.dumps(documents)
            self._db.run(
                f"UPDATE governance SET until = ? WHERE {_OPEN} AND document IN (SELECT value FROM json_each(?))",
                (position, listed),
            )
            self._db.run(
                "INSERT INTO governance (document, rule, owner, classification, rank, fresh_days, deprecated, since, until) "
                f"SELECT value, ?, ?, ?, ?, ?, ?, ?, {FOREVER} FROM json_each(?)",
                (rule, g.owner, g.classification, g.rank, g.fresh_days, int(g.deprecated), position, listed),
            )
        self._touch(position)

    def reindex(self, chunks: Sequence[int], position: int) -> None:
        """End chunks and bring them back unchanged: their vectors have arrived."""
        for batch in _batches(chunks):
            marks = ",".join("?" * len(batch))
            self._db.run(
                "INSERT INTO chunks (revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, since, until) "
                "SELECT revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, ?, until FROM chunks "
                f"WHERE id IN ({marks}) AND {_OPEN}",
                (position, *batch),
            )
            self._db.run(f"UPDATE chunks SET until = ? WHERE id IN ({marks}) AND {_OPEN}", (position, *batch))
        self._touch(position)

    # -- chunks

    def views(self, chunks: Sequence[int], position: int) -> dict[int, ChunkView]:
        """Chunks by id with the rule that governs their document *at* ``position`` (None: none does, or the
        document is gone)."""
        out: dict[int, ChunkView] = {}
        for batch in _batches(chunks):
            rows = self._db.all(
                f"""SELECT c.id, c.document, c.tenant, d.name, s.name, r.name, c.ordinal, c.start, c.stop, c.path, c.kind,
                           r.title, r.location, r.modified, r.indexed_at, r.text_body, g.rule, coalesce(g.owner, ''),
                           coalesce(g.classification, ''), coalesce(g.rank, 100) + {BEHIND} * coalesce(g.deprecated, 0),
                           coalesce(g.fresh_days, 0), coalesce(g.deprecated, 0),
                           c.since <= ? AND c.until > ?, r.metadata
                    FROM chunks c JOIN revisions r ON r.id = c.revision
                    JOIN documents d ON d.id = c.document JOIN sources s ON s.id = d.source
                    LEFT JOIN governance g ON g.document = c.document AND g.since <= ? AND g.until > ?
                    WHERE c.id IN ({",".join("?" * len(batch))})""",
                (position, position, position, position, *batch),
            )
            for row in rows:
                *fields, metadata = row
                fields[9] = unpack_path(row[9])
                fields[12] = at_page(row[12], row[7], metadata)
                fields[21] = bool(row[21])
                out[row[0]] = ChunkView(*fields)
        return out

    def revision_since(self, document: int, position: int) -> Row | None:
        """(name, title, media type, source body, text body) of the revision that ``document`` got at ``position``."""
        return self._db.one(
            """SELECT d.name, r.title, r.media_type, r.source_body, r.text_body
               FROM revisions r JOIN documents d ON d.id = r.document WHERE r.document = ? AND r.since = ?""",
            (document, position),
        )

    def documents(self, tenant: int) -> list[tuple[int, str, str]]:
        """(id, source, name) of every document the tenant ever had."""
        return self._db.all(
            """SELECT d.id, s.name, d.name FROM documents d JOIN sources s ON s.id = d.source
               WHERE d.tenant = ? ORDER BY d.id""",
            (tenant,),
        )

    def states(self, tenant: int, source: str, name: str, position: int) -> list[DocumentState]:
        """What a document is at ``position``; none if it is not there."""
        rows = self._db.all(
            """SELECT d.id, s.name, d.name, r.name, r.since, g.rule, g.owner, g.classification, g.rank
               FROM documents d JOIN sources s ON s.id = d.source
               JOIN governance g ON g.document = d.id AND g.since <= ? AND g.until > ?
               LEFT JOIN revisions r ON r.document = d.id AND r.since <= ? AND r.until > ?
               WHERE d.tenant = ? AND s.name = ? AND d.name = ?""",
            (position, position, position, position, tenant, source, name),
        )
        return [DocumentState(*row) for row in rows]

    def rules_at(self, tenant: int, position: int) -> dict[int, int]:
        """The rule that governs each of the tenant's documents at ``position``."""
        rows = self._db.all(
            """SELECT g.document, g.rule FROM governance g JOIN documents d ON d.id = g.document
               WHERE d.tenant = ? AND g.since <= ? AND g.until > ?""",
            (tenant, position, position),
        )
        return dict(rows)

    def counts(self, tenant: int) -> dict[str, int]:
        """Live documents, chunks and rules of a tenant."""
        return {
            "documents": self._db.value(
                f"SELECT count(*) FROM documents WHERE tenant = ? AND {_OPEN}", (tenant,)
            ),
            "chunks": self._db.value(f"SELECT count(*) FROM chunks WHERE tenant = ? AND {_OPEN}", (tenant,)),
            "rules": self._db.value("SELECT count(*) FROM access_rules WHERE tenant = ?", (tenant,)),
        }

    def readable_names(self, tenant: int, rules: Iterable[int]) -> list[tuple[str, str]]:
        """(source, name) of every live document that one of ``rules`` governs now."""
        out: list[tuple[str, str]] = []
        for batch in _batches(sorted(rules)):
            out += self._db.all(
                f"""SELECT s.name, d.name FROM governance g JOIN documents d ON d.id = g.document
                    JOIN sources s ON s.id = d.source
                    WHERE d.tenant = ? AND g.{_OPEN} AND g.rule IN ({",".join("?" * len(batch))})""",
                (tenant, *batch),
            )
        return sorted(out)

    def chunks_of(self, tenant: int, name: str) -> list[tuple[str, int, int]]:
        """(public id, start, end) of every live chunk of the documents called ``name``."""
        rows = self._db.all(
            f"""SELECT r.name, c.ordinal, c.start, c.stop FROM documents d JOIN revisions r ON r.document = d.id AND r.{_OPEN}
                JOIN chunks c ON c.revision = r.id AND c.{_OPEN}
                WHERE d.tenant = ? AND d.name = ? AND d.{_OPEN} ORDER BY r.id, c.ordinal""",
            (tenant, name),
        )
        return [(chunk_name(revision, ordinal), start, stop) for revision, ordinal, start, stop in rows]

    # -- embeddings

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
        for batch in _batches(sorted(set(digests))):
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
        for batch in _batches(chunks):
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
                WHERE c.id > ? AND r.text_body IS NOT NULL {"AND c." + _OPEN if live else ""}
                  AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.embedder = ? AND e.digest = c.digest)
                ORDER BY c.id LIMIT ?""",
            (after, embedder, limit),
        )

    def count_without_vector(self, embedder: int | None) -> int:
        """Live chunks that lack a vector."""
        return int(
            self._db.value(
                f"SELECT count(*) FROM chunks c WHERE c.{_OPEN} AND NOT EXISTS "
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

    # -- settings kept beside the catalog

    def setting(self, key: str) -> str | None:
        return self._db.value("SELECT value FROM meta WHERE key = ?", (key,))  # type: ignore[no-any-return]

    def set_setting(self, key: str, value: str) -> None:
        self._db.run(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def publish(self, digest: str, content: Json, channel: str, position: int) -> None:
        """Store a release and point ``channel`` at it."""
        self._db.run(
            "INSERT INTO releases (digest, content, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (digest, canonical(content).decode(), position),
        )
        self._db.run(f"UPDATE channels SET until = ? WHERE name = ? AND {_OPEN}", (position, channel))
        self._db.run(
            "INSERT INTO channels (name, release, since, until) VALUES (?, ?, ?, ?)",
            (channel, digest, position, FOREVER),
        )

    def release(self, digest: str) -> str | None:
        """The content of a release by its digest."""
        return self._db.value("SELECT content FROM releases WHERE digest = ?", (digest,))  # type: ignore[no-any-return]

    def releases(self) -> list[str]:
        """The digests of all releases, oldest first."""
        return [row[0] for row in self._db.all("SELECT digest FROM releases ORDER BY since, digest")]

    def channel(self, name: str) -> tuple[str, str] | None:
        """(digest, content) of the release that ``name`` points at."""
        row = self._db.one(
            f"SELECT r.digest, r.content FROM channels c JOIN releases r ON r.digest = c.release WHERE c.name = ? AND c.{_OPEN}",
            (name,),
        )
        return None if row is None else (row[0], row[1])


def _source(row: Row) -> Source:
    return Source(*(*row[:5], json.loads(row[5]), *row[6:]))


def _pack_path(path: tuple[str, ...]) -> str:
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


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _IN):
        yield items[start : start + _IN]
