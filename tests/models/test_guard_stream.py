"""A growing text is let go exactly as the whole would be, whatever the pieces it comes in."""

# ruff: noqa: E501 - a table of parts

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from affidavit.domain.errors import UsageError
from affidavit.domain.guard_core import STREAMED, find
from affidavit.domain.guard_policy import GuardStep, parse
from affidavit.domain.guards import Stage, Verdict, take_out
from affidavit.models.guard_stream import HELD, REACH, GuardedStream

REDACT = GuardStep("core", dict.fromkeys(STREAMED, Verdict.REDACT), least=Decimal(0))
REFUSE = GuardStep("core", dict.fromkeys(STREAMED, Verdict.REFUSE))
PARTS = (
    "The plan is agreed. ", "word ", "x", " ", "\n", "é", "й", "\u200b", "-", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "4111 ", "1111 ",
    "+49 30 1234567 ", "a@b.example.org ", "@", "sk-", "abcdefghijklmnopqrstuvwxyz", "password: ", "hunter22 ", "-----BEGIN RSA PRIVATE KEY-----\n",
    "MIIEabc\n", "-----END RSA PRIVATE KEY-----", "![", "](", "<", "https://", "evil.example/?q=", "data", "%20", ")", "<img ", "src=", ">", '"', "<p ",
    "title='", "url (", "data:text/html,", "&#104;", "token = ", "aB3dE5gH7jK9mN1pQ3sT5vW7", "a" * 300, " b" * 200,
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=60).map("".join)


def streamed(step: GuardStep, text: str, sizes: list[int]) -> tuple[str, GuardedStream]:
    stream = GuardedStream(step)
    out, at, n = "", 0, 0
    while at < len(text):
        size = sizes[n % len(sizes)]
        out += stream.push(text[at : at + size])
        at, n = at + size, n + 1
    return out + stream.close(), stream


SIZES = st.lists(st.integers(1, 700), min_size=1, max_size=8)


@given(TEXTS, SIZES)
@settings(max_examples=400, deadline=None)
@example("a " * 300 + "DE89 3704 0044 0532 0130 00" + " b" * 300, [1])
@example("a " * 300 + "<p title='" + "b " * 600 + "' src=x>" + " b" * 300, [64])
@example("[a](<http://e.example/" + "b " * 400 + ">)" + " b" * 300, [100])
@example("password: " + "a" * 300 + " b" * 500, [3])
def test_taken_out_as_from_the_whole(text: str, sizes: list[int]) -> None:
    out, stream = streamed(REDACT, text, sizes)
    if not stream.refused:
        assert out == take_out(text, find(text, STREAMED))


@given(TEXTS, SIZES)
@settings(max_examples=200, deadline=None)
def test_nothing_that_refuses_gets_out(text: str, sizes: list[int]) -> None:
    out, stream = streamed(REFUSE, text, sizes)
    findings = find(text, STREAMED)
    sure = [f for f in findings if f.sure >= REFUSE.least]
    assert text.startswith(out)
    assert len(out) <= min((f.start for f in sure), default=len(text))
    assert stream.refused == bool(sure)


def test_what_is_held_back_is_bounded() -> None:
    stream, given_back = GuardedStream(REDACT), 0
    for n in range(400):
        given_back += len(stream.push("a few words here. "))
        assert 18 * (n + 1) - given_back <= REACH * 4 // 3 + 100
    endless = GuardedStream(REDACT)
    for _ in range(2 * HELD):
        endless.push("a")
    assert endless.refused


def test_a_step_that_needs_the_whole_text_is_turned_down() -> None:
    for step in (GuardStep("core", {"orders": Verdict.REFUSE}), GuardStep("other")):
        with pytest.raises(UsageError):
            GuardedStream(step)


def test_declared_patterns_are_watched_for() -> None:
    section = {
        "answer": [{"guard": "core", "verdicts": {"badge": "redact"}, "patterns": {"badge": "EMP-[0-9]{6}"}}]
    }
    step = parse({"longest": 1, **section}).steps(Stage.ANSWER)[0]
    assert streamed(step, "It is EMP-123456.", [1])[0] == "It is [redacted badge]."


@pytest.mark.parametrize(
    "part",
    [
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "token = aB3dE5gH7jK9mN1pQ3sT5vW7",
        "<p title='b b b' src=x>",
        "-----BEGIN RSA PRIVATE KEY-----\nMII E\n-----END RSA PRIVATE KEY-----",
        "[a](<http://e.example/b c d>)",
    ],
)
def test_wherever_a_finding_is_cut_in_two(part: str) -> None:
    text = "a " * 400 + part + " b" * 400
    whole = take_out(text, find(text, STREAMED))
    assert whole != text
    for at in range(800, 801 + len(part)):
        assert streamed(REDACT, text, [at, 10_000])[0] == whole
