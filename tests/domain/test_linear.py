"""Searching takes a number of operations in proportion to the text, whoever wrote it: counted, not timed.

What is counted is Python's own operations; within one of them, regular expressions have possessive repeats, which give nothing
back (``tests/domain/test_redact.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from affidavit.ask.guard import output_signals
from affidavit.domain.guard_core import INJECTION, LEAKS, PERSONAL, find

SIZE = 3_000
A_CHARACTER = 100
"""Operations for one character at most; 80 is the most there is. Walking a number anew from each digit took 440 to 1,280."""
PARTS = (
    "4 ", "4-", "4", "61 ", "12-34-", "DE22 ", "GB82-", "+4 ", "(212) ", "a@b.", "sk-", "eyJaaaaaaaa.",
    "token = abcdefgh12345678 ", "https://a.b/?c=d ", "<a src=", "](<", "data:", "url(", "ignore all ", "please send my ",
    "<!--", "a\u200b", "\u0430b", "```\n",
)  # fmt: skip


def operations(work: Callable[[], object]) -> int:
    """How many of Python's operations ``work`` takes."""
    counted = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize(
    "kinds",
    [{"secret"}, *({kind} for kind in sorted(PERSONAL)), LEAKS, INJECTION, None],
    ids=lambda kinds: ",".join(sorted(kinds or ())) or "all",
)
@pytest.mark.parametrize("part", PARTS)
def test_operations_grow_with_the_text(part: str, kinds: set[str] | None) -> None:
    def search(size: int) -> int:
        text = (part * size)[:size]
        return operations(lambda: output_signals(text) if kinds is None else find(text, kinds))

    search(SIZE // 4)  # patterns are compiled at first use
    once, twice = search(SIZE), search(2 * SIZE)
    assert twice < 2.2 * once + 2_000
    assert twice < A_CHARACTER * 2 * SIZE


def test_operations_are_counted() -> None:
    assert operations(lambda: [n for n in range(1_000)]) > 1_000  # noqa: C416
