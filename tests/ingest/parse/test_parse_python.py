"""Python source: definitions as blocks, never executed, never a warning, never a crash."""

from __future__ import annotations

import time

import pytest

from affidavit.ingest.parse.python import module_name, parse_python

SOURCE = '''"""Money."""
import os

# How much.
# In cents.
@cache
def total(x):
    def inner(): ...
    return "\\d" is 1

LIMIT = 3
class Bill:
    """A bill."""

    rate = 2

    async def pay(self):
        pass
    class Line:
        def net(self): return 1
    end = 1

print("ran")
'''


def test_definitions() -> None:
    parsed = parse_python(SOURCE, "pkg/billing.py")
    assert parsed.title == "billing"
    assert parsed.metadata == {}
    assert [(b.path, parsed.text[b.start : b.end].splitlines()[0]) for b in parsed.blocks] == [
        (("billing",), '"""Money."""'),
        (("billing", "total"), "# How much."),
        (("billing",), "LIMIT = 3"),
        (("billing", "Bill"), "class Bill:"),
        (("billing", "Bill", "Bill.pay"), "async def pay(self):"),
        (("billing", "Bill", "Bill.Line"), "class Line:"),
        (("billing", "Bill", "Bill.Line", "Bill.Line.net"), "def net(self): return 1"),
        (("billing", "Bill"), "end = 1"),
        (("billing",), 'print("ran")'),
    ]
    assert {b.kind for b in parsed.blocks} == {"code"}


def test_source_is_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    parse_python(SOURCE, "x.py")
    assert capsys.readouterr().out == ""


def test_form_feeds_and_carriage_returns_do_not_shift_lines() -> None:
    text = "x = 1\r\x0c\ry = '\x0b\u2028'\rdef f():\r    pass\r"
    blocks = parse_python(text, "m.py").blocks
    assert text[blocks[-1].start : blocks[-1].end] == "def f():\r    pass"


def test_a_syntax_error_falls_back_to_paragraphs() -> None:
    parsed = parse_python("x = 1\n\ndef f(:\n", "m.py")
    assert parsed.metadata == {"syntax_error": "line 3"}
    assert [(b.kind, b.path) for b in parsed.blocks] == [("paragraph", ("m",))] * 2


@pytest.mark.parametrize(
    "source",
    [
        "-" * 100_000 + "1",
        "+".join("a" * 50_000),
        "a" + ".b" * 50_000,
        "(" * 100_000,
        "if a: pass\n" + "elif a: pass\n" * 20_000,
        "".join(" " * i + "if a:\n" for i in range(200)),
        "lambda:" * 50_000,
        "x = " + "1" * 10_000,
    ],
)
def test_deep_nesting_is_a_fault_not_a_crash(source: str) -> None:
    before = time.process_time()
    parsed = parse_python(source, "m.py")
    assert "syntax_error" in parsed.metadata
    assert parsed.blocks
    assert time.process_time() - before < 15


def test_module_names() -> None:
    assert module_name("a/b.py") == "b"
    assert module_name("a/__init__.py") == "a"
    assert module_name("__init__.py") == "__init__"
    assert module_name("a\\b.pyi") == "b"
