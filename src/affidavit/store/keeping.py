"""Rows about what is kept, held, barred and erased."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.bodies import ERASED, unpack
from affidavit.store.database import Database, Row

_OPEN = f"until = {FOREVER}"
_BODIES = "FROM events e JOIN bodies b ON b.id = e.body"
_THERE = f"b.codec <> {ERASED}"


@dataclass(frozen=True)
class Hold:
    """Something that may not be erased: ``kind`` is run, person or document; ``source`` only for a document."""

    id: int
    tenant: int
    kind: str
    subject: str
    source: str
    reason: str
    by: str
    since: int
    until: int


class Keeping:
    """Call inside a transaction; ``position`` is that of the event that caused the change."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- holds

    def holds(self, tenant: int, *, live: bool = True) -> list[Hold]:
        rows = self._db.all(
            "SELECT id, tenant, kind, subject, source, reason, stated_by, since, until FROM holds "
            f"WHERE tenant = ? {'AND ' + _OPEN if live else ''} ORDER BY id",
            (tenant,),
        )
        return [Hold(*row) for row in rows]

    def next_hold(self) -> int:
        return int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM holds"))

    def add_hold(self, hold: Hold) -> None:
        self._db.run(
            "INSERT INTO holds (id, tenant, kind, subject, source, reason, stated_by, since, until) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            tuple(vars(hold).values()),
        )

    def release_hold(self, id: int, position: int) -> None:
        self._db.run(f"UPDATE holds SET until = ? WHERE id = ? AND {_OPEN}", (position, id))

    # -- documents that may not come back

    def barred(self, tenant: int) -> frozenset[str]:
        """The marks of the tenant's documents that were erased and not let in again."""
        rows = self._db.all(f"SELECT mark FROM barred WHERE tenant = ? AND {_OPEN}", (tenant,))
        return frozenset(row[0] for row in rows)

    def bar(self, tenant: int, mark: str, position: int) -> None:
        self._db.run(
            "INSERT INTO barred (tenant, mark, since, until) VALUES (?, ?, ?, ?)",
            (tenant, mark, position, FOREVER),
        )

    def readmit(self, tenant: int, mark: str, position: int) -> None:
        self._db.run(
            f"UPDATE barred SET until = ? WHERE tenant = ? AND mark = ? AND {_OPEN}", (position, tenant, mark)
        )

    # -- finding bodies

    def bodies(self, tenant: int, kinds: Sequence[str], after: int) -> Iterator[Row]:
        """(position, run, body id, codec, size, data) of the bodies of these kinds that are there, above ``after``."""
        marks = ",".join("?" * len(kinds))
        return self._db.each(
            f"SELECT e.position, e.run, b.id, b.codec, b.size, b.data {_BODIES} "
            f"WHERE e.position > ? AND e.tenant = ? AND e.kind IN ({marks}) AND {_THERE} ORDER BY e.position",
            (after, tenant, *kinds),
        )

    def naming(self, tenant: int, kinds: Sequence[str], name: str) -> set[int]:
        """Positions of the events of these kinds whose bodies hold ``name`` anywhere."""
        sought = json.dumps(name, ensure_ascii=False)[1:-1].encode()
        rows = self.bodies(tenant, kinds, -1)
        return {position for position, _, id, *stored in rows if sought in unpack(id, *stored)}

    def of_runs(self, tenant: int, runs: Iterable[str], kinds: Sequence[str]) -> list[int]:
        """Positions of those events of ``runs`` whose bodies are there."""
        rows = self._db.all(
            f"SELECT e.position {_BODIES} WHERE e.run IN (SELECT value FROM json_each(?)) AND e.tenant = ? "
            f"AND e.kind IN (SELECT value FROM json_each(?)) AND {_THERE}",
            (json.dumps(sorted(runs)), tenant, json.dumps(list(kinds))),
        )
        return [row[0] for row in rows]

    def older(self, tenant: int, kinds: Sequence[str], before: int, *, syncs: bool) -> list[int]:
        """Positions of events before the time ``before`` whose bodies are there; of syncs, or of all other runs."""
        rows = self._db.all(
            f"SELECT e.position {_BODIES} WHERE e.at < ? AND e.tenant = ? AND e.kind IN (SELECT value FROM json_each(?)) "
            f"AND {_THERE} AND e.run {'IN' if syncs else 'NOT IN'} (SELECT run FROM events WHERE kind = 'run.started' "
            "AND json_extract(CAST(header AS TEXT), '$.facts.journey') = 'sync')",
            (before, tenant, json.dumps(list(kinds))),
        )
        return [row[0] for row in rows]

    def there(self, positions: Iterable[int]) -> set[int]:
        """Those of ``positions`` whose bodies are there."""
        rows = self._db.all(
            f"SELECT e.position {_BODIES} WHERE e.position IN (SELECT value FROM json_each(?)) AND {_THERE}",
            (json.dumps(sorted(positions)),),
        )
        return {row[0] for row in rows}

    def body_ids(self, positions: Sequence[int]) -> list[int]:
        """The bodies of the events at ``positions``."""
        rows = self._db.all(
            "SELECT body FROM events WHERE body IS NOT NULL AND position IN (SELECT value FROM json_each(?))",
            (json.dumps(positions),),
        )
        return [row[0] for row in rows]

    # -- documents

    def documents(self, tenant: int, name: str) -> list[Row]:
        """(document, source id, source name, until) of everything that ever had this name in the tenant."""
        return self._db.all(
            "SELECT d.id, s.id, s.name, d.until FROM documents d JOIN sources s ON s.id = d.source "
            "WHERE d.tenant = ? AND d.name = ? ORDER BY d.id",
            (tenant, name),
        )

    def revisions(self, documents: Sequence[int]) -> list[Row]:
        """(revision name, text digest, text body, source body) of documents that are not erased."""
        return self._db.all(
            "SELECT name, digest, text_body, source_body FROM revisions WHERE text_body IS NOT NULL "
            "AND document IN (SELECT value FROM json_each(?))",
            (json.dumps(documents),),
        )

    def indexed(self, documents: Sequence[int], kinds: Sequence[str], after: int) -> list[int]:
        """Positions of the events of these kinds that are about ``documents`` and have their bodies."""
        rows = self._db.all(
            f"SELECT e.position {_BODIES} WHERE e.position > ? AND e.kind IN (SELECT value FROM json_each(?)) AND {_THERE} "
            "AND json_extract(CAST(e.header AS TEXT), '$.facts.subject') IN (SELECT value FROM json_each(?))",
            (after, json.dumps(list(kinds)), json.dumps(documents)),
        )
        return [row[0] for row in rows]

    def same_text(self, documents: Sequence[int]) -> int:
        """How many other documents of the same tenant hold, now or once, a passage that one of ``documents`` holds."""
        listed = json.dumps(documents)
        return int(
            self._db.value(
                "SELECT count(DISTINCT o.document) FROM chunks c JOIN chunks o ON o.digest = c.digest AND o.tenant = c.tenant "
                "AND c.digest <> '' "
                "WHERE c.document IN (SELECT value FROM json_each(?)) "
                "AND o.document NOT IN (SELECT value FROM json_each(?))",
                (listed, listed),
            )
        )

    def empty(self, documents: Sequence[int]) -> int:
        """Take everything out of the rows of ``documents`` but their times and numbers, and the vectors that no other
        chunk shares; how many vectors they had, shared ones too: that must not tell of other tenants."""
        listed = json.dumps(documents)
        these = "document IN (SELECT value FROM json_each(?))"
        digests = self._db.all(f"SELECT DISTINCT digest FROM chunks WHERE {these}", (listed,))
        self._db.run(
            f"UPDATE chunks SET start = 0, stop = 0, path = '[]', kind = '', fields = '[]', digest = '' WHERE {these}",
            (listed,),
        )
        self._db.run(
            "UPDATE revisions SET name = '', title = '', location = '', media_type = '', metadata = '{}', digest = '', "
            f"modified = NULL, indexed_at = 0, source_body = NULL, text_body = NULL WHERE {these}",
            (listed,),
        )
        self._db.run(f"DELETE FROM governance WHERE {these}", (listed,))
        self._db.run(
            "UPDATE documents SET name = '', stamp = '' WHERE id IN (SELECT value FROM json_each(?))",
            (listed,),
        )
        theirs, of = (
            "FROM embeddings WHERE digest IN (SELECT value FROM json_each(?))",
            json.dumps([r[0] for r in digests]),
        )
        had = int(self._db.value(f"SELECT count(*) {theirs}", (of,)))
        self._db.run(
            f"DELETE {theirs} AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.digest = embeddings.digest)",
            (of,),
        )
        return had

    # -- people

    def forget(self, tenant: int, principal: str) -> int:
        """Delete every row about ``principal``, past ones too; how many."""
        return sum(
            self._db.changed(f"DELETE FROM {table} WHERE tenant = ? AND {column} = ?", (tenant, principal))
            for table, column in (("people", "principal"), ("memberships", "member"), ("grants", "principal"))
        )

    def owned(self, tenant: int, owner: str) -> int:
        """Documents whose owner is or was ``owner``."""
        return int(
            self._db.value(
                "SELECT count(DISTINCT g.document) FROM governance g JOIN documents d ON d.id = g.document "
                "WHERE d.tenant = ? AND g.owner = ?",
                (tenant, owner),
            )
        )
