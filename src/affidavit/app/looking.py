"""Seeing a workspace as another person sees it: for a stated reason, for a quarter of an hour, reading only, all on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from affidavit.app.authority import authorise
from affidavit.app.credentials import CredentialDesk
from affidavit.app.incidents import text_of
from affidavit.app.noting import note, noted
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.domain.access import named
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UnauthenticatedError, UsageError
from affidavit.domain.records import FOREVER
from affidavit.domain.roles import ACTIONS, EVERYBODY
from affidavit.store.credentials import Credential, CredentialKind
from affidavit.store.people import Tenant

LOOK = "access:look"
LASTS = 15 * 60 * MICROSECONDS
READING = frozenset(action for action in {*EVERYBODY, *ACTIONS} if action.endswith(":read"))
"""What can be done while looking, as far as the person looked as may do it: none of it changes anything."""
BEGAN, SAW, ENDED = "look.began", "look.saw", "look.ended"
_WORDS = frozenset({BEGAN, SAW, ENDED})


@dataclass(frozen=True)
class Look:
    """``by`` sees what ``person`` sees, until ``until`` (microseconds)."""

    tenant: int
    by: str
    person: str
    until: int


class LookDesk:
    """Begins and ends looks, and says which there were."""

    def __init__(self, parts: Parts, credentials: CredentialDesk) -> None:
        self._parts = parts
        self._credentials = credentials

    def begin(self, tenant: Tenant, by: str, person: str, reason: str) -> tuple[Look, str]:
        """From now on, and the secret that it goes by. Raises AccessDeniedError, UsageError, UnknownNameError for a stranger."""
        by, reason, person = authorise(self._parts, tenant, by, LOOK), text_of(reason), named(person)
        if not person.startswith("user:") or person == by:
            raise UsageError(f"nobody can look as {person}", "look as another person: user:NAME")
        if not by.startswith("user:"):
            raise UsageError(f"{by} cannot look as somebody", "a person looks: user:NAME")
        if not self._known(tenant, person):
            raise UsageError(
                f"there is no {person} in {tenant.name}", "`affidavit people list` shows who is known"
            )
        made, token = self._credentials.make_look(tenant, by, person, LASTS, READING)
        look = Look(tenant.id, by, person, made.expires)
        self._record(tenant, BEGAN, by, person, {"reason": reason, "until": instant(look.until)})
        return look, token

    def _known(self, tenant: Tenant, person: str) -> bool:
        with self._parts.database.read():
            return bool(self._parts.scopes.identify(tenant.id, person, self._parts.log.head()).principals)

    def of(self, token: str) -> Look:
        """The look that ``token`` is the secret of. Raises UnauthenticatedError once it has ended."""
        return _look(self._credentials.whose(token, CredentialKind.LOOK))

    def reading(self, scopes: frozenset[str] | None) -> frozenset[str]:
        """What can be done while looking by somebody whose own proof is good for ``scopes``."""
        return READING if scopes is None else READING & scopes

    def end(self, tenant: Tenant, token: str) -> None:
        """Stop looking; nothing happens if it has ended."""
        try:
            made = self._credentials.whose(token, CredentialKind.LOOK)
        except UnauthenticatedError:
            return
        if made.tenant == tenant.id:
            self._credentials.end(tenant, made.id, CredentialKind.LOOK, made.principal)
            look = _look(made)
            self._record(tenant, ENDED, look.by, look.person, {})

    def saw(self, tenant: Tenant, by: str, person: str, operation: str, asked: Mapping[str, Json]) -> None:
        """Put on record what ``by`` is about to see as ``person``."""
        what: dict[str, Json] = {"operation": operation, "asked": dict(asked)}
        self._record(tenant, SAW, by, person, what)

    def _record(self, tenant: Tenant, action: str, by: str, person: str, what: Mapping[str, Json]) -> None:
        note(self._parts, tenant, action, by, {"as": person, **what})

    def newest(self, tenant: Tenant, limit: int, before: int = FOREVER) -> list[dict[str, Any]]:
        """What is on record about looks below position ``before``, the newest first."""
        with self._parts.database.read():
            return [
                {
                    "position": event.position,
                    "at": instant(event.at),
                    "what": event.facts["action"],
                    **{k: body.get(k, "") for k in ("by", "as", "reason", "operation")},
                }
                for event, body in islice(noted(self._parts, tenant, _WORDS, before), limit)
            ]


def _look(made: Credential) -> Look:
    return Look(made.tenant, made.principal, next(iter(made.acts_for)), made.expires)
