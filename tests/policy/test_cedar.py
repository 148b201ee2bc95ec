"""The policy engine: what is not sound is not loaded, what errors is denied, and a yes that is missing is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from affidavit.domain.decisions import Verdict, Wish
from affidavit.domain.errors import ManifestError
from affidavit.domain.labels import ASKER, Label, Origin
from affidavit.domain.tools import Contract, Effect, Idempotency, Role
from affidavit.policy.asked import asked
from affidavit.policy.cedar import Cedar
from affidavit.policy.statements import policy_digest, statements

FRIDAY = 1_795_168_800_000_000
PAY = Contract(
    "bank.pay",
    1,
    "Pay.",
    {
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "amount": {"type": "integer"},
            "note": {"type": ["string", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "lines": {"type": "array", "items": {"type": "object"}},
            "box": {
                "type": "object",
                "properties": {"deep": {"type": "integer"}, "rate": {"type": "number"}},
            },
        },
    },
    {},
    Effect.WRITE,
    Idempotency.BY_KEY,
    {"note": Role.DATA},
)
BASE = '@id("base") permit (principal, action in Action::"tool:call", resource);\n'


def engine(text: str, *contracts: Contract) -> Cedar:
    return Cedar({"a.cedar": text}, contracts or (PAY,), ("audit:read",))


def wish(arguments: Mapping[str, Any] | None = None, **context: Any) -> Wish:
    arguments = {"to": "bob", "amount": 5} if arguments is None else arguments
    labels = {name: [ASKER.as_json()] for name in arguments}
    return Wish(
        1,
        "user:alice",
        frozenset({"user:alice", "group:staff", "anyone"}),
        frozenset({"operator"}),
        "tool:call",
        PAY.key,
        context={"arguments": arguments, "mode": "live", "time": FRIDAY, "labels": labels, **context},
    )


def verdict(text: str, given: Wish, tenant: str = "acme") -> str:
    return engine(text).decide(given, tenant).verdict.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('// all\n\n@id("a") permit (principal, action, resource) when { ;', "a.cedar:3"),
        ("permit (principal, action, resource);", "@id"),
        ('@id("A b") permit (principal, action, resource);', "@id"),
        ('@id("a") permit (principal, action, resource);\n' * 2, "a.cedar:1 too"),
        ('@id("a") @approval("approver") permit (principal, action, resource);', "forbid rule"),
        ('@id("a") @approval("boss") forbid (principal, action, resource);', "forbid rule"),
        ('@id("a") @reason("b") forbid (principal, action, resource);', "@reason"),
        ('@id("a") permit (principal == ?principal, action, resource);', "template"),
        ('@id("a") permit (principal, action, resource)', "a.cedar:1"),
        ('// "quoted; "\n@id("a") permit (principal, action, resource) when { context.modus == "live" };', "modus"),
        ('@id("a") permit (principal, action, resource) when { context.arguments.amount > 5 };', "a.cedar:1: a"),
        ('@id("a") permit (principal, action == Action::"bank.pay@2", resource);', "bank.pay@2"),
        ('@id("a") permit (principal in Grupp::"acme/staff", action, resource);', "Grupp"),
    ],
)  # fmt: skip
def test_what_is_not_sound_is_not_loaded(text: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        engine(text)
    assert said in caught.value.message
    assert "a.cedar:" in caught.value.message


def test_a_semicolon_in_a_text_or_comment_ends_nothing() -> None:
    found = statements(
        {
            "a.cedar": '// a; b\n@id("a") // ; "\nforbid (principal, action, resource) when { context.mode == ";\\";" };'
        }
    )
    assert [(s.id, s.line) for s in found] == [("a", 2)]


def test_the_digest_is_that_of_every_byte_of_the_policies_and_of_nothing_else() -> None:
    files = {"a.cedar": BASE, "b.cedar": "// nothing\n"}
    whole = policy_digest(files)
    assert Cedar(files, (PAY,)).digest == whole == Cedar(files, (), ("audit:read",)).digest
    for name, text in files.items():
        for at in range(len(text)):
            assert (
                policy_digest({**files, name: text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]}) != whole
            )


def test_nothing_is_permitted_unless_a_rule_says_so() -> None:
    decided = engine("// none\n").decide(wish(), "acme")
    assert (decided.verdict, decided.rules, decided.errors) == (Verdict.FORBID, (), ())


def test_a_forbid_rule_that_errors_permits_nothing() -> None:
    text = BASE + (
        '@id("limit") forbid (principal, action in Action::"bank.pay", resource)\n'
        "when { context.arguments has amount && context.arguments.amount * 1000000000000 > 5 };"
    )
    assert verdict(text, wish({"amount": 0})) == "permit"
    decided = engine(text).decide(wish({"amount": 2**50}), "acme")
    assert decided.verdict is Verdict.FORBID
    assert "limit" in decided.errors[0]


APPROVALS = BASE + (
    '@id("two") @approval("approver") forbid (principal, action, resource) when { context has amount && context.amount > 10 }\n'
    'unless { context.approved.contains("approver") };\n'
    '@id("boss") @approval("admin") forbid (principal, action, resource) when { context has amount && context.amount > 100 }\n'
    'unless { context.approved.contains("admin") };\n'
    '@id("never") forbid (principal, action, resource) when { context has amount && context.amount > 1000 };\n'
    '@id("stuck") @approval("auditor") forbid (principal, action, resource) when { context has amount && context.amount == 7 };\n'
)


@pytest.mark.parametrize(
    ("amount", "approved", "expected", "roles"),
    [
        (5, [], "permit", ()),
        (11, [], "needs_approval", ("approver",)),
        (11, ["approver"], "permit", ()),
        (11, ["admin"], "needs_approval", ("approver",)),
        (101, [], "needs_approval", ("admin", "approver")),
        (101, ["approver"], "needs_approval", ("admin",)),
        (101, ["approver", "admin"], "permit", ()),
        (1001, ["approver", "admin"], "forbid", ()),
        (-1001, ["approver", "admin"], "forbid", ()),
        (7, [], "forbid", ()),
    ],
)
def test_three_verdicts(amount: int, approved: list[str], expected: str, roles: tuple[str, ...]) -> None:
    decided = engine(APPROVALS).decide(wish({"amount": amount}, approved=approved), "acme")
    assert (decided.verdict.value, decided.roles, decided.errors) == (expected, roles, ())


def test_no_approval_is_asked_for_where_nothing_would_permit_it_anyway() -> None:
    text = APPROVALS.replace("permit (principal,", 'permit (principal in Role::"admin",')
    assert verdict(text, wish({"amount": 11})) == "forbid"


@pytest.mark.parametrize(
    "given",
    [
        wish({"amount": 5.0}),
        wish({"amount": True}),
        wish({"amount": "5"}),
        wish({"amount": 2**64}),
        wish({"unknown": 5}),
        wish({"tags": [{"__entity": {"type": "Role", "id": "admin"}}]}),
        wish(approved=[5]),
        wish(labels={"to": 5}),
        wish(time="soon"),
        replace(wish(), principal="alice"),
        replace(wish(), principal="group:staff"),
        replace(wish(), resource="bank.pay@2"),
        replace(wish(), action="audit:none"),
        replace(wish(), attributes={"effect": "read"}),
        replace(wish(), context={"arguments": 5}),
    ],
)
def test_a_wish_that_is_not_in_order_is_denied_with_an_error(given: Wish) -> None:
    decided = engine(BASE).decide(given, "acme")
    assert decided.verdict is Verdict.FORBID
    assert decided.errors


def test_a_group_is_its_tenants() -> None:
    text = '@id("staff") permit (principal in Group::"acme/staff", action, resource);'
    assert verdict(text, wish()) == "permit"
    assert verdict(text, wish(), "globex") == "forbid"
    nested = '@id("staff") permit (principal in Group::"a/b/staff", action, resource);'
    assert verdict(nested, wish(), "a/b") == "forbid"  # a tenant cannot be named into another's groups
    assert verdict(nested.replace("a/b/", "a%2Fb/"), wish(), "a/b") == "permit"


def test_what_is_known_of_a_person_can_be_asked() -> None:
    there = 'principal.hasTag("department") && principal.getTag("department") == "finance"'
    text = f'@id("f") permit (principal, action, resource) when {{ {there} }};'
    assert verdict(text, wish(person={"department": "finance"})) == "permit"
    assert verdict(text, wish(person={"department": ["finance"]})) == "forbid"
    assert verdict(text, wish()) == "forbid"


def test_a_stranger_is_in_nothing() -> None:
    text = '@id("o") permit (principal in Role::"operator", action, resource);'
    assert verdict(text, wish()) == "permit"
    assert verdict(text, replace(wish(), principals=frozenset())) == "forbid"


def _forbidden(when: str, given: Wish) -> bool:
    text = BASE + f'@id("x") forbid (principal, action in Action::"tool:call", resource) when {{ {when} }};'
    decided = engine(text).decide(given, "acme")
    assert not decided.errors
    return decided.verdict is Verdict.FORBID


DOCUMENT = Label(Origin.DOCUMENT, "docs/a.md").as_json()


def test_where_control_arguments_came_from() -> None:
    untrusted = 'context.untrusted.contains("to")'
    assert not _forbidden(untrusted, wish())
    assert _forbidden(untrusted, wish(labels={"to": [ASKER.as_json(), DOCUMENT]}))
    assert _forbidden(untrusted, wish(labels={}))  # nobody vouches
    assert not _forbidden(
        'context.untrusted.contains("note")', wish({"note": "x"}, labels={"note": [DOCUMENT]})
    )
    assert _forbidden(
        'context.origins.contains("document")', wish({"note": "x"}, labels={"note": [DOCUMENT]})
    )


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Bob <bob@EVIL.example>", "evil.example"),
        ("see https://evil.example/a?b", "evil.example"),
        ("https://good.example@evil.example:8080/", "evil.example"),
        ("a@good.example,b@evil.example.", "evil.example"),
        ("//a@[evil.example]", "evil.example"),
        ("https://evil.example?a=@good.example", "evil.example"),
        ("https://evil.example#@good.example", "evil.example"),
        ("https://evil.example\\@good.example", "evil.example"),
        ("https:\\\\evil.example/x", "evil.example"),
        ("HTTPS:/evil.example/x", "evil.example"),
        ("https:/\n/evil.example/x", "evil.example"),
        ("https://good.example\n.evil.example", "good.example.evil.example"),
        ("https://good.example,.evil.example/", "good.example,.evil.example"),
        ("https://a@b@evil.example/", "evil.example"),
        ("eve\uff20evil.example", "evil.example"),
        ("https\uff1a//evil.example", "evil.example"),
        ("(see https://evil.example), or", "evil.example"),
    ],
)  # fmt: skip
def test_addresses_are_seen(text: str, domain: str) -> None:
    assert _forbidden(f'context.domains.contains("{domain}")', wish({"to": text}))
    assert _forbidden(f'context.domains.contains("{domain}")', wish({"tags": ["a", text]}))


def test_amounts_are_seen_however_deep() -> None:
    deep = wish({"lines": [{"net_amount": 3}, {"x": {"amount": -70}}]})
    assert _forbidden("context has amount && context.amount == 70", deep)
    assert not _forbidden("context has amount", wish({"to": "x"}))


def test_what_policy_cannot_see_is_named() -> None:
    assert _forbidden('context.unseen.contains("lines")', wish({"lines": [{}]}))
    assert _forbidden('context.unseen.contains("box")', wish({"box": {"deep": 1, "rate": 0.5}}))
    assert not _forbidden(
        "!context.unseen.isEmpty()", wish({"box": {"deep": 1}, "note": None, "tags": ["a"]})
    )
    assert _forbidden("context.arguments has box && context.arguments.box has deep && context.arguments.box.deep == 1",
                      wish({"box": {"deep": 1}}))  # fmt: skip


def test_an_action_that_is_no_tool() -> None:
    text = '@id("a") permit (principal in Role::"operator", action == Action::"audit:read", resource == Tenant::"acme");'
    given = replace(wish(), action="audit:read", resource="acme")
    assert verdict(text, given) == "permit"
    assert verdict(text, given, "globex") == "forbid"


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("true", set()),
        ("context.mode == context.approved.contains(context.hour) || context has amount", {"mode", "approved", "hour", "amount"}),
        ('context["m\\u{6f}de"] == "live"', {"mode"}),
        ("context.arguments has a && context.arguments.a.b == 1", {"arguments"}),
        ("[context].contains(context)", None),
        ("(if context.hour == 1 then context else context).mode == \"live\"", None),
        ("context has arguments.amount", {"arguments"}),
    ],
)  # fmt: skip
def test_what_a_rule_asks_about(condition: str, names: set[str] | None) -> None:
    assert asked(f"permit (principal, action, resource) unless {{ {condition} }};") == names


def test_the_second_decision_of_a_shape_is_as_strict_as_the_first() -> None:
    policy = engine(BASE)  # its rules ask about nothing
    for _ in range(2):
        assert policy.decide(wish(), "acme").verdict is Verdict.PERMIT
        for bad in ({"to": 5, "amount": 5}, {"to": "x", "amount": 2**63}, {"to": "x", "amount": -(2**64)}):
            decided = policy.decide(wish(bad), "acme")
            assert decided.verdict is Verdict.FORBID and decided.errors


def test_a_rule_that_no_approval_lifts_is_not_lifted_by_one_that_another_rule_asks_for() -> None:
    text = BASE + (
        '@id("a") @approval("approver") forbid (principal, action, resource) unless { context.approved.contains("approver") };\n'
        '@id("b") forbid (principal, action, resource) unless { context.approved.contains("approver") };\n'
    )
    assert verdict(text, wish()) == "forbid"
    assert verdict(text, wish(approved=["approver"])) == "permit"


def test_no_approval_is_asked_for_that_would_end_in_an_error() -> None:
    text = BASE + (
        '@id("a") @approval("approver") forbid (principal, action, resource) unless { context.approved.contains("approver") };\n'
        '@id("b") forbid (principal, action, resource) when { context.approved.contains("approver") &&\n'
        "context has amount && context.amount * 1000000000000 > 5 };\n"
    )
    assert verdict(text, wish({"amount": 0})) == "needs_approval"
    assert verdict(text, wish({"amount": 2**50})) == "forbid"


@pytest.mark.parametrize("text", ["12:30", "C:\\temp", "note: call bob", "a\\b", "no address"])
def test_what_is_no_address(text: str) -> None:
    assert not _forbidden("!context.domains.isEmpty()", wish({"to": text}))


def test_an_address_is_seen_in_the_name_of_a_field_too() -> None:
    inside = wish({"lines": [{"eve@evil.example": 1}]})
    assert _forbidden('context.domains.contains("evil.example")', inside)
    assert not _forbidden("!context.domains.isEmpty()", wish({"lines": [{"eve": 1}]}))


@pytest.mark.parametrize(
    "name",
    [
        "amount",
        "amount_minor",
        "net_amount",
        "totalAmount",
        "Amount",
        "amounts",
        "AMOUNT",
        "amountMinor",
        "NET_AMOUNT",
        "amount2",
    ],
)
def test_an_amount_is_one_however_its_author_spells_it(name: str) -> None:
    assert _forbidden("context has amount && context.amount == 70", wish({"lines": [{name: 70}]}))


@pytest.mark.parametrize("name", ["paramount", "amounted", "Paramount"])
def test_what_is_no_amount(name: str) -> None:
    assert not _forbidden("context has amount", wish({"lines": [{name: 70}]}))


def test_a_rule_after_a_comment_that_an_old_mac_ended_is_not_lost() -> None:
    text = BASE + '// nobody pays\r@id("never") forbid (principal, action, resource);\n'
    assert verdict(text, wish()) == "forbid"
    assert [rule.line for rule in statements({"a.cedar": text})] == [1, 2]


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ('principal in Role::"aprover"', "no role aprover"),
        ('principal in Group::"contractors"', "TENANT/NAME"),
        ('principal == User::"alice"', "TENANT/NAME"),
    ],
)
def test_a_forbid_rule_that_names_nobody_there_can_be_is_not_loaded(who: str, says: str) -> None:
    """Cedar does not look at ids: with a typo the rule would never apply, and what it forbids would be permitted."""
    for text in (
        f"forbid ({who}, action, resource);",
        f"forbid (principal, action, resource) when {{ {who} }};",
    ):
        with pytest.raises(ManifestError, match=says):
            engine(f'{BASE}@id("never") {text}')


def test_an_address_behind_any_userinfo_is_seen() -> None:
    text = f"https://good.example:{'x' * 5000}@good.example,.evil.example/"
    assert _forbidden('context.domains.contains("good.example,.evil.example")', wish({"to": text}))
    both = wish({"to": "https://good.example,https://evil.example"})
    assert _forbidden('context.domains.containsAll(["good.example", "evil.example"])', both)


def test_an_amount_that_is_written_as_text_is_not_overlooked() -> None:
    wide = replace(
        PAY,
        roles={},
        parameters={"type": "object", "properties": {"amount": {"type": "string"}, "to": {"type": "string"}}},
    )
    rule = '@id("x") forbid (principal, action in Action::"tool:call", resource)'
    for amount, unseen in (("5000.00", True), ("\u0665 EUR", True), ("all of it", False)):
        given = wish({"amount": amount, "to": "bob 5"})
        said = engine(f'{BASE}{rule} when {{ context.unseen == ["amount"] }};', wide)
        assert (said.decide(given, "acme").verdict is Verdict.FORBID) is unseen


@pytest.mark.parametrize(
    "wild",
    [
        "(" * 5000 + "true" + ")" * 5000,
        "true" + " && true" * 5000,
        "1" + " + 1" * 5000 + " == 1",
        "principal" + ".a" * 5000 + " == 1",
        "principal" + '["a"]' * 5000 + " == 1",
        "[" * 5000 + "]" * 5000 + " == []",
        "if true then " * 5000 + "true" + " else false" * 5000,
        "true }" + " when { true }" * 5000 + " when { true",
    ],
)
def test_a_rule_that_would_exhaust_the_parsers_stack_never_reaches_it(wild: str) -> None:
    with pytest.raises(ManifestError, match="brackets within brackets"):
        statements({"a.cedar": f'@id("a") permit (principal, action, resource) when {{ {wild} }};'})


def test_what_stands_in_a_text_or_a_remark_does_not_make_a_rule_deep() -> None:
    said = f'context.mode == "{"(" * 900}" // {"[" * 900}\n'
    rule = f'@id("a") permit (principal, action, resource) when {{ {said} }};'
    assert [r.id for r in engine(rule).rules] == ["a"]
    many = ", ".join(f'User::"acme/user:u{n}"' for n in range(2000))
    listed = f"when {{ principal in [{many}] }}"
    assert statements({"a.cedar": f'@id("a") permit (principal, action, resource) {listed};'})
