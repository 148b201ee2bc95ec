"""Blocks to chunks: stretches of the text small enough to embed and large enough to mean something.

Chunks depend on the text, its blocks and the limit alone, never on the embedder, so changing the embedder moves no
citation. A chunk is a slice of the text; between its blocks lies nothing but white space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from affidavit.domain.records import Block, Parsed, Span
from affidavit.ingest.parse.lines import line_starts, trim
from affidavit.ingest.tokens import costs_for, estimate_tokens
from affidavit.text.sentences import sentences

__all__ = ["chunk", "chunk_input", "estimate_tokens"]

LIMIT = 220
"""Tokens of a chunk's slice. With a header of HEADER_FREE and two special tokens this fills a window of 256."""
HEADER_FREE = 34
"""Tokens of title and headings a chunk may have before they count against its limit."""
HEADER_MOST = 100
"""Tokens of title and headings that are put before a slice at most."""
_TINY = 40
"""Below this many tokens a chunk joins a neighbour, whatever heading lies between."""
_SMALL = 100
"""Below this many it joins a neighbour in the same section of level 2."""
_WINDOW = 2_000
"""Characters in which sentences are looked for at a time: a block may be a megabyte."""

_Costs = Callable[[str], int]
_WORDS = re.compile(r"\S+")
_STOPS = re.compile(r"\.\s")
_SHORTEST_SENTENCE = 12
"""Mean characters below which text with full stops is a list of initials and abbreviations, which take long to tell apart."""


@dataclass(frozen=True)
class _Piece:
    """A block, or a part of one, that fits into a chunk. ``cost`` in hundredths of a token; ``joins``: it may share a chunk
    with the piece before it."""

    start: int
    end: int
    cost: int
    kind: str
    path: tuple[str, ...]
    joins: bool = True


@dataclass
class _Chunk:
    """Consecutive pieces. ``depth`` is the number of headings above its opening heading, or None if it opens without one;
    ``limit`` is in hundredths of a token; ``section`` numbers the section it is from."""

    pieces: list[_Piece]
    cost: int
    limit: int
    depth: int | None
    section: int

    def span(self) -> Span:
        first = next((piece for piece in self.pieces if piece.kind != "heading"), self.pieces[0])
        return Span(self.pieces[0].start, self.pieces[-1].end, first.path, first.kind)


def chunk(parsed: Parsed, limit: int = LIMIT) -> list[Span]:
    """Spans in order that do not overlap and together cover every block without a flag, each of at most ``limit`` tokens by
    ``estimate_tokens`` (fewer where title and headings are long).

    A heading begins a chunk and belongs to what it heads. What is longer than the limit is cut between sentences, or the
    rows of a table, the lines of code; then at white space; at last anywhere. Small chunks join their neighbours, across
    headings of level 1 and 2 only if they are tiny.
    """
    if limit < 1:
        raise ValueError("limit must be at least 1")
    costs = costs_for(parsed.text)
    chunks: list[_Chunk] = []
    before = 0
    shown = [block for block in parsed.blocks if not block.flag]
    for number, section in enumerate(_sections(shown)):
        chunks.extend(_packed(parsed, section, before, costs, limit, number))
        before = section[-1].end
    return [merged.span() for merged in _merged(chunks)]


def chunk_input(title: str, span: Span, text: str) -> str:
    """What is embedded and searched by keyword: ``title > heading > heading`` on a line of its own, then the slice.

    A heading equal to one before it is not repeated. A header over HEADER_MOST tokens loses headings from the second on,
    then words from its end.
    """
    header = _header(title, span.path)
    body = text[span.start : span.end]
    return f"{header}\n{body}" if header else body


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
    if estimate_tokens(header) <= HEADER_MOST:
        return header
    costs = costs_for(header)
    start, end, _ = next(_runs(header, 0, len(header), 100 * HEADER_MOST, costs))
    return header[start:end]


