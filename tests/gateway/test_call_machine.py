"""Random histories of calls over two workers: nothing is done twice, unpermitted, or after a stop."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from affidavit.domain.errors import RefusedError, UsageError
from affidavit.domain.tools import CallState, Idempotency
from affidavit.gateway.ledger import Claim
from affidavit.store.calls import CallRow
from affidavit.testing.clock import FixedClock
from tests.gateway.test_gateway import ASK, FORBID, KEYS, PERMIT
from tests.gateway.world import SECOND, Outside, Table, World, also, begun, tools_of

NAMES = ("put", "pay", "book", "mail")
HOW = st.sampled_from(["ok", "refuse", "busy", "lost", "torn"])


class Watched(Outside):
    """An outside that asks, at each request, whether this call may be made just now, as the model of the test has it."""

    machine: Machine

    def ask(self, key: str, once: bool) -> int:
        self.machine.check_may(key)
        return super().ask(key, once)


class Machine(RuleBasedStateMachine):
    """``agreed`` holds, by call, under which policy and until when somebody said yes."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock = FixedClock()
        self.outside = Watched()
        self.outside.machine = self
        self.table = Table(dict.fromkeys(KEYS, PERMIT))
        first = begun(self.folder / "ws", self.clock, self.table, tools_of(self.outside))
        second = also(first, self.folder / "ws", self.clock, tools_of(self.outside))
        self.workers: list[World] = [first, second]
        self.calls: list[CallRow] = []
        self.proposed: list[Any] = []
        self.agreed: dict[str, list[tuple[str, int]]] = {}
        self.asleep: list[tuple[int, Claim]] = []
        self.wrong: list[str] = []
        self.woken = False

    def teardown(self) -> None:
        if not hasattr(self, "workers"):
            return
        try:
            self.workers[0].ws.verify()
        finally:
            for world in self.workers:
                world.ws.close()
            shutil.rmtree(self.folder)

    def check_may(self, key: str) -> None:
        """Called from within a tool. Whoever slept over a stop cannot be held back: it had a permit when it claimed."""
        row = next(c for c in self.calls if c.key == key)
        verdict = self.table.verdicts[row.tool]
        agreed = [
            y for y in self.agreed.get(row.name, []) if y[0] == self.table.policy and y[1] > self.clock.now()
        ]
        permitted = verdict is PERMIT or (verdict is ASK and bool(agreed))
        if not self.woken and (not permitted or row.tool in self.table.stopped):
            self.wrong.append(
                f"{row.name} of {row.tool} without a permit ({verdict}, {agreed}, {self.table.stopped})"
            )

    # -- what people do

    @rule(worker=st.integers(0, 1), name=st.sampled_from(NAMES), n=st.integers(0, 3))
    def propose(self, worker: int, name: str, n: int) -> None:
        world = self.workers[worker]
        wanted = world.wanted(name, n)
        self.proposed.append(wanted)
        self.calls.append(world.gateway.propose(*wanted))

    @precondition(lambda self: self.proposed)
    @rule(worker=st.integers(0, 1), which=st.integers(0, 99))
    def propose_again(self, worker: int, which: int) -> None:
        wanted = self.proposed[which % len(self.proposed)]
        row = self.workers[worker].gateway.propose(*wanted)
        assert row.name == self.calls[which % len(self.calls)].name

    @precondition(lambda self: self.calls)
    @rule(
        worker=st.integers(0, 1),
        which=st.integers(0, 99),
        who=st.sampled_from(["alice", "bob", "eve"]),
        yes=st.booleans(),
    )
    def decide(self, worker: int, which: int, who: str, yes: bool) -> None:
        gateway, row = self.workers[worker].gateway, self.calls[which % len(self.calls)]
        try:
            (gateway.approve if yes else gateway.deny)(1, row.name, f"user:{who}")
        except RefusedError:
            return
        assert who == "bob" and "user:bob" in self.table.approvers
        if yes:
            until = self.clock.now() + 7 * 86_400 * SECOND
            self.agreed.setdefault(row.name, []).append((self.table.policy, until))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        row = self.calls[which % len(self.calls)]
        try:
            self.workers[0].gateway.cancel(1, row.name, "operator:cli")
        except UsageError:
            return

    @rule(key=st.sampled_from(KEYS), verdict=st.sampled_from([PERMIT, ASK, ASK, FORBID]))
    def change_rules(self, key: str, verdict: Any) -> None:
        self.table.verdicts[key] = verdict
        self.table.version += 1

    @rule(key=st.sampled_from(KEYS))
    def stop(self, key: str) -> None:
        self.table.stopped[key] = "stopped"

    @rule()
    def revive(self) -> None:
        self.table.stopped.clear()

    @rule(holds=st.booleans())
    def grant(self, holds: bool) -> None:
        (self.table.approvers.add if holds else self.table.approvers.discard)("user:bob")

    # -- what happens

    @rule(
        name=st.sampled_from(NAMES),
        asks=st.booleans(),
        change=st.sampled_from(["forbid", "ask", "version", "stop", "expire"]),
    )
    def race(self, name: str, asks: bool, change: str) -> None:
        """A call is ready, by itself or by a yes, and something changes before anybody takes it up."""
        if asks:
            self.change_rules(f"{name}@1", ASK)
            self.grant(holds=True)
        self.propose(0, name, 1)
        self.decide(1, len(self.calls) - 1, "bob", yes=True)
        if change in ("forbid", "ask"):
            self.change_rules(f"{name}@1", FORBID if change == "forbid" else ASK)
        elif change == "version":
            self.table.version += 1
        elif change == "stop":
            self.stop(f"{name}@1")
        else:
            self.clock.advance(8 * 86_400 * SECOND)
        self.work(1, 0)

    @rule(how=st.lists(HOW, max_size=3))
    def outside_goes(self, how: list[str]) -> None:
        self.outside.next = how

    @rule(seconds=st.sampled_from([1, 5, 20, 60, 4 * 86_400]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND)

    @rule(worker=st.integers(0, 1), seconds=st.sampled_from([0, 0, 1, 20]))
    def work(self, worker: int, seconds: int) -> None:
        self.clock.advance(seconds * SECOND)
        self.workers[worker].gateway.work()

    @rule(name=st.sampled_from(NAMES), n=st.integers(0, 3), how=st.lists(HOW, min_size=1, max_size=3))
    def propose_and_work(self, name: str, n: int, how: list[str]) -> None:
        self.propose(0, name, n)
        self.outside.next = list(how)
        for worker in (0, 1, 0):
            self.work(worker, 1)

    @precondition(lambda self: self.calls)
    @rule(worker=st.integers(0, 1), which=st.integers(0, 99), done=st.booleans(), wakes=st.booleans())
    def crash(self, worker: int, which: int, done: bool, wakes: bool) -> None:
        """A worker claims and dies, before or after the effect; or sleeps, to wake up later."""
        world, row = self.workers[worker], self.calls[which % len(self.calls)]
        claim = world.claim(row.id)
        if claim is None:
            return
        if done:
            world.gateway._end(claim)
        elif wakes:
            self.asleep.append((worker, claim))

    @precondition(lambda self: self.asleep)
    @rule()
    def wake(self) -> None:
        worker, claim = self.asleep.pop(0)
        self.woken = True
        self.workers[worker].gateway._carry_out(claim)
        self.woken = False

    # -- what always holds

    @invariant()
    def nothing_is_done_twice_or_unpermitted(self) -> None:
        assert not getattr(self, "wrong", [])
        for row in getattr(self, "calls", []):
            kind = self.workers[0].gateway.registry.get(row.tool)
            assert kind is not None
            if kind.contract.idempotency is Idempotency.NONE:
                assert self.outside.delivered[row.key] <= 1
            if kind.contract.idempotency is not Idempotency.CHECK_FIRST or not self.asleep:
                assert self.outside.applied[row.key] <= 1 or row.tool == "book@1"
            state = self.workers[0].gateway.stands(row.id).state
            if (
                state in (CallState.DENIED, CallState.EXPIRED, CallState.WAITING)
                and not self.outside.delivered[row.key]
            ):
                assert not self.outside.applied[row.key]
            if state is CallState.DONE:
                assert self.outside.applied[row.key] >= 1
            if state in (CallState.DENIED, CallState.EXPIRED, CallState.FAILED):
                assert not self.outside.applied[row.key], f"{row.name} is {state} and was done"


TestCalls = Machine.TestCase
TestCalls.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
