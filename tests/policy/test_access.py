"""Access rules as values (one meaning, one form, one digest), and the filter language's reference meaning."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from affidavit.domain.access import ANYONE, NOBODY, AccessRule
from affidavit.domain.errors import UsageError
from affidavit.domain.filter import And, AnyOf, Equals, Exists, Filter, Not, Or, Range, matches, parse_filter

SOME = ("user:a", "user:b", "group:g", "group:h", ANYONE)
EVERY_SUBSET = [
    frozenset(chosen) for size in range(len(SOME) + 1) for chosen in itertools.combinations(SOME, size)
]

layers = st.lists(st.frozensets(st.sampled_from(SOME), max_size=3), max_size=4)
denials = st.frozensets(st.sampled_from(SOME), max_size=2)
rules = st.builds(lambda allow, deny: AccessRule.of(*allow, deny=deny), layers, denials)
open_rules = st.lists(st.frozensets(st.sampled_from(SOME), min_size=1, max_size=3), max_size=4).map(
    lambda allow: AccessRule.of(*allow)
)
people = st.frozensets(st.sampled_from(SOME))


def lets_in(allow: Iterable[frozenset[str]], deny: frozenset[str], who: frozenset[str]) -> bool:
    """The meaning, word by word: some layer at all, one of each, none denied."""
    allow = list(allow)
    return bool(allow) and all(who & layer for layer in allow) and not who & deny


@given(layers, denials)
def test_the_canonical_form_means_what_was_written(allow: list[frozenset[str]], deny: frozenset[str]) -> None:
    rule = AccessRule.of(*allow, deny=deny)
    for who in EVERY_SUBSET:
        assert rule.permits(who) == lets_in(allow, deny, who)


@given(layers, denials, st.randoms(use_true_random=False))
def test_order_repeats_and_implied_layers_do_not_matter(allow, deny, random) -> None:  # type: ignore[no-untyped-def]
    rule = AccessRule.of(*allow, deny=deny)
    again = [*allow, *allow[:1], *(layer | {"user:z"} for layer in allow[:2])]
    random.shuffle(again)
    other = AccessRule.of(*again, deny=sorted(deny, reverse=True))
    assert rule == other
    assert hash(rule) == hash(other)
    assert rule.digest == other.digest


@given(rules, rules)
def test_the_digest_names_the_rule(a: AccessRule, b: AccessRule) -> None:
    assert (a == b) == (a.digest == b.digest)


@pytest.mark.parametrize(
    "other",
    [
        AccessRule.of(["user:a"]),
        AccessRule.of(["user:a", "group:g", "user:b"]),
        AccessRule.of(["user:a"], ["group:g"]),
        AccessRule.of(["user:a", "group:g"], deny=["user:b"]),
        NOBODY,
    ],
)
def test_every_part_is_in_the_digest(other: AccessRule) -> None:
    assert AccessRule.of(["user:a", "group:g"]).digest != other.digest


@given(rules)
def test_json_and_back(rule: AccessRule) -> None:
    back = AccessRule.from_json(rule.as_json())  # type: ignore[arg-type]
    assert back == rule
    assert back.digest == rule.digest


@given(rules, people)
def test_permits_and_verdict_agree_and_the_reason_is_true(rule: AccessRule, who: frozenset[str]) -> None:
    verdict = rule.verdict(who)
    assert verdict.permit == rule.permits(who)
    named = {word for word in verdict.reason.replace(",", " ").split() if word in SOME}
    if verdict.permit:
        assert named <= who
        assert all(layer & named for layer in rule.layers)
    elif verdict.reason.startswith("deny"):
        assert named <= who & rule.deny
    elif rule.layers:
        assert not named & who


@given(st.lists(denials, max_size=1), people)
def test_no_layer_lets_in_nobody(deny: list[frozenset[str]], who: frozenset[str]) -> None:
    rule = AccessRule.of(deny=deny[0] if deny else ())
    assert not rule.permits(who)
    assert not rule.permits(frozenset(SOME))


@given(rules, people)
def test_an_empty_layer_is_met_by_nobody(rule: AccessRule, who: frozenset[str]) -> None:
    assert not AccessRule((*rule.layers, frozenset()), rule.deny).permits(who)


@given(rules, people, st.sampled_from(SOME))
def test_deny_wins_over_every_layer(rule: AccessRule, who: frozenset[str], denied: str) -> None:
    assert not AccessRule(rule.layers, rule.deny | {denied}).permits(who | {denied})


@given(rules, people, people)
def test_being_more_helps_unless_denied(rule: AccessRule, who: frozenset[str], more: frozenset[str]) -> None:
    if rule.permits(who) and not more & rule.deny:
        assert rule.permits(who | more)


@given(rules, rules)
def test_meet_lets_in_exactly_those_whom_both_let_in(a: AccessRule, b: AccessRule) -> None:
    both = a.meet(b)
    for who in EVERY_SUBSET:
        assert both.permits(who) == (a.permits(who) and b.permits(who))
    assert both.within(a)
    assert both.within(b)


@given(rules, rules)
@example(AccessRule.of(["user:a"]), AccessRule.of(["user:a", "user:b"]))
@example(AccessRule.of(["user:a"]), AccessRule.of(["user:a"], deny=["group:g"]))
@example(NOBODY, AccessRule.of([ANYONE]))
@example(AccessRule.of([ANYONE]), NOBODY)
def test_within_is_sound(a: AccessRule, b: AccessRule) -> None:
    """An access change counts as a narrowing, and takes effect in the middle of a sync, only if ``within`` says so."""
    if a.within(b):
        assert all(b.permits(who) for who in EVERY_SUBSET if a.permits(who))


@given(open_rules, open_rules)
def test_within_is_complete_where_nothing_is_denied(a: AccessRule, b: AccessRule) -> None:
    """Without denials and empty layers the layers show all there is to see: no narrowing is taken for a widening."""
    assert a.within(b) == all(b.permits(who) for who in EVERY_SUBSET if a.permits(who))


@pytest.mark.parametrize(
    "name",
    ["alice", "user:", "role:x", "user:a ", "user:\u200b", "USER:a", "", ":", "user:e\u0301", "anyone:x"],
)
def test_what_is_no_principal_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        AccessRule.of([name])
    with pytest.raises(UsageError):
        AccessRule.of(["user:a"], deny=[name])


# -- filters

scalars = st.sampled_from(["1", "a", "b", "true", "", 0, 1, 2, True, False])
fields = st.sampled_from(["x", "y"])
metadata = st.dictionaries(fields, st.none() | scalars | st.lists(scalars, max_size=3))
bounds = st.none() | st.sampled_from(["a", "b", 0, 1, 2])
tests: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equals, fields, scalars),
    st.builds(AnyOf, fields, st.lists(scalars, max_size=3).map(tuple)),
    st.builds(Range, fields, bounds, bounds),
    st.builds(Exists, fields),
)
filters = st.recursive(
    tests,
    lambda some: st.one_of(
        st.builds(And, st.lists(some, max_size=3).map(tuple)),
        st.builds(Or, st.lists(some, max_size=3).map(tuple)),
        st.builds(Not, some),
    ),
    max_leaves=6,
)


@given(st.lists(filters, max_size=3), metadata)
def test_and_or_not_are_what_they_say(parts, about) -> None:  # type: ignore[no-untyped-def]
    each = [matches(p, about) for p in parts]
    assert matches(And(tuple(parts)), about) == all(each)
    assert matches(Or(tuple(parts)), about) == any(each)
    for part, held in zip(parts, each, strict=True):
        assert matches(Not(part), about) != held


@given(fields, st.lists(scalars, max_size=3), metadata)
def test_any_of_is_or_of_equals(field, values, about) -> None:  # type: ignore[no-untyped-def]
    either = Or(tuple(Equals(field, v) for v in values))
    assert matches(AnyOf(field, tuple(values)), about) == matches(either, about)


@given(tests, metadata)
def test_an_absent_field_passes_no_test(test, about) -> None:  # type: ignore[no-untyped-def]
    without = {k: v for k, v in about.items() if k != test.field}
    for absent in (without, {**without, test.field: None}, {**without, test.field: []}):
        assert not matches(test, absent)
        assert matches(Not(test), absent)


@given(fields, scalars, st.lists(scalars, max_size=3))
def test_a_list_passes_when_one_element_does(field, value, rest) -> None:  # type: ignore[no-untyped-def]
    for test in (Equals(field, value), Range(field, "a", "b"), Range(field, 1, 2), Exists(field)):
        assert matches(test, {field: [value, *rest]}) == any(
            matches(test, {field: v}) for v in (value, *rest)
        )


@pytest.mark.parametrize(("a", "b"), [("1", 1), (1, True), (0, False), ("true", True), ("", False)])
def test_types_never_mix(a: str | int, b: str | int) -> None:
    for one, other in ((a, b), (b, a)):
        assert not matches(Equals("x", one), {"x": other})
        assert not matches(AnyOf("x", (one,)), {"x": [other]})
        assert matches(Equals("x", one), {"x": one})


def test_ranges_are_inclusive_and_ordered_by_type() -> None:
    assert matches(Range("x", 1, 2), {"x": 1})
    assert matches(Range("x", 1, 2), {"x": 2})
    assert matches(Range("x", None, "b"), {"x": "a"})
    for outside in (0, 3, True, "1", "a", [0, 3]):
        assert not matches(Range("x", 1, 2), {"x": outside})


def test_open_ranges() -> None:
    assert matches(Range("x", 1, None), {"x": 9})
    assert not matches(Range("x", 1, None), {"x": 0})


def as_json(filter: Filter) -> object:
    match filter:
        case Equals(field, value):
            return {"equals": [field, value]}
        case AnyOf(field, values):
            return {"any_of": [field, list(values)]}
        case Range(field, low, high):
            return {"range": [field, low, high]}
        case Exists(field):
            return {"exists": field}
        case And(parts):
            return {"and": [as_json(p) for p in parts]}
        case Or(parts):
            return {"or": [as_json(p) for p in parts]}
        case Not(part):
            return {"not": as_json(part)}


@given(filters)
def test_a_filter_is_read_as_it_is_written(filter: Filter) -> None:
    assert repr(parse_filter(as_json(filter))) == repr(filter)  # type: ignore[arg-type]  # repr: 1 is not True


@pytest.mark.parametrize(
    "value",
    [None, 1, "x", [], {}, {"equals": ["x"]}, {"equals": ["x", None]}, {"equals": ["x", 1.5]}, {"nor": []},
     {"equals": ["x", 1], "exists": "x"}, {"and": {"exists": "x"}}, {"range": ["x", True, 2]}, {"any_of": ["x", [[]]]}],
)  # fmt: skip
def test_what_is_no_filter_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        parse_filter(value)  # type: ignore[arg-type]


def test_nesting_is_bounded() -> None:
    deep: object = {"exists": "x"}
    for _ in range(40):
        deep = {"not": deep}
    with pytest.raises(UsageError):
        parse_filter(deep)  # type: ignore[arg-type]
