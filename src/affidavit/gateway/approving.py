"""Approvals: whom a call waits for, and whether a yes still counts."""

from __future__ import annotations

from dataclasses import replace

from affidavit.domain.canonical import Json
from affidavit.domain.decisions import Decision
from affidavit.domain.events import Event, EventKind
from affidavit.domain.tools import CallState, Contract
from affidavit.events.log import Transaction
from affidavit.gateway.callbook import CallBook
from affidavit.gateway.rules import (
    NOBODY,
    UNDECIDED,
    Agreed,
    Proposal,
    binding,
)
from affidavit.store.calls import APPROVED, DENIED, EXPIRED, OPEN, VOID, Approval, CallRow


class Approving(CallBook):
    """Gives and takes back approvals. Every method is called inside a transaction of the log."""

    def resolve(self, tx: Transaction, row: CallRow, by: str, yes: bool, why: str) -> tuple[CallRow, str]:
        """A person's yes or no to a call that waits: (the call, "" or why it did not count). Nothing is executed here."""
        wanted, asked = self.wanted(row), self._asked(row)
        if row.state is not CallState.WAITING or asked is None:
            return row, f"{row.name} waits for nobody: it is {row.state.value}"
        if asked.expires <= tx.at:
            self._expire(tx, row)
            return self._again(row), f"the time to approve {row.name} is over"
        if wanted is None:
            return row, f"the arguments of {row.name} were erased"
        if by == wanted.principal:
            return row, f"{by} asked for it: somebody else must decide"
        if yes and not by.startswith("user:"):
            return row, f"{by} is no person: a yes is somebody's who can answer for it"
        roles = sorted(self._people(row.tenant, by).roles & set(asked.roles))
        if not roles:
            return row, f"{by} holds none of the roles {', '.join(asked.roles)}"
        made = self._contract(row)
        body: dict[str, Json] = {
            "call": row.name,
            "by": by,
            "roles": list(roles),
            "why": why,
            "binding": binding(wanted.arguments, asked.contract, asked.policy),
        }
        self._resolved(tx, row, asked, APPROVED if yes else DENIED, body)
        if not yes:
            return self._move(tx, row, CallState.DENIED, "not_approved", {"why": why, "by": by}, wanted), ""
        decision, stopped = self._redecide(tx, row, wanted, made)
        row = replace(row, policy=decision.policy or UNDECIDED)
        self._told(tx, row, "approve", decision)
        row = self._settle(tx, row, wanted, decision, stopped, "approved")
        if asked.policy != row.policy and not stopped:
            return row, "the policy has changed since it was asked for: look at it again"
        return row, ""

    def _asked(self, row: CallRow) -> Approval | None:
        found = [a for a in self.calls.approvals(row.id) if a.state == OPEN]
        return found[-1] if found else None

    def _expire(self, tx: Transaction, row: CallRow) -> None:
        asked = self._asked(row)
        if asked is not None:
            self._resolved(tx, row, asked, EXPIRED, {"call": row.name, "roles": []})
        why = "nobody approved it in time"
        self._move(tx, row, CallState.EXPIRED, "not_approved", {"why": why}, self.wanted(row))

    def _void(self, tx: Transaction, row: CallRow) -> None:
        """No yes that was given or asked for counts any more."""
        for one in self.calls.approvals(row.id):
            if one.state in (OPEN, APPROVED):
                self._resolved(tx, row, one, VOID, {"call": row.name, "roles": []})

    def _resolved(self, tx: Transaction, row: CallRow, asked: Approval, state: str, body: Json) -> None:
        facts: dict[str, int | str] = {"subject": asked.id, "verdict": state}
        at = tx.append(Event(EventKind.APPROVAL_RESOLVED, row.tenant, row.run, facts, body))
        self.calls.resolve(asked, state, at)

    def _redecide(
        self, tx: Transaction, row: CallRow, wanted: Proposal, made: Contract
    ) -> tuple[Decision, str]:
        """The decision as of now. Approvals count while they have not expired and the policy is the one they were given
        under; else they are void and it is decided without them."""
        given = [a for a in self.calls.approvals(row.id) if a.state == APPROVED]
        if any(
            a.expires <= tx.at or a.contract != row.contract or not self._on_record(a, wanted) for a in given
        ):
            self._void(tx, row)
            given = []
        decision, stopped = self._decide(wanted, made, self._agreed(given))
        if given and any(a.policy != (decision.policy or UNDECIDED) for a in given) and not stopped:
            self._void(tx, row)
            decision, stopped = self._decide(wanted, made, NOBODY)
        return decision, stopped

    def _agreed(self, given: list[Approval]) -> Agreed:
        said = [self._events.body(self._events.event(one.resolved)) for one in given]
        return Agreed(
            frozenset(role for body in said for role in body["roles"]), frozenset(body["by"] for body in said)
        )

    def _on_record(self, given: Approval, wanted: Proposal) -> bool:
        """Whether the log has this yes, to these arguments, and whoever gave it still may: a row says so to whoever can write
        rows. What was erased is not on record any more."""
        asked, said = self._events.event(given.opened), self._events.event(given.resolved)
        until, body = self._events.body(asked)["expires"], self._events.body(said)
        facts = {"subject": given.id, "verdict": APPROVED}
        return (
            said.kind is EventKind.APPROVAL_RESOLVED
            and facts.items() <= said.facts.items()
            and asked.facts["subject"] == given.call
            and until == given.expires
            and body["binding"] == binding(wanted.arguments, given.contract, given.policy)
            and self._people(wanted.tenant, body["by"]).roles.issuperset(body["roles"])
        )
