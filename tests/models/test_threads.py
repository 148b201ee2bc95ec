"""The plane on real threads: many at once, none left over, and an adapter that does what it must not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.models.simulation import ASKED, content, into, option, target
from tests.patience import LONG, soon

from affidavit.domain.errors import ModelError
from affidavit.domain.routes import Routes, Target, load
from affidavit.models.deadline import Deadline
from affidavit.models.exchange import Exchange
from affidavit.models.plane import Plane
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Delta, ModelInfo, Usage
from affidavit.runs.recorder import Run

INFO = ModelInfo("test", "test", "strict", True, True, True, True)


class Behaves:
    """A model that counts who is inside. ``gate``: nobody gets out before it is set."""

    def __init__(self) -> None:
        self.info = INFO
        self.lock = threading.Lock()
        self.inside = self.most = self.asked = 0
        self.let_go = threading.Event()
        self.let_go.set()
        self.obeys = True

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        with self.lock:
            self.asked += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            while not self.let_go.wait(0.005):
                if self.obeys and cancel is not None and cancel.is_set:
                    raise ModelError("cancelled", "told to stop")
        finally:
            with self.lock:
                self.inside -= 1
        return ChatResult("good", (), "stop", Usage(), "test")

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        result = self.complete(request, cancel)
        for letter in result.text:
            yield Delta(letter)
        yield Delta("", result)

    def close(self) -> None:
        """Nothing."""


class Breaks(Behaves):
    """Raises what the port does not allow."""

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        raise ZeroDivisionError


def made(models: dict[str, Any], **limits: Any) -> tuple[Plane, Exchange]:
    limits = {"concurrency": 4, "per_tenant": 4, "queue": 1000, **limits}
    given = {n: target(model=n, **limits) for n in models}
    routes: Routes = load(
        content(list(models), [option(n, timeout_ms=int(LONG) * 1000) for n in models], **given)
    )
    exchange = Exchange(per_tenant=1000)

    def model(target: Target) -> Any:
        return models[target.name]

    return Plane(routes, model, exchange), exchange


def ask(plane: Plane, tenant: int = 1, seconds: float = LONG, **more: Any) -> Any:
    return plane.call(
        Run("run-x", tenant, "ask", "0" * 64),
        "answer",
        ASKED,
        sensitivity=[],
        deadline=Deadline.after(seconds),
        **more,
    )


def standing(plane: Plane, exchange: Exchange) -> tuple[int, int]:
    found = plane._routes.tasks["answer"].options[0].target
    assert found is not None
    return exchange.gate.standing(found)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    soon(lambda: threading.active_count() <= before)


def test_no_more_at_once_than_allowed() -> None:
    model = Behaves()
    plane, exchange = made({"a": model})
    with ThreadPoolExecutor(40) as pool:
        outcomes = list(pool.map(lambda n: ask(plane, n % 5), range(400)))
    assert all(not o.exhausted for o in outcomes)
    assert model.most <= 4 and model.asked == 400
    soon(lambda: standing(plane, exchange) == (0, 0))


def test_two_hundred_streams_at_once() -> None:
    model = Behaves()
    model.let_go.clear()
    plane, exchange = made({"a": model}, concurrency=200, per_tenant=200)

    def stream(n: int) -> str:
        heard: list[str] = []
        outcome = plane.stream(
            Run(f"run-{n}", n % 7, "ask", "0" * 64),
            "answer",
            ASKED,
            into(heard),
            sensitivity=[],
            deadline=Deadline.after(LONG),
        )
        assert outcome.result is not None and outcome.result.text == "".join(heard)
        return "".join(heard)

    with ThreadPoolExecutor(200) as pool:
        futures = [pool.submit(stream, n) for n in range(200)]
        soon(lambda: model.inside == 200)
        model.let_go.set()
        assert {f.result() for f in futures} == {"good"}
    soon(lambda: standing(plane, exchange) == (0, 0))


def test_a_busy_target_refuses_and_says_so() -> None:
    model = Behaves()
    model.let_go.clear()
    plane, _ = made({"a": model}, concurrency=1, per_tenant=1, queue=0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, plane)
        soon(lambda: model.inside == 1)
        outcome = ask(plane, 2)
        assert (outcome.reason, outcome.decisions[-2].why) == ("busy", "busy")
        model.let_go.set()
        assert not first.result().exhausted


def test_a_call_that_waits_for_its_turn_is_cancelled_at_once() -> None:
    model = Behaves()
    model.let_go.clear()
    plane, exchange = made({"a": model}, concurrency=1)
    cancel = Cancel()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, plane)
        soon(lambda: model.inside == 1)
        second = pool.submit(ask, plane, cancel=cancel)
        soon(lambda: standing(plane, exchange) == (1, 1))
        cancel.set()
        assert second.result(LONG).reason == "cancelled"
        assert standing(plane, exchange) == (1, 0)
        model.let_go.set()
        first.result()
    assert model.asked == 1


@pytest.mark.parametrize("obeys", [True, False])
def test_a_place_is_free_when_the_thread_has_ended_and_not_before(obeys: bool) -> None:
    model = Behaves()
    model.obeys = obeys
    model.let_go.clear()
    plane, exchange = made({"a": model}, concurrency=1)
    assert ask(plane, seconds=0.1).reason == "deadline"  # and not when the model lets go, which it never does
    if not obeys:
        assert standing(plane, exchange) == (1, 0)
        assert ask(plane, seconds=0.05).reason in ("deadline", "busy")
        model.let_go.set()
    soon(lambda: standing(plane, exchange) == (0, 0))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_adapter_that_breaks_is_a_failed_target() -> None:
    plane, exchange = made({"a": Breaks(), "b": Behaves()})
    outcome = ask(plane)
    assert outcome.option == "b" and outcome.attempts[0].kind == "server"
    soon(lambda: standing(plane, exchange) == (0, 0))


def test_without_threads_a_call_degrades(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    plane, exchange = made({"a": Behaves()})
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        assert ask(plane).attempts[0].kind == "overloaded"
    assert standing(plane, exchange) == (0, 0)
