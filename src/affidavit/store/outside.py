"""Rows about parties outside: where checkpoints are sent, how far each has come, and what came back signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

COSIGNATURE, TIMESTAMP = "cosignature", "timestamp"
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class SinkRow:
    """A place that checkpoints are sent to. ``settings`` never hold a secret, only where one is found."""

    id: int
    name: str
    kind: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a sink has come: the size it has (0: none) since ``at``, when it was tried last, and what went wrong then."""

    size: int = 0
    at: int = 0
    tried: int = 0
    error: str = ""


@dataclass(frozen=True)
class Attestation:
    """What a party outside signed: a checkpoint's ``note`` (a cosigned one holds the cosignature) or a timestamp's token."""

    kind: str
    party: str
    size: int
    at: int
    note: str
    token: bytes | None


class Outside:
    """Reads and writes these rows; call inside a snapshot or transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def sinks(self) -> list[SinkRow]:
        """Those that are in use, by name."""
        rows = self._db.all(
            "SELECT id, name, kind, settings FROM sinks WHERE until = ? ORDER BY name", (FOREVER,)
        )
        return [SinkRow(id, name, kind, json.loads(settings)) for id, name, kind, settings in rows]

    def next_id(self) -> int:
        """The number that the next sink gets; none is ever used twice."""
        return int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM sinks"))

    def add(self, id: int, name: str, kind: str, settings: str, since: int) -> None:
        self._db.run(
            "INSERT INTO sinks (id, name, kind, settings, since, until) VALUES (?, ?, ?, ?, ?, ?)",
            (id, name, kind, settings, since, FOREVER),
        )

    def remove(self, id: int, until: int) -> None:
        self._db.run("UPDATE sinks SET until = ? WHERE id = ?", (until, id))

    def progress(self, sink: int) -> Progress:
        row = self._db.one("SELECT size, at, tried, error FROM deliveries WHERE sink = ?", (sink,))
        return Progress(*row) if row else Progress()

    def set_progress(self, sink: int, progress: Progress) -> None:
        self._db.run(
            "INSERT OR REPLACE INTO deliveries (sink, size, at, tried, error) VALUES (?, ?, ?, ?, ?)",
            (sink, progress.size, progress.at, progress.tried, progress.error),
        )

    def keep(self, attestation: Attestation) -> None:
        """Keep what was signed. Of one party's a day the last stays."""
        a = attestation
        self._db.run(
            "DELETE FROM attestations WHERE kind = ? AND party = ? AND at / ? = ? / ?",
            (a.kind, a.party, _DAY, a.at, _DAY),
        )
        self._db.run(
            "INSERT INTO attestations (kind, party, size, at, note, token) VALUES (?, ?, ?, ?, ?, ?)",
            (a.kind, a.party, a.size, a.at, a.note, a.token),
        )

    def kept(self) -> list[Attestation]:
        """Everything that was signed, oldest first."""
        rows = self._db.all(
            "SELECT kind, party, size, at, note, token FROM attestations ORDER BY at, size, id"
        )
        return [Attestation(*row) for row in rows]
