"""How questions went, counted by day. No names and no texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from affidavit.store.derived import DerivedFile

FILE = "figures.db"
_SCHEMA = """
CREATE TABLE figures (
  tenant INTEGER, day TEXT, name TEXT, count INTEGER NOT NULL, PRIMARY KEY (tenant, day, name)) WITHOUT ROWID;
"""

Key: TypeAlias = tuple[int, str, str]
"""(tenant, day, name of what is counted)."""


class Figures(DerivedFile):
    """Counters. Safe to share between threads and processes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, _SCHEMA, ["figures"])

    def fold(self, before: int, position: int, leaf: bytes, counted: Iterable[tuple[Key, int]]) -> bool:
        """Add ``counted`` and move from ``before`` to ``position``, both or neither; False if another process moved it."""
        return self.move(
            before,
            position,
            leaf,
            lambda: self.db.many(
                "INSERT INTO figures VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [(*key, count) for key, count in counted],
            ),
        )

    def of(self, tenant: int, since: str) -> list[tuple[str, str, int]]:
        """(day, name, count) of ``tenant`` from the day ``since`` on, in order."""
        rows = self.db.all(
            "SELECT day, name, count FROM figures WHERE tenant = ? AND day >= ? ORDER BY day, name",
            (tenant, since),
        )
        return [(row[0], row[1], row[2]) for row in rows]
