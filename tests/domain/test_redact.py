"""What is found in text, what is not, and that no text makes it slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.errors import UsageError
from affidavit.domain.redact import _EMAIL, _PHONE, BUILT_IN, Found, declared, luhn, redact

FOUND = {
    "email": ["a.b+c@mail.example.org", "jürgen@exämple.de", "x@y.co"],
    "phone": [
        "+49 30 1234567",
        "+1 (415) 555-2671",
        "030/1234567",
        "(415) 555-2671",
        "0044 20 7946 0958",
        "0171-1234567",
    ],
    # examples of the ECBS register
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "fr14 2004 1010 0505 0001 3m02 606",
        "NO93-8601-1117-947",
    ],
    # test numbers that the card schemes publish
    "payment-card": [
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "378282246310005",
        "30569309025904",
        "2223003122003222",
    ],
    "national-id": [
        "078-05-1120",
        "AB 12 34 56 C",
        "86095742719",
        "65 929 970 489",
        "12345678Z",
        "X1234567L",
        "2 55 08 14 168 025 38",
        "RSSMRA85T10A562S",
        "44051401359",
    ],
    "api-key": [
        "sk-ant-api03-abcdefghijklmnopqrst",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "password: hunter22",
        'API_KEY="0123456789"',
        "xoxb-123456789012-abcdef",
    ],
    "private-key": [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncut off",
    ],
}
NOT_FOUND = {
    "email": ["a@b", "at 5 @ home", "@handle", "r0123456789abcdef0123.4"],
    "phone": [
        "2026-11-21",
        "01.02.2026",
        "10.0.0.1",
        "1234567",
        "0.123456",
        "version 1.2.3",
        "2026-11-21T10:00:00Z",
    ],
    "iban": [
        "DE88 3704 0044 0532 0130 00",
        "DE89 3704",
        "XX89 3704 0044 0532 0130 00",
        "ABDE89370400440532013000",
    ],
    "payment-card": [
        "4111 1111 1111 1112",
        "1234567890123",
        "9111111111111111",
        "a4111111111111111",
        "41111111111111110",
    ],
    "national-id": [
        "000-12-3456",
        "666-12-3456",
        "12345678A",
        "86095742718",
        "RSSMRA85T10A562T",
        "44051401358",
        "QQ 12 34 56 E",
    ],
    "api-key": ["sk-short", "task-force-one-two-three-four-five", "the password is long", "AKIA123"],
    "private-key": ["-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"],
}


def run(text: str, *names: str) -> tuple[str, Found]:
    found = Found()
    return redact(text, [BUILT_IN[name] for name in names or BUILT_IN], found), found


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in FOUND.items() for t in texts])
def test_found(name: str, text: str) -> None:
    out, found = run(f"so: {text}, ok?" if name != "private-key" else f"so {text}", name)
    assert out.startswith(f"so: [redacted {name}]" if name != "private-key" else f"so [redacted {name}]")
    assert found.counts == {name: 1}
    assert text.removeprefix("(") in found.texts[0] or found.texts[0] in text


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in NOT_FOUND.items() for t in texts])
def test_not_found(name: str, text: str) -> None:
    assert run(f"so {text} ok", name)[0] == f"so {text} ok"


def test_every_rule_is_tried() -> None:
    assert set(FOUND) == set(NOT_FOUND) == set(BUILT_IN)


def test_a_card_is_found_before_what_follows_it() -> None:
    assert run("4111 1111 1111 1111 12/27 123")[0] == "[redacted payment-card] 12/27 123"
    assert run("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF")[0] == "IBAN [redacted iban] BIC COBADEFF"


@given(st.text(st.characters(codec="ascii"), max_size=300))
def test_what_is_left_holds_nothing_any_more(text: str) -> None:
    once, _ = run(text, "email", "iban", "payment-card")
    assert run(once, "email", "iban", "payment-card")[0] == once


@given(st.integers(10**14, 10**15 - 1))
def test_luhn_takes_one_check_digit_in_ten(number: int) -> None:
    assert sum(luhn(f"{number}{d}") for d in range(10)) == 1


ATTACKS = [
    "a" * 50_000,
    "1" * 50_000,
    "1 " * 25_000,
    "a@" * 25_000,
    "a." * 25_000,
    "x@" + "a." * 25_000,
    "+1" * 25_000,
]
ATTACKS += [
    "(0" * 25_000,
    "eyJ" * 17_000,
    "eyJaaaaaaaa." * 5_000,
    "sk-" * 17_000,
    "-----BEGIN PRIVATE KEY" * 2_000,
]
ATTACKS += [
    "password" * 6_000,
    "password:" * 6_000,
    "DE89" * 12_000,
    "4" + " 4" * 25_000,
    "-----BEGIN RSA PRIVATE KEY-----" * 1_500,
]
ATTACKS += ["a-" * 25_000, "0 0" * 17_000, "A0" * 25_000]


@pytest.mark.parametrize("n", range(len(ATTACKS)))
@pytest.mark.timeout(100)  # milliseconds where searching is linear, and hours where it is not
def test_no_text_makes_it_slow(n: int) -> None:
    run(ATTACKS[n])


@pytest.mark.timeout(100)
def test_no_declared_pattern_is_slow() -> None:
    for pattern in (
        "[a-z]{0,60}[a-z]{0,60}[a-z]{0,60}[a-z]{3}!",
        "a?a?a?a?a?a?a?a?aaaaaaaab",
        r"\w{1,64}\w{1,64}\d{3}",
    ):
        redact("a" * 20_000, [declared("x", pattern)], Found())


@pytest.mark.parametrize(
    "pattern", ["EMP-[0-9]{6}", r"\d{3}-?\d{4}", r"[A-Z]{2,3}\.x{3}", "[^\\s]{5}", "é{3}"]
)
def test_a_declared_pattern_means_what_it_says(pattern: str) -> None:
    texts = ["EMP-123456", "1234567", "123-4567", "AB.xxx", "ééé", "EMP-12345"]
    for text in texts:
        plain = re.sub(pattern, "[redacted x]", text)
        assert redact(text, [declared("x", pattern)], Found()) == plain


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "a*bcd",
        "a|bcd",
        "abc$",
        ".{3}",
        "a{3,2}bc",
        "ab",
        "a{99}b{99}c{99}",
        "[b-a]{3}",
        "[abc",
        "\\1abc",
        "",
        "a++b",
    ],
)
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        declared("x", pattern)


def test_the_built_in_patterns_give_nothing_back() -> None:
    """An open repeat without a plus behind it could go back and forth."""
    for pattern in (_EMAIL, _PHONE):
        assert not re.search(r"(?<!\\)[*+](?![+)\]])", re.sub(r"\[[^\]]*\]|\\.|\}\+|\?\+", "", pattern))