def _sections(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Runs of blocks under one path, each with the heading (or headings, if they follow one another) above it."""
    section: list[Block] = []
    only_headings = True
    for block in blocks:
        if section:
            last = section[-1]
            begins = block.kind == "heading" and not only_headings
            moved = block.kind != "heading" and last.kind != "heading" and block.path != last.path
            if begins or moved:
                yield section
                section, only_headings = [], True
        section.append(block)
        only_headings = only_headings and block.kind == "heading"
    if section:
        yield section


def _packed(
    parsed: Parsed, section: list[Block], before: int, costs: _Costs, limit: int, number: int
) -> Iterator[_Chunk]:
    """The section's chunks: as few as possible, and of about the same size. ``before``: where the last section ended."""
    path = next((block.path for block in section if block.kind != "heading"), section[0].path)
    header = costs(_header(parsed.title, path))
    most = max(50 * limit, 100 * limit - max(0, header - 100 * HEADER_FREE), 100)
    pieces = list(_pieces(parsed.text, section, before, costs, most))
    depth = len(section[0].path) if section[0].kind == "heading" else None
    remaining = sum(piece.cost for piece in pieces)
    current = _Chunk([], 0, most, depth, number)
    target = _share(remaining, most)
    content = False  # a heading alone is not a chunk
    for piece in pieces:
        full = current.cost + piece.cost > most or not piece.joins or (content and current.cost >= target)
        if current.pieces and full:
            yield current
            current = _Chunk([], 0, most, None, number)
            target = _share(remaining, most)
            content = False
        current.pieces.append(piece)
        current.cost += piece.cost
        remaining -= piece.cost
        content = content or piece.kind != "heading"
    yield current


def _share(cost: int, most: int) -> int:
    """An equal share of ``cost`` if it is cut into as few chunks as it can be."""
    return -(-cost // max(1, -(-cost // most)))


def _pieces(text: str, section: list[Block], before: int, costs: _Costs, most: int) -> Iterator[_Piece]:
    """The section's blocks, cut where they do not fit (the first below a heading: not together with that heading)."""
    lead = 0
    for block in section:
        joins = not text[before : block.start].strip()
        before = block.end
        cost = costs(text[block.start : block.end])
        room = most - lead if lead <= most // 2 else most
        if cost <= room:
            yield _Piece(block.start, block.end, cost, block.kind, block.path, joins)
        else:
            for start, end, part, glued in _cut(text, block, costs, room):
                yield _Piece(start, end, part, block.kind, block.path, joins and not glued)
                joins = True
        lead = lead + cost if block.kind == "heading" else 0


def _cut(text: str, block: Block, costs: _Costs, most: int) -> Iterator[tuple[int, int, int, bool]]:
    """(start, end, cost, begins inside a word) of parts of a block, each within ``most``, as coarse as its kind allows."""
    cutters = [_lines] if block.kind in ("table", "code", "row") else [_sentences, _lines]
    stack = [(block.start, block.end, 0)]
    while stack:
        start, end, level = stack.pop()
        cost = costs(text[start:end])
        if cost <= most:
            yield start, end, cost, False
        elif level < len(cutters):
            parts = [(a, b, level + 1) for a, b in cutters[level](text, start, end)]
            stack.extend(reversed(parts))
        else:
            yield from _words(text, start, end, most, costs)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for a, b in pairwise(line_starts(text[start:end])):
        span = trim(text, start + a, start + b)
        if span is not None:
            yield span


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = end
        if end - start > _WINDOW:
            window = text[start : start + _WINDOW]
            cut = max(window.rfind("\n"), window.rfind(". ") + 1)
            stop = start + (cut if cut > _WINDOW // 2 else max(window.rfind(" "), 0) or _WINDOW)
        if len(_STOPS.findall(text, start, stop)) * _SHORTEST_SENTENCE > stop - start:
            yield start, stop
        else:
            yield from sentences(text, start, stop)
        start = stop


def _runs(text: str, start: int, end: int, most: int, costs: _Costs) -> Iterator[tuple[int, int, int]]:
    """(start, end, cost) of runs of whole words within ``most``; a word that is longer is a run of its own."""
    first = last = -1
    total = 0
    for word in _WORDS.finditer(text, start, end):
        cost = costs(word.group())
        if first >= 0 and total + cost > most:
            yield first, last, total
            first, total = -1, 0
        first = word.start() if first < 0 else first
        last = word.end()
        total += cost
    if first >= 0:
        yield first, last, total


def _words(text: str, start: int, end: int, most: int, costs: _Costs) -> Iterator[tuple[int, int, int, bool]]:
    for a, b, cost in _runs(text, start, end, most, costs):
        if cost <= most:
            yield a, b, cost, False
        else:
            yield from _characters(text, a, b, most, costs)


def _characters(
    text: str, start: int, end: int, most: int, costs: _Costs
) -> Iterator[tuple[int, int, int, bool]]:
    """A single word over the limit, in equal parts. No character costs more than three tokens."""
    step = max(1, most // 300)
    for a in range(start, end, step):
        b = min(a + step, end)
        yield a, b, costs(text[a:b]), a > start


def _merged(chunks: list[_Chunk]) -> Iterator[_Chunk]:
    """``chunks`` with small ones joined to a neighbour where they may be and fit."""
    current: _Chunk | None = None
    for following in chunks:
        if current is None:
            current = following
        elif _may_join(current, following):
            limit = min(current.limit, following.limit)
            cost = current.cost + following.cost
            pieces = current.pieces + following.pieces
            current = replace(current, pieces=pieces, cost=cost, limit=limit, section=following.section)
        else:
            yield current
            current = following
    if current is not None:
        yield current


def _may_join(one: _Chunk, other: _Chunk) -> bool:
    if not other.pieces[0].joins or one.cost + other.cost > min(one.limit, other.limit):
        return False
    smaller = min(one.cost, other.cost)
    inner = one.section == other.section or (other.depth is not None and other.depth >= 2)
    return smaller < 100 * (_SMALL if inner else _TINY)
