"""API keys, sessions and sign-in links: secrets that prove who asks. Each is shown once, when made, and kept as a digest."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from affidavit.app.authority import authorise, is_operator
from affidavit.app.endings import end_all, end_chain, end_one, sweep
from affidavit.app.wiring import Parts
from affidavit.domain.access import LONGEST_NAME, named
from affidavit.domain.canonical import Json, sha256
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import (
    AccessDeniedError,
    BusyError,
    DiskFullError,
    ForbiddenError,
    UnauthenticatedError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import FOREVER
from affidavit.domain.roles import ACTIONS, EVERYBODY, PREFIX
from affidavit.events.log import Transaction
from affidavit.store.credentials import Credential, CredentialKind, Credentials
from affidavit.store.people import Tenant

CHANGE = "credential:change"
MINUTE = 60 * MICROSECONDS
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LINK = 10 * MINUTE
"""How long a sign-in link is good for."""
KEPT = 8 * DAY
"""How long the row of an expired session is kept: longer than what was asked for in it waits for a second person."""
LONGEST_DAYS = 366
DEFAULT_OVERLAP, LONGEST_OVERLAP = 24, 7 * 24
"""Hours that a rotated key is still good for."""
_PREFIX = "aff"
_SECRET_BYTES = 32
_TOKEN = re.compile(rf"{_PREFIX}_(key|session|link|look)_([a-z2-7]{{16}})_([A-Za-z0-9_-]{{43}})", re.ASCII)


@dataclass(frozen=True)
class Asked:
    """A credential to be made; ``lasts`` in microseconds, ``by`` as it goes on record, ``made_by`` the id of the key used."""

    kind: CredentialKind
    principal: str
    name: str
    lasts: int
    by: str
    scopes: frozenset[str] | None = None
    acts_for: frozenset[str] = frozenset()
    made_by: str = ""


class CredentialDesk:
    """Makes, checks and takes back. ``by`` is ``operator:NAME``, or somebody whose role includes ``credential:change``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.rows = Credentials(parts.database)

    def _make(
        self, tx: Transaction, tenant: Tenant, asked: Asked, replaces: str = ""
    ) -> tuple[Credential, str]:
        """A new credential and its secret, which nobody can show again. Call inside the transaction ``tx``."""
        if self._parts.people.facts(tenant.id, asked.principal, tx.next_position) is None:
            raise UnknownNameError(
                f"there is no {asked.principal}", "`affidavit people import` makes people known"
            )
        now = self._parts.clock.now()
        latest = self._within(asked, now) if asked.made_by else FOREVER
        id = self.new_id()
        secret = base64.urlsafe_b64encode(self._parts.randomness.token(_SECRET_BYTES)).decode().rstrip("=")
        made = Credential(
            id,
            tenant.id,
            asked.kind,
            asked.principal,
            asked.name,
            sha256(secret.encode()),
            asked.scopes,
            asked.acts_for,
            min(now + asked.lasts, latest),
            0,
            seen=now,
            made_by=asked.made_by,
        )
        made = self.put(tx, made, asked.by, replaces)
        return made, f"{_PREFIX}_{made.kind.value}_{id}_{secret}"

    def new_id(self) -> str:
        """An id that no other has; the log takes only those that begin with a letter."""
        return "c" + base64.b32encode(self._parts.randomness.token(10)).decode().lower()[1:]

    def put(self, tx: Transaction, made: Credential, by: str, replaces: str = "") -> Credential:
        """``made``, from now on and on record. Call inside the transaction ``tx``."""
        body: dict[str, Json] = {
            "kind": made.kind.value,
            "principal": made.principal,
            "name": made.name,
            "digest": made.digest,
            "scopes": None if made.scopes is None else sorted(made.scopes),
            "acts_for": sorted(made.acts_for),
            "expires": made.expires,
            "made_by": made.made_by,
            "by": by,
            **({"replaces": replaces} if replaces else {}),
        }
        facts: dict[str, int | str] = {"subject": made.id, "change": "made"}
        position = tx.append(Event(EventKind.CREDENTIAL_CHANGED, made.tenant, facts=facts, body=body))
        made = replace(made, since=position)
        self.rows.add(made)
        return made

    def _within(self, asked: Asked, now: int) -> int:
        """Until when a credential may be good that is made by a key: no key makes one that can do more than itself, or for
        longer. Raises ForbiddenError."""
        key = self.rows.get(asked.made_by)
        if key is None or not key.standing or key.expires <= now:
            raise UnauthenticatedError("this key is not valid, or no longer", "ask for a new one")
        wider = key.scopes is not None and (
            asked.scopes is None
            or not asked.scopes <= key.scopes
            or not asked.acts_for <= key.acts_for
            or asked.principal != key.principal
        )
        if wider:
            raise ForbiddenError(
                "the key could do more than the one that makes it", "ask for no more scopes than its own"
            )
        return key.expires

    def check_not_above(self, tenant: Tenant, by: str, principal: str, *, speaks: bool = False) -> None:
        """Raises AccessDeniedError where ``principal`` may do what ``by`` may not, or ``speaks`` for others: who may change
        credentials could else be them, or shut them out. Administrators and whoever sits at the machine may do all."""
        if is_operator(by) or (by == principal and not speaks):
            return
        mine = self._held(tenant, by)
        missing = ["speaking for others"] if speaks else sorted(self._held(tenant, principal) - mine)
        if missing and PREFIX + "admin" not in mine:
            raise AccessDeniedError(
                f"{principal} may do more than {by}: {missing[0]}", f"ask an administrator of {tenant.name}"
            )

    def _held(self, tenant: Tenant, principal: str) -> set[str]:
        """Every action and role that ``principal`` holds, by themselves or in a group."""
        people = self._parts.people
        with self._parts.database.read():
            head = self._parts.log.head()
            mine = people.closure(tenant.id, principal, head)
            roles = {PREFIX + role for role in people.roles_of(tenant.id, mine, head)}
            return roles | {a for a in ACTIONS if mine & people.holders(tenant.id, a, head)}

    def _standing(self, tenant: Tenant, id: str, kind: CredentialKind) -> Credential:
        """Raises UnknownNameError unless ``id`` is one of the tenant's, of ``kind``, that nobody took back."""
        there = self.rows.get(id)
        if there is None or there.tenant != tenant.id or there.kind is not kind or not there.standing:
            raise UnknownNameError(f"there is no {kind.value} {id}", "`affidavit key list` shows the keys")
        return there

    def end(
        self, tenant: Tenant, id: str, kind: CredentialKind, by: str, *, alone: bool = False
    ) -> list[str]:
        """Take it back: the very next request with it is refused, in every process; and so is every key that was made with
        it, unless it ends ``alone``. The ids of what ended. Raises UnknownNameError.

        ``by`` goes on record as it is: whoever calls this has checked it.
        """

        def write(tx: Transaction) -> list[str]:
            there = self._standing(tenant, id, kind)
            body: Json = {"principal": there.principal, "by": by}
            if not alone:
                return end_chain(self.rows, tx, there, body)
            end_one(self.rows, tx, there, body)
            return [there.id]

        return self._parts.log.write(write)

    def make_look(
        self, tenant: Tenant, principal: str, person: str, lasts: int, scopes: frozenset[str]
    ) -> tuple[Credential, str]:
        """What lets ``principal`` see what ``person`` sees; ``lasts`` in microseconds.

        Whoever calls this has checked that they may.
        """
        asked = Asked(CredentialKind.LOOK, principal, "look", lasts, principal, scopes, frozenset({person}))
        return self._parts.log.write(lambda tx: self._make(tx, tenant, asked))

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
        made_by: str = "",
    ) -> tuple[Credential, str]:
        """An API key for a service or a person. One that is made by the key ``made_by`` is good for no longer than that one,
        and ends with it.

        Raises AccessDeniedError, ForbiddenError, UsageError, UnknownNameError.
        """
        by = authorise(self._parts, tenant, by, CHANGE)
        _check_days(days)
        asked = Asked(
            CredentialKind.KEY,
            named(principal),
            name,
            days * DAY,
            by,
            None if scopes is None else frozenset(scopes),
            frozenset(acts_for),
            made_by,
        )
        _check(asked)
        self.check_not_above(tenant, by, asked.principal, speaks=bool(asked.acts_for))
        return self._parts.log.write(lambda tx: self._make(tx, tenant, asked))

    def rotate_key(
        self,
        tenant: Tenant,
        id: str,
        by: str,
        days: int,
        overlap: int = DEFAULT_OVERLAP,
        made_by: str = "",
    ) -> tuple[Credential, str]:
        """A new key for what ``id`` is for; ``id`` itself is good for ``overlap`` hours more at most, none: it ends at once,
        with all that was made with it but the new one. ``made_by`` as in ``make_key``.

        Raises AccessDeniedError, ForbiddenError, UsageError, UnknownNameError.
        """
        by = authorise(self._parts, tenant, by, CHANGE)
        _check_days(days)
        if not 0 <= overlap <= LONGEST_OVERLAP:
            raise UsageError(
                f"two keys overlap for 0 to {LONGEST_OVERLAP} hours", "put the new one into place meanwhile"
            )

        def write(tx: Transaction) -> tuple[Credential, str]:
            old = self._standing(tenant, id, CredentialKind.KEY)
            made = [one for one in self.rows.made_with(id) if one.id != id]
            asked = Asked(
                old.kind, old.principal, old.name, days * DAY, by, old.scopes, old.acts_for, made_by
            )
            self.check_not_above(tenant, by, old.principal, speaks=bool(old.acts_for))
            new = self._make(tx, tenant, asked, replaces=id)
            if not overlap:
                for one in (old, *made):
                    end_one(self.rows, tx, one, {"principal": old.principal, "by": by})
                return new
            expires = min(old.expires, self._parts.clock.now() + overlap * HOUR)
            facts: dict[str, int | str] = {"subject": id, "change": "shortened"}
            body: Json = {"principal": old.principal, "expires": expires, "by": by}
            tx.append(Event(EventKind.CREDENTIAL_CHANGED, tenant.id, facts=facts, body=body))
            self.rows.shorten(id, expires)
            return new

        return self._parts.log.write(write)

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
            "made_by": made.made_by,
            "expires": made.expires,
            "expired": made.expires <= now,
        }

    def end_key(self, tenant: Tenant, id: str, by: str, *, alone: bool = False) -> list[str]:
        """Take a key back, and what was made with it unless ``alone``; the ids. Raises AccessDeniedError, UnknownNameError."""
        by = authorise(self._parts, tenant, by, CHANGE)
        self.check_not_above(tenant, by, self._standing(tenant, id, CredentialKind.KEY).principal)
        return self.end(tenant, id, CredentialKind.KEY, by, alone=alone)

    # -- sign-in links and sessions

    def make_link(self, tenant: Tenant, principal: str, by: str) -> str:
        """What signs ``principal`` in once, within ten minutes. Raises AccessDeniedError, UsageError, UnknownNameError."""
        asked = Asked(
            CredentialKind.LINK, named(principal), "", LINK, authorise(self._parts, tenant, by, CHANGE)
        )
        _check(asked)
        self.check_not_above(tenant, asked.by, asked.principal)
        return self._parts.log.write(lambda tx: self._make(tx, tenant, asked))[1]

    def follow_link(self, token: str, hours: int) -> tuple[Credential, str]:
        """The session that a sign-in link begins, and its secret; the link is used up. Raises UnauthenticatedError."""

        def write(tx: Transaction) -> tuple[Credential, str]:
            link = self.whose(
                token, CredentialKind.LINK
            )  # of two that follow it at once the second comes too late
            end_one(self.rows, tx, link, {"principal": link.principal, "by": link.principal})
            return self._begin(tx, Tenant(link.tenant, ""), _session(link.principal, "link", hours))

        return self._parts.log.write(write)

    def begin_session(self, tenant: Tenant, principal: str, name: str, hours: int) -> tuple[Credential, str]:
        """A session for a browser of ``principal``, who was proved by ``name``, and its secret. Raises UnknownNameError."""
        asked = _session(principal, name, hours)
        return self._parts.log.write(lambda tx: self._begin(tx, tenant, asked))

    def _begin(self, tx: Transaction, tenant: Tenant, asked: Asked) -> tuple[Credential, str]:
        sweep(self.rows, tx, tenant.id, self._parts.clock.now() - KEPT)
        return self._make(tx, tenant, asked)

    def session(self, token: str, idle: int) -> Credential:
        """The session that ``token`` is the secret of, used now; ``idle`` minutes without use end it.

        Raises UnauthenticatedError.
        """
        found, now = self.whose(token, CredentialKind.SESSION), self._parts.clock.now()
        if now - found.seen >= idle * MINUTE:
            raise UnauthenticatedError("this session was left alone for too long", "sign in again")
        if now - found.seen >= MINUTE:
            self._see(found.id, now)
        return found

    def _see(self, id: str, now: int) -> None:
        try:
            with self._parts.database.write():
                self.rows.see(id, now)
        except (BusyError, DiskFullError):
            pass  # nobody is signed out for that: the next request notes it

    def end_sessions(self, tenant: Tenant, which: Callable[[str], bool], by: str) -> int:
        """End the sessions that were proved by ``which``; how many. ``by`` as it goes on record."""

        def write(tx: Transaction) -> int:
            now = self._parts.clock.now()
            rows = self.rows.of(tenant.id, CredentialKind.SESSION)
            found = [row for row in rows if row.expires > now and which(row.name)]
            for row in found:
                end_one(self.rows, tx, row, {"principal": row.principal, "by": by})
            return len(found)

        return self._parts.log.write(write)

    def sessions(self, tenant: Tenant, principal: str = "") -> list[dict[str, Any]]:
        """The sessions that stand and have not expired, oldest first; of ``principal``, or of everybody."""
        rows = self.rows.of(tenant.id, CredentialKind.SESSION, principal)
        return [
            {**self.shown(row), "seen": row.seen} for row in rows if row.expires > self._parts.clock.now()
        ]

    def sign_out(self, tenant: Tenant, principal: str, by: str) -> int:
        """End every session and sign-in link of ``principal``; how many.

        ``by`` is they themselves, or whoever may change credentials. Raises AccessDeniedError.
        """
        principal = named(principal)
        if named(by) != principal:
            by = authorise(self._parts, tenant, by, CHANGE)
            self.check_not_above(tenant, by, principal)
        kinds = (CredentialKind.SESSION, CredentialKind.LINK)
        body: Json = {"principal": principal, "by": by}
        return self._parts.log.write(
            lambda tx: end_all(self._parts.database, tx, tenant.id, principal, body, kinds)
        )

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


