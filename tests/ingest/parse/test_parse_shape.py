"""What every parser promises, over random and hostile input: blocks in order, inside the text, never empty, nothing dropped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bench.parsing import recall
from hypothesis import example, given, settings
from hypothesis import strategies as st

from affidavit.domain.errors import ParseError
from affidavit.domain.media import MEDIA_TYPES, is_own_text, media_type_for
from affidavit.domain.records import Parsed
from affidavit.ingest.parse.code import LANGUAGES
from affidavit.ingest.parse.docx import DOCX
from affidavit.ingest.parse.pool import shared
from affidavit.ingest.parse.read import PARSERS, TEXTS, parse

SHARED = Path(__file__).parents[3].parent / "shared" / "datasets" / "parsing"
KINDS = {"heading", "paragraph", "list", "table", "code", "quote", "row"}

# Characters that other line splitters take for line ends, white space of all sorts, astral, combining
ODD = "\r\x0b\x0c\x1c\x85\u2028\u2029\u00a0\u200b\ufeff😀é\u0301"
FRAGMENTS = {
    "text/markdown": [
        *(
            "# ",
            "## ",
            "\n",
            "\r\n",
            "\r",
            "===\n",
            "---\n",
            "- ",
            "1. ",
            "  ",
            "    ",
            "> ",
            "```\n",
            "~~~",
            "word ",
            "*",
        ),
        *("[a]: /x\n", "[a]", "<!-- ", "-->", "<div>", "\t", "|", "a|b\n-|-\n"),
    ],
    "text/plain": [
        "\n",
        "\r\n",
        "\r",
        " ",
        "===\n",
        "---\n",
        "TITLE HERE",
        "1.2 Scope",
        "word ",
        "\n\n",
        ".",
    ],
    "text/csv": [",", ";", "|", "\t", '"', '""', "\n", "\r\n", "\r", "a", "b c", '"x\ny"', " "],
    "text/tab-separated-values": ["\t", ",", '"', '""', "\n", "\r\n", "a", "b c", " "],
    "text/x-python": [
        "def f():\n",
        "class A:\n",
        "    ",
        "pass\n",
        "@d\n",
        "# c\n",
        "\n",
        "\r\n",
        "\r",
        "x = 1\n",
        '"""',
        "(",
        ")",
        "async ",
        "\\\n",
        ";",
        "\x0c",
    ],
    "text/asciidoc": [
        "= ",
        "== ",
        "\n",
        "\r\n",
        "* ",
        ". ",
        "----\n",
        "====\n",
        "|===\n",
        "////\n",
        "// ",
        ":a: b\n",
        "[a]\n",
        ".T\n",
        "word ",
        "--\n",
    ],
    **{
        kind: "def f|func f() {|class A {|}\n|{|(|)|;\n|// c\n|# c\n|fn g() |int h(void) |\n|\r|end\n| ".split(
            "|"
        )
        for kind in LANGUAGES
    },
    "text/html": (
        "<p>|</p>|<div>|</div>|<div hidden>|<b>|</b>|<ul>|<li>|</ul>|<table>|<tr>|<td>|</td>|</table>|<h1>|</h1>|<h3>"
        "|<pre>|</pre>|\n| |word|&amp;|&lt;|&#0;|<!--|-->|<script>|</script>|<svg>|</svg>|<template>|</template>|<br>"
        "|<blockquote>|<a x='|'>|<title>|</title>|<textarea>|<select>|<option>|<math>|<plaintext>"
        "|<dl><dt>|<button>|<nav>|</nav>|<caption>|<"
    ).split("|"),
}


def check(parsed: Parsed) -> None:
    """The contract of ``Parsed``."""
    end = 0
    for block in parsed.blocks:
        assert end <= block.start < block.end <= len(parsed.text)
        assert parsed.text[block.start : block.end].strip()
        assert block.kind in KINDS
        assert all(isinstance(words, str) and words for words in block.path)
        end = block.end


