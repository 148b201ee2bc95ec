"""The gateway: the one door through which anything outside is changed or asked.

Propose, and if it is permitted carry it out; or leave it to a person, and to whoever calls ``work`` later, in this process or
another. A call that waits is a row: no thread, no timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from affidavit.domain.canonical import Json
from affidavit.domain.clock import MICROSECONDS, Clock
from affidavit.domain.errors import RefusedError, UnknownNameError, UsageError
from affidavit.domain.labels import Label, Origin
from affidavit.domain.tools import CallState
from affidavit.events.log import Log, Transaction
from affidavit.events.read import ErasedBody, Reader
from affidavit.gateway.callbook import day
from affidavit.gateway.contracts import Context, Entry, Registry
from affidavit.gateway.execution import End, Outcome, attempt
from affidavit.gateway.ledger import Claim, Ledger
from affidavit.gateway.rules import Proposal, Secrets, no_secrets
from affidavit.models.breaker import Breaker, Permit
from affidavit.store.calls import CallRow
from affidavit.store.database import Database

PATIENCE = 30.0
"""Seconds that ``call`` goes on trying by itself before it leaves the rest to a worker."""
_REST = MICROSECONDS
_AT_ONCE = 20


@dataclass(frozen=True)
class Done:
    """How a call stands: ``result`` where it is done, ``why`` where it is not, ``cause`` in one word of ours."""

    row: CallRow
    result: Json = None
    why: str = ""
    cause: str = ""

    @property
    def state(self) -> CallState:
        return self.row.state

    def as_json(self) -> dict[str, Json]:
        return {
            "call": self.row.name,
            "run": self.row.run,
            "tool": self.row.tool,
            "state": self.row.state.value,
            "result": self.result,
            "why": self.why,
            "cause": self.cause,
        }


def _nothing_first(tx: Transaction) -> None:
    """Nothing is to be written before the call."""


class Gateway:
    """Carries calls out. Safe to share between threads; any number of processes may do so at the same time."""

    def __init__(
        self,
        database: Database,
        log: Log,
        events: Reader,
        ledger: Ledger,
        registry: Registry,
        clock: Clock,
        secrets: Secrets = no_secrets,
        tenant_name: Callable[[int], str] = str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = database
        self._log = log
        self._events = events
        self._ledger = ledger
        self._calls = ledger.calls
        self.registry = registry
        self._clock = clock
        self._secrets = secrets
        self._tenant_name = tenant_name
        self._pause = pause
        self._breakers: dict[str, Breaker] = {}

    # -- wanting

    def propose(self, wanted: Proposal, first: Callable[[Transaction], object] = _nothing_first) -> CallRow:
        """Put a call on record with what was decided; it is durable when this returns. Nothing is carried out.

        The same run and step is the same call, however often it is proposed. ``first`` writes what must stand before it, in
        the same transaction. Raises UnknownNameError, RefusedError, ArgumentsError before anything is written.
        """
        return self._propose(wanted, first, begin=False)[0]

    def _propose(
        self, wanted: Proposal, first: Callable[[Transaction], object], *, begin: bool
    ) -> tuple[CallRow, Claim | None]:
        entry = self.registry.named(wanted.tool, day(self._clock.now()))
        entry.arguments.check(dict(wanted.arguments))
        wanted = replace(wanted, tool=entry.contract.key)

        def write(tx: Transaction) -> tuple[CallRow, Claim | None]:
            before = tx.next_position
            row = self._ledger.propose(tx, wanted, entry, first)
            if not begin or row.state is not CallState.READY or row.proposed < before:
                return row, None
            rests = self._rests(entry, tx.at)
            if rests:
                self._calls.postpone(row.id, rests)
                return row, None
            return row, self._ledger.begin(tx, row, wanted, entry)

        return self._log.write(write)

    def call(
        self,
        wanted: Proposal,
        first: Callable[[Transaction], object] = _nothing_first,
        patience: float = PATIENCE,
    ) -> Done:
        """Propose and, where it is permitted, carry it out and record it.

        Comes back with a call that has ended, that waits for a person, or that is left to a worker since its tool needs more
        than ``patience`` seconds of rest. Raises as ``propose`` does; what the tool does wrong is in what comes back.
        """
        row, claim = self._propose(wanted, first, begin=True)
        if claim is not None:
            self._carry_out(claim)
        return self.follow(row.id, patience)

    def follow(self, id: int, patience: float = PATIENCE) -> Done:
        """Go on with a call that is ready, for at most ``patience`` seconds, and say how it stands."""
        until = self._clock.now() + int(patience * MICROSECONDS)
        while True:
            done = self.stands(id)
            if done.row.state is not CallState.READY or max(done.row.due, self._clock.now()) > until:
                return done
            if done.row.due > self._clock.now():
                self._pause((done.row.due - self._clock.now()) / MICROSECONDS)
            if not self._attempt(id):
                again = self.stands(id)
                if again.row == done.row:
                    return again

    def stands(self, id: int) -> Done:
        """How a call stands. Raises UnknownNameError."""
        with self._db.read():
            row = self._calls.get(id)
            if row is None:
                raise UnknownNameError(f"there is no call {id}", "`affidavit tool calls` lists them")
            event = self._events.event(row.changed)
            body = self._events.body(event)
        if isinstance(body, ErasedBody):
            return Done(row, None, "what it said was erased", "erased")
        cause = str(event.facts.get("cause", "proposed"))
        return Done(row, body.get("result"), body.get("why", ""), cause)

    def find(self, tenant: int, name: str) -> CallRow:
        """The tenant's call of this name. Raises UnknownNameError."""
        with self._db.read():
            row = self._calls.named(name)
        if row is None or row.tenant != tenant:
            raise UnknownNameError(f"there is no call {name[:40]!r}", "`affidavit tool calls` lists them")
        return row

    # -- carrying out

    def work(
        self,
        *,
        once: bool = True,
        poll: float = 1.0,
        told: Callable[[Done], None] = lambda done: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Carry out whatever is ready and look after what is overdue; how many attempts were made.

        With ``once`` until nothing is due; else until ``stop`` says so, looking every ``poll`` seconds.
        """
        attempts = 0
        while not stop():
            due = self._due()
            for row in due:
                if stop():
                    break
                if self._attempt(row.id):
                    attempts += 1
                    told(self.stands(row.id))
            if not due:
                if once:
                    break
                self._pause(poll)
        return attempts

    def _due(self) -> list[CallRow]:
        tools = [entry.contract.key for entry in self.registry]
        with self._db.read():
            return self._calls.due(self._clock.now(), tools, _AT_ONCE)

    def next_due(self) -> int:
        """When somebody must look next, in microseconds; 2^62 for never."""
        with self._db.read():
            return self._calls.next_due()

    def _attempt(self, id: int) -> bool:
        """Look at a call that is due; whether an attempt was made."""

        def write(tx: Transaction) -> Claim | None:
            row = self._calls.get(id)
            entry = None if row is None else self.registry.get(row.tool)
            return self._ledger.claim(tx, id, entry, self._rests)

        claim = self._log.write(write)
        if claim is not None:
            self._carry_out(claim)
        return claim is not None

    def _carry_out(self, claim: Claim) -> None:
        breaker = self._breaker(claim.entry)
        permit = breaker.admit(self._seconds())
        end = self._end(claim)
        if permit is not None:
            self._report(breaker, permit, end)
        self._log.write(lambda tx: self._ledger.settle(tx, claim, end))

    def _end(self, claim: Claim) -> End:
        contract = claim.entry.contract
        try:
            secrets = dict(self._secrets(claim.row.tenant, contract.secrets)) if contract.secrets else {}
        except UsageError as error:
            return End(Outcome.REFUSED, why=error.message, cause="no_secret")
        context = Context(
            key=claim.row.key,
            attempt=claim.row.claim,
            seconds=contract.timeout / 1_000,
            tenant=self._tenant_name(claim.row.tenant),
            principal=claim.wanted.principal,
            secrets=secrets,
        )
        return attempt(claim.entry, claim.wanted.arguments, context)

    # -- rest

    def _seconds(self) -> float:
        return self._clock.now() / MICROSECONDS

    def _breaker(self, entry: Entry) -> Breaker:
        return self._breakers.setdefault(entry.contract.key, Breaker())

    def _report(self, breaker: Breaker, permit: Permit, end: End) -> None:
        if end.outcome is Outcome.UNCLEAR or end.retryable:
            breaker.failed(permit, self._seconds())
        else:
            breaker.passed(permit)

    def _rests(self, entry: Entry, at: int) -> int:
        """Until when the tool is left alone, 0 if it need not be: it keeps failing, or was called as often as it may be."""
        calls, seconds = entry.contract.rate
        if calls:
            recent = self._calls.claimed(entry.contract.key, at - seconds * MICROSECONDS)
            if len(recent) >= calls:
                return recent[-calls] + seconds * MICROSECONDS + 1
        return 0 if self._breaker(entry).ready(self._seconds()) else at + _REST

    # -- people

    def approve(self, tenant: int, name: str, by: str, why: str = "") -> CallRow:
        """A yes. Raises RefusedError if it does not count; the call is carried out by ``work`` or ``follow``."""
        return self._resolve(tenant, name, by, why, yes=True)

    def deny(self, tenant: int, name: str, by: str, why: str = "") -> CallRow:
        """A no. Raises RefusedError if it does not count."""
        return self._resolve(tenant, name, by, why, yes=False)

    def _resolve(self, tenant: int, name: str, by: str, why: str, *, yes: bool) -> CallRow:
        id = self.find(tenant, name).id

        def write(tx: Transaction) -> tuple[CallRow, str]:
            return self._ledger.resolve(tx, self._row(id), by, yes, why)

        row, not_so = self._log.write(write)
        if not_so:
            raise RefusedError(
                not_so, f"`affidavit approvals show {name}` says who may decide and until when"
            )
        return row

    def _row(self, id: int) -> CallRow:
        row = self._calls.get(id)
        if row is None:
            raise UnknownNameError(f"there is no call {id}", "`affidavit tool calls` lists them")
        return row

    def cancel(self, tenant: int, name: str, by: str, why: str = "") -> CallRow:
        """Take back a call that nobody has begun."""
        id = self.find(tenant, name).id
        return self._log.write(lambda tx: self._ledger.cancel(tx, self._row(id), by, why))

    def clear_up(self, tenant: int, name: str, by: str, why: str, *, happened: bool) -> CallRow:
        """Say what became of an ``unknown`` call, after looking."""
        id = self.find(tenant, name).id
        return self._log.write(lambda tx: self._ledger.clear_up(tx, self._row(id), happened, by, why))

    def undo(self, tenant: int, name: str, wanted: Proposal, first: Callable[[Transaction], object]) -> Done:
        """Put a call right by the tool that its contract names: a call of its own, decided and recorded like any other.

        ``wanted`` says who wants it in which run. The undo tool's arguments are taken by name from the result and the
        arguments of the call. Raises UsageError for what cannot be undone.
        """
        done = self.stands(self.find(tenant, name).id)
        entry = self.registry.get(done.row.tool)
        undo = entry.contract.undo if entry is not None else ""
        if done.state is not CallState.DONE or not undo:
            raise UsageError(
                f"{name} cannot be undone: it is {done.state.value}, and {done.row.tool} has {undo or 'no undo tool'}",
                "a call that is done, of a tool that names its undo tool, can be",
            )
        with self._db.read():
            before = self._ledger.wanted(done.row)
        if before is None:
            raise UsageError(f"the arguments of {name} were erased", "undo it by hand")
        by = self.registry.named(undo, day(self._clock.now()))
        given: Mapping[str, Any] = done.result if isinstance(done.result, Mapping) else {}
        known = {**before.arguments, **given}
        arguments = {n: known[n] for n in by.contract.arguments if n in known}
        context = {**wanted.context, "labels": _labels(arguments, given, before, entry)}
        return self.call(
            replace(wanted, tool=by.contract.key, arguments=arguments, undoes=done.row.id, context=context),
            first,
        )


def _labels(
    arguments: Mapping[str, Json], given: Mapping[str, Json], before: Proposal, entry: Entry | None
) -> dict[str, Json]:
    """Where the arguments of an undo come from: the tool's own result, or as it was of the arguments of the call."""
    made = None if entry is None else entry.contract
    of_tool = [] if made is None else [Label(Origin.TOOL, made.key, made.owner, made.trusted).as_json()]
    labels: Any = before.context.get("labels", {})
    return {name: of_tool if name in given else labels.get(name, []) for name in arguments}
