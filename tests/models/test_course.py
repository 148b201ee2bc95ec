"""One call: retries, escalation, time shared between options, hedges, rules, streams; what is decided is on the record."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.models.simulation import ASKED, FOREVER, Scripted, Step, World, content, option

from affidavit.domain.errors import ModelError
from affidavit.domain.routes import Target
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import Judged, Outcome
from affidavit.models.tails import Tails
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Usage

RETRYABLE = ["timeout", "connection", "rate_limit", "overloaded", "server"]
FINAL = ["schema", "refused", "auth", "request", "budget", "cancelled"]


def decided(outcome: Outcome) -> list[str]:
    return [f"{d.option} {d.what} {d.why}".strip() for d in outcome.decisions]


def one(*script: Step, **changes: Any) -> World:
    return World({"a": script}, content(["a"], [option("a", **changes)]))


# -- retries


@pytest.mark.parametrize("kind", RETRYABLE)
def test_what_may_pass_is_tried_again(kind: str) -> None:
    world = one(Step(0.1, kind), Step(0.1), attempts=2)
    assert decided(world.call()) == ["a asked first", f"a retried {kind}", "a accepted unchecked"]
    assert world.count() == {"a": 2}


@pytest.mark.parametrize("kind", FINAL)
def test_what_will_not_pass_is_not(kind: str) -> None:
    world = one(Step(0.1, kind), Step(0.1), attempts=5)
    ended = "spent" if kind == "budget" else "failed"
    assert decided(world.call()) == ["a asked first", f"a escalated {kind}", f"ended {ended}"]
    assert world.count() == {"a": 1}


def test_waits_double_and_are_spread() -> None:
    world = one(Step(0, "server"), attempts=10)
    world.exchange.breaker = lambda target: Patient()  # type: ignore[method-assign, assignment, return-value]
    world.exchange.chance = lambda: 0.5  # type: ignore[method-assign]
    world.call(100.0)
    moments = [at - 1000 for at, _ in world.models["a"].asked]
    pauses = [b - a for a, b in pairwise(moments)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5, 2.5, 2.5])


class Patient:
    """A breaker that never opens."""

    def ready(self, now: float) -> bool:
        return True

    def admit(self, now: float) -> object:
        return object()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_retry_after_is_honoured() -> None:
    world = one(Step(0, "rate_limit", wait=3.0), Step(0), attempts=2)
    assert not world.call().exhausted
    assert [at - 1000 for at, _ in world.models["a"].asked] == [0, 3.0]


def test_nobody_asks_a_target_that_wants_quiet() -> None:
    world = one(Step(0, "rate_limit", wait=3.0), Step(0))
    assert world.call().reason == "failed"
    assert decided(world.call()) == ["a skipped breaker", "ended busy"]
    world.stage.at(world.stage.now() + 3, lambda: None)
    world.stage.settle()
    assert not world.call().exhausted


@pytest.mark.parametrize("wait", [20.0, 1e300, float("inf"), float("nan"), -5.0])
def test_a_wait_beyond_the_budget_is_not_waited_for(wait: float) -> None:
    world = World(
        {"a": [Step(0, "rate_limit", wait=wait)], "b": [Step(1)]},
        content(["a", "b"], [option("a", attempts=2), option("b")]),
    )
    assert world.call().option == "b"
    assert world.stage.now() - 1000 <= 1.4


# -- time


def test_nobody_uses_up_the_time_of_those_behind() -> None:
    hang = {n: [Step(FOREVER)] for n in "abc"}
    world = World(
        {**hang, "d": [Step(1)]}, content([*"abcd"], [option(n, timeout_ms=86_400_000) for n in "abcd"])
    )
    outcome = world.call(8.0)
    assert outcome.option == "d" and world.stage.now() - 1000 == pytest.approx(7)
    assert [a.kind for a in outcome.attempts] == ["timeout", "timeout", "timeout", ""]


def test_those_that_cannot_be_asked_are_given_no_time() -> None:
    world = World(
        {"a": [Step(5)], "b": [Step(0, "server")]},
        content(["a", "b"], [option("a", timeout_ms=9000), option("b")]),
    )
    target = world.loaded.tasks["answer"].options[1].target
    assert target is not None
    world.exchange.breaker(target).rest(world.stage.now(), 50)
    assert world.call(6.0).option == "a"


def test_the_deadline_rules() -> None:
    world = one(Step(FOREVER), timeout_ms=86_400_000)
    outcome = world.call(2.5)
    assert (outcome.reason, outcome.attempts[0].kind, outcome.attempts[0].ms) == ("deadline", "timeout", 2500)
    assert world.call(0.0).reason == "deadline" and world.count() == {"a": 1}


def test_a_caller_in_a_hurry_does_not_break_a_target_for_others() -> None:
    world = one(Step(1))
    for _ in range(20):
        assert world.call(0.1).reason == "deadline"
        world.stage.settle()
    assert not world.call(10.0).exhausted


# -- escalation


def test_a_failed_check_escalates_with_its_reason() -> None:
    world = World({"small": [Step(text="bad")], "large": [Step(text="good")]})

    def check(result: ChatResult) -> Judged:
        return Judged(result.text == "good", "disagreement", "the cheap check says otherwise")

    outcome = world.call(check=check)
    assert decided(outcome) == [
        "small asked first",
        "small escalated disagreement",
        "large asked next",
        "large accepted checked",
    ]
    assert outcome.decisions[1].detail == "the cheap check says otherwise"


@pytest.mark.parametrize(("confidence", "taken"), [(0.69, "large"), (None, "large"), (0.7, "small")])
def test_low_confidence_escalates(confidence: float | None, taken: str) -> None:
    options = [option("small", confidence="0.7"), option("large")]
    world = World({"small": [Step()], "large": [Step()]}, content(["small", "large"], options))
    assert world.call(check=lambda _: Judged(True, confidence=confidence)).option == taken


def test_a_check_may_raise_what_the_model_did_wrong() -> None:
    def check(result: ChatResult) -> Judged:
        raise ModelError("schema", "no such key")

    assert decided(one(Step()).call(check=check))[1] == "a escalated schema"


@pytest.mark.parametrize("finish", ["filtered", "length"])
def test_half_an_answer_is_none(finish: str) -> None:
    world = one(Step(finish=finish))
    asked = ChatRequest(ASKED.messages, 10, 1.0, schema={"type": "object"})
    world.plane.call(world.run, "answer", asked, sensitivity=[], deadline=_deadline(world))
    step = world.run.events[-1].body["output"]  # type: ignore[index, call-overload]
    assert step["reason"] == "failed"  # type: ignore[index, call-overload]


def _deadline(world: World) -> Any:
    return Deadline.after(9, world.stage.now)


@pytest.mark.parametrize("text", ["\ud800", "x" * (2**20 + 1)], ids=["surrogate", "endless"])
@pytest.mark.parametrize("streamed", [True, False])
def test_what_cannot_be_recorded_is_no_answer(text: str, streamed: bool) -> None:
    world = World({"a": [Step(text=text)], "b": [Step()]})
    outcome = told(world)[0] if streamed else world.call()
    assert outcome.option == "b"


def test_a_target_that_cannot_be_made_is_passed_over() -> None:
    world = World({"a": [Step()], "b": [Step()]})

    def models(target: Target) -> Scripted:
        if target.name == "a":
            raise ModelError("auth", "OPENAI_API_KEY is not set")
        return world.models[target.name]

    world.plane._models = models
    outcome = world.call()
    assert (outcome.option, outcome.decisions[0].detail) == ("b", "OPENAI_API_KEY is not set")


def test_a_target_that_is_stopped_while_we_wait_is_not_tried_again() -> None:
    routes = content(["a", "b"], [option("a", attempts=2), option("b")])
    world = World({"a": [Step(0.1, "server"), Step()], "b": [Step()]}, routes)
    world_models = world.plane._models
    asked: list[str] = []

    def models(target: Target) -> Scripted:
        asked.append(target.name)
        if target.name == "a" and asked.count("a") > 1:
            raise ModelError("request", "a is stopped")
        return world_models(target)  # type: ignore[return-value]

    world.plane._models = models
    outcome = world.call()
    assert world.count()["a"] == 1
    assert ("a", "skipped", "unavailable", "a is stopped") in [
        (d.option, d.what, d.why, d.detail) for d in outcome.decisions
    ]
    assert outcome.option == "b"


def test_a_task_without_a_route_is_on_record_too() -> None:
    world = one(Step())
    outcome = world.plane.call(world.run, "verify", ASKED, sensitivity=[], deadline=_deadline(world))
    assert (outcome.reason, len(world.run.events)) == ("no_route", 1)


# -- rules


def test_a_rule_decides_first() -> None:
    routes = content(["a"], [{"rule": "glossary"}, option("a")])
    known = ChatResult("A large seal.", (), "stop", Usage(), "rule")
    world = World({"a": [Step()]}, routes, rules={"glossary": lambda request: known})
    assert (world.call().option, world.count()) == ("glossary", {"a": 0})
    world = World({"a": [Step()]}, routes, rules={"glossary": lambda request: None})
    assert decided(world.call())[:3] == [
        "glossary asked first",
        "glossary escalated abstained",
        "a asked next",
    ]
    assert decided(World({"a": [Step()]}, routes).call())[0] == "glossary skipped unavailable"


# -- hedges


def hedged(script: list[Step], to: str = "same", beside: list[Step] | None = None) -> World:
    """A world whose target "a" is known to take 0.1 s."""
    options = [option("a", hedge={"percentile": 95, "least_ms": 200, "to": to}), option("b")]
    world = World({"a": script, "b": beside or [Step(1, text="b")]}, content(["a", "b"], options))
    target = world.loaded.tasks["answer"].options[0].target
    assert target is not None
    for _ in range(30):
        world.exchange.tails(target).took(0.1)
    return world


def test_a_slow_call_gets_a_second_one_beside_it() -> None:
    world = hedged([Step(3, text="slow"), Step(0.1, text="quick")])
    outcome = world.call()
    assert outcome.result is not None and outcome.result.text == "quick"
    assert world.stage.now() - 1000 == pytest.approx(0.3)
    assert [(a.kind, a.hedge) for a in outcome.attempts] == [("", True), ("abandoned", False)]
    assert "a hedged slow" in decided(outcome)


def test_the_first_may_still_win() -> None:
    outcome = hedged([Step(0.5, text="first"), Step(3)]).call()
    assert outcome.result is not None and outcome.result.text == "first"


def test_a_quick_call_gets_none() -> None:
    world = hedged([Step(0.15)])
    world.call()
    assert world.count() == {"a": 1, "b": 0}


def test_beside_may_be_the_next_option() -> None:
    world = hedged([Step(3)], "next", [Step(0.2)])
    assert (world.call().option, world.count()) == ("b", {"a": 1, "b": 1})


def test_both_may_fail_and_the_call_goes_on() -> None:
    world = hedged([Step(0.5, "server"), Step(0.1, "server")])
    outcome = world.call()
    assert outcome.option == "b"
    assert [d for d in decided(outcome) if "server" in d] == ["a failed server", "a escalated server"]


def test_where_everything_is_slow_not_everything_is_doubled() -> None:
    world = hedged([Step(0.9)])
    for _ in range(100):
        world.call()
        world.stage.settle()
    assert 100 <= world.count()["a"] <= 112


def test_without_measurements_there_is_no_hedge() -> None:
    routes = content(["a"], [option("a", hedge={"percentile": 95, "least_ms": 1, "to": "same"})])
    world = World({"a": [Step(2)]}, routes)
    world.call()
    assert world.count() == {"a": 1}


# -- cancelling


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.01])
def test_after_cancel_nothing_is_asked(moment: float) -> None:
    world = World(
        {"a": [Step(1, "server")], "b": [Step(1)]},
        content(["a", "b"], [option("a", attempts=3), option("b")]),
    )
    cancel = Cancel()
    world.stage.at(1000 + moment, cancel.set)
    if not moment:
        cancel.set()
    outcome = world.call(cancel=cancel)
    assert outcome.reason == "cancelled"
    assert world.stage.now() - 1000 <= moment + 0.05
    assert all(at <= 1000 + moment for m in world.models.values() for at, _ in m.asked)


# -- streams


def told(world: World, kept: bool = False, **more: Any) -> tuple[Outcome, list[tuple[int, str]]]:
    pieces: list[tuple[int, str]] = []

    def sink(piece: Any) -> bool:
        pieces.append((piece.number, piece.text))
        return kept

    return world.call(sink=sink, **more), pieces


def test_pieces_come_as_they_are_made() -> None:
    outcome, pieces = told(one(Step(1, text="abc", after=("a", "bc"))))
    assert (outcome.option, pieces) == ("a", [(1, "a"), (1, "bc")])


@pytest.mark.parametrize("streaming", [True, False])
def test_a_model_that_cannot_stream_gives_one_piece(streaming: bool) -> None:
    world = World({"a": [Step()]}, streaming=streaming)
    assert told(world)[1] == [(1, "good")]


def test_a_cut_stream_begins_anew_while_nothing_was_released() -> None:
    world = World({"a": [Step(1, "connection", after=("go",))], "b": [Step()]})
    outcome, pieces = told(world)
    assert (outcome.option, pieces) == ("b", [(1, "go"), (2, "good")])


def test_a_cut_stream_of_which_something_was_released_ends() -> None:
    world = World({"a": [Step(1, "connection", after=("go",))], "b": [Step()]})
    outcome, pieces = told(world, kept=True)
    assert (outcome.reason, pieces, world.count()) == ("cut", [(1, "go")], {"a": 1, "b": 0})


def test_a_stream_that_ends_otherwise_than_it_went_is_no_answer() -> None:
    world = World({"a": [Step(1, text="yes", after=("no",))], "b": [Step()]})
    assert told(world)[0].option == "b"


def test_a_stream_that_drips_for_ever_is_late_too() -> None:
    drip = Step(100, text="." * 10_000, after=(".",) * 10_000)
    world = World({"a": [drip], "b": [Step()]})
    outcome, _ = told(world)
    assert (outcome.option, outcome.attempts[0].kind) == ("b", "timeout")
    assert world.stage.now() - 1000 == pytest.approx(4, abs=0.05)


def test_a_caller_that_breaks_leaves_nothing_behind() -> None:
    world = one(Step(1))

    def sink(piece: Any) -> bool:
        raise KeyError("a fault of the caller's")

    with pytest.raises(KeyError):
        world.call(sink=sink)
    world.stage.settle()
    target = world.loaded.tasks["answer"].options[0].target
    assert target is not None and world.exchange.gate.standing(target) == (0, 0)


def test_of_two_streams_only_the_one_that_speaks_first_is_heard() -> None:
    world = hedged([Step(4, text="slow", after=("s", "low")), Step(1, text="quick", after=("qu", "ick"))])
    outcome, pieces = told(world)
    assert pieces == [(2, "qu"), (2, "ick")]
    assert [a.kind for a in outcome.attempts] == ["abandoned", ""]


def test_one_hedge_in_ten_calls() -> None:
    tails = Tails()
    assert (tails.hedge(), tails.hedge()) == (True, False)
    for _ in range(11):
        tails.asked()
    assert (tails.hedge(), tails.hedge()) == (True, False)
