"""API keys, sessions and sign-in links: secrets that prove who asks. Each is shown once, when made, and kept as a digest."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from affidavit.app.authority import authorise
from affidavit.app.wiring import Parts
from affidavit.domain.access import named
from affidavit.domain.canonical import sha256
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UnauthenticatedError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.roles import ACTIONS, EVERYBODY
from affidavit.events.log import Transaction
from affidavit.store.credentials import Credential, CredentialKind, Credentials
from affidavit.store.people import Tenant

CHANGE = "credential:change"
DAY = 86_400 * MICROSECONDS
LONGEST_DAYS = 366
_PREFIX = "aff"
_SECRET_BYTES = 32
_TOKEN = re.compile(rf"{_PREFIX}_(key|session|link|look)_([a-z2-7]{{16}})_([A-Za-z0-9_-]{{43}})", re.ASCII)


class CredentialDesk:
    """Makes, checks and takes back. ``by`` is ``operator:NAME``, or somebody whose role includes ``credential:change``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.rows = Credentials(parts.database)

    def make(
        self,
        tenant: Tenant,
        kind: CredentialKind,
        principal: str,
        name: str,
        lasts: int,
        by: str,
        scopes: Collection[str] | None = None,
        acts_for: Collection[str] = (),
    ) -> tuple[Credential, str]:
        """A new credential and its secret, which nobody can show again. ``lasts`` in microseconds.

        ``by`` goes on record as it is: whoever calls this has checked it. Raises UsageError.
        """
        self._check(kind, principal, lasts, scopes, acts_for)
        token = self._parts.randomness.token
        id = base64.b32encode(token(10)).decode().lower()
        secret = base64.urlsafe_b64encode(token(_SECRET_BYTES)).decode().rstrip("=")
        made = Credential(
            id,
            tenant.id,
            kind,
            principal,
            name,
            sha256(secret.encode()),
            None if scopes is None else frozenset(scopes),
            frozenset(acts_for),
            self._parts.clock.now() + lasts,
            0,
        )

        def write(tx: Transaction) -> Credential:
            if self._parts.people.facts(tenant.id, principal, tx.next_position) is None:
                raise UnknownNameError(
                    f"there is no {principal}", "`affidavit people import` makes people known"
                )
            body = {
                "kind": kind.value,
                "principal": principal,
                "name": name,
                "digest": made.digest,
                "scopes": None if scopes is None else sorted(scopes),
                "acts_for": sorted(acts_for),
                "expires": made.expires,
                "by": by,
            }
            facts: dict[str, int | str] = {"subject": id, "change": "made"}
            position = tx.append(Event(EventKind.CREDENTIAL_CHANGED, tenant.id, facts=facts, body=body))
            row = replace(made, since=position)
            self.rows.add(row)
            return row

        return self._parts.log.write(write), f"{_PREFIX}_{kind.value}_{id}_{secret}"

    def end(self, tenant: Tenant, id: str, by: str) -> None:
        """Take it back: the very next request with it is refused, in every process. Raises UnknownNameError."""

        def write(tx: Transaction) -> None:
            self._end(tx, tenant, id, by)

        self._parts.log.write(write)

    def _end(self, tx: Transaction, tenant: Tenant, id: str, by: str) -> None:
        there = self.rows.get(id)
        if there is None or there.tenant != tenant.id or not there.standing:
            raise UnknownNameError(
                f"there is no credential {id} to take back", "`affidavit key list` shows them"
            )
        facts: dict[str, int | str] = {"subject": id, "change": "ended"}
        position = tx.append(Event(EventKind.CREDENTIAL_CHANGED, tenant.id, facts=facts, body={"by": by}))
        self.rows.end(id, position)

    # -- keys

    def make_key(
        self,
        tenant: Tenant,
        principal: str,
        name: str,
        days: int,
        by: str,
        scopes: Collection[str] | None = None,
        acts_for: Collection[str] = (),
    ) -> tuple[Credential, str]:
        """An API key for a service or a person. Raises AccessDeniedError, UsageError, UnknownNameError."""
        by = authorise(self._parts, tenant, by, CHANGE)
        if not 0 < days <= LONGEST_DAYS:
            raise UsageError(
                f"a key is good for 1 to {LONGEST_DAYS} days", "rotate it: affidavit key rotate ID"
            )
        return self.make(tenant, CredentialKind.KEY, named(principal), name, days * DAY, by, scopes, acts_for)

    def keys(self, tenant: Tenant) -> list[dict[str, Any]]:
        """The keys that stand, oldest first; never a secret."""
        return [self.shown(key) for key in self.rows.of(tenant.id, CredentialKind.KEY)]

    def shown(self, made: Credential) -> dict[str, Any]:
        """A credential for people."""
        now = self._parts.clock.now()
        return {
            "id": made.id,
            "principal": made.principal,
            "name": made.name,
            "scopes": None if made.scopes is None else sorted(made.scopes),
            "acts_for": sorted(made.acts_for),
            "expires": made.expires,
            "expired": made.expires <= now,
        }

    def end_key(self, tenant: Tenant, id: str, by: str) -> None:
        """Take a key back. Raises AccessDeniedError, UnknownNameError."""
        self.end(tenant, id, authorise(self._parts, tenant, by, CHANGE))

    # -- checking

    def whose(self, token: str, kind: CredentialKind) -> Credential:
        """The credential that ``token`` is the secret of. Raises UnauthenticatedError, which never says what is wrong with it."""
        match = _TOKEN.fullmatch(token)
        found = self.rows.get(match[2]) if match and match[1] == kind.value else None
        digest = sha256(match[3].encode()) if match else ""
        right = hmac.compare_digest(digest, found.digest if found else "0" * 64)
        if (
            found is None
            or not right
            or found.kind is not kind
            or not found.standing
            or found.expires <= self._parts.clock.now()
        ):
            raise UnauthenticatedError(
                f"this {kind.value} is not valid, or no longer", "ask for a new one, or sign in again"
            )
        return found

    def _check(
        self,
        kind: CredentialKind,
        principal: str,
        lasts: int,
        scopes: Collection[str] | None,
        acts_for: Collection[str],
    ) -> None:
        if not principal.startswith(("user:", "service:")):
            raise UsageError(f"{principal} cannot ask", "a key is for user:NAME or service:NAME")
        if lasts <= 0:
            raise UsageError("it would have expired already", "give a time in the future")
        unknown = sorted(set(scopes or ()) - EVERYBODY - set(ACTIONS))
        if unknown:
            raise UsageError(
                f"there is no action {unknown[0]}", f"one of: {', '.join(sorted({*EVERYBODY, *ACTIONS}))}"
            )
        strange = sorted(who for who in acts_for if not who.startswith(("user:", "group:")))
        if strange:
            raise UsageError(
                f"nobody can speak for {strange[0]}", "name people or groups: user:alice, group:finance"
            )
        if acts_for and kind is not CredentialKind.LOOK and not principal.startswith("service:"):
            raise UsageError("only a service speaks for others", "make the key for service:NAME")
