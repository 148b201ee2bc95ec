"""Some documents of a tenant, spread evenly over all of them: what a drill asks about."""

from __future__ import annotations

from dataclasses import dataclass

from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

_FIRST_GUESSES = 8  # ids drawn for each document wanted: ended documents leave gaps


@dataclass(frozen=True)
class Sampled:
    """A live document: where it is from, the rule that governs it and the body that holds its text."""

    document: int
    source: str
    name: str
    rule: int
    text_body: int


def sample(database: Database, tenant: int, limit: int) -> list[Sampled]:
    """At most ``limit`` live documents of ``tenant``. Call inside a snapshot. Costs the same however many there are."""
    low, high = database.one("SELECT min(id), max(id) FROM documents WHERE tenant = ?", (tenant,)) or (
        None,
        None,
    )
    if low is None or high is None:
        return []
    found: dict[int, Sampled] = {}
    wanted = _FIRST_GUESSES * limit
    for step in range(wanted):
        row = database.one(
            "SELECT d.id, s.name, d.name, g.rule, r.text_body FROM documents d JOIN sources s ON s.id = d.source "
            "JOIN governance g ON g.document = d.id AND g.until = ? JOIN revisions r ON r.document = d.id AND r.until = ? "
            "WHERE d.id >= ? AND d.tenant = ? AND d.until = ? ORDER BY d.id LIMIT 1",
            (FOREVER, FOREVER, low + (high - low + 1) * step // wanted, tenant, FOREVER),
        )
        if row is not None and row[4] is not None:
            found[row[0]] = Sampled(*row)
    documents = sorted(found.values(), key=lambda s: s.document)
    if len(documents) <= limit:
        return documents
    return [documents[n * len(documents) // limit] for n in range(limit)]


def text_body(database: Database, tenant: int, source: str, name: str) -> int | None:
    """The body that holds the live text of a document. Call inside a snapshot."""
    found = database.value(
        "SELECT r.text_body FROM documents d JOIN sources s ON s.id = d.source "
        "JOIN revisions r ON r.document = d.id AND r.until = ? "
        "WHERE d.tenant = ? AND s.name = ? AND d.name = ? AND d.until = ?",
        (FOREVER, tenant, source, name, FOREVER),
    )
    return None if found is None else int(found)
