"""A call is one step of its run, and a replay is answered by the record without any model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.models.simulation import ASKED, Step, World, content, into, option

from affidavit.domain.canonical import canonical
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.routes import Target
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import Judged, Outcome
from affidavit.models.plane import Plane
from affidavit.ports.model import ChatModel, ChatRequest, ChatResult
from affidavit.runs.recorder import Run
from affidavit.runs.replay import Fact, ReplayDivergenceError, Rerun, compare


def gone(target: Target) -> ChatModel:
    raise AssertionError("a replay asks no model")


def recorded(run: Run) -> list[Fact]:
    """The run's events as they come back from the store."""
    return [Fact(e.kind, e.facts, json.loads(canonical(e.body))) for e in run.events]


def rerun(facts: Sequence[Fact]) -> Rerun:
    return Rerun("run-x", 1, "ask", "0" * 64, facts, live=False)


def replaying(world: World) -> Plane:
    return Plane(world.loaded, gone, world.exchange)


def ask(plane: Plane, run: Run, seconds: float = 5.0, request: ChatRequest = ASKED, **more: Any) -> Outcome:
    return plane.call(
        run, "answer", request, **{"sensitivity": ["internal"], "deadline": Deadline.after(seconds), **more}
    )


def test_a_replay_is_told_what_happened() -> None:
    world = World({"a": [Step(0.3, "server")], "b": [Step(0.7)]})
    first = world.call()
    again = rerun(recorded(world.run))
    # other time, other deadline, other check: nothing of it is part of what is compared
    second = ask(replaying(world), again, 0.0, check=lambda _: Judged(False, "claims"))
    assert second == first and not first.exhausted
    assert compare(recorded(world.run), again.facts()) is None


@pytest.mark.parametrize("script", [[Step(0.3, "server")], [Step(9, "timeout")]])
def test_a_replay_of_nothing_is_nothing(script: list[Step]) -> None:
    world = World({"a": script})
    first = world.call(3.0)
    assert first.exhausted and ask(replaying(world), rerun(recorded(world.run))) == first


@pytest.mark.parametrize(
    "changed",
    [
        {"request": ChatRequest(ASKED.messages, 501, 30.0)},
        {"sensitivity": ["public"]},
        {"traits": ["short"]},
    ],
)
def test_another_question_is_not_in_the_record(changed: dict[str, Any]) -> None:
    world = World({"a": [Step()]})
    world.call()
    with pytest.raises(ReplayDivergenceError, match="asks something else"):
        ask(replaying(world), rerun(recorded(world.run)), **changed)


def test_other_settings_are_not_in_the_record() -> None:
    world = World({"a": [Step()]})
    world.call()
    other = World({"a": [Step()]}, content(["a"], [option("a", temperature="0.1")]))
    with pytest.raises(ReplayDivergenceError):
        ask(replaying(other), rerun(recorded(world.run)))


def test_the_same_question_twice_has_two_answers() -> None:
    world = World({"a": [Step(text="one"), Step(text="two"), Step(text="three")]})
    texts = [world.call().result.text for _ in range(3)]
    again, plane = rerun(recorded(world.run)), replaying(world)
    assert [(ask(plane, again).result or pytest.fail()).text for _ in range(3)] == texts
    assert texts == ["one", "two", "three"]


def test_a_replayed_stream_is_one_piece() -> None:
    world = World({"a": [Step(text="abc", after=("a", "bc"))]})
    live: list[str] = []
    world.call(sink=into(live))
    heard: list[str] = []
    again = rerun(recorded(world.run))
    replaying(world).stream(
        again,
        "answer",
        ASKED,
        into(heard),
        sensitivity=["internal"],
        deadline=Deadline.after(1),
    )
    assert (live, heard) == (["a", "bc"], ["abc"])


def test_the_record_holds_no_time_in_what_identifies_the_step() -> None:
    world = World({"a": [Step()]})
    world.call()
    ((fact),) = recorded(world.run)
    assert fact.title == "model"
    assert sorted(fact.body["input"]) == ["again", "request", "route", "sensitivity", "task", "traits"]


def test_words_of_a_provider_are_cut_and_made_whole() -> None:
    world = World({"a": [Step()]})

    class Rude(type(world.models["a"])):  # type: ignore[misc]
        def complete(self, request: ChatRequest, cancel: Any = None) -> ChatResult:
            raise ModelError("server", "\ud800" + "x" * 9999)

    world.models["a"] = Rude(world.stage, [Step()])
    outcome = world.call()
    assert outcome.decisions[1].detail == "?" + "x" * 299


def test_a_task_nobody_knows_is_the_caller_s_fault() -> None:
    world = World({"a": [Step()]})
    with pytest.raises(UsageError, match="no task 'guess'"):
        world.plane.call(world.run, "guess", ASKED, sensitivity=[], deadline=Deadline.after(1))
