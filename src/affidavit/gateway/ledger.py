"""The call ledger: every change of a call as one transaction of the log, its event and its row together.

``propose → decide → wait → claim → execute → record``. What is executed was written first and is durable; who claims does so in
a transaction that no other process shares, and is fenced off by ``claim`` once somebody else has taken over. Times are the
log's, taken after the write lock: they never go backwards, in whatever process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from affidavit.domain.canonical import Json, digest
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.decisions import Verdict
from affidavit.domain.errors import ArgumentsError, RefusedError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.tools import ENDED, CallState, Contract, Effect, Idempotency
from affidavit.events.log import Transaction
from affidavit.events.read import ErasedBody
from affidavit.gateway.approving import Approving
from affidavit.gateway.callbook import asks, day, due_of, state_of
from affidavit.gateway.contracts import Entry, deprecated, retired
from affidavit.gateway.execution import End, Outcome
from affidavit.gateway.rules import (
    NOBODY,
    UNDECIDED,
    Proposal,
    reason,
)
from affidavit.store.calls import CallRow

_FIRST_WAIT, _LONGEST_WAIT = MICROSECONDS // 5, 60 * MICROSECONDS


@dataclass(frozen=True)
class Claim:
    """A call that was taken up: its row as of then, its tool, and what it is given."""

    row: CallRow
    entry: Entry
    wanted: Proposal


class Ledger(Approving):
    """Changes calls; every method is called inside a transaction of the log."""

    # -- proposing

    def propose(
        self, tx: Transaction, wanted: Proposal, entry: Entry, first: Callable[[Transaction], object]
    ) -> CallRow:
        """Write down what somebody wants, and what was decided. Told twice (the same run and step), it is one call.

        ``first`` is written before it, in the same transaction. Raises UsageError if another call stands at this step.
        """
        known = self.calls.at(wanted.run, wanted.step)
        if known is not None:
            return self._same(known, wanted, entry)
        if wanted.undoes:
            self._undone_once(wanted.undoes)
        made, name = entry.contract, entry.digest
        if retired(made, day(tx.at)):  # by the log's time, which no clock sets back
            raise RefusedError(
                f"{made.key} was retired on {made.retired}", "use a newer version: affidavit tool list"
            )
        first(tx)
        self.calls.keep_contract(made, name)
        decision, stopped = self._decide(wanted, made, NOBODY)
        state = state_of(decision)
        key = self._randomness.token(32).hex()
        id, at = self.calls.next_id(), tx.next_position
        row = CallRow(
            id=id,
            name=f"call-{key[:16]}",
            tenant=wanted.tenant,
            run=wanted.run,
            step=wanted.step,
            tool=made.key,
            contract=name,
            key=key,
            undoes=wanted.undoes,
            state=state,
            claim=0,
            policy=decision.policy or UNDECIDED,
            proposed=at,
            changed=at,
            due=due_of(state, tx.at, self._patience),
        )
        body: dict[str, Json] = {
            "call": row.name,
            "tool": row.tool,
            "principal": wanted.principal,
            "arguments": dict(wanted.arguments),
            "context": dict(wanted.context),
            "own": wanted.own,
            "deprecated": deprecated(made, day(tx.at)),
            "why": "" if state is not CallState.DENIED else reason(decision, stopped),
            **asks(decision, row.due),
        }
        facts: dict[str, int | str] = {
            "subject": id,
            "step": wanted.step,
            "undoes": wanted.undoes,
            "key": key,
            "contract": name,
            "policy": row.policy,
            "state": state.value,
        }
        tx.append(Event(EventKind.CALL_PROPOSED, row.tenant, row.run, facts, body))
        self._told(tx, row, "propose", decision)
        self.calls.add(row)
        self._open(row, decision)
        if state in ENDED:
            self._finish_run(tx, row, wanted, {"why": body["why"]})
        return row

    def _undone_once(self, id: int) -> None:
        for other in self.calls.undone_by(id):
            if other.state not in (CallState.DENIED, CallState.FAILED, CallState.EXPIRED):
                raise UsageError(f"it is undone by {other.name} already", f"affidavit tool show {other.name}")

    def _same(self, known: CallRow, wanted: Proposal, entry: Entry) -> CallRow:
        body = self._events.body(self._events.event(known.proposed))
        said = body["tool"], body["principal"], digest(dict(wanted.arguments)), known.undoes
        if (
            known.tenant != wanted.tenant
            or isinstance(body, ErasedBody)
            or said
            != (
                entry.contract.key,
                wanted.principal,
                digest(body["arguments"]),
                wanted.undoes,
            )
        ):
            raise UsageError(
                f"step {wanted.step} of {wanted.run} is another call: {known.name}", "count steps up"
            )
        return known

    # -- claiming

    def claim(
        self, tx: Transaction, id: int, entry: Entry | None, hold: Callable[[Entry, int], int]
    ) -> Claim | None:
        """Look at call ``id`` again, whose time has come; the claim if it is to be carried out now.

        What has happened meanwhile counts: an expiry, a lease that ran out, a kill, a changed policy or contract. ``hold``
        says until when the tool rests (its breaker, its rate), 0 for not at all.
        """
        row = self.calls.get(id)
        if row is None or row.state in ENDED or row.due > tx.at:
            return None
        self._as_recorded(row)
        if row.state is CallState.WAITING:
            self._expire(tx, row)
            return None
        wanted = self.wanted(row)
        if row.state is CallState.RUNNING:
            self._lost(tx, row, wanted)
            return None
        if wanted is None:
            self._move(tx, row, CallState.DENIED, "erased", {"why": "its arguments were erased"})
            return None
        if entry is None:
            return None
        return self._take(tx, row, wanted, entry, hold)

    def _take(
        self, tx: Transaction, row: CallRow, wanted: Proposal, entry: Entry, hold: Callable[[Entry, int], int]
    ) -> Claim | None:
        made = entry.contract
        rests = hold(entry, tx.at)
        if rests:
            self.calls.postpone(row.id, rests)
            return None
        if retired(made, day(tx.at)):
            self._move(tx, row, CallState.DENIED, "retired", {"why": f"retired on {made.retired}"}, wanted)
            return None
        if entry.digest != row.contract:
            changed = self._recontract(tx, row, wanted, entry)
            if changed is None:
                return None
            row = changed
        allowed = self._permitted(tx, row, wanted, made)
        return None if allowed is None else self.begin(tx, allowed, wanted, entry)

    def begin(self, tx: Transaction, row: CallRow, wanted: Proposal, entry: Entry) -> Claim:
        """Take up a call that was permitted in this very transaction."""
        made = entry.contract
        row = replace(row, claim=row.claim + 1)
        lease = tx.at + made.timeout * 1_000 + self._grace
        row = self._move(tx, row, CallState.RUNNING, "claimed", {}, due=lease)
        if made.rate != (0, 0):
            self.calls.note_claim(row, tx.at)
        return Claim(row, entry, wanted)

    def _recontract(self, tx: Transaction, row: CallRow, wanted: Proposal, entry: Entry) -> CallRow | None:
        """The tool is another than the one that was asked for: what was approved no longer holds."""
        self.calls.keep_contract(entry.contract, entry.digest)
        self._void(tx, row)
        row = replace(row, contract=entry.digest)
        try:
            entry.arguments.check(dict(wanted.arguments))
        except ArgumentsError as error:
            self._move(tx, row, CallState.DENIED, "contract_changed", {"why": error.message}, wanted)
            return None
        return row

    def _permitted(self, tx: Transaction, row: CallRow, wanted: Proposal, made: Contract) -> CallRow | None:
        """The call under the policy that permits it now. If none does, it waits anew or has ended: None."""
        decision, stopped = self._redecide(tx, row, wanted, made)
        row = replace(row, policy=decision.policy or UNDECIDED)
        self._told(tx, row, "claim", decision)
        if decision.verdict is Verdict.PERMIT:
            return row
        self._settle(tx, row, wanted, decision, stopped, "decided_anew")
        return None

    # -- ends

    def settle(self, tx: Transaction, claim: Claim, end: End) -> CallRow:
        """Record how an attempt ended. Too late, after somebody else has taken over, it changes nothing."""
        row = self.calls.get(claim.row.id)
        if (
            row is None
            or row.claim != claim.row.claim
            or row.state not in (CallState.RUNNING, CallState.UNKNOWN)
        ):
            return row or claim.row
        state = _after(end, claim.entry.contract, row)
        if row.state is CallState.UNKNOWN and state in (CallState.UNKNOWN, CallState.READY):
            return row
        why: dict[str, Json] = {"why": end.why} if end.outcome is not Outcome.DONE else {"result": end.result}
        cause = end.cause or ("late" if row.state is CallState.UNKNOWN else "executed")
        wait = tx.at + self._backoff(row.claim) if state is CallState.READY else None
        return self._move(tx, row, state, cause, why, claim.wanted, due=wait)

    def _lost(self, tx: Transaction, row: CallRow, wanted: Proposal | None) -> None:
        """Whoever had claimed it was not heard of again: perhaps it is done, perhaps not."""
        made = self._contract(row)
        end = End(Outcome.UNCLEAR, cause="lease_expired", retryable=True)
        state = _after(end, made, row)
        why = "whoever carried it out was not heard of again"
        if state is CallState.UNKNOWN:
            why += "; it may have been done" if made.effect is not Effect.READ else ""
        due = tx.at if state is CallState.READY else None
        self._move(tx, row, state, "lease_expired", {"why": why}, wanted, due=due)

    def cancel(self, tx: Transaction, row: CallRow, by: str, why: str) -> CallRow:
        """Take a call back that nobody has begun. Raises UsageError for any other."""
        if row.state not in (CallState.WAITING, CallState.READY):
            raise UsageError(f"{row.name} is {row.state.value}", "only what has not begun can be cancelled")
        self._void(tx, row)
        return self._move(tx, row, CallState.DENIED, "cancelled", {"why": why, "by": by}, self.wanted(row))

    def clear_up(self, tx: Transaction, row: CallRow, happened: bool, by: str, why: str) -> CallRow:
        """A person has looked and says what became of an ``unknown`` call. Raises UsageError for any other."""
        if row.state is not CallState.UNKNOWN:
            raise UsageError(f"{row.name} is {row.state.value}", "only what is unknown can be cleared up")
        state = CallState.DONE if happened else CallState.FAILED
        return self._move(tx, row, state, "cleared_up", {"why": why, "by": by})

    def _backoff(self, claim: int) -> int:
        """Microseconds until the next attempt: doubling, between half and all of it, so that many do not come at once."""
        longest = min(_FIRST_WAIT << min(claim - 1, 20), _LONGEST_WAIT)
        return longest // 2 + int.from_bytes(self._randomness.token(4)) % (longest // 2)


def _after(end: End, made: Contract, row: CallRow) -> CallState:
    """The state that the end of an attempt leads to: what may have happened is never called failed, and never tried again
    unless the contract says that twice is as once."""
    again = row.claim < made.attempts and made.idempotency is not Idempotency.NONE
    if made.idempotency is Idempotency.CHECK_FIRST and end.cause == "timeout":
        again = False  # it is still at it: asked now, it would say that nothing was done, and then do it
    match end.outcome:
        case Outcome.DONE:
            return CallState.DONE
        case Outcome.REFUSED:
            return CallState.READY if end.retryable and again else CallState.FAILED
        case Outcome.ODD:
            return CallState.FAILED if made.effect is Effect.READ else CallState.UNKNOWN
    if again and end.retryable:
        return CallState.READY
    return CallState.FAILED if made.effect is Effect.READ else CallState.UNKNOWN
