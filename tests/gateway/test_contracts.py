"""Contracts out of functions, and what goes in and out of them: exactly what was promised, or a typed refusal."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.errors import AffidavitError, ArgumentsError, RefusedError, UnknownNameError, UsageError
from affidavit.domain.tools import Effect, Idempotency, Role, contract
from affidavit.gateway.arguments import DEEPEST, LARGEST, Schema, parse_arguments
from affidavit.gateway.contracts import Context, Registry, tool
from affidavit.gateway.schemas import Limits, schema_of

TODAY = date(2026, 11, 21)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Money:
    cents: Annotated[int, Limits(least=1, most=500_00)]
    currency: Literal["EUR", "USD"] = "EUR"


class Line(TypedDict, total=False):
    text: str
    price: Money


@tool(effect="write", idempotency="by_key", name="shop.order", version=2, data=["note"], owner="group:shop")
def order(
    customer: str,
    price: Money,
    colours: list[Colour],
    context: Context,
    lines: list[Line] | None = None,
    note: Annotated[str, Limits(most=100, says="what the customer reads")] = "",
    extra: dict[str, int | str] | None = None,
) -> Money | None:
    """Order something.

    At once.
    """
    assert all(isinstance(c, Colour) for c in colours)
    assert all(isinstance(line["price"], Money) for line in lines or () if "price" in line)
    return price if isinstance(price, Money) else None


GOOD: dict[str, Any] = {"customer": "alice", "price": {"cents": 7}, "colours": ["red"]}


def test_a_function_becomes_a_contract() -> None:
    made = order.contract
    assert (made.key, made.arguments) == (
        "shop.order@2",
        ("customer", "price", "colours", "lines", "note", "extra"),
    )
    assert made.idempotency is Idempotency.BY_KEY
    assert (made.role("note"), made.role("customer")) == (Role.DATA, Role.CONTROL)
    properties: Any = made.parameters["properties"]
    assert properties["price"] == {
        "type": "object",
        "properties": {
            "cents": {"type": "integer", "minimum": 1, "maximum": 50_000},
            "currency": {"enum": ["EUR", "USD"]},
        },
        "required": ["cents"],
        "additionalProperties": False,
    }
    assert properties["note"] == {
        "type": "string",
        "maxLength": 100,
        "description": "what the customer reads",
        "default": "",
    }
    assert made.parameters["required"] == ["customer", "price", "colours"]
    assert contract(made.as_json()).digest == made.digest


def test_it_is_called_with_what_its_annotations_say() -> None:
    given = {**GOOD, "lines": [{"text": "a", "price": {"cents": 1}}], "extra": {"a": 1}}
    assert order.run(given, Context("k", 1, 1.0)) == {"cents": 7, "currency": "EUR"}
    assert order("x", Money(5), [], Context("k", 1, 1.0)) == Money(5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": {"cents": 7.0}},
        {"price": {"cents": 0}},
        {"price": {"cents": "7"}},
        {"price": {"cents": True}},
        {"price": {"cents": 7, "more": 1}},
        {"price": {"cents": 7, "currency": "eur"}},
        {"colours": ["green"]},
        {"colours": "red"},
        {"customer": None},
        {"note": "x" * 101},
        {"extra": {"a": 1.5}},
        {"extra": {"a": None}},
        {"other": 1},
        {"context": {}},
        {"customer": "\ud800"},
        {"customer": "x" * (LARGEST + 1)},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    schema = Schema(order.contract.parameters, "it")
    schema.check(GOOD)
    with pytest.raises(ArgumentsError):
        schema.check({**GOOD, **wrong})


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 5000.0}', '{"n": 1e3}', '{"n": NaN}', '{"n": Infinity}', '{"n": 1, "n": 2}', '{"a": {"n": 1, "n": 1}}',
        "[1]", "7", "", "{", '{"n": 99999999999999999999}', "{" * 100_000, '{"n": ' * 200 + "1" + "}" * 200,
        '{"n": "\\ud800"}', '{"n": ' + "9" * 5_000 + "}",
    ],
)  # fmt: skip
def test_text_is_read_exactly_or_not_at_all(text: str) -> None:
    with pytest.raises(ArgumentsError):
        parse_arguments(text)


def test_depth_has_an_end() -> None:
    deep: Any = 1
    for _ in range(DEEPEST + 1):
        deep = [deep]
    with pytest.raises(ArgumentsError, match="nested deeper"):
        Schema({}, "it").check(deep)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"$ref": "https://example.org/x"}}},
        {"type": "nothing"},
        {"pattern": "("},
    ],
)
def test_a_schema_points_to_nothing_outside(schema: Any) -> None:
    with pytest.raises(UsageError, match="no usable schema"):
        Schema(schema, "it")


def floats(amount: float) -> None:
    """Pay."""


def untyped(amount) -> None:  # type: ignore[no-untyped-def]  # that is refused
    """Pay."""


def starred(*amounts: int) -> None:
    """Pay."""


def anything(amount: object) -> None:
    """Pay."""


def fine(amount: int) -> None:
    """Pay."""


@pytest.mark.parametrize(
    ("function", "promises", "says"),
    [
        (floats, {"effect": "read"}, "float"),
        (untyped, {"effect": "read"}, "no type"),
        (starred, {"effect": "read"}, "no fixed name"),
        (anything, {"effect": "read"}, "no JSON Schema"),
        (fine, {"effect": "write"}, "called twice"),
        (fine, {"effect": "write", "idempotency": "by_key"}, "never sees the key"),
        (fine, {"effect": "read", "idempotency": "none"}, "only reads"),
        (fine, {"effect": "write", "idempotency": "none", "attempts": 2}, "tried twice"),
        (fine, {"effect": "read", "name": "Pay Me"}, "no name for a tool"),
        (fine, {"effect": "read", "data": ["other"]}, "no such arguments"),
        (fine, {"effect": "read", "retired": "tomorrow"}, "no day"),
        (fine, {"effect": "read", "secrets": ("api",)}, "takes no context"),
    ],
)
def test_what_cannot_be_promised_is_said_at_once(function: Any, promises: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        tool(**promises)(function)


def test_a_type_within_itself_is_refused() -> None:
    @dataclasses.dataclass
    class Tree:
        children: list[Any]

    Tree.__annotations__["children"] = list[Tree]
    with pytest.raises(UsageError, match="refers to itself"):
        schema_of(Tree, "tree")


def test_versions_stand_side_by_side() -> None:
    def version(n: int, **more: Any) -> Any:
        return tool(effect="read", name="look", version=n, **more)(fine)

    registry = Registry([version(1, retired="2026-01-01"), version(2), version(3, retired="2026-11-21")])
    assert registry.named("look", TODAY).contract.version == 2
    with pytest.raises(RefusedError, match="was retired"):
        registry.named("look@3", TODAY)
    for unknown in ("look@9", "other", "\x1b[31m"):
        with pytest.raises(UnknownNameError):
            registry.named(unknown, TODAY)
    with pytest.raises(UsageError, match="two tools"):
        registry.add(version(2))


def test_each_promise_moves_the_digest() -> None:
    made = order.contract
    changes: dict[str, Any] = {
        "name": "shop.other", "version": 3, "description": "x", "parameters": {**made.parameters, "required": []},
        "result": {}, "effect": Effect.IRREVERSIBLE, "idempotency": Idempotency.NONE, "roles": {},
        "timeout": 1, "attempts": 9, "rate": (1, 1), "undo": "x@1", "owner": "", "deprecated": "2026-01-01",
        "retired": "2026-01-01", "origin": "mcp:x", "trusted": True, "secrets": ("a",),
    }  # fmt: skip
    digests = {dataclasses.replace(made, **{name: value}).digest for name, value in changes.items()}
    assert len(digests | {made.digest}) == len(changes) + 1


# -- fuzzed: never anything but a typed refusal

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)
_NEARLY = st.fixed_dictionaries(
    {"customer": st.text() | _JSON, "price": st.fixed_dictionaries({"cents": st.integers() | _JSON}) | _JSON},
    optional=dict.fromkeys(("colours", "lines", "note", "extra", "context", "self"), _JSON),
)


@given(_JSON | _NEARLY)
def test_no_value_raises_anything_but_a_refusal(value: Any) -> None:
    try:
        Schema(order.contract.parameters, "it").check(value)
    except ArgumentsError:
        return
    order.run(value, Context("k", 1, 1.0))  # what fits can be handed over


@given(st.text() | _JSON.map(lambda v: json.dumps(v, default=str, skipkeys=True)))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    try:
        parse_arguments(text)
    except AffidavitError as error:
        assert isinstance(error, ArgumentsError)


@pytest.mark.data
def test_attacks_are_text_like_any_other(datasets: Path) -> None:
    registry = Registry([order])
    schema = registry.named("shop.order", TODAY).arguments
    seen = 0
    for file in sorted((datasets / "injections").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            for attempt in (line, json.dumps({"customer": line})):
                seen += 1
                try:
                    given = parse_arguments(attempt)
                    schema.check({**GOOD, **given})
                except ArgumentsError:
                    continue
            schema.check({**GOOD, "customer": line})
            for name in (line, line[:40]):
                with pytest.raises(UnknownNameError):
                    registry.named(name, TODAY)
    assert seen > 1_000
