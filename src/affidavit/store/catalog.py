"""Sources, documents, revisions, chunks, governance and embeddings as rows.

Every write takes the ``position`` of the event that caused it and moves the ``catalog`` head there, which is how an
index learns that there is something to catch up with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import canonical
from affidavit.domain.media import at_page
from affidavit.domain.records import BEHIND, FOREVER, Governance, chunk_name
from affidavit.store.database import Row
from affidavit.store.embeddings import Embeddings
from affidavit.store.meta import Meta
from affidavit.store.shapes import (
    OPEN,
    ChunkView,
    DocumentState,
    Known,
    NewRevision,
    Source,
    batches,
    pack_fields,
    pack_path,
    unpack_path,
)

_SOURCE = "id, tenant, name, kind, location, settings, cursor, synced_at"


class Catalog(Embeddings, Meta):
    """Rows about documents. Call inside a transaction."""

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
        for batch in batches(sorted(ids)):
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
            f"SELECT {_SOURCE} FROM sources WHERE tenant = ? AND {OPEN} ORDER BY name", (tenant,)
        )
        return [_source(row) for row in rows]

    def source(self, tenant: int, name: str) -> Source | None:
        row = self._db.one(
            f"SELECT {_SOURCE} FROM sources WHERE tenant = ? AND name = ? AND {OPEN}", (tenant, name)
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
        self._db.run(f"UPDATE sources SET until = ? WHERE id = ? AND {OPEN}", (position, source))

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
                JOIN governance g ON g.document = d.id AND g.{OPEN}
                JOIN revisions r ON r.document = d.id AND r.{OPEN}
                WHERE d.source = ? AND d.{OPEN}""",
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
        self._db.run(f"UPDATE documents SET until = ? WHERE id = ? AND {OPEN}", (position, document))
        self._db.run(f"UPDATE governance SET until = ? WHERE document = ? AND {OPEN}", (position, document))
        self._end_revision(document, position)
        self._touch(position)

    def _end_revision(self, document: int, position: int) -> None:
        self._db.run(f"UPDATE revisions SET until = ? WHERE document = ? AND {OPEN}", (position, document))
        self._db.run(f"UPDATE chunks SET until = ? WHERE document = ? AND {OPEN}", (position, document))

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
                    pack_path(s.path),
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
                f"UPDATE governance SET until = ? WHERE {OPEN} AND document IN (SELECT value FROM json_each(?))",
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
        for batch in batches(chunks):
            marks = ",".join("?" * len(batch))
            self._db.run(
                "INSERT INTO chunks (revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, since, until) "
                "SELECT revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, ?, until FROM chunks "
                f"WHERE id IN ({marks}) AND {OPEN}",
                (position, *batch),
            )
            self._db.run(f"UPDATE chunks SET until = ? WHERE id IN ({marks}) AND {OPEN}", (position, *batch))
        self._touch(position)

    # -- chunks

    def views(self, chunks: Sequence[int], position: int) -> dict[int, ChunkView]:
        """Chunks by id with the rule that governs their document *at* ``position`` (None: none does, or the
        document is gone)."""
        out: dict[int, ChunkView] = {}
        for batch in batches(chunks):
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
                f"SELECT count(*) FROM documents WHERE tenant = ? AND {OPEN}", (tenant,)
            ),
            "chunks": self._db.value(f"SELECT count(*) FROM chunks WHERE tenant = ? AND {OPEN}", (tenant,)),
            "rules": self._db.value("SELECT count(*) FROM access_rules WHERE tenant = ?", (tenant,)),
        }

    def readable_names(self, tenant: int, rules: Iterable[int]) -> list[tuple[str, str]]:
        """(source, name) of every live document that one of ``rules`` governs now."""
        out: list[tuple[str, str]] = []
        for batch in batches(sorted(rules)):
            out += self._db.all(
                f"""SELECT s.name, d.name FROM governance g JOIN documents d ON d.id = g.document
                    JOIN sources s ON s.id = d.source
                    WHERE d.tenant = ? AND g.{OPEN} AND g.rule IN ({",".join("?" * len(batch))})""",
                (tenant, *batch),
            )
        return sorted(out)

    def chunks_of(self, tenant: int, name: str) -> list[tuple[str, int, int]]:
        """(public id, start, end) of every live chunk of the documents called ``name``."""
        rows = self._db.all(
            f"""SELECT r.name, c.ordinal, c.start, c.stop FROM documents d JOIN revisions r ON r.document = d.id AND r.{OPEN}
                JOIN chunks c ON c.revision = r.id AND c.{OPEN}
                WHERE d.tenant = ? AND d.name = ? AND d.{OPEN} ORDER BY r.id, c.ordinal""",
            (tenant, name),
        )
        return [(chunk_name(revision, ordinal), start, stop) for revision, ordinal, start, stop in rows]


def _source(row: Row) -> Source:
    return Source(*(*row[:5], json.loads(row[5]), *row[6:]))
