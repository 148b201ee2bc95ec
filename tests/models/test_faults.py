"""For every sequence of faults: one accepted answer or none, in time, and what the record says is what happened."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.simulation import FOREVER, Step, World, content, option

from affidavit.domain.errors import ModelError
from affidavit.models.outcome import Judged, Outcome
from affidavit.ports.model import Cancel, ChatResult, Usage

KINDS = sorted({*ModelError.RETRYABLE, "schema", "refused", "auth", "request", "cancelled", "budget"})
GRACE = 0.05

seconds = st.one_of(st.floats(0, 6), st.sampled_from([0.0, 0.5, FOREVER]))
pieces = st.lists(st.sampled_from(["a", "b", ""]), max_size=3).map(tuple)
steps = st.builds(
    Step,
    seconds,
    st.one_of(st.just(""), st.sampled_from(KINDS)),
    st.sampled_from(["good", "bad", "", "\ud800"]),
    st.one_of(st.none(), st.floats(-1, 90), st.just(float("nan")), st.just(float("inf"))),
    pieces,
    st.sampled_from(["stop", "length", "filtered"]),
)
scripts = st.lists(steps, min_size=1, max_size=4)
options = st.fixed_dictionaries(
    {"attempts": st.integers(1, 4), "timeout_ms": st.sampled_from([1, 300, 4000, 86_400_000])},
    optional={
        "hedge": st.fixed_dictionaries(
            {"percentile": st.just(90), "least_ms": st.just(100), "to": st.sampled_from(["same", "next"])}
        ),
        "confidence": st.just("0.5"),
    },
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    routes = content(names, [option(n, **draw(options)) for n in names])
    if draw(st.booleans()):
        routes["tasks"]["answer"]["options"].insert(0, {"rule": "abstains"})
    world = World({n: draw(scripts) for n in names}, routes, rules={"abstains": lambda request: None})
    if draw(st.booleans()):
        for o in world.loaded.tasks["answer"].options:
            for _ in range(25 if o.target is not None else 0):
                assert o.target is not None
                world.exchange.tails(o.target).took(0.2)
    return world


class Money:
    """Every reservation is settled once."""

    def __init__(self, refused: int) -> None:
        self.open = 0
        self.refused = refused

    def reserve(self, task: str, target: Any, request: Any) -> Money:
        self.refused -= 1
        if self.refused == 0:
            raise ModelError("budget", "spent")
        self.open += 1
        return self

    def room(self, task: str) -> int | None:
        return None

    def settle(self, result: ChatResult | None) -> None:
        self.open -= 1
        assert result is None or result.usage == Usage(7, 3)


def check(result: ChatResult) -> Judged:
    return Judged(result.text == "good", "claims", confidence=0.9)


@settings(max_examples=1500, deadline=None)
@given(
    worlds(),
    st.sampled_from([0.0, 0.05, 2.0, 9.0]),
    st.booleans(),
    st.integers(0, 3),
    st.one_of(st.none(), st.floats(0, 6)),
    st.integers(0, 4),
)
def test_every_sequence_of_faults_ends_in_time(
    world: World, budget: float, streamed: bool, keep: int, cancelled: float | None, broke: int
) -> None:
    began, money, shown = world.stage.now(), Money(broke), 0
    more: dict[str, Any] = {"check": check, "meter": money}
    if cancelled is not None:
        more["cancel"] = Cancel()
        world.stage.at(began + cancelled, more["cancel"].set)
    if streamed:

        def sink(piece: Any) -> bool:
            nonlocal shown
            shown += 1
            return 0 < keep <= shown

        more["sink"] = sink
    outcome: Outcome = world.call(budget, **more)
    ended = world.stage.now()

    assert ended - began <= budget + GRACE
    _one_end(outcome)
    if cancelled is not None and ended > began + cancelled + GRACE:
        raise AssertionError("it went on after it was cancelled")
    asked = [at for m in world.models.values() for at, _ in m.asked]
    assert all(at <= ended for at in asked)
    assert cancelled is None or all(at <= began + cancelled for at in asked)
    models = [a for a in outcome.attempts if a.option != "abstains"]
    assert len(asked) == len(models), "every question to a model is on record, and nothing else is"

    world.stage.settle()
    assert money.open == 0
    for o in world.loaded.tasks["answer"].options:
        if o.target is not None:
            assert world.exchange.gate.standing(o.target) == (0, 0)
    assert Outcome.from_json(outcome.as_json()) == outcome


def _one_end(outcome: Outcome) -> None:
    """Accepted or exhausted, never both and never twice."""
    ends = [d.what for d in outcome.decisions if d.what in ("accepted", "ended")]
    assert ends == [outcome.decisions[-1].what]
    if outcome.result is None:
        assert ends == ["ended"] and outcome.reason and not outcome.option
    else:
        assert (
            ends == ["accepted"] and outcome.result.text == "good" and outcome.option and not outcome.reason
        )
        assert outcome.result.finish != "filtered"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", *KINDS]), st.floats(0, 4)), min_size=1, max_size=12), st.data()
)
def test_if_the_last_option_answers_in_time_the_call_is_answered(
    faults: list[tuple[str, float]], data: st.DataObject
) -> None:
    """Whatever those before it do: no answer is lost."""
    names = ["a", "b", "last"]
    failing = {n: [Step(s, k or "server") for k, s in faults] for n in names[:2]}
    hang = data.draw(st.booleans())
    failing["a"] = [Step(FOREVER)] if hang else failing["a"]
    lines = [option(n, attempts=data.draw(st.integers(1, 4)), timeout_ms=86_400_000) for n in names]
    world = World({**failing, "last": [Step(0.9)]}, content(names, lines))
    for _ in range(4):
        assert world.call(3.0, check=check).option == "last"
        world.stage.settle()
