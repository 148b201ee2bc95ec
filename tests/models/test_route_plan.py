"""Who may be asked: sensitivity, residency, size, rules; and what identifies a call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.simulation import ASKED, Step, World, content, option, target

from affidavit.domain.records import CLASSIFICATIONS
from affidavit.domain.routes import load
from affidavit.models.deadline import Deadline
from affidavit.models.routes import plan, shape, step_input
from affidavit.ports.model import Message, ToolCall, ToolSpec

OUTSIDE = target(local=False, region="us", base_url="https://api.example/v1")


def planned(
    options: list[Any], sensitivity: list[str], traits: tuple[str, ...] = (), **task: Any
) -> tuple[list[str], list[str]]:
    routes = content(["in", "out"], options, out=OUTSIDE)
    routes["tasks"]["answer"].update(task)
    allowed, skipped = plan(load(routes).tasks["answer"], shape(ASKED, sensitivity, traits))
    return [o.name for o in allowed], [f"{d.option} {d.why}" for d in skipped]


BOTH = [option("in"), option("out")]


@given(st.lists(st.one_of(st.sampled_from(CLASSIFICATIONS), st.text(max_size=9)), max_size=6))
def test_confidential_text_never_leaves(words: list[str]) -> None:
    allowed, _ = planned(BOTH, words)
    assert "in" in allowed
    assert ("out" in allowed) is (set(words) <= {"public", "internal"})


def test_the_adapter_s_word_counts_too() -> None:
    world = World({"a": [Step()]}, local=False)
    outcome = world.call(sensitivity=["restricted"])
    assert (outcome.reason, world.count()) == ("no_route", {"a": 0})
    assert outcome.decisions[0].why == "sensitivity"
    assert not world.call(sensitivity=["internal"]).exhausted


def test_a_target_may_be_told_to_see_less() -> None:
    options = [option("in", when={"sensitivity": "public"}), option("out")]
    assert planned(options, ["internal"]) == (["out"], ["in sensitivity"])
    assert planned(options, []) == (["out"], ["in sensitivity"]), "nothing said is internal"
    assert planned(options, ["public"]) == (["in", "out"], [])


def test_residency() -> None:
    assert planned(BOTH, ["public"], regions=["eu"]) == (["in"], ["out residency"])
    assert planned(BOTH, ["public"], regions=["eu", "us"]) == (["in", "out"], [])


@pytest.mark.parametrize(
    ("when", "traits", "why"),
    [
        ({"characters_to": 5}, [], "size"),
        ({"characters_from": 500}, [], "size"),
        ({"traits": ["hard"]}, ["long"], "rule"),
        ({"unless": ["long"]}, ["long"], "rule"),
        ({"traits": ["long"], "unless": ["hard"], "characters_to": 500}, ["long"], ""),
    ],
)
def test_conditions(when: dict[str, Any], traits: list[str], why: str) -> None:
    allowed, skipped = planned([option("in", when=when)], [], tuple(traits))
    assert (allowed, skipped) == (([], [f"in {why}"]) if why else (["in"], []))


def test_tools_need_a_model_that_has_them() -> None:
    world = World({"a": [Step()]})
    world.models["a"].info = replace(world.models["a"].info, tools=False)
    asked = replace(ASKED, tools=(ToolSpec("t", "", {}),))
    outcome = world.plane.call(
        world.run, "answer", asked, sensitivity=[], deadline=Deadline.after(9, world.stage.now)
    )
    assert [(d.what, d.why) for d in outcome.decisions] == [("skipped", "tools"), ("ended", "no_route")]


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, messages=(Message("user", "What is a Walrus?"),)),
        replace(ASKED, messages=(Message("system", "What is a walrus?"),)),
        replace(ASKED, messages=(Message("user", "What is a walrus?", (ToolCall("1", "t", "{}"),)),)),
        replace(ASKED, messages=(Message("user", "What is a walrus?", call="1"),)),
        replace(ASKED, max_tokens=501),
        replace(ASKED, schema={}),
        replace(ASKED, schema_name="x"),
        replace(ASKED, tools=(ToolSpec("t", "", {}),)),
        replace(ASKED, stop=("x",)),
        replace(ASKED, extra={"x": 1}),
    ],
)
def test_every_part_of_a_request_is_part_of_its_name(other: Any) -> None:
    task = load(content(["a"])).tasks["answer"]
    assert step_input(task, ASKED, shape(ASKED, [])) != step_input(task, other, shape(ASKED, []))


def test_time_and_what_the_route_states_is_not_part_of_the_name() -> None:
    task = load(content(["a"])).tasks["answer"]
    other = replace(ASKED, timeout=1.0, temperature="1", top_p="1", seed=3)
    assert step_input(task, ASKED, shape(ASKED, [])) == step_input(task, other, shape(other, []))


@pytest.mark.parametrize("seed", [True, False])
def test_the_settings_asked_with_are_the_route_s(seed: bool) -> None:
    world = World({"a": [Step()]}, content(["a"], [option("a", temperature="0.3", stop=["END"])]))
    world.models["a"].info = replace(world.models["a"].info, seed=seed)
    world.call(3.0)
    ((_, asked),) = world.models["a"].asked
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.stop) == ("0.3", "", 100, ("END",))
    assert (asked.seed, asked.timeout) == (7 if seed else None, 3.0)
