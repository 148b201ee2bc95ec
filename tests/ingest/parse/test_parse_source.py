"""AsciiDoc, JSON and source code: the text is the file, blocks know where they belong."""

from __future__ import annotations

import pytest

from affidavit.domain.records import Parsed
from affidavit.ingest.parse.read import parse


def read(text: str, media_type: str) -> Parsed:
    parsed = parse(text.encode(), media_type, "src/name.x")
    assert parsed.text == text
    return parsed


def blocks(parsed: Parsed) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(b.kind, parsed.text[b.start : b.end], b.path) for b in parsed.blocks]


def test_asciidoc() -> None:
    text = (
        "= Guide\n:toc: left\n\n// unseen\nOne\nparagraph.\n\n== Steps\n\n. first\n. second\nmore\n\n"
        "[source,sh]\n----\nls\n\npwd\n----\n"
        "////\nhidden\n////\n|===\n|a |b\n\n|1 |2\n|===\n"
    )
    parsed = read(text, "text/asciidoc")
    steps = ("Guide", "Steps")
    assert blocks(parsed) == [
        ("heading", "= Guide", ()),
        ("paragraph", "One\nparagraph.", ("Guide",)),
        ("heading", "== Steps", ("Guide",)),
        ("list", ". first", steps),
        ("list", ". second\nmore", steps),
        ("code", "ls\n\npwd", steps),
        ("table", "|a |b\n\n|1 |2", steps),
    ]
    assert parsed.title == "Guide"


def test_json_opens_what_is_large_and_keeps_records_whole() -> None:
    record = '{"id": %d, "text": "' + "word " * 60 + '"}'
    text = (
        '{"title": "List", "small": [1, 2],\n "records": [' + ",\n".join(record % n for n in range(8)) + "]}"
    )
    parsed = read(text, "application/json")
    assert parsed.title == "List"
    assert blocks(parsed)[:2] == [("row", '"title": "List"', ()), ("row", '"small": [1, 2]', ())]
    assert [b[2] for b in blocks(parsed)[2:]] == [("records",)] * 8
    assert blocks(parsed)[9][1] == record % 7


def test_json_lines() -> None:
    parsed = read('{"a": 1}\n\n{"a": 2}\n', "application/x-ndjson")
    assert [b[1] for b in blocks(parsed)] == ['{"a": 1}', '{"a": 2}']


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
@pytest.mark.parametrize("text", ["{", "[1] 2", '{"a": NaN,}', "[" * 100_000, "1" * 10_000, '// c\n{"a": 1}'])
def test_what_is_not_json_is_read_as_the_text_it_is(kind: str, text: str) -> None:
    parsed = read(text, kind)
    assert parsed.metadata["syntax_error"]
    assert blocks(parsed) == [("paragraph", text, ())]


@pytest.mark.parametrize(
    ("media_type", "text", "paths"),
    [
        ("text/x-go", "package a\n\n// F adds.\nfunc F() {\n}\ntype T struct{}\n", [(), ("F",), ("T",)]),
        (
            "text/javascript",
            "let a = 1\nexport class A {\n  m() {\n  }\n}\n",
            [("a",), ("A",), ("A", "A.m"), ("A",)],
        ),
        ("text/x-typescript", "interface I {\n  a: string\n}\n", [("I",)]),
        ("text/x-rust", "impl A {\n    fn f() {}\n}\nstruct B;\n", [("A",), ("A", "A.f"), ("A",), ("B",)]),
        ("text/x-java", "class A {\n  /** d */\n  void f() {}\n}\n", [("A",), ("A", "A.f"), ("A",)]),
        ("text/x-c", "#include <a.h>\nint f(void) {\n  return 1;\n}\n", [(), ("f",)]),
        (
            "text/x-c++",
            "namespace n {\nclass C {\n  void g() {}\n};\n}\n",
            [("n",), ("n", "n.C"), ("n", "n.C", "n.C.g"), ("n", "n.C"), ("n",)],
        ),
        ("text/x-ruby", "class A\n  def f\n  end\nend\n", [("A",), ("A", "A.f"), ("A",)]),
    ],
)
def test_definitions_are_blocks(media_type: str, text: str, paths: list[tuple[str, ...]]) -> None:
    parsed = read(text, media_type)
    assert [b.path for b in parsed.blocks] == [("name.x", *path) for path in paths]
    assert {b.kind for b in parsed.blocks} == {"code"}
    assert "".join("".join(b[1] for b in blocks(parsed)).split()) == "".join(text.split())
