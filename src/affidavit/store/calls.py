"""Uses of tools as rows: how each stands, who must say yes, and when somebody must look again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from affidavit.domain.canonical import canonical
from affidavit.domain.records import FOREVER
from affidavit.domain.tools import CallState, Contract
from affidavit.store.database import Database, Row

_CALL = (
    "id, name, tenant, run, step, tool, contract, key, undoes, state, claim, policy, proposed, changed, due"
)
_APPROVAL = "id, call, roles, contract, policy, expires, state, opened, resolved"
OPEN, APPROVED, DENIED, EXPIRED, VOID = "open", "approved", "denied", "expired", "void"
UNRESOLVED = -1


@dataclass(frozen=True)
class CallRow:
    """One use of a tool. ``name`` is what people call it by, ``run`` and ``step`` what it belongs to, ``undoes`` the id of the
    call that it puts right or 0. ``claim`` counts how often it was taken up, and fences off whoever took it up before.
    ``proposed`` and ``changed`` are positions; ``due`` in microseconds."""

    id: int
    name: str
    tenant: int
    run: str
    step: int
    tool: str
    contract: str
    key: str
    undoes: int
    state: CallState
    claim: int
    policy: str
    proposed: int
    changed: int
    due: int


@dataclass(frozen=True)
class Approval:
    """What is needed (``roles``: any one of them), under which contract and policy, and what became of it.

    ``opened`` is the position of the event that made the call wait, ``resolved`` that of ``approval.resolved`` or -1.
    """

    id: int
    call: int
    roles: tuple[str, ...]
    contract: str
    policy: str
    expires: int
    state: str
    opened: int
    resolved: int


class Calls:
    """Call inside a transaction; positions are those of the events that caused the change."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def next_id(self) -> int:
        return int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM calls"))

    def keep_contract(self, contract: Contract, digest: str) -> None:
        """File ``contract`` under its ``digest``, unless it is there."""
        text = canonical(contract.as_json()).decode()
        self._db.run("INSERT INTO contracts VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, text))

    def contract(self, digest: str) -> str | None:
        """The contract's content."""
        found: str | None = self._db.value("SELECT content FROM contracts WHERE digest = ?", (digest,))
        return found

    def add(self, call: CallRow) -> None:
        marks = ", ".join("?" * len(_CALL.split(", ")))
        self._db.run(f"INSERT INTO calls ({_CALL}) VALUES ({marks})", _values(call))

    def get(self, id: int) -> CallRow | None:
        return _call(self._db.one(f"SELECT {_CALL} FROM calls WHERE id = ?", (id,)))

    def named(self, name: str) -> CallRow | None:
        return _call(self._db.one(f"SELECT {_CALL} FROM calls WHERE name = ?", (name,)))

    def of_run(self, run: str) -> list[CallRow]:
        """A run's calls in order."""
        rows = self._db.all(f"SELECT {_CALL} FROM calls WHERE run = ? ORDER BY step", (run,))
        return [_made(row) for row in rows]

    def of_unfinished_runs(self, tenant: int) -> list[CallRow]:
        """The last call of each run of ``tenant`` that has calls and no end, the oldest first."""
        rows = self._db.all(
            f"SELECT {_CALL} FROM calls AS c WHERE tenant = ? "
            "AND NOT EXISTS (SELECT 1 FROM calls AS d WHERE d.run = c.run AND d.step > c.step) "
            "AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.run = c.run AND e.kind = 'run.finished') ORDER BY id",
            (tenant,),
        )
        return [_made(row) for row in rows]

    def at(self, run: str, step: int) -> CallRow | None:
        return _call(self._db.one(f"SELECT {_CALL} FROM calls WHERE run = ? AND step = ?", (run, step)))

    def newest(self, tenant: int, states: Iterable[CallState], limit: int) -> list[CallRow]:
        """The newest first."""
        wanted = [s.value for s in states]
        marks = ", ".join("?" * len(wanted))
        rows = self._db.all(
            f"SELECT {_CALL} FROM calls WHERE tenant = ? AND state IN ({marks}) ORDER BY id DESC LIMIT ?",
            (tenant, *wanted, limit),
        )
        return [_made(row) for row in rows]

    def before(self, tenant: int, states: Iterable[CallState], id: int) -> Iterator[CallRow]:
        """Those with an id below ``id``, the newest first; stop taking them when there are enough."""
        rows = self._db.each(
            f"SELECT {_CALL} FROM calls WHERE tenant = ? AND id < ? AND state IN (SELECT value FROM json_each(?)) "
            "ORDER BY id DESC",
            (tenant, id, json.dumps([s.value for s in states])),
        )
        for row in rows:
            yield _made(row)

    def undone_by(self, id: int) -> list[CallRow]:
        """The calls that were made to put call ``id`` right."""
        rows = self._db.all(f"SELECT {_CALL} FROM calls WHERE undoes = ? AND undoes <> 0", (id,))
        return [_made(row) for row in rows]

    def due(self, at: int, tools: Iterable[str], limit: int) -> list[CallRow]:
        """Those that somebody must look at by ``at``, the longest overdue first; ready ones only of ``tools``."""
        rows = self._db.all(
            f"SELECT {_CALL} FROM calls WHERE due <= ? AND due <> {FOREVER} "
            f"AND (state <> '{CallState.READY.value}' OR tool IN (SELECT value FROM json_each(?))) ORDER BY due, id LIMIT ?",
            (at, json.dumps(sorted(tools)), limit),
        )
        return [_made(row) for row in rows]

    def next_due(self) -> int:
        """When somebody must look next; 2^62 for never."""
        found = self._db.value(f"SELECT min(due) FROM calls WHERE due <> {FOREVER}")
        return FOREVER if found is None else int(found)

    def counts(self, tenant: int) -> dict[str, int]:
        """How many calls are in each state."""
        rows = self._db.all("SELECT state, count(*) FROM calls WHERE tenant = ? GROUP BY state", (tenant,))
        return dict(rows)

    def put(self, call: CallRow) -> None:
        """Write what can change of a call."""
        self._db.run(
            "UPDATE calls SET contract = ?, state = ?, claim = ?, policy = ?, changed = ?, due = ? WHERE id = ?",
            (call.contract, call.state.value, call.claim, call.policy, call.changed, call.due, call.id),
        )

    def postpone(self, id: int, due: int) -> None:
        """Nothing has changed but when to look again."""
        self._db.run("UPDATE calls SET due = ? WHERE id = ?", (due, id))

    # -- approvals

    def open(
        self, call: int, roles: tuple[str, ...], contract: str, policy: str, expires: int, at: int
    ) -> Approval:
        """Ask for a yes."""
        id = int(self._db.value("SELECT coalesce(max(id), 0) + 1 FROM approvals"))
        asked = Approval(id, call, roles, contract, policy, expires, OPEN, at, UNRESOLVED)
        self._db.run(
            f"INSERT INTO approvals ({_APPROVAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (id, call, json.dumps(list(roles)), contract, policy, expires, OPEN, at, UNRESOLVED),
        )
        return asked

    def approvals(self, call: int) -> list[Approval]:
        """Every yes that was asked for, in order."""
        rows = self._db.all(f"SELECT {_APPROVAL} FROM approvals WHERE call = ? ORDER BY id", (call,))
        return [_approval(row) for row in rows]

    def resolve(self, approval: Approval, state: str, at: int) -> Approval:
        """Say what became of it."""
        self._db.run("UPDATE approvals SET state = ?, resolved = ? WHERE id = ?", (state, at, approval.id))
        return replace(approval, state=state, resolved=at)

    # -- claims of tools with a rate limit, over every process

    def claimed(self, tool: str, since: int) -> list[int]:
        """When ``tool`` was claimed after ``since``, oldest first; what is older is forgotten."""
        self._db.run("DELETE FROM claims WHERE tool = ? AND at <= ?", (tool, since))
        return [row[0] for row in self._db.all("SELECT at FROM claims WHERE tool = ? ORDER BY at", (tool,))]

    def note_claim(self, call: CallRow, at: int) -> None:
        self._db.run("INSERT INTO claims VALUES (?, ?, ?, ?)", (call.id, call.claim, call.tool, at))


def _values(call: CallRow) -> tuple[object, ...]:
    return tuple(v.value if isinstance(v, CallState) else v for v in vars(call).values())


def _call(row: Row | None) -> CallRow | None:
    return None if row is None else _made(row)


def _made(row: Row) -> CallRow:
    named = dict(zip(_CALL.split(", "), row, strict=True))
    return CallRow(**{**named, "state": CallState(named["state"])})


def _approval(row: Row) -> Approval:
    id, call, roles, *rest = row
    return Approval(id, call, tuple(json.loads(roles)), *rest)
