"""What takes two people: which actions do, what one of them asked for, and what the other said to it. All on record."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import replace

from affidavit.app.authority import is_operator
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AccessDeniedError, BusyError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.roles import ACTIONS
from affidavit.events.log import Transaction
from affidavit.store.people import Tenant
from affidavit.store.proposals import MADE, Proposal, Proposals

LASTS = 7 * 86_400 * MICROSECONDS
"""How long a proposal waits."""
MOST = 1000
"""Proposals of a tenant that wait at a time."""
ALL = "all"
AGREED, CONFIRMED = "agreed", "confirmed"
"""Agreed: a second person said yes, and whoever asked has not taken what it gives."""


class ProposalDesk:
    """Keeps what waits. Who may confirm it, and that it is then done, is the operations' affair."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rows = Proposals(parts.database)

    # -- what takes two

    def required(self, tenant: Tenant) -> frozenset[str]:
        """The actions that take two people, asked for over the network."""
        return self._rows.required(tenant.id)

    def require(self, tenant: Tenant, actions: Collection[str], by: str) -> list[str]:
        """From now on exactly ``actions`` take two people. Only whoever sits at the machine says so: one person alone could
        otherwise take it back first. Raises AccessDeniedError, UsageError."""
        if not is_operator(by):
            raise AccessDeniedError("what takes two people is not for one to say", "--by operator:NAME")
        unknown = sorted(set(actions) - set(ACTIONS))
        if unknown:
            raise UsageError(f"there is no action {unknown[0]!r}", f"one of: {', '.join(ACTIONS)}")
        wanted = sorted(set(actions))

        def write(tx: Transaction) -> None:
            facts: dict[str, int | str] = {"subject": ALL, "change": "required"}
            body: Json = {"actions": list(wanted), "by": by}
            event = Event(EventKind.PROPOSAL_CHANGED, tenant.id, facts=facts, body=body)
            self._rows.require(tenant.id, wanted, by, tx.append(event))

        self._parts.log.write(write)
        return wanted

    # -- what waits

    def propose(
        self,
        tenant: Tenant,
        operation: str,
        principal: str,
        speaker: str,
        scopes: frozenset[str] | None,
        asked: str,
    ) -> Proposal:
        """What waits from now on, ``asked`` as JSON; asking for the same again changes nothing.

        Raises BusyError if too much waits.
        """
        now = self._parts.clock.now()
        id = "p" + base64.b32encode(self._parts.randomness.token(10)).decode().lower()[1:]
        made = Proposal(id, tenant.id, operation, principal, speaker, scopes, asked, now + LASTS, MADE, 0)

        def write(tx: Transaction) -> Proposal:
            waiting = self._rows.waiting(tenant.id, now)
            for one in waiting:
                if replace(one, id=id, expires=made.expires, since=0) == made:
                    return one
            if len(waiting) >= MOST:
                raise BusyError("too much waits for a second person already", "confirm or decline some of it")
            body: Json = {
                "operation": operation,
                "principal": principal,
                "speaker": speaker,
                "scopes": None if scopes is None else sorted(scopes),
                "asked": asked,
                "expires": made.expires,
            }
            facts: dict[str, int | str] = {"subject": id, "change": MADE}
            position = tx.append(Event(EventKind.PROPOSAL_CHANGED, tenant.id, facts=facts, body=body))
            self._rows.add(replace(made, since=position))
            return made

        return self._parts.log.write(write)

    def waiting(self, tenant: Tenant) -> list[Proposal]:
        """What can be confirmed, oldest first."""
        return self._rows.waiting(tenant.id, self._parts.clock.now())

    def get(self, tenant: Tenant, id: str) -> Proposal:
        """One that waits. Raises UnknownNameError."""
        found = self._rows.get(id)
        if (
            found is None
            or found.tenant != tenant.id
            or found.state != MADE
            or found.expires <= self._parts.clock.now()
        ):
            raise UnknownNameError(f"there is no proposal {id} that waits", "list them: /v1/proposals")
        return found

    def take(
        self,
        tenant: Tenant,
        operation: str,
        principal: str,
        speaker: str,
        scopes: frozenset[str] | None,
        asked: str,
    ) -> bool:
        """Whether a second person said yes to exactly this, which counts once: it is used up now, on record."""
        wanted = (tenant.id, operation, principal, speaker, scopes, asked)

        def write(tx: Transaction) -> bool:
            for one in self._rows.in_state(tenant.id, AGREED, self._parts.clock.now()):
                if (one.tenant, one.operation, one.principal, one.speaker, one.scopes, one.asked) == wanted:
                    facts: dict[str, int | str] = {"subject": one.id, "change": CONFIRMED}
                    event = Event(EventKind.PROPOSAL_CHANGED, tenant.id, facts=facts, body={"by": principal})
                    self._rows.resolve(one.id, CONFIRMED, tx.append(event))
                    return True
            return False

        return self._parts.log.write(write)

    def resolve(self, tenant: Tenant, id: str, state: str, by: str, reason: str) -> Proposal:
        """It waits no more: of two who say something to it at once, the second comes too late. Raises UnknownNameError."""

        def write(tx: Transaction) -> Proposal:
            found = self.get(tenant, id)
            facts: dict[str, int | str] = {"subject": id, "change": state}
            body: Json = {"by": by, "reason": reason}
            event = Event(EventKind.PROPOSAL_CHANGED, tenant.id, facts=facts, body=body)
            self._rows.resolve(id, state, tx.append(event))
            return found

        return self._parts.log.write(write)
