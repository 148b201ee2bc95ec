"""Plain text: paragraphs, and headings only where they are beyond doubt."""

from __future__ import annotations

from affidavit.ingest.parse.plain import parse_plain


def kinds(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    parsed = parse_plain(text, "a.txt")
    return [(b.kind, text[b.start : b.end], b.path) for b in parsed.blocks]


def test_paragraphs() -> None:
    assert kinds("  a\r\n b\r\n \t\r\nc\n\n\n") == [("paragraph", "a\r\n b", ()), ("paragraph", "c", ())]
    assert kinds(" \n\t") == []


def test_headings_and_paths() -> None:
    text = "Guide\n=====\nIntro.\n\nSetup\n-----\n\nDo it.\n\nTERMS OF USE\n\n1.1 Scope\n\nAll of it.\n\n2 Fees\n\nNone."
    assert parse_plain(text, "").title == "Guide"
    assert kinds(text) == [
        ("heading", "Guide\n=====", ()),
        ("paragraph", "Intro.", ("Guide",)),
        ("heading", "Setup\n-----", ("Guide",)),
        ("paragraph", "Do it.", ("Guide", "Setup")),
        ("heading", "TERMS OF USE", ()),
        ("heading", "1.1 Scope", ("TERMS OF USE",)),
        ("paragraph", "All of it.", ("TERMS OF USE", "1.1 Scope")),
        ("heading", "2 Fees", ("TERMS OF USE",)),
        ("paragraph", "None.", ("TERMS OF USE", "2 Fees")),
    ]


def test_what_only_looks_like_a_heading() -> None:
    for text in (
        "ERROR: DISK FULL.\n\nx",
        "1. Buy milk.\n\nx",
        "A\n\nx",
        "2024\n\nx",
        "----\n----\n\nx",
        "text\n\nLAST LINE",
    ):
        assert all(kind == "paragraph" for kind, _, _ in kinds(text)), text
    assert kinds("a long line that is underlined by few\n---\n\nx")[0][0] == "paragraph"
