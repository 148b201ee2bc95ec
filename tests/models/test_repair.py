"""An answer of the wrong form is asked for once more, and no more than once; and targets are chosen by what is left."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models.simulation import ASKED, Step, World, content, into, option

from affidavit.domain.errors import ModelError
from affidavit.domain.routes import load
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged
from affidavit.models.repair import AGAIN, once_more
from affidavit.ports.model import ChatRequest, ChatResult, Message

FORM = ChatRequest(ASKED.messages, 100, 30.0, {"type": "object"})


def check(result: ChatResult) -> Judged:
    return GOOD if result.text == "good" else Judged(False, result.text, "in words of ours")


def call(world: World, request: ChatRequest = FORM, seconds: float = 10.0, **more: Any) -> Any:
    deadline = Deadline.after(seconds, world.stage.now)
    given = {"sensitivity": ["internal"], "deadline": deadline, "check": check, **more}
    if "sink" in given:
        return world.plane.stream(world.run, "answer", request, given.pop("sink"), **given)
    return world.plane.call(world.run, "answer", request, **given)


def told(outcome: Any) -> list[str]:
    return [f"{d.option} {d.what} {d.why}".strip() for d in outcome.decisions]


def test_a_wrong_form_is_asked_for_once_more_in_words_of_ours() -> None:
    world = World({"a": [Step(text="schema"), Step()]})
    assert told(call(world)) == ["a asked first", "a repaired schema", "a accepted checked"]
    first, second = (request for _, request in world.models["a"].asked)
    assert second.messages[-1].content == f"{first.messages[-1].content}\n\n{AGAIN}"
    assert "schema" not in second.messages[0].content.replace(AGAIN, "")


def test_it_is_asked_for_once_in_a_call_and_not_once_a_target() -> None:
    world = World({"a": [Step(text="schema")], "b": [Step(text="schema")]})
    outcome = call(world)
    assert told(outcome)[1:3] == ["a repaired schema", "a escalated schema"]
    assert (outcome.reason, world.count()) == ("failed", {"a": 2, "b": 1})


@pytest.mark.parametrize("reason", ["claims", "disagreement", "low_confidence"])
def test_only_the_form_is_repaired(reason: str) -> None:
    world = World({"a": [Step(text=reason)], "b": [Step()]})
    assert call(world).option == "b"
    assert world.count() == {"a": 1, "b": 1}


def test_where_no_form_was_asked_for_there_is_none_to_repair() -> None:
    world = World({"a": [Step(text="schema")], "b": [Step()]})
    assert call(world, ASKED).option == "b"
    assert world.count() == {"a": 1, "b": 1}


def test_no_time_is_taken_from_those_behind() -> None:
    world = World(
        {"a": [Step(3, text="schema"), Step(60)], "b": [Step(3)]},
        content(["a", "b"], [option("a", timeout_ms=50_000), option("b", timeout_ms=50_000)]),
    )
    outcome = call(world, seconds=8.0)
    assert outcome.option == "b"
    assert world.stage.now() - 1000 == pytest.approx(7)


def test_a_repair_that_fails_may_be_tried_again_as_any_other_attempt() -> None:
    world = World(
        {"a": [Step(text="schema"), Step(kind="server"), Step()]}, content(["a"], [option("a", attempts=3)])
    )
    assert not call(world).exhausted
    assert AGAIN in world.models["a"].asked[-1][1].messages[-1].content


def test_a_repaired_stream_begins_anew() -> None:
    world = World({"a": [Step(text="schema"), Step(1, after=("go", "od"))]})
    heard: list[str] = []
    assert call(world, sink=into(heard)).result.text == "good"
    assert heard == ["schema", "go", "od"]


def test_what_was_released_of_a_stream_is_not_said_again() -> None:
    world = World({"a": [Step(text="schema"), Step()], "b": [Step()]})
    outcome = call(world, sink=lambda piece: True)
    assert (outcome.reason, world.count()) == ("cut", {"a": 1, "b": 0})


def test_models_want_turns() -> None:
    asked = once_more(ChatRequest((Message("user", "?"), Message("assistant", "x")), 1, 1.0))
    assert [m.role for m in asked.messages] == ["user", "assistant", "user"]


# -- what is left


class Purse:
    """A meter in which so much is left."""

    def __init__(self, left: int | None, refuses: bool = False) -> None:
        self.left, self.refuses = left, refuses

    def room(self, task: str) -> int | None:
        assert task == "answer"
        return self.left

    def reserve(self, task: str, target: Any, request: Any) -> Purse:
        if self.refuses:
            raise ModelError("budget", "spent")
        return self

    def settle(self, result: ChatResult | None) -> None:
        """Nothing."""


def world(*rooms: str) -> World:
    names = "abc"[: len(rooms)]
    options = [option(n, when={"room": r} if r else {}) for n, r in zip(names, rooms, strict=True)]
    return World({n: [Step()] for n in names}, content([*names], options))


@pytest.mark.parametrize(
    ("left", "taken"),
    [(None, "a"), (5_000_000, "a"), (4_999_999, "b"), (500_000, "b"), (499_999, "c"), (0, "c")],
)
def test_a_cheaper_target_is_taken_when_little_is_left(left: int | None, taken: str) -> None:
    made = world("5", "0.5", "")
    outcome = call(made, meter=Purse(left))
    assert outcome.option == taken
    skipped = [d for d in outcome.decisions if d.what == "skipped"]
    assert [d.why for d in skipped] == ["room"] * "abc".index(taken)
    if skipped:
        assert skipped[0].detail.endswith("and it is for when 5.00 are")


def test_with_nothing_left_the_call_ends_as_spent() -> None:
    assert call(world("1"), meter=Purse(0)).reason == "spent"
    assert call(world("1", ""), meter=Purse(0, refuses=True)).reason == "spent"
    assert call(world("1")).option == "a"  # nobody counts


def test_what_fails_besides_is_not_for_want_of_money() -> None:
    made = World(
        {"a": [Step()], "b": [Step(kind="auth")]},
        content(["a", "b"], [option("a", when={"room": "1"}), option("b")]),
    )
    assert call(made, meter=Purse(0)).reason == "failed"


def test_a_second_call_beside_a_slow_one_is_bound_by_it_too() -> None:
    options = [
        option("a", hedge={"percentile": 50, "least_ms": 1, "to": "next"}),
        option("b", when={"room": "1"}),
    ]
    made = World({"a": [Step(0.1)] * 30 + [Step(2)], "b": [Step()]}, content(["a", "b"], options))
    for _ in range(30):
        call(made, meter=Purse(0))
    outcome = call(made, meter=Purse(0))
    assert outcome.option == "a"
    assert made.count()["b"] == 0
    assert "b skipped room" in told(outcome)


@pytest.mark.parametrize("room", [1, "1.2345678", "-1", "01", "1e3", "٣", "1234567890", None, 0.5])
def test_what_is_no_amount_is_malformed(room: Any) -> None:
    with pytest.raises(ValueError, match="room"):
        load(content(["a"], [option("a", when={"room": room})]))