def outside(parsed: Parsed) -> str:
    """What lies in no block."""
    rest, at = [], 0
    for block in parsed.blocks:
        rest.append(parsed.text[at : block.start])
        at = block.end
    return "".join([*rest, parsed.text[at:]])


def texts(media_type: str) -> st.SearchStrategy[str]:
    fragments = st.sampled_from(FRAGMENTS[media_type])
    anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
    return st.lists(fragments | st.sampled_from(ODD) | anything, max_size=40).map("".join)


@pytest.mark.parametrize("media_type", sorted(FRAGMENTS))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_blocks_keep_the_contract(media_type: str, data: st.DataObject) -> None:
    text = data.draw(texts(media_type))
    try:
        # grammars are other people's C: a fault of theirs must not end this process
        read = shared().parse if media_type in LANGUAGES else parse
        parsed = read(text.encode(), media_type, "dir/name.x")
    except ParseError:
        assert media_type in LANGUAGES
        return
    check(parsed)
    assert parsed == read(text.encode(), media_type, "dir/name.x")
    if media_type != "text/html":
        assert parsed.text == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "text/csv", "text/tab-separated-values", "text/x-python"],
)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_is_dropped(media_type: str, data: st.DataObject) -> None:
    parsed = parse(data.draw(texts(media_type)).encode(), media_type, "name.x")
    assert not outside(parsed).strip()


@given(texts("text/markdown"))
@settings(max_examples=200, deadline=None)
@example("[a]: /x\n[a]: /y\ntext\n")
@example("> [a]: /x\n\n- [b]: /y\n  [c]: /z\n\nend")
@example("a\x0bb\n# h\x85i\r\rend\u2028x")
@example("***\n\n<!-- a -->\n\ntext <!-- kept -->")
def test_markdown_drops_only_what_is_not_shown(text: str) -> None:
    parsed = parse(text.encode(), "text/markdown", "a.md")
    if parsed.metadata:
        return
    rest = re.sub(r"<!--.*?-->", "", outside(parsed), flags=re.DOTALL)
    # A definition: [label]: target "title", which may take several lines
    for paragraph in re.split(r"\n\s*\n", rest.strip()):
        assert not paragraph.strip() or "]:" in paragraph


@pytest.mark.parametrize("media_type", sorted(set(PARSERS) - set(LANGUAGES)))
@given(st.binary(max_size=60))
@settings(max_examples=25, deadline=None)
def test_any_bytes_parse_or_are_refused(media_type: str, data: bytes) -> None:
    try:
        parsed = parse(data, media_type, "x")
    except ParseError as fault:
        assert fault.message
        assert fault.hint
        return
    check(parsed)


def test_media_types() -> None:
    assert media_type_for("a/b/README.MD") == "text/markdown"
    assert media_type_for("x.pyi") == "text/x-python"
    assert media_type_for("x.docx") == DOCX
    assert set(MEDIA_TYPES.values()) == set(PARSERS)
    assert {kind for kind in PARSERS if is_own_text(kind)} == set(TEXTS)
    assert media_type_for("Makefile") is None
    assert parse(b"a", "Text/Plain; charset=utf-8", "x").text == "a"
    with pytest.raises(ParseError, match="application/x-thing"):
        parse(b"a", "application/x-thing", "x")


def _reference() -> list[tuple[str, str]]:
    if not SHARED.is_dir():
        return []
    rows = [json.loads(line) for line in (SHARED / "index.jsonl").read_text().splitlines()]
    return [(row["source"], row["groundtruth"]) for row in rows if row["groundtruth"]]


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/datasets/parsing is absent")
def test_real_files_hold_the_words_of_the_reference() -> None:
    shares = {}
    for source, reference in _reference():
        parsed = parse((SHARED / source).read_bytes(), "application/octet-stream", source)
        check(parsed)
        assert parsed == parse((SHARED / source).read_bytes(), parsed.media_type, source)
        shares[source] = recall(parsed.text, (SHARED / reference).read_text())
    assert len(shares) == 125
    assert sum(shares.values()) / len(shares) >= 0.97, {s: round(n, 2) for s, n in shares.items() if n < 0.97}
