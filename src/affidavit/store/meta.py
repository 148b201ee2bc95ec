"""Settings kept beside the catalog; releases and channels."""

from __future__ import annotations

from affidavit.domain.canonical import Json, canonical
from affidavit.domain.records import FOREVER
from affidavit.store.database import Database
from affidavit.store.shapes import (
    OPEN,
)


class Meta:
    """The part of the catalog that is about the workspace itself. Call inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

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
        self._db.run(f"UPDATE channels SET until = ? WHERE name = ? AND {OPEN}", (position, channel))
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
            f"SELECT r.digest, r.content FROM channels c JOIN releases r ON r.digest = c.release WHERE c.name = ? AND c.{OPEN}",
            (name,),
        )
        return None if row is None else (row[0], row[1])
