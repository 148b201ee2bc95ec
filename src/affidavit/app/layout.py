"""What the database must look like besides its rows: nothing in it but what we made, and nothing where no reader of rows looks.

A trigger changes what a commit writes; an index that does not agree with its table gives a question other rows than a check
of the table sees; a setting, head or body that no event is about is a place to hide something.
"""

from __future__ import annotations

from affidavit.app.redaction import REDACTION
from affidavit.app.wiring import ERASED, NEXT, PRICES, RETENTION, SERVING, Parts, schema
from affidavit.domain.errors import LogDamagedError
from affidavit.domain.records import FOREVER
from affidavit.store import bodies
from affidavit.store.database import sqlite_objects
from affidavit.store.tokenvectors import SETTING as TOKEN_VECTORS

_SETTINGS = frozenset(
    {"origin", "verifier", "frontier", SERVING, NEXT, RETENTION, REDACTION, ERASED, PRICES, TOKEN_VECTORS}
)


def check_layout(parts: Parts) -> None:
    """No table, index, view or trigger but ours, under whatever name."""
    ours = sqlite_objects(schema())
    there = parts.database.all("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    if there != ours:
        other = sorted({str(row[1]) for row in set(there) ^ set(ours)}) or ["twice the same"]
        raise damaged(f"the database's layout was changed: {other[0]}")


def check_indexes(parts: Parts) -> None:
    """Every index of the database says what its table says: questions are answered through them."""
    found = str(parts.database.value("PRAGMA integrity_check(1)"))
    if found != "ok":
        raise damaged(f"the database contradicts itself: {found}")


def check_heads(parts: Parts, head: int) -> None:
    """An index reads what is newer than the head it knows: it is neither behind the rows nor beyond the log's ``head``."""
    heads: dict[str, int] = dict(parts.database.all("SELECT name, position FROM heads"))
    last = parts.database.value(
        "SELECT max(p) FROM (SELECT max(since) p FROM governance UNION SELECT max(until) FROM governance WHERE until < ? "
        "UNION SELECT max(since) FROM chunks UNION SELECT max(until) FROM chunks WHERE until < ?)",
        (FOREVER, FOREVER),
    )
    known = heads.pop("catalog", -1)
    if known < (-1 if last is None else last):
        raise damaged("the catalog's head was set back: an index would not learn of changes")
    if known > head or heads:
        raise damaged("the catalog's head is beyond the log: an index would not learn of changes")


def check_settings(parts: Parts) -> None:
    """No setting but ours."""
    other = {row[0] for row in parts.database.all("SELECT key FROM meta")} - _SETTINGS
    if other:
        raise damaged(f"there is a setting {min(map(str, other))!r} that affidavit does not have")


def check_bodies(parts: Parts, of_events: int) -> None:
    """No text but those of events and revisions, each with a body of its own: another's erasure must not take it."""
    held, apart = parts.database.all(
        "SELECT count(*), count(DISTINCT body) FROM (SELECT text_body AS body FROM revisions UNION ALL "
        "SELECT source_body FROM revisions) WHERE body IS NOT NULL"
    )[0]
    there = parts.database.value("SELECT count(*) FROM bodies WHERE codec <> ?", (bodies.ERASED,))
    if held != apart or there != of_events + held:
        raise damaged("the database holds a text that no event and no revision has, or one that two share")


def damaged(what: str) -> LogDamagedError:
    """Something that no event accounts for."""
    return LogDamagedError(what, "somebody changed the database by hand; restore it from a backup")
