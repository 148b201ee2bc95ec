"""A gateway with rules out of a table, and an outside that counts what is done to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.workspace import Workspace, open_with
from affidavit.domain.canonical import Json, digest
from affidavit.domain.clock import Clock
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.events.log import Transaction
from affidavit.gateway.contracts import Callee, Context, Registry, tool
from affidavit.gateway.gateway import Gateway
from affidavit.gateway.ledger import Ledger
from affidavit.gateway.rules import Person, Proposal
from affidavit.runs.recorder import Run
from affidavit.store.calls import Calls
from affidavit.testing.clock import FixedClock, SeededRandomness

SECOND = 1_000_000
APPROVER = "approver"


@dataclass
class Table:
    """Rules and people. ``version`` is part of the policy's digest."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    approvers: set[str] = field(default_factory=lambda: {"user:bob", "user:alice"})
    version: int = 1
    fails: bool = False

    @property
    def policy(self) -> str:
        return digest(["table", self.version])

    def decide(self, wish: Wish) -> Decision:
        if self.fails:
            raise RuntimeError("the rules are out of order")
        verdict = self.verdicts.get(wish.resource, Verdict.FORBID)
        approved = wish.context["approved"]
        assert isinstance(approved, list)
        if verdict is Verdict.NEEDS_APPROVAL and APPROVER in approved:
            return Decision(Verdict.PERMIT, ("approved",), self.policy)
        roles = (APPROVER,) if verdict is Verdict.NEEDS_APPROVAL else ()
        return Decision(verdict, ("table",), self.policy, roles)

    def halted(self, tenant: int, tool: str) -> str:
        return self.stopped.get(tool, "")

    def person(self, tenant: int, principal: str) -> Person:
        roles = {APPROVER} if principal in self.approvers else set()
        return Person(frozenset({principal}), frozenset(roles))


@dataclass
class Outside:
    """Whoever the tools talk to. ``delivered`` counts requests by key, ``applied`` what was done by key; ``next`` is how the next
    requests go: ``ok``, ``refuse``, ``busy`` (refused, try again), ``lost`` (nothing done, nobody says so), ``torn`` (done, and
    nobody says so)."""

    delivered: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    next: list[str] = field(default_factory=list)

    def ask(self, key: str, once: bool) -> int:
        how = self.next.pop(0) if self.next else "ok"
        self.delivered[key] += 1
        if how in ("refuse", "busy"):
            raise affidavit.ToolError(how, happened=False, retryable=how == "busy")
        if how == "lost":
            raise ConnectionError("no answer")
        if not (once and self.applied[key]):
            self.applied[key] += 1
        if how == "torn":
            raise ConnectionError("no answer")
        return self.delivered[key]


def tools_of(outside: Outside, attempts: int = 3) -> list[Callee]:
    """One tool of each kind, all of them talking to ``outside``."""

    @tool(effect="read", attempts=attempts)
    def look(n: int, context: Context) -> int:
        """Look something up."""
        return outside.ask(context.key, once=False)

    @tool(effect="write", idempotency="native", attempts=attempts)
    def put(n: int, context: Context) -> int:
        """Set a value."""
        return outside.ask(context.key, once=True)

    @tool(effect="write", idempotency="by_key", attempts=attempts, undo="unpay@1")
    def pay(n: int, context: Context) -> dict[str, int]:
        """Pay, once a key."""
        return {"paid": outside.ask(context.key, once=True)}

    @tool(effect="write", idempotency="by_key", attempts=attempts)
    def unpay(n: int, paid: int, context: Context) -> int:
        """Take a payment back."""
        return outside.ask(context.key, once=True)

    @tool(effect="write", idempotency="check_first", attempts=attempts)
    def book(n: int, context: Context) -> int:
        """Book, and can be asked."""
        return outside.ask(context.key, once=False)

    @book.checks
    def booked(context: Context) -> int | None:
        return outside.applied[context.key] or None

    @tool(effect="irreversible", idempotency="none")
    def mail(n: int, context: Context) -> int:
        """Send a letter."""
        return outside.ask(context.key, once=False)

    return [look, put, pay, unpay, book, mail]


@dataclass
class World:
    """A workspace, its tenant, and a gateway over it."""

    ws: Workspace
    table: Table
    gateway: Gateway
    ledger: Ledger

    def wanted(self, name: str, n: int = 1, **more: Any) -> tuple[Proposal, Any]:
        """A proposal by alice with a run of its own, and what begins it."""
        parts = self.ws.parts
        run = Run(f"run-{parts.randomness.token(8).hex()}", 1, "call", parts.release().digest)
        run.start({"principal": "user:alice"})
        arguments: Mapping[str, Json] = more.pop("arguments", {"n": n})
        return Proposal(1, "user:alice", name, arguments, run.id, own=True, **more), run.flush

    def claim(self, id: int) -> Any:
        """Take a call up as a worker does that then dies."""

        def write(tx: Transaction) -> Any:
            row = self.ledger.calls.get(id)
            assert row is not None
            return self.ledger.claim(tx, id, self.gateway.registry.get(row.tool), lambda entry, at: 0)

        return self.ws.parts.log.write(write)


def joined(ws: Workspace, table: Table, tools: list[Callee], clock: Clock) -> World:
    """A gateway over a workspace that is open."""
    parts = ws.parts
    ledger = Ledger(Calls(parts.database), parts.events, table, table.person, parts.randomness)
    gateway = Gateway(
        parts.database,
        parts.log,
        parts.events,
        ledger,
        Registry(tools),
        clock,
        pause=lambda seconds: _passes(clock, seconds),
    )
    return World(ws, table, gateway, ledger)


def _passes(clock: Clock, seconds: float) -> None:
    if isinstance(clock, FixedClock):
        clock.advance(int(seconds * SECOND) + 1)


def begun(folder: Path, clock: FixedClock, table: Table, tools: list[Callee]) -> World:
    """A new workspace with tenant 1 and a gateway."""
    ws = affidavit.init(folder, EmbedderSpec("none"), clock, SeededRandomness())
    ws.people.ensure_tenant("main")
    return joined(ws, table, tools, clock)


def also(world: World, folder: Path, clock: FixedClock, tools: list[Callee]) -> World:
    """Another process, as far as one can tell: the same workspace opened a second time."""
    return joined(open_with(folder, clock), world.table, tools, clock)
