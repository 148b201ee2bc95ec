"""Counts over a source's live documents: what is known of them, how old they are, what is there twice."""

from __future__ import annotations

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

_OPEN = f"until = {FOREVER}"
_LIVE = (
    f"FROM documents d JOIN governance g ON g.document = d.id AND g.{_OPEN} "
    f"JOIN revisions r ON r.document = d.id AND r.{_OPEN} WHERE d.source = ? AND d.{_OPEN}"
)
_DAY = 86_400_000_000


class Quality:
    """Call inside a snapshot. Times are microseconds."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def counts(self, source: int, now: int) -> dict[str, int | None]:
        """Documents by what is known of them. ``stale``: not changed for longer than their limit of freshness; ``limited``: with
        such a limit; ``nobody``: that no one may read; ``without_text``: of which nothing can be found."""
        age = "coalesce(r.modified, r.indexed_at)"
        row = self._db.one(
            f"""SELECT count(*), coalesce(sum(g.owner <> ''), 0), coalesce(sum(r.title <> ''), 0),
                       coalesce(sum(r.modified IS NOT NULL), 0), coalesce(sum(g.deprecated), 0),
                       coalesce(sum(g.fresh_days > 0), 0),
                       coalesce(sum(g.fresh_days > 0 AND ? - {age} > g.fresh_days * {_DAY}), 0),
                       coalesce(sum((SELECT a.rule FROM access_rules a WHERE a.id = g.rule) LIKE '%"allow":[]%'), 0),
                       coalesce(sum(NOT EXISTS (SELECT 1 FROM chunks c WHERE c.document = d.id AND c.{_OPEN})), 0),
                       min({age}), max({age}) {_LIVE}""",
            (now, source),
        )
        names = (
            "documents",
            "with_owner",
            "with_title",
            "with_time",
            "deprecated",
            "limited",
            "stale",
            "nobody",
        )
        return dict(zip((*names, "without_text", "oldest", "newest"), row or (), strict=True))

    def by(self, source: int, column: str) -> dict[str, int]:
        """Documents by ``owner``, ``classification`` or ``rank``, most first."""
        if column not in ("owner", "classification", "rank"):
            raise ValueError(column)
        rows = self._db.all(
            f"SELECT g.{column}, count(*) {_LIVE} GROUP BY 1 ORDER BY 2 DESC, 1",
            (source,),
        )
        return {str(name): count for name, count in rows}

    def duplicates(self, source: int) -> list[tuple[str, str]]:
        """(document, the first with the same text) of each that is not the first of its text in this source, by name."""
        rows = self._db.all(
            f"SELECT name, first FROM (SELECT d.name AS name, min(d.name) OVER (PARTITION BY r.digest) AS first {_LIVE} "
            "AND r.digest <> '') WHERE name <> first ORDER BY name",
            (source,),
        )
        return [(name, first) for name, first in rows]

    def elsewhere(self, tenant: int, source: int) -> int:
        """Documents whose text another source of the tenant has too."""
        return int(
            self._db.value(
                f"""SELECT count(*) {_LIVE} AND r.digest IN (
                      SELECT o.digest FROM revisions o JOIN documents e ON e.id = o.document
                      WHERE o.{_OPEN} AND e.tenant = ? AND e.source <> ? AND o.digest <> '')""",
                (source, tenant, source),
            )
        )
