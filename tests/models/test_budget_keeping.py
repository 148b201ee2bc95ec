"""Budgets hold over threads, processes and crashes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import ModelError, WorkspaceDamagedError
from affidavit.models.budgets import LEASE, Budgets, Reservation, period
from affidavit.models.prices import Target, load, micro
from affidavit.ports.model import Usage
from affidavit.store.spending import Ledger, Want
from affidavit.testing.clock import FixedClock

BIG, LOCAL, UNKNOWN = Target("acme", "big"), Target("here", "tiny", local=True), Target("acme", "new")
CALL = Usage(100, 50, 0)
"""Costs 0.0002 at the prices below."""
COST = 200
BY = "operator:test"
PRICES = {"price": [{"provider": "acme", "model": "big", "input": "1", "output": "2"}]}
WORKER = """
import json, random, sys, affidavit
from affidavit.domain.errors import ModelError
from affidavit.models.prices import Target
from affidavit.ports.model import Usage
chance = random.Random(int(sys.argv[2]))
ws = affidavit.open(sys.argv[1])
spent = over = refused = 0
print("ready", flush=True)
sys.stdin.readline()
while refused < 20:  # by the amount, not by turns: whichever process is served first, both meet the limit
    try:
        held = ws.money.budgets.reserve(1, "user:alice", "answer", Target("acme", "big"), Usage(100, 50, 0))
    except ModelError:
        refused += 1
        continue
    if chance.random() < 0.2:
        held.release()
        continue
    cost = held.settle(Usage(chance.randint(1, 150), chance.randint(0, 60), 0)).cost.micro
    spent, over = spent + cost, max(over, cost - 200)
