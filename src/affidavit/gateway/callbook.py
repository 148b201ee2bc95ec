"""What every change of a call is made of: one transaction of the log, its event and its row together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from affidavit.domain.canonical import Json, sha256
from affidavit.domain.clock import MICROSECONDS, Randomness
from affidavit.domain.decisions import Decision, Verdict
from affidavit.domain.errors import WorkspaceDamagedError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import FOREVER
from affidavit.domain.tools import CALL, ENDED, CallState, Contract, Effect, contract
from affidavit.events.log import Transaction
from affidavit.events.read import ErasedBody, Reader
from affidavit.gateway.execution import UNCLEAR
from affidavit.gateway.rules import (
    Agreed,
    People,
    Proposal,
    Rules,
    decided,
    reason,
    told,
)
from affidavit.runs.recorder import Run
from affidavit.store.calls import CallRow, Calls

APPROVAL_DAYS = 7
_DAY = 86_400 * MICROSECONDS
_ABOUT = (EventKind.CALL_PROPOSED, EventKind.CALL_CHANGED)
_UNDONE = (CallState.DENIED, CallState.EXPIRED, CallState.FAILED)


class CallBook:
    """Calls as the log knows them. Every method is called inside a transaction of the log."""

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
        state = state_of(decision)
        due = due_of(state, tx.at, self._patience)
        why = "" if state is not CallState.DENIED else reason(decision, stopped)
        body: dict[str, Json] = {"why": why, **asks(decision, due)}
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


def asked_for(wanted: Proposal) -> dict[str, Json]:
    """The input of the step ``call``."""
    return {"tool": wanted.tool, "principal": wanted.principal, "arguments": dict(wanted.arguments)}


def day(at: int) -> date:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).date()


def state_of(decision: Decision) -> CallState:
    return {
        Verdict.PERMIT: CallState.READY,
        Verdict.NEEDS_APPROVAL: CallState.WAITING,
        Verdict.FORBID: CallState.DENIED,
    }[decision.verdict]


def due_of(state: CallState, at: int, patience: int) -> int:
    if state is CallState.READY:
        return at
    return at + patience if state is CallState.WAITING else FOREVER


def asks(decision: Decision, due: int) -> dict[str, Json]:
    """What a waiting call waits for."""
    if decision.verdict is not Verdict.NEEDS_APPROVAL:
        return {}
    return {"roles": list(decision.roles), "expires": due}
