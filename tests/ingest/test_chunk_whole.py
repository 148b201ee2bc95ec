"""No chunk cuts through a row, a list item, a symbol, a message or a clause that fits the limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.domain.media import UNKNOWN
from affidavit.domain.records import Parsed
from affidavit.domain.release import CHUNKING, Chunking
from affidavit.ingest.chunk import chunk, estimate_tokens
from affidavit.ingest.chunk_clause import clauses
from affidavit.ingest.chunk_code import is_source
from affidavit.ingest.chunk_thread import messages
from affidavit.ingest.parse.lines import line_starts, trim
from affidavit.ingest.parse.read import parse

SHARED = Path(__file__).parents[2].parent / "shared" / "datasets"

WORDS = st.lists(
    st.sampled_from(["word", "shall", "party", "Über", "x" * 30, "9.5", "漢字"]), min_size=1, max_size=30
).map(" ".join)
ROW = st.lists(WORDS, min_size=2, max_size=3).map(lambda cells: "| " + " | ".join(cells) + " |")
TABLE = st.lists(ROW, min_size=2, max_size=12).map(lambda rows: "\n".join([rows[0], "|---|---|", *rows[1:]]))
LIST = st.lists(WORDS, min_size=1, max_size=10).map(lambda items: "\n".join(f"- {item}" for item in items))
PAGE = st.lists(
    st.one_of(TABLE, LIST, WORDS, WORDS.map(lambda w: f"## {w[:40]}")), min_size=1, max_size=8
).map("\n\n".join)
CONTRACT = st.lists(WORDS, min_size=6, max_size=15).map(
    lambda bodies: "\n\n".join(f"{n}. Clause {body} shall." for n, body in enumerate(bodies, 1))
)
CODE = st.lists(WORDS, min_size=1, max_size=8).map(
    lambda bodies: "\n\n".join(f'def f{n}():\n    """{body}"""' for n, body in enumerate(bodies))
)
CHAT = st.lists(WORDS, min_size=8, max_size=20).map(
    lambda said: "\n\n".join(f"{'Ann' if n % 2 else 'Bob'}: {words}" for n, words in enumerate(said))
)


def wholes(parsed: Parsed) -> Iterator[tuple[int, int]]:
    """Every stretch that no chunk may cut."""
    shown = [b for b in parsed.blocks if not b.flag]
    source = is_source(parsed)
    for block in shown:
        if block.kind in ("row", "list") or source:
            yield block.start, block.end
        elif block.kind == "table":
            starts = line_starts(parsed.text[block.start : block.end])
            for a, b in pairwise(starts):
                span = trim(parsed.text, block.start + a, block.start + b)
                if span is not None:
                    yield span
    if source:
        return
    marks = [at for at, _ in messages(parsed.text, shown) or clauses(parsed.text, shown)]
    edges = sorted({*marks, *(b.start for b in shown), *(b.end for b in shown)})
    for block in shown:
        inside = [edge for edge in edges if block.start <= edge <= block.end]
        if any(mark in inside for mark in marks):
            for a, b in pairwise(inside):
                span = trim(parsed.text, a, b)
                if span is not None:
                    yield span


def cut(parsed: Parsed, limit: int, name: str = "") -> list[str]:
    """What was cut although it is at most half of the limit: titles, headings and fields may take the other half."""
    edges = {edge for span in chunk(parsed, Chunking(limit=limit), name) for edge in (span.start, span.end)}
    found = []
    for start, end in wholes(parsed):
        piece = parsed.text[start:end]
        if 2 * estimate_tokens(piece, parsed.text) <= limit and any(start < e < end for e in edges):
            found.append(piece)
    return found


@given(
    st.one_of(
        PAGE.map(lambda t: (t, "text/markdown", "a.md")),
        CONTRACT.map(lambda t: (t, "text/plain", "a.txt")),
        CODE.map(lambda t: (t, "text/x-python", "a.py")),
        CHAT.map(lambda t: (t, "text/plain", "b.txt")),
    ),
    st.integers(20, 240),
)
@settings(max_examples=200, deadline=None)
def test_what_belongs_together_stays_together(page: tuple[str, str, str], limit: int) -> None:
    text, kind, name = page
    parsed = parse(text.encode(), kind, name)
    spans = chunk(parsed, Chunking(limit=limit), name)
    assert cut(parsed, limit, name) == []
    covered = "".join("".join(parsed.text[s.start : s.end].split()) for s in spans)
    said = "".join("".join(parsed.text[b.start : b.end].split()) for b in parsed.blocks if not b.flag)
    assert covered == said


@pytest.mark.data
@pytest.mark.parametrize("name", ["sghandbook", "cuad60", "chunkeval"])
def test_real_documents_are_cut_between_things(name: str) -> None:
    corpus = SHARED / name / "corpus.jsonl"
    if not corpus.exists():
        pytest.skip(f"{corpus.parent} is absent")
    kind = "text/markdown" if name == "sghandbook" else "text/plain"
    for line in corpus.read_text().splitlines()[::4]:
        page = json.loads(line)
        parsed = parse(page["text"].encode(), kind, page["id"])
        assert cut(parsed, CHUNKING.limit, page["id"]) == [], page["id"]


@pytest.mark.data
def test_files_of_all_formats_are_cut_between_things() -> None:
    index = SHARED / "parsing" / "index.jsonl"
    if not index.exists():
        pytest.skip(f"{index} is absent")
    count = 0
    for path in sorted((SHARED / "parsing").rglob("*"))[::3]:
        if (
            path.suffix in (".docx", ".html", ".xlsx", ".csv", ".md", ".eml", ".adoc")
            and path.stat().st_size < 500_000
        ):
            parsed = parse(path.read_bytes(), UNKNOWN, path.name)
            assert cut(parsed, CHUNKING.limit, path.name) == [], path.name
            count += 1
    assert count > 10
