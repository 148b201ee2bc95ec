"""Markdown: kinds, paths, titles, front matter, and time on hostile input."""

from __future__ import annotations

import time

import pytest

from affidavit.domain.records import Parsed
from affidavit.ingest.parse import markdown
from affidavit.ingest.parse.frontmatter import front_matter
from affidavit.ingest.parse.markdown import heading_words, parse_markdown


def md(text: str) -> Parsed:
    return parse_markdown(text, "a.md")


def shown(parsed: Parsed) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(b.kind, parsed.text[b.start : b.end], b.path) for b in parsed.blocks]


def test_kinds_and_paths() -> None:
    parsed = md(
        "intro\n\n# One\r\n\r\npara\r\nmore\r\n\r\n## Two\n- a\n  - b\n\n  c\n- d\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n"
        "```py\n# not a heading\n```\n\n> q\n> r\n\n# Three\n\nSet\next\n---\nend"
    )
    assert parsed.title == "One"
    assert shown(parsed) == [
        ("paragraph", "intro", ()),
        ("heading", "# One", ()),
        ("paragraph", "para\r\nmore", ("One",)),
        ("heading", "## Two", ("One",)),
        ("list", "- a\n  - b\n\n  c", ("One", "Two")),
        ("list", "- d", ("One", "Two")),
        ("table", "| x | y |\n|---|---|\n| 1 | 2 |", ("One", "Two")),
        ("code", "```py\n# not a heading\n```", ("One", "Two")),
        ("quote", "> q\n> r", ("One", "Two")),
        ("heading", "# Three", ()),
        ("heading", "Set\next\n---", ("Three",)),
        ("paragraph", "end", ("Three", "Set ext")),
    ]


def test_odd_line_ends_do_not_shift_offsets() -> None:
    parsed = md("a\x0bb\x85c\u2028d\re\r\n\r\n# H\x0c\r\rlast\x1c line")
    assert [text for _, text, _ in shown(parsed)] == ["a\x0bb\x85c\u2028d\re", "# H", "last\x1c line"]


def test_hidden_text_is_left_out() -> None:
    parsed = md(
        "a\n\n<!-- one\n\ntwo --> after\n\n[//]: # (do as I say)\n[x]: http://e.org 'title'\n\nb [x]\n\n<!-- never closed\n\nc"
    )
    texts = [text for _, text, _ in shown(parsed)]
    assert texts == ["a", "after", "b [x]", "<!-- never closed\n\nc"]


def test_rules_and_raw_html_are_kept() -> None:
    assert [(k, t) for k, t, _ in shown(md("a\n\n***\n\n<div>\nx <!-- y --> z\n</div>\n"))] == [
        ("paragraph", "a"),
        ("paragraph", "***"),
        ("paragraph", "<div>\nx"),
        ("paragraph", "z\n</div>"),
    ]


def test_front_matter() -> None:
    parsed = md(
        "---\r\ntitle: \"Ex: penses\"\n# note\ntags: [finance, 'travel']\nowners:\n  - bob\n- eve\nempty:\n---\n# Body\n"
    )
    assert parsed.title == "Ex: penses"
    assert dict(parsed.metadata) == {
        "title": "Ex: penses",
        "tags": ["finance", "travel"],
        "owners": ["bob", "eve"],
        "empty": "",
    }
    assert [text for _, text, _ in shown(parsed)] == ["# Body"]


@pytest.mark.parametrize(
    "head",
    [
        "a: {b: c}",
        "a:\n  b: c",
        "a: 1\na: 2",
        "a: &x y",
        "a: |\n  b",
        "a: 1\nnot a pair",
        'a: "\\n"',
        "a: [b, [c]]",
        "a: b: c",
    ],
)
def test_malformed_front_matter_is_text(head: str) -> None:
    text = f"---\n{head}\n---\n\nbody\n"
    parsed = md(text)
    assert parsed.metadata == {}
    assert parsed.title == ""
    assert [(kind, path) for kind, _, path in shown(parsed)] == [("paragraph", ()), ("paragraph", ())]
    assert parsed.text == text


def test_a_rule_at_the_beginning_is_not_front_matter() -> None:
    assert front_matter("---\nJust text.\n---\n") is None
    assert front_matter("---\ntitle: x\n") is None
    assert front_matter("text") is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("## A **b** _c_ `d`  ##", "A b c d"),
        ("# [Link](http://x) and [ref][r]", "Link and ref"),
        ("### snake_case_name C#", "snake_case_name C#"),
        ("# Title {#anchor}", "Title"),
        ('# <a name="x"></a>Title', "Title"),
        ("Two\nlines\n===", "Two lines"),
        ("#", ""),
        ("#hashtag\n---", "#hashtag"),
    ],
)
def test_heading_words(source: str, words: str) -> None:
    assert heading_words(source) == words


HOSTILE = {
    "brackets": "[" * 200_000,
    "quotes": ">" * 200_000,
    "quotes spaced": "> " * 100_000,
    "lazy lines under quotes": ">" * 200 + " a\n" + "b\n" * 60_000,
    "stars": "*" * 200_000,
    "star lists": "* " * 100_000,
    "backticks": "`" * 200_000,
    "backtick lines": "`\n" * 40_000,
    "ordered": "1. " * 60_000,
    "nested list": "".join("  " * i + "- a\n" for i in range(300)),
    "one line": "word " * 200_000,
    "comments": "<!--\n" * 40_000,
    "comments closed": "<!-- -->" * 25_000,
    "heading spaces": "# a" + " " * 200_000 + "b",
    "heading stars": "# " + "*a " * 60_000,
    "definitions": '[a]: b "\n' + "c\n" * 40_000,
    "table": "|a" * 500 + "|\n" + "|-" * 500 + "|\n" + "|\n" * 5_000,
    "front matter": "---\n" + "a: b\n" * 40_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_markdown_takes_bounded_time(name: str) -> None:
    before = time.process_time()
    parsed = md(HOSTILE[name])
    assert time.process_time() - before < 20
    assert "".join(parsed.text[b.start : b.end] for b in parsed.blocks)[:1] or name == "comments closed"


def test_a_huge_file_gets_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MOST_CHARACTERS", 10)
    assert [kind for kind, _, _ in shown(md("# a\n\nb\n\nccccccccc"))] == ["paragraph"] * 3
