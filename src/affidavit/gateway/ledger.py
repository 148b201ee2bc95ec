"""The call ledger: every change of a call as one transaction of the log, its event and its row together.

``propose → decide → wait → claim → execute → record``. What is executed was written first and is durable; who claims does so in
a transaction that no other process shares, and is fenced off by ``claim`` once somebody else has taken over. Times are the
log's, taken after the write lock: they never go backwards, in whatever process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from affidavit.domain.canonical import Json, digest, sha256
from affidavit.domain.clock import MICROSECONDS, Randomness
from affidavit.domain.decisions import Decision, Verdict
from affidavit.domain.errors import ArgumentsError, RefusedError, UsageError, WorkspaceDamagedError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import FOREVER
from affidavit.domain.tools import CALL, ENDED, CallState, Contract, Effect, Idempotency, contract
from affidavit.events.log import Transaction
from affidavit.events.read import ErasedBody, Reader
from affidavit.gateway.contracts import Entry, deprecated, retired
from affidavit.gateway.execution import UNCLEAR, End, Outcome
from affidavit.gateway.rules import (
    NOBODY,
    UNDECIDED,
    Agreed,
    People,
    Proposal,
    Rules,
    binding,
    decided,
    reason,
    told,
)
from affidavit.runs.recorder import Run
from affidavit.store.calls import APPROVED, DENIED, EXPIRED, OPEN, VOID, Approval, CallRow, Calls

APPROVAL_DAYS = 7
_DAY = 86_400 * MICROSECONDS
_ABOUT = (EventKind.CALL_PROPOSED, EventKind.CALL_CHANGED)
_UNDONE = (CallState.DENIED, CallState.EXPIRED, CallState.FAILED)
_FIRST_WAIT, _LONGEST_WAIT = MICROSECONDS // 5, 60 * MICROSECONDS


@dataclass(frozen=True)
class Claim:
    """A call that was taken up: its row as of then, its tool, and what it is given."""

    row: CallRow
    entry: Entry
    wanted: Proposal


class Ledger:
    """Changes calls; every method is called inside a transaction of the log."""

    def __init__(
        self,
        calls: Calls,
        events: Reader,
        rules: Rules,
        people: People,
        randomness: Randomness,
        grace: int = 5 * MICROSECONDS,
        patience: int = APPROVAL_DAYS * _DAY,
    ) -> None:
        """``grace``: how long after its timeout a claim that nobody settled is taken for dead. ``patience``: how long an
        approval is waited for, and holds. Microseconds."""
        self.calls = calls
        self._events = events
        self._rules = rules
        self._people = people
        self._randomness = randomness
        self._grace = grace
        self._patience = patience

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
        state = _state_of(decision)
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
            due=_due(state, tx.at, self._patience),
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
            **_asks(decision, row.due),
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

    def _as_recorded(self, row: CallRow) -> None:
        """A call is taken up as the log knows it. Raises WorkspaceDamagedError where its row was changed by hand."""
        mine = [e for e in self._events.of_run(row.run) if e.kind in _ABOUT and e.facts["subject"] == row.id]
        first, last = mine[:1], mine[-1:]
        known = [(e.tenant, e.position, e.facts["key"], e.facts["undoes"]) for e in first] + [
            (e.position, e.facts["state"], e.facts["contract"], e.facts.get("claim", 0)) for e in last
        ]
        if known != [
            (row.tenant, row.proposed, row.key, row.undoes),
            (row.changed, row.state.value, row.contract, row.claim),
        ]:
            raise WorkspaceDamagedError(
                f"{row.name} is not as the log knows it", "run `affidavit audit verify`; restore a backup"
            )

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

    # -- approvals

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

    # -- what all of them share

    def wanted(self, row: CallRow) -> Proposal | None:
        """What was proposed; None where it was erased."""
        body = self._events.body(self._events.event(row.proposed))
        if isinstance(body, ErasedBody):
            return None
        if body["tool"] != row.tool:
            raise WorkspaceDamagedError(
                f"{row.name} was a call of {body['tool']}", "run `affidavit audit verify`; restore a backup"
            )
        return Proposal(
            tenant=row.tenant,
            principal=body["principal"],
            tool=row.tool,
            arguments=body["arguments"],
            run=row.run,
            step=row.step,
            own=body["own"],
            undoes=row.undoes,
            context=body["context"],
        )

    def _contract(self, row: CallRow) -> Contract:
        """The contract as it was when the call was last looked at. Raises WorkspaceDamagedError."""
        content = self.calls.contract(row.contract)
        if content is None or sha256(content.encode()) != row.contract:
            raise WorkspaceDamagedError(
                f"the contract of {row.name} is gone or was changed", "restore the workspace from a backup"
            )
        return contract(json.loads(content))

    def _again(self, row: CallRow) -> CallRow:
        return self.calls.get(row.id) or row

    def _decide(self, wanted: Proposal, made: Contract, agreed: Agreed) -> tuple[Decision, str]:
        person = self._people(wanted.tenant, wanted.principal)
        return decided(self._rules, person, wanted, made, agreed)

    def _told(self, tx: Transaction, row: CallRow, when: str, decision: Decision) -> None:
        facts: dict[str, int | str] = {"step": row.step, "action": CALL, "effect": decision.verdict.value}
        body: dict[str, Json] = {"call": row.name, "tool": row.tool, "when": when, **told(decision)}
        tx.append(Event(EventKind.DECISION_MADE, row.tenant, row.run, facts, body))

    def _settle(
        self, tx: Transaction, row: CallRow, wanted: Proposal, decision: Decision, stopped: str, cause: str
    ) -> CallRow:
        """Bring a call into the state that ``decision`` puts it into."""
        state = _state_of(decision)
        due = _due(state, tx.at, self._patience)
        why = "" if state is not CallState.DENIED else reason(decision, stopped)
        body: dict[str, Json] = {"why": why, **_asks(decision, due)}
        if state is CallState.DENIED:
            cause = "halted" if stopped else "forbidden"
        row = self._move(tx, row, state, cause, body, wanted, due=due)
        self._open(row, decision)
        return row

    def _open(self, row: CallRow, decision: Decision) -> None:
        if row.state is CallState.WAITING:
            self.calls.open(row.id, decision.roles, row.contract, row.policy, row.due, row.changed)

    def _move(
        self,
        tx: Transaction,
        row: CallRow,
        state: CallState,
        cause: str,
        body: Mapping[str, Json],
        wanted: Proposal | None = None,
        due: int | None = None,
    ) -> CallRow:
        """One change of a call: its event, its row, and the end of its run if that is what it was.

        What an earlier attempt may have done cannot be called failed, denied or expired any more.
        """
        if state in _UNDONE and cause != "cleared_up" and self._may_be_done(row):
            state = CallState.UNKNOWN
        facts: dict[str, int | str] = {
            "subject": row.id,
            "claim": row.claim,
            "contract": row.contract,
            "policy": row.policy,
            "state": state.value,
            "cause": cause,
        }
        event = Event(EventKind.CALL_CHANGED, row.tenant, row.run, facts, {"call": row.name, **body})
        was = row.state
        row = replace(row, state=state, changed=tx.append(event), due=FOREVER if due is None else due)
        self.calls.put(row)
        if state in ENDED and was is not CallState.UNKNOWN:
            self._finish_run(tx, row, wanted, body)
        return row

    def _may_be_done(self, row: CallRow) -> bool:
        """Whether an earlier attempt of something that changes anything ended so that nobody can say what it did."""
        if row.claim == 0 or self._contract(row).effect is Effect.READ:
            return False
        return any(
            e.kind is EventKind.CALL_CHANGED
            and e.facts["subject"] == row.id
            and e.facts["state"] == CallState.READY.value
            and e.facts["cause"] in UNCLEAR
            for e in self._events.of_run(row.run)
        )

    def _finish_run(
        self, tx: Transaction, row: CallRow, wanted: Proposal | None, end: Mapping[str, Json]
    ) -> None:
        """The end of a run that is about one call."""
        if wanted is None or not wanted.own:
            return
        run = Run(row.run, row.tenant, "call", "")
        run.step("call", asked_for(wanted), {"call": row.name, "state": row.state.value, **end})
        run.finish(row.state.value, {})
        run.flush(tx)

    def _backoff(self, claim: int) -> int:
        """Microseconds until the next attempt: doubling, between half and all of it, so that many do not come at once."""
        longest = min(_FIRST_WAIT << min(claim - 1, 20), _LONGEST_WAIT)
        return longest // 2 + int.from_bytes(self._randomness.token(4)) % (longest // 2)


def asked_for(wanted: Proposal) -> dict[str, Json]:
    """The input of the step ``call``."""
    return {"tool": wanted.tool, "principal": wanted.principal, "arguments": dict(wanted.arguments)}


def day(at: int) -> date:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).date()


def _state_of(decision: Decision) -> CallState:
    return {
        Verdict.PERMIT: CallState.READY,
        Verdict.NEEDS_APPROVAL: CallState.WAITING,
        Verdict.FORBID: CallState.DENIED,
    }[decision.verdict]


def _due(state: CallState, at: int, patience: int) -> int:
    if state is CallState.READY:
        return at
    return at + patience if state is CallState.WAITING else FOREVER


def _asks(decision: Decision, due: int) -> dict[str, Json]:
    """What a waiting call waits for."""
    if decision.verdict is not Verdict.NEEDS_APPROVAL:
        return {}
    return {"roles": list(decision.roles), "expires": due}


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
