"""The engine agrees with a small interpreter written from Cedar's description, also where numbers overflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.domain.decisions import Verdict, Wish
from affidavit.domain.tools import Contract, Effect, Idempotency
from affidavit.policy.cedar import Cedar

TOOL = Contract(
    "do.it",
    1,
    "Do it.",
    {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "string"}}},
    {},
    Effect.WRITE,
    Idempotency.BY_KEY,
)
ROLES = ("approver", "admin", "auditor")
_MOST = 2**63 - 1


World = Mapping[str, Any]
Test = Callable[[World], bool]


@dataclass(frozen=True)
class Condition:
    """The same condition twice: as Cedar's text and as a function."""

    text: str
    holds: Test

    def __repr__(self) -> str:
        return self.text


def _times(factor: int, limit: int) -> Condition:
    def holds(world: World) -> bool:
        if "x" not in world["arguments"]:
            return False
        product = world["arguments"]["x"] * factor
        if not -_MOST - 1 <= product <= _MOST:
            raise OverflowError
        return bool(product > limit)

    return Condition(f"(context.arguments has x && context.arguments.x * {factor} > {limit})", holds)


def _says(word: str) -> Condition:
    return Condition(
        f'(context.arguments has y && context.arguments.y == "{word}")',
        lambda world: world["arguments"].get("y") == word,
    )


def _approved(role: str) -> Condition:
    return Condition(f'context.approved.contains("{role}")', lambda world: role in world["approved"])


def _holds(role: str) -> Condition:
    return Condition(f'principal in Role::"{role}"', lambda world: role in world["roles"])


LIVE = Condition('context.mode == "live"', lambda world: bool(world["mode"] == "live"))


def _not(a: Condition) -> Condition:
    return Condition(f"!({a.text})", lambda world: not a.holds(world))


def _and(a: Condition, b: Condition) -> Condition:
    return Condition(f"({a.text} && {b.text})", lambda world: a.holds(world) and b.holds(world))


def _or(a: Condition, b: Condition) -> Condition:
    return Condition(f"({a.text} || {b.text})", lambda world: a.holds(world) or b.holds(world))


atoms = st.one_of(
    st.builds(_times, st.sampled_from([1, 3, 10**12, _MOST]), st.sampled_from([0, 7, 10**15])),
    st.sampled_from(["a", "b"]).map(_says),
    st.sampled_from(ROLES).map(_approved),
    st.sampled_from(["operator", "reader"]).map(_holds),
    st.just(LIVE),
)
conditions = st.recursive(
    atoms, lambda inner: st.one_of(inner.map(_not), st.builds(_and, inner, inner), st.builds(_or, inner, inner))
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    effect: str
    approval: str
    condition: Condition

    def text(self, number: int) -> str:
        note = f'@approval("{self.approval}") ' if self.approval else ""
        scope = '(principal, action in Action::"tool:call", resource)'
        return f'@id("r{number}") {note}{self.effect} {scope} when {{ {self.condition.text} }};\n'


rules = st.lists(
    st.one_of(
        st.builds(Rule, st.just("permit"), st.just(""), conditions),
        st.builds(Rule, st.just("forbid"), st.sampled_from(["", "approver", "admin"]), conditions),
    ),
    max_size=6,
)
worlds = st.fixed_dictionaries(
    {
        "arguments": st.fixed_dictionaries(
            {}, optional={"x": st.sampled_from([0, 1, 8, -5, 2**40, -(2**62)]), "y": st.sampled_from("abc")}
        ),
        "approved": st.lists(st.sampled_from(ROLES), unique=True),
        "roles": st.lists(st.sampled_from(["operator", "reader"]), unique=True),
        "mode": st.sampled_from(["live", "read-only"]),
    }
)


def applying(rules: list[Rule], world: World) -> tuple[dict[str, Rule], bool]:
    """The rules that apply, by name, and whether one erred."""
    found, erred = {}, False
    for number, rule in enumerate(rules):
        try:
            if rule.condition.holds(world):
                found[f"r{number}"] = rule
        except OverflowError:
            erred = True
    return found, erred


def reference(rules: list[Rule], world: World) -> tuple[str, list[str], list[str], bool]:
    """(verdict, rules, roles, whether a rule erred)."""
    found, erred = applying(rules, world)
    if erred:
        return "forbid", [], [], True
    forbids = {id: rule for id, rule in found.items() if rule.effect == "forbid"}
    if not forbids:
        return ("permit" if found else "forbid"), sorted(found), [], False
    roles = sorted({rule.approval for rule in forbids.values()})
    if "" not in roles:
        supposed, erred = applying(rules, {**world, "approved": [*world["approved"], *roles]})
        if supposed and not erred and all(rule.effect == "permit" for rule in supposed.values()):
            return "needs_approval", sorted(forbids), roles, False
    return "forbid", sorted(forbids), [], False


@settings(max_examples=400, deadline=None)
@given(rules, st.lists(worlds, min_size=1, max_size=4))
def test_the_engine_says_what_the_reference_says(rules: list[Rule], worlds: list[World]) -> None:
    engine = Cedar({"r.cedar": "".join(rule.text(n) for n, rule in enumerate(rules))}, (TOOL,))
    for world in worlds:  # what an engine remembers of one decision must not change the next
        who = frozenset({"user:a", "anyone"})
        context = {k: world[k] for k in ("arguments", "approved", "mode")}
        decided = engine.decide(
            Wish(1, "user:a", who, frozenset(world["roles"]), "tool:call", TOOL.key, {}, context), "t"
        )
        verdict, ids, roles, erred = reference(rules, world)
        assert (decided.verdict.value, sorted(decided.rules), sorted(decided.roles)) == (verdict, ids, roles)
        assert bool(decided.errors) is erred
        if erred:
            assert decided.verdict is Verdict.FORBID
