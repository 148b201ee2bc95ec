"""What could be permitted at all: never less than what is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from affidavit.app.policies import shipped
from affidavit.domain.decisions import Verdict, Wish
from affidavit.domain.labels import ASKER, Label, Origin
from affidavit.domain.tools import Contract, Effect, Idempotency
from affidavit.policy.cedar import Cedar

FRIDAY = 1_795_168_800_000_000
SUNDAY = FRIDAY + 2 * 86_400_000_000
BASE = '@id("base") permit (principal in Role::"operator", action in Action::"tool:call", resource);\n'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "amount": {"type": "integer"}},
}
EFFECTS = {"look": Effect.READ, "pay": Effect.WRITE, "burn": Effect.IRREVERSIBLE}
CONTRACTS = {
    name: Contract(name, 1, "", SCHEMA, {}, effect, Idempotency.NATIVE, outward=name == "look")
    for name, effect in EFFECTS.items()
}


def wish(tool: str = "pay", role: str = "operator", **context: Any) -> Wish:
    return Wish(
        1,
        "user:alice",
        frozenset({"user:alice", "group:staff"}),
        frozenset({role}),
        "tool:call",
        f"{tool}@1",
        context={"mode": "live", "time": FRIDAY, **context},
    )


def engine(text: str) -> Cedar:
    return Cedar({"a.cedar": text}, CONTRACTS.values())


@pytest.mark.parametrize(
    ("rule", "possible"),
    [
        ("", True),
        # what is asked of the arguments is met by some
        (
            '@id("a") forbid (principal, action, resource) when { context has amount && context.amount > 5 };',
            True,
        ),
        ('@id("a") forbid (principal, action, resource) unless { context has amount };', True),
        ('@id("a") forbid (principal, action, resource) when { !context.untrusted.isEmpty() };', True),
        ('@id("a") forbid (principal, action, resource) when { context == context };', True),
        # somebody may say yes
        ('@id("a") @approval("approver") forbid (principal, action, resource);', True),
        (
            '@id("a") forbid (principal, action, resource) unless { context.approved.contains("admin") };',
            True,
        ),
        # nothing helps
        ('@id("a") forbid (principal, action, resource);', False),
        ('@id("a") forbid (principal == User::"acme/alice", action, resource);', False),
        ('@id("a") forbid (principal, action, resource) when { resource.effect == "write" };', False),
        ('@id("a") forbid (principal, action, resource) when { context.weekday < 6 };', False),
        ('@id("a") forbid (principal, action, resource) when { context.weekday == 7 };', True),
        ('@id("a") forbid (principal == User::"acme/bob", action, resource);', True),
    ],
)
def test_a_forbid_rule_hides_what_it_forbids_whatever_is_said(rule: str, possible: bool) -> None:
    assert engine(BASE + rule).possible(wish(), "acme") is possible


def test_a_permit_rule_about_arguments_offers_what_some_could_have() -> None:
    text = (
        '@id("a") permit (principal in Role::"operator", action == Action::"pay@1", resource)\n'
        "when { context.arguments has amount && context.arguments.amount < 10 };"
    )
    assert engine(text).possible(wish(), "acme")
    assert not engine(text).possible(wish("burn"), "acme")
    assert not engine(text).possible(wish(role="reader"), "acme")


def test_nothing_is_possible_where_nothing_is_known() -> None:
    cedar = engine(BASE)
    assert not cedar.possible(wish("other"), "acme")
    assert not engine('@id("a") forbid (principal, action, resource);').possible(wish(), "acme")


LABELS = {"asker": ASKER, "model": Label(Origin.MODEL, "", "", trusted=False)}


@given(
    tool=some.sampled_from(sorted(CONTRACTS)),
    role=some.sampled_from(["reader", "operator", "approver", "admin"]),
    mode=some.sampled_from(["live", "read-only"]),
    time=some.sampled_from([FRIDAY, SUNDAY]),
    tenant=some.sampled_from(["acme", "example-read-only"]),
    to=some.sampled_from(["bob", "bob@evil.example"]),
    amount=some.sampled_from([1, 200_000, 20_000_000]),
    who=some.sampled_from(sorted(LABELS)),
)
def test_whatever_the_shipped_rules_may_permit_is_possible(
    tool: str, role: str, mode: str, time: int, tenant: str, to: str, amount: int, who: str
) -> None:
    given = {"to": to, "amount": amount}
    labels = {name: [LABELS[who].as_json()] for name in given}
    asked = wish(tool, role, mode=mode, time=time, arguments=given, labels=labels)
    if SHIPPED.decide(asked, tenant).verdict is not Verdict.FORBID:
        assert SHIPPED.possible(asked, tenant)
    if role in ("approver", "admin") or (tenant == "example-read-only" and tool != "look"):
        assert not SHIPPED.possible(asked, tenant)


SHIPPED = Cedar(shipped().rules, CONTRACTS.values())
