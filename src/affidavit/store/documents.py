"""Documents one at a time and by name: what a reader asks for, where an index is not needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database, Row

_OPEN = f"until = {FOREVER}"
_LAST = chr(0x10FFFF)


@dataclass(frozen=True)
class RevisionRow:
    """One revision with what governs it where it ends, or now. Times in microseconds."""

    id: int
    document: int
    document_name: str
    revision: str
    title: str
    location: str
    media_type: str
    digest: str
    modified: int | None
    indexed_at: int
    text_body: int
    since: int
    until: int
    owner: str
    classification: str
    rank: int
    fresh_days: int


@dataclass(frozen=True)
class Listed:
    """A document in a line."""

    source: str
    document: str
    revision: str
    title: str
    media_type: str
    modified: int | None
    indexed_at: int
    owner: str
    classification: str
    rank: int


_REVISION = """SELECT r.id, d.id, d.name, r.name, r.title, r.location, r.media_type, r.digest, r.modified, r.indexed_at,
                      r.text_body, r.since, r.until, coalesce(g.owner, ''), coalesce(g.classification, ''),
                      coalesce(g.rank, 100), coalesce(g.fresh_days, 0)
               FROM revisions r JOIN documents d ON d.id = r.document JOIN sources s ON s.id = d.source"""
_GOVERNED = "LEFT JOIN governance g ON g.document = d.id AND g.since <= {0} AND g.until > {0}"


class Documents:
    """Call inside a snapshot."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def revision(self, tenant: int, source: str, name: str, position: int) -> RevisionRow | None:
        """The revision that the document has at ``position``; None if it is not there, or was erased."""
        row = self._db.one(
            f"""{_REVISION} {_GOVERNED.format("?")}
                WHERE d.tenant = ? AND s.name = ? AND d.name = ? AND r.since <= ? AND r.until > ?
                  AND r.text_body IS NOT NULL""",
            (position, position, tenant, source, name, position, position),
        )
        return None if row is None else RevisionRow(*row)

    def named(self, tenant: int, source: str, name: str, revision: str, head: int) -> RevisionRow | None:
        """The document's revision of that name, the latest stretch of it up to ``head``."""
        row = self._db.one(
            f"""{_REVISION} {_GOVERNED.format("min(r.until - 1, ?)")}
                WHERE d.tenant = ? AND s.name = ? AND d.name = ? AND r.name = ? AND r.since <= ?
                  AND r.text_body IS NOT NULL ORDER BY r.since DESC LIMIT 1""",
            (head, head, tenant, source, name, revision, head),
        )
        return None if row is None else RevisionRow(*row)

    def rules_of(self, document: int, positions: Sequence[int]) -> list[int | None]:
        """The rule that governs ``document`` at each of ``positions``; None where none does."""
        return [
            self._db.value(
                "SELECT rule FROM governance WHERE document = ? AND since <= ? AND until > ?",
                (document, position, position),
            )
            for position in positions
        ]

    def passages(self, revision: int) -> list[Row]:
        """(ordinal, start, stop, path, kind) of the revision's chunks, in order; one that was brought back stands once."""
        return self._db.all(
            "SELECT ordinal, start, stop, path, kind FROM chunks WHERE revision = ? GROUP BY ordinal ORDER BY ordinal",
            (revision,),
        )

    def live(
        self, source: int, name: str, rules: frozenset[int], prefix: str, after: str
    ) -> Iterator[Listed]:
        """The live documents of a source that one of ``rules`` governs, by name, after ``after``."""
        rows = self._db.each(
            f"""SELECT d.name, r.name, r.title, r.media_type, r.modified, r.indexed_at, g.owner, g.classification, g.rank
                FROM documents d
                JOIN governance g ON g.document = d.id AND g.{_OPEN}
                JOIN revisions r ON r.document = d.id AND r.{_OPEN}
                WHERE d.source = ? AND d.{_OPEN} AND d.name > ? AND d.name >= ? AND d.name < ?
                  AND g.rule IN (SELECT value FROM json_each(?)) ORDER BY d.name""",
            (source, after, prefix, prefix + _LAST, json.dumps(sorted(rules))),
        )
        for row in rows:
            yield Listed(name, *row)

    def count(self, sources: Sequence[int], rules: frozenset[int]) -> int:
        """The live documents of ``sources`` that one of ``rules`` governs."""
        return int(
            self._db.value(
                f"""SELECT count(*) FROM documents d JOIN governance g ON g.document = d.id AND g.{_OPEN}
                    WHERE d.source IN (SELECT value FROM json_each(?)) AND d.{_OPEN}
                      AND g.rule IN (SELECT value FROM json_each(?))""",
                (json.dumps(list(sources)), json.dumps(sorted(rules))),
            )
        )
