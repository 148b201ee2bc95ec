"""How far each follower of the log has come: one small row each, beside the log and never on it."""

from __future__ import annotations

from dataclasses import dataclass

from affidavit.store.database import Database

_COLUMNS = "name, settings, position, leaf, state, at"


@dataclass(frozen=True)
class Place:
    """Where a follower stands. ``position`` is the last one handed over (-1: none) and ``leaf`` that event's leaf hash;
    ``settings`` says what is followed to where, ``state`` is the follower's own, ``at`` microseconds since 1970 UTC."""

    name: str
    settings: str
    position: int
    leaf: bytes
    state: str
    at: int


class Followers:
    """Rows of ``followers``. Each save is a durable transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[Place]:
        """Every follower by name."""
        return [Place(*row) for row in self._db.all(f"SELECT {_COLUMNS} FROM followers ORDER BY name")]

    def get(self, name: str) -> Place | None:
        row = self._db.one(f"SELECT {_COLUMNS} FROM followers WHERE name = ?", (name,))
        return None if row is None else Place(*row)

    def save(self, place: Place) -> None:
        """Position and state together, or neither; on disk when this returns."""
        with self._db.write():
            self._db.run(
                f"INSERT INTO followers ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "settings = excluded.settings, position = excluded.position, leaf = excluded.leaf, "
                "state = excluded.state, at = excluded.at",
                (place.name, place.settings, place.position, place.leaf, place.state, place.at),
            )
