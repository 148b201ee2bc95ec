"""Blocks to chunks: stretches of the text small enough to embed and large enough to mean something.

How a text is cut follows from its blocks: clauses of contracts and policies, rows of tables, symbols of source code,
messages of threads, and sections of everything else. Chunks depend on the text, its blocks, its name and the release's
settings alone, never on the embedder, so changing the embedder moves no citation. A chunk is a slice of the text; between
its blocks lies nothing but white space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from affidavit.domain.records import Block, Parsed, Span
from affidavit.domain.release import CHUNKING, Chunking
from affidavit.ingest.chunk_clause import clause_details, clause_parts, clauses
from affidavit.ingest.chunk_code import code_part, is_source
from affidavit.ingest.chunk_cut import BULLETS, LINES, SENTENCES, runs
from affidavit.ingest.chunk_pack import HEADER_FREE, Packer
from affidavit.ingest.chunk_parts import Fields, Part, block_part, union
from affidavit.ingest.chunk_table import row_part, table_parts
from affidavit.ingest.chunk_thread import is_mail, mail_fields, message_parts, messages
from affidavit.ingest.tokens import costs_for, estimate_tokens

__all__ = ["HEADER_FREE", "HEADER_MOST", "chunk", "chunk_input", "estimate_tokens"]

HEADER_MOST = 100
"""Tokens of title, headings and fields that are put before a slice at most."""


def chunk(parsed: Parsed, settings: Chunking = CHUNKING, name: str = "") -> list[Span]:
    """Spans in order that do not overlap and together cover every block without a flag, each of at most ``limit`` tokens by
    ``estimate_tokens`` (fewer where title, headings and fields are long). ``name`` is the item's, a path in its source.

    A heading begins a chunk and belongs to what it heads. What is longer than the limit is cut at the next best place of
    its kind: items, sentences, lines; then at white space; at last anywhere. Small chunks join their neighbours.
    """
    if settings.limit < 1:
        raise ValueError("limit must be at least 1")
    shown = [block for block in parsed.blocks if not block.flag]
    packer = Packer(
        parsed.text,
        costs_for(parsed.text),
        settings,
        lambda path, fields: "\n".join(_lines_before(parsed.title, path, fields)),
    )
    parts = _parts(parsed, shown, settings, name)
    return [_detailed(span, parsed.text) for span in packer.spans(parts)]


def _parts(parsed: Parsed, blocks: list[Block], settings: Chunking, name: str) -> list[Part]:
    """The text's parts by the strategies that apply. At most one of them is for the whole text."""
    text = parsed.text
    if "code" in settings.strategies and is_source(parsed):
        return [code_part(text, block, name) for block in blocks]
    whole: Callable[[list[Block]], Iterator[Part]] | None = None
    if "thread" in settings.strategies:
        said = [] if is_mail(parsed) else messages(text, blocks)
        if said:
            return list(message_parts(text, blocks, said))
    if "clause" in settings.strategies:
        marks = clauses(text, blocks)
        if marks:
            whole = lambda some: clause_parts(text, some, marks)  # noqa: E731
    rest = list(whole(blocks)) if whole else [_plain_part(block) for block in blocks]
    if "thread" in settings.strategies and is_mail(parsed):
        author = mail_fields(text, blocks)
        rest = [replace(part, fields=author) if part.kind != "quote" else part for part in rest]
    if "table" in settings.strategies:
        rest = [row for part in rest for row in _rows(text, part)]
    return rest


def _plain_part(block: Block) -> Part:
    if block.kind in ("table", "code", "row"):
        return block_part(block, (LINES,))
    if block.kind == "list":
        return block_part(block, (BULLETS, SENTENCES, LINES))
    return block_part(block, (SENTENCES, LINES))


def _rows(text: str, part: Part) -> Iterator[Part]:
    block = Block(part.kind, part.start, part.end, part.path)
    if part.kind == "table":
        yield from (replace(row, fields=part.fields + row.fields) for row in table_parts(text, block))
    elif part.kind == "row":
        yield replace(row_part(block), fields=part.fields)
    else:
        yield part


def _detailed(span: Span, text: str) -> Span:
    """A chunk of a contract also names what its slice defines and refers to."""
    if not any(name == "clause" for name, _ in span.fields):
        return span
    details = clause_details(text[span.start : span.end])
    return replace(span, fields=union(pair for pairs in (span.fields, details) for pair in pairs))


def chunk_input(title: str, span: Span, text: str) -> str:
    """What is embedded and searched by keyword: ``title > heading > heading`` on a line of its own; the values of the
    chunk's fields that its slice does not hold, on a second; then the slice.

    A heading equal to one before it is not repeated. Lines over HEADER_MOST tokens lose headings from the second on, then
    words from their end.
    """
    body = text[span.start : span.end]
    return "\n".join([*_lines_before(title, span.path, span.fields, body), body])


def _lines_before(title: str, path: tuple[str, ...], fields: Fields, body: str = "") -> list[str]:
    header = _header(title, path)
    flat = " ".join(body.split())
    missing = [words for _, words in fields if words not in flat and words not in header]
    values = _bounded(" | ".join(dict.fromkeys(missing)), HEADER_MOST - estimate_tokens(header))
    return [line for line in (header, values) if line]


def _header(title: str, path: tuple[str, ...]) -> str:
    parts: list[str] = []
    seen: set[str] = set()
    for part in (title, *path):
        words = " ".join(part.split())
        if words and words.casefold() not in seen:
            seen.add(words.casefold())
            parts.append(words)
    header = " > ".join(parts)
    while len(parts) > 2 and estimate_tokens(header) > HEADER_MOST:
        del parts[1]
        header = " > ".join(parts)
    return _bounded(header, HEADER_MOST)


def _bounded(words: str, most: int) -> str:
    """``words`` without those from the end that are over ``most`` tokens."""
    if not words or most < 1 or estimate_tokens(words) <= most:
        return words if most >= 1 else ""
    start, end, _ = next(runs(words, 0, len(words), 100 * most, costs_for(words)))
    return words[start:end]
