"""The filter language's reference meaning and its parser."""

from __future__ import annotations

import pytest

from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError
from affidavit.domain.filter import And, AnyOf, Equals, Exists, Not, Or, Range, matches, parse_filter

META: dict[str, Json] = {
    "kind": "policy",
    "year": 2024,
    "open": True,
    "tags": ["hr", "leave"],
    "none": None,
    "empty": [],
}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Equals("kind", "policy"), True),
        (Equals("kind", "Policy"), False),
        (Equals("tags", "leave"), True),
        (Equals("year", "2024"), False),
        (Equals("open", 1), False),
        (Equals("year", True), False),
        (AnyOf("tags", ("x", "hr")), True),
        (AnyOf("kind", ()), False),
        (Range("year", 2024, 2024), True),
        (Range("year", 2025), False),
        (Range("year", "2000"), False),
        (Range("kind", "a", "q"), True),
        (Range("open", 0, 2), False),
        (Exists("kind"), True),
        (Exists("none"), False),
        (Exists("empty"), False),
        (Not(Equals("missing", "x")), True),
        (And(()), True),
        (Or(()), False),
        (And((Equals("kind", "policy"), Not(Exists("year")))), False),
    ],
)
def test_meaning(filter: object, expected: bool) -> None:
    assert matches(filter, META) is expected  # type: ignore[arg-type]


def test_parses_every_form() -> None:
    value: Json = {
        "and": [
            {"equals": ["kind", "policy"]},
            {"or": [{"any_of": ["tags", ["hr"]]}, {"range": ["year", 2000, None]}]},
            {"not": {"exists": "gone"}},
        ]
    }
    assert matches(parse_filter(value), META)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"equals": ["a"]},
        {"equals": ["a", None]},
        {"equals": ["a", 1.5]},
        {"any_of": ["a", "b"]},
        {"range": ["a", 1]},
        {"range": ["a", True, None]},
        {"exists": 1},
        {"and": {}},
        {"like": ["a", "b"]},
        {"equals": ["a", 1], "not": {}},
    ],
)
def test_anything_else_is_a_usage_error_that_shows_the_forms(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(value)  # type: ignore[arg-type]
    assert "equals" in caught.value.hint


def test_depth_is_bounded() -> None:
    value: object = {"exists": "a"}
    for _ in range(50):
        value = {"not": value}
    with pytest.raises(UsageError, match="nested"):
        parse_filter(value)  # type: ignore[arg-type]
