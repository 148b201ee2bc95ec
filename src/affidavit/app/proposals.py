"""What takes two people: which actions do, what one of them asked for, and what the other said to it. All on record."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from affidavit.app.authority import is_operator
from affidavit.app.standing import fault
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
AGREED, CONFIRMED, VOID = "agreed", "confirmed", "void"
"""Agreed: a second person said yes, and whoever asked has not taken what it gives. Void: when it came to be done, one of the two
could not have asked for it or agreed to it any more."""


@dataclass(frozen=True)
class Wanted:
    """What somebody wants done, ``asked`` as JSON, within ``scopes``; ``speaker`` speaks for them."""

    operation: str
    principal: str
    speaker: str
    scopes: frozenset[str] | None
    asked: str


def absent(id: str) -> UnknownNameError:
    """What whoever is not to know of ``id`` is told, as if it never was."""
    return UnknownNameError(f"there is no proposal {id} that waits", "list them: /v1/proposals")


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

    def propose(self, tenant: Tenant, wanted: Wanted, proof: str = "") -> Proposal:
        """What waits from now on; asking for the same again changes nothing while the first asking still holds. ``proof`` is
        the id of the credential that it is asked by.

        Raises BusyError if too much waits.
        """
        now = self._parts.clock.now()
        id = "p" + base64.b32encode(self._parts.randomness.token(10)).decode().lower()[1:]
        made = Proposal(
            id,
            tenant.id,
            wanted.operation,
            wanted.principal,
            wanted.speaker,
            wanted.scopes,
            proof,
            wanted.asked,
            now + LASTS,
            MADE,
            0,
        )

        def write(tx: Transaction) -> Proposal:
            waiting = self._rows.waiting(tenant.id, now)
            for one in waiting:
                if _wanted(one) == wanted and not self.fault(tenant, one):
                    return one
            if len(waiting) >= MOST:
                raise BusyError("too much waits for a second person already", "confirm or decline some of it")
            body: Json = {
                "operation": made.operation,
                "principal": made.principal,
                "speaker": made.speaker,
                "scopes": None if made.scopes is None else sorted(made.scopes),
                "proof": proof,
                "asked": made.asked,
                "expires": made.expires,
            }
            facts: dict[str, int | str] = {"subject": id, "change": MADE}
            position = tx.append(Event(EventKind.PROPOSAL_CHANGED, tenant.id, facts=facts, body=body))
            self._rows.add(replace(made, since=position))
            return made

        return self._parts.log.write(write)

    def fault(self, tenant: Tenant, one: Proposal) -> str:
        """Why ``one`` no longer holds, whatever its asker may do now; "" if it does."""
        return fault(self._parts, tenant, one.principal, one.speaker, one.proof, one.since)

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
            raise absent(id)
        return found

    def take(self, tenant: Tenant, wanted: Wanted, still: Callable[[str], bool]) -> bool:
        """Whether a second person said yes to exactly this, which counts once: it is used up now, on record.

        Both count as they stand now: the asking holds, and so does the yes, if whoever gave it ``still`` may give it.
        """

        def write(tx: Transaction) -> bool:
            for one in self._rows.in_state(tenant.id, AGREED, self._parts.clock.now()):
                if _wanted(one) != wanted:
                    continue
                by, proof = self._agreed(one)
                why = (
                    self.fault(tenant, one)
                    or fault(self._parts, tenant, by, "", proof, one.until)
                    or ("" if still(by) else f"{by} may not agree to it any more")
                )
                body: Json = {"by": one.principal, "reason": why, "checked": _checked(one, by, proof)}
                self._end(tx, one, VOID if why else CONFIRMED, body)
                if not why:
                    return True
            return False

        return self._parts.log.write(write)

    def _agreed(self, one: Proposal) -> tuple[str, str]:
        """Who said yes to ``one``, and by what; ("", "") of whoever was erased since."""
        said = self._parts.events.body(self._parts.events.event(one.until))
        return (said["by"], said["proof"]) if isinstance(said, Mapping) else ("", "")

    def _end(self, tx: Transaction, one: Proposal, state: str, body: Json) -> None:
        facts: dict[str, int | str] = {"subject": one.id, "change": state}
        event = Event(EventKind.PROPOSAL_CHANGED, one.tenant, facts=facts, body=body)
        self._rows.resolve(one.id, state, tx.append(event))

    def resolve(self, tenant: Tenant, id: str, state: str, by: str, reason: str, proof: str = "") -> Proposal:
        """It waits no more: of two who say something to it at once, the second comes too late. ``proof`` is the id of the
        credential that ``by`` says it by. Raises UnknownNameError."""

        def write(tx: Transaction) -> Proposal:
            found = self.get(tenant, id)
            body: dict[str, Json] = {"by": by, "reason": reason, "proof": proof}
            if state in (AGREED, CONFIRMED):
                body["checked"] = _checked(found, by, proof)
            self._end(tx, found, state, body)
            return found

        return self._parts.log.write(write)


def _wanted(one: Proposal) -> Wanted:
    return Wanted(one.operation, one.principal, one.speaker, one.scopes, one.asked)


def _checked(one: Proposal, by: str, proof: str) -> Json:
    """Who was looked at as they stand at this moment: whoever asked, and whoever said yes, each with what they proved it by."""
    return {"asked": {"by": one.principal, "proof": one.proof}, "agreed": {"by": by, "proof": proof}}
