"""Which tools of strangers were accepted; rows with ``since`` and ``until``. What was accepted is in the event at ``since``."""

from __future__ import annotations

from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

_OPEN = f"until = {FOREVER}"


@dataclass(frozen=True)
class Accepted:
    """An import: its name, the digest of its content, and the position of the event that holds it."""

    name: str
    digest: str
    since: int


class Imports:
    """Reads outside a transaction too; each call sees what was committed last."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[Accepted]:
        """Those that are in use, by name."""
        rows = self._db.all(f"SELECT name, digest, since FROM imports WHERE {_OPEN} ORDER BY name")
        return [Accepted(*row) for row in rows]

    def newest(self, name: str) -> Accepted | None:
        """The last one of this name, even if it was removed since."""
        row = self._db.one(
            "SELECT name, digest, since FROM imports WHERE name = ? ORDER BY since DESC LIMIT 1", (name,)
        )
        return Accepted(*row) if row else None

    def accept(self, accepted: Accepted) -> None:
        """In place of the one of its name."""
        self.remove(accepted.name, accepted.since)
        self._db.run(
            f"INSERT INTO imports (name, digest, since, until) VALUES (?, ?, ?, {FOREVER})",
            (accepted.name, accepted.digest, accepted.since),
        )

    def remove(self, name: str, position: int) -> bool:
        """Whether there was one."""
        before = self._db.value(f"SELECT count(*) FROM imports WHERE name = ? AND {_OPEN}", (name,))
        self._db.run(f"UPDATE imports SET until = ? WHERE name = ? AND {_OPEN}", (position, name))
        return bool(before)