print(json.dumps([spent, over, refused]))
"""


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path) -> affidavit.Workspace:
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice"}\n{"id": "bob"}\n')
    workspace.import_people(people)
    workspace.money.set_prices(PRICES, BY)
    return workspace


def limit(ws: affidavit.Workspace, scope: str, amount: str, **more: object) -> int:
    per = str(more.pop("per", "day"))
    said = ws.budgets.set(scope, amount, per, BY, ws.parts.tenant(""), **more)  # type: ignore[arg-type]
    return int(said["budget"])


def reserve(
    ws: affidavit.Workspace, who: str = "user:alice", task: str = "answer", target: Target = BIG
) -> Reservation:
    return ws.money.budgets.reserve(1, who, task, target, CALL)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        work()
    assert caught.value.kind == "budget"
    assert caught.value.hint
    assert not caught.value.retryable
    return caught.value.message


def test_without_a_budget_nothing_is_written(ws: affidavit.Workspace) -> None:
    charge = reserve(ws).settle(CALL)
    assert charge.cost is not None
    assert charge.cost.micro == COST
    assert not (ws.parts.folder / "money.db").exists()


def test_what_is_set_aside_counts_until_it_is_settled_or_let_go(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "0.0005")
    first, second = reserve(ws), reserve(ws)
    assert "0.0001 of 0.0005" in refused(lambda: reserve(ws))
    first.settle(Usage(50, 25, 0))
    third = reserve(ws)
    second.release()
    third.settle(CALL)
    assert ws.money.budgets.room(1, "user:alice", "answer") == 200
    reserve(ws).settle(CALL)
    assert "0.00 of 0.0005" in refused(lambda: reserve(ws))


def test_settling_or_releasing_twice_counts_once(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "1")
    held = reserve(ws)
    assert held.settle(CALL) is held.settle(Usage(1, 1, 0))
    held.release()
    assert ws.money.budgets.room(1, "", "answer") == 10**6 - COST


@pytest.mark.parametrize(
    ("scope", "more", "counts", "does_not"),
    [
        ("workspace", {}, ("user:bob", "rewrite"), None),
        ("tenant", {"task": "answer"}, ("user:bob", "answer"), ("user:alice", "rewrite")),
        ("person", {"person": "alice"}, ("user:alice", "rewrite"), ("user:bob", "rewrite")),
        (
            "person",
            {"person": "alice", "task": "answer"},
            ("user:alice", "answer"),
            ("user:alice", "rewrite"),
        ),
        ("person", {}, ("user:alice", "rewrite"), ("user:bob", "rewrite")),
        ("person", {}, ("user:alice", "rewrite"), ("", "rewrite")),
    ],
)
def test_what_counts_where(
    ws: affidavit.Workspace,
    scope: str,
    more: dict[str, str],
    counts: tuple[str, str],
    does_not: tuple[str, str] | None,
) -> None:
    limit(ws, scope, "0.0003", **more)
    reserve(ws, *counts)
    refused(lambda: reserve(ws, *counts))
    if does_not is not None:
        reserve(ws, *does_not)


def test_all_budgets_or_none(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "1")
    limit(ws, "person", "0.0001", person="alice")
    refused(lambda: reserve(ws))
    assert ws.money.budgets.room(1, "user:bob", "answer") == 10**6


def test_calls_are_limited_too(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "none", requests=2)
    held = reserve(ws, target=UNKNOWN)
    reserve(ws, target=LOCAL)
    assert "2 calls a day are used up" in refused(lambda: reserve(ws))
    held.settle(None)
    refused(lambda: reserve(ws))
    assert ws.money.budgets.room(1, "user:alice", "answer") == 0


def test_a_model_without_a_price_is_not_asked_where_money_is_limited(ws: affidavit.Workspace) -> None:
    assert reserve(ws, target=UNKNOWN).settle(CALL).cost is None
    limit(ws, "tenant", "1")
    assert "no known price" in refused(lambda: reserve(ws, target=UNKNOWN))
    local = reserve(ws, target=LOCAL).settle(CALL)
    assert local.cost is not None
    assert local.cost.micro == 0


def test_a_local_model_of_a_published_name_is_not_charged_as_that(ws: affidavit.Workspace) -> None:
    assert ws.money.budgets.rates(Target("openai", "gpt-4o-mini")) is not None
    assert ws.money.budgets.rates(Target("openai", "gpt-4o-mini", local=True)) is None


def test_a_new_period_begins_with_nothing(ws: affidavit.Workspace, clock: FixedClock) -> None:
    limit(ws, "tenant", "0.0002")
    limit(ws, "tenant", "0.0005", per="month")
    reserve(ws).settle(CALL)
    refused(lambda: reserve(ws))
    clock.advance(86_400 * MICROSECONDS)
    reserve(ws).settle(CALL)
    clock.advance(86_400 * MICROSECONDS)
    assert "a month" in refused(lambda: reserve(ws))


@pytest.mark.parametrize("per", ["day", "month"])
@given(at=st.integers(0, 4_000_000_000 * MICROSECONDS))
def test_periods_follow_each_other_without_a_gap(per: str, at: int) -> None:
    begin, end = period(per, at)
    assert begin <= at < end
    assert period(per, begin) == (begin, end)
    assert period(per, end)[0] == end


# -- around a call


@pytest.mark.parametrize("kind", ["connection", "rate_limit", "overloaded", "auth", "request"])
def test_a_call_that_was_not_taken_costs_nothing(ws: affidavit.Workspace, kind: str) -> None:
    limit(ws, "tenant", "1")
    with pytest.raises(ModelError), ws.money.budgets.call(1, "user:alice", "answer", BIG, CALL):
        raise ModelError(kind, "no")
    assert ws.money.budgets.room(1, "user:alice", "answer") == 10**6


@pytest.mark.parametrize(
    "error", [ModelError("timeout", "late"), ModelError("schema", "odd"), ValueError(), KeyboardInterrupt()]
)
def test_a_call_that_may_have_been_read_costs_its_prompt(
    ws: affidavit.Workspace, error: BaseException
) -> None:
    limit(ws, "tenant", "1")
    with pytest.raises(type(error)), ws.money.budgets.call(1, "user:alice", "answer", BIG, CALL) as held:
        raise error
    assert ws.money.budgets.room(1, "user:alice", "answer") == 10**6 - 100
    assert held.charge is not None
    assert held.charge.used.flag == "unanswered"


def test_a_call_that_nobody_settles_costs_its_estimate(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "1")
    with ws.money.budgets.call(1, "user:alice", "answer", BIG, CALL):
        pass
    assert ws.money.budgets.room(1, "user:alice", "answer") == 10**6 - COST


# -- crashes, threads, processes


def test_nothing_stays_set_aside_for_longer_than_its_lease(
    ws: affidavit.Workspace, clock: FixedClock
) -> None:
    limit(ws, "tenant", "0.0003")
    code = (
        "import os, signal, sys\n"
        "from affidavit.models.prices import Target\nfrom affidavit.ports.model import Usage\n"
        "from affidavit.testing.clock import FixedClock\n"
        "from affidavit.app.workspace import open_with\nfrom pathlib import Path\n"
        "ws = open_with(Path(sys.argv[1]), FixedClock())\n"
        "ws.money.budgets.reserve(1, 'user:alice', 'answer', Target('acme', 'big'), Usage(100, 50, 0))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(ws.parts.folder)], check=False)
    assert died.returncode == -9
    clock.advance(LEASE * MICROSECONDS - 1)
    refused(lambda: reserve(ws))
    clock.advance(1)
    held = reserve(ws)
    with sqlite3.connect(ws.parts.folder / "money.db") as database:
        assert database.execute("SELECT count(*) FROM reserved").fetchone() == (1,)
    clock.advance(2 * LEASE * MICROSECONDS)
    held.settle(CALL)  # late, but it was spent
    refused(lambda: reserve(ws))


def test_threads_together_stay_within(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "0.004")
    spent: list[int] = []

    def work() -> None:
        for _ in range(10):
            try:
                charge = reserve(ws).settle(CALL)
            except ModelError:
                continue
            spent.append(0 if charge.cost is None else charge.cost.micro)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) == 4_000
    assert ws.money.budgets.room(1, "", "answer") == 0


def test_two_processes_together_stay_within(tmp_path: Path) -> None:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.ensure_tenant("main")
        ws.money.set_prices(PRICES, BY)
        limit(ws, "tenant", "0.02", per="month")
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(tmp_path / "ws"), str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in (1, 2)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        told = [json.loads(worker.communicate()[0]) for worker in workers]
        spent, over = sum(t[0] for t in told), sum(t[1] for t in told)
        assert all(t[2] for t in told)
        assert 20_000 - COST < spent <= 20_000 + over
        assert ws.money.budgets.room(1, "", "answer") == max(20_000 - spent, 0)


_DONE = st.sampled_from(["settle", "less", "more", "release", "crash"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 40), _DONE, st.integers(0, 30)), max_size=25))
def test_any_interleaving_stays_within(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, str, int]]
) -> None:
    """Two processes (each with a connection of its own) reserve and settle in any order, and die; a model of it agrees."""
    folder, now, amount, lease = tmp_path_factory.mktemp("ledger"), 0, 100, 20
    ledgers = [Ledger(folder), Ledger(folder)]
    live: list[tuple[int, int, int]] = []
    spent = over = 0
    for token, (process, estimate, end, wait) in enumerate(steps):
        now += wait
        live = [one for one in live if one[2] > now]
        want = Want(1, "", 0, amount, -1, estimate)
        fits = spent + sum(one[1] for one in live) + estimate <= amount
        assert (ledgers[process].reserve(token, [want], now, now + lease) is None) is fits
        if not fits:
            continue
        live.append((token, estimate, now + lease))
        if end == "crash":
            continue
        actual = {"settle": estimate, "less": estimate // 2, "more": estimate + 3, "release": 0}[end]
        # another one than the one just made ends: calls overlap
        ending = live[0][0]
        first = live.pop(0)[1]
        if end == "release":
            ledgers[1 - process].release(ending)
        else:
            cost = first + 3 if end == "more" else min(actual, first)
            ledgers[1 - process].settle(ending, [want], cost, 80)
            spent, over = spent + cost, over + max(cost - first, 0)
        assert spent <= amount + over
        counted = ledgers[0].counted(1, "", 0, now)
        assert (counted.micro if counted else 0) == spent
    for ledger in ledgers:
        ledger.close()


# -- what stands in the file


def test_the_file_holds_no_name(ws: affidavit.Workspace) -> None:
    limit(ws, "person", "1", person="alice")
    limit(ws, "person", "1")
    reserve(ws).settle(CALL)
    ws.money.close()
    for path in ws.parts.folder.glob("money.db*"):
        assert b"alice" not in path.read_bytes()


def test_a_lost_file_is_counted_again_and_a_broken_one_says_so(ws: affidavit.Workspace) -> None:
    limit(ws, "tenant", "1")
    reserve(ws).settle(CALL)
    ws.money.close()
    for path in ws.parts.folder.glob("money.db*"):
        path.unlink()
    assert ws.money.budgets.room(1, "", "answer") == 10**6  # nothing of it is on the log here
    ws.money.close()
    for path in ws.parts.folder.glob("money.db*"):
        path.unlink()
    (ws.parts.folder / "money.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(WorkspaceDamagedError, match="damaged") as caught:
        reserve(ws)
    assert "delete money.db" in caught.value.hint


def test_rates_follow_a_change_of_the_price_file(ws: affidavit.Workspace) -> None:
    budgets: Budgets = ws.money.budgets
    before = budgets.rates(BIG)
    ws.money.set_prices({"price": [{"provider": "acme", "model": "big", "input": "7", "output": "2"}]}, BY)
    after = budgets.rates(BIG)
    assert before is not None
    assert after is not None
    assert (before.input, after.input) == (micro("1"), micro("7"))
    assert after.source == f"file:{load(ws.money.prices()['declared']).digest[:16]}"
