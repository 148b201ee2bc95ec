"""The gate: never more at once than allowed, turns by tenant, a queue with an end that nobody can keep the others out of."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.simulation import content, target

from affidavit.domain.routes import Target, load
from affidavit.models.gate import Gate, Place, Ticket


def made(**limits: Any) -> Target:
    found = load(content(["a"], a=target(**limits))).tasks["answer"].options[0].target
    assert found is not None
    return found


def enter(gate: Gate, at: Target, tenant: int, called: list[Ticket]) -> Ticket:
    ticket = gate.enter(at, tenant, lambda: called.append(ticket))
    return ticket


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 30)), max_size=60))
def test_never_more_than_allowed_and_never_idle(moves: list[tuple[int, bool, int]]) -> None:
    places = [
        made(concurrency=3, per_tenant=2, queue=4),
        made(concurrency=2, per_tenant=2, queue=4, model="x"),
    ]
    gate, called, alive = Gate(per_tenant=3), list[Ticket](), list[Ticket]()
    for tenant, leaving, which in moves:
        if leaving and alive:
            gate.leave(alive.pop(which % len(alive)))
        else:
            alive.append(enter(gate, places[which % 2], tenant, called))
        alive = [t for t in alive if t.place is not Place.REFUSED]
        inside = [t for t in alive if t.place is Place.INSIDE]
        for at in places:
            here = [t.tenant for t in inside if t.target == at.key]
            waiting = [t for t in alive if t.target == at.key and t.place is Place.WAITING]
            assert len(here) <= at.concurrency and len(waiting) <= at.queue
            assert all(here.count(t) <= at.per_tenant for t in here)
            assert gate.standing(at) == (len(here), len(waiting))
            for t in waiting:  # whoever waits has a reason to
                everywhere = sum(i.tenant == t.tenant for i in inside)
                assert len(here) == at.concurrency or here.count(t.tenant) == at.per_tenant or everywhere == 3
        assert all(sum(i.tenant == t for i in inside) <= 3 for t in range(4))
    assert all(t.place is not Place.WAITING for t in called)


def test_turns_go_by_tenant() -> None:
    at, gate, called = made(concurrency=1, per_tenant=1), Gate(), list[Ticket]()
    inside = enter(gate, at, 1, called)
    tickets = [enter(gate, at, tenant, called) for tenant in (1, 1, 1, 1, 2, 3)]
    for _ in tickets:
        gate.leave(inside)
        inside = called[-1]
    assert [t.tenant for t in called] == [1, 2, 3, 1, 1, 1]


def test_a_full_queue_refuses_who_waits_most() -> None:
    at, gate, called = made(concurrency=1, per_tenant=1, queue=3), Gate(), list[Ticket]()
    enter(gate, at, 1, called)
    greedy = [enter(gate, at, 1, called) for _ in range(3)]
    assert enter(gate, at, 1, called).place is Place.REFUSED
    assert not called, "the one who is refused at once is not called"
    modest = enter(gate, at, 2, called)
    assert (modest.place, greedy[-1].place, called) == (Place.WAITING, Place.REFUSED, [greedy[-1]])


def test_a_tenant_in_one_place_does_not_wait_behind_itself_in_another() -> None:
    here, there, gate = made(concurrency=1), made(concurrency=1, model="x"), Gate(per_tenant=1)
    called: list[Ticket] = []
    first = enter(gate, here, 1, called)
    second = enter(gate, there, 1, called)
    other = enter(gate, there, 2, called)
    assert (second.place, other.place) == (Place.WAITING, Place.INSIDE)
    gate.leave(other)
    assert second.place is Place.WAITING
    gate.leave(first)
    assert called == [second]
