"""Taking back what proves who somebody is. A module of its own: whoever removes people needs no more than this."""

from __future__ import annotations

from collections.abc import Iterable

from affidavit.domain.canonical import Json
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.store.credentials import Credential, CredentialKind, Credentials
from affidavit.store.database import Database

_AT_ONCE = 200
"""Rows that one sign-in sweeps at most: whoever signs in waits for it."""


def end_one(rows: Credentials, tx: Transaction, there: Credential, body: Json) -> None:
    """Take ``there`` back. Call inside the transaction ``tx``; ``body`` says by whom."""
    facts: dict[str, int | str] = {"subject": there.id, "change": "ended"}
    rows.end(there.id, tx.append(Event(EventKind.CREDENTIAL_CHANGED, there.tenant, facts=facts, body=body)))


def sweep(rows: Credentials, tx: Transaction, tenant: int, before: int) -> None:
    """Keep no longer the rows of sessions, links and looks that expired before ``before`` (microseconds): that there were such
    stays on the log. Call inside the transaction ``tx``."""
    gone = rows.long_over(tenant, before, _AT_ONCE)
    if gone:
        facts: dict[str, int | str] = {"subject": "all", "change": "swept"}
        body: Json = {"ids": list(gone)}
        tx.append(Event(EventKind.CREDENTIAL_CHANGED, tenant, facts=facts, body=body))
        rows.sweep(gone)


def end_chain(rows: Credentials, tx: Transaction, there: Credential, body: Json) -> list[str]:
    """Take ``there`` back and every key that was made with it, or with one of those: whoever held it may hold them. Their ids."""
    made = [one for one in rows.made_with(there.id) if one.id != there.id]
    for one in (there, *made):
        end_one(rows, tx, one, body)
    return [there.id, *(one.id for one in made)]


def end_all(
    database: Database,
    tx: Transaction,
    tenant: int,
    principal: str,
    body: Json,
    kinds: Iterable[CredentialKind] = CredentialKind,
) -> int:
    """Take back all that ``principal`` proves who they are by, or those of ``kinds``, and what was made with it; how many of
    theirs there were."""
    rows = Credentials(database)
    found = [one for kind in kinds for one in rows.of(tenant, kind, principal)]
    for one in found:
        now = rows.get(one.id)
        if now is not None and now.standing:  # it may have been made with one before it
            end_chain(rows, tx, one, body)
    return len(found)