def _session(principal: str, name: str, hours: int) -> Asked:
    return Asked(CredentialKind.SESSION, principal, name, hours * HOUR, principal)


def _check_days(days: int) -> None:
    if not 0 < days <= LONGEST_DAYS:
        raise UsageError(f"a key is good for 1 to {LONGEST_DAYS} days", "rotate it: affidavit key rotate ID")


def _check(asked: Asked) -> None:
    """Raises UsageError for what no credential can be."""
    if not asked.principal.startswith(("user:", "service:")):
        raise UsageError(f"{asked.principal} cannot ask", "a key is for user:NAME or service:NAME")
    if asked.kind is CredentialKind.LINK and not asked.principal.startswith("user:"):
        raise UsageError(f"{asked.principal} has no browser", "services ask with a key: affidavit key make")
    if len(asked.name) > LONGEST_NAME or not asked.name.isprintable():
        raise UsageError(
            f"a key's name is up to {LONGEST_NAME} characters that can be seen", "choose another"
        )
    unknown = sorted((asked.scopes or frozenset()) - EVERYBODY - set(ACTIONS))
    if unknown:
        raise UsageError(
            f"there is no action {unknown[0]}", f"one of: {', '.join(sorted({*EVERYBODY, *ACTIONS}))}"
        )
    strange = sorted(who for who in asked.acts_for if not who.startswith(("user:", "group:")))
    if strange:
        raise UsageError(
            f"nobody can speak for {strange[0]}", "name people or groups: user:alice, group:finance"
        )
    if asked.acts_for and not asked.principal.startswith("service:"):
        raise UsageError("only a service speaks for others", "make the key for service:NAME")
