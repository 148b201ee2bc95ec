"""Parts to chunks: as few as possible and of about the same size, within the limit, one section at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from affidavit.domain.records import Span
from affidavit.domain.release import Chunking
from affidavit.ingest.chunk_cut import Costs, cut
from affidavit.ingest.chunk_parts import Fields, Part, union

HEADER_FREE = 34
"""Tokens of title, headings and fields a chunk may have before they count against its limit."""


@dataclass(frozen=True)
class _Piece:
    """A part, or a stretch of one, that fits into a chunk. ``cost`` in hundredths of a token; ``joins``: it may share a
    chunk with the piece before it."""

    start: int
    end: int
    cost: int
    part: Part
    joins: bool = True


@dataclass
class _Chunk:
    """Consecutive pieces. ``depth`` is the number of headings above its opening heading, or None if it opens without one;
    ``limit`` is in hundredths of a token; ``section`` numbers the section it is from; ``begins``: a part that wants a chunk
    of its own opens it."""

    pieces: list[_Piece]
    cost: int
    limit: int
    depth: int | None
    section: int
    begins: bool = False

    def span(self) -> Span:
        first = next((p.part for p in self.pieces if p.part.kind != "heading"), self.pieces[0].part)
        fields = union(pair for piece in self.pieces for pair in piece.part.fields)
        return Span(self.pieces[0].start, self.pieces[-1].end, first.path, first.kind, fields)


class Packer:
    """Packs the parts of one text. ``header`` gives what stands before a slice with this path and these fields."""

    def __init__(
        self, text: str, costs: Costs, settings: Chunking, header: Callable[[tuple[str, ...], Fields], str]
    ) -> None:
        self._text = text
        self._costs = costs
        self._settings = settings
        self._header = header

    def spans(self, parts: Sequence[Part]) -> Iterator[Span]:
        """Spans in order that do not overlap and cover every part."""
        chunks: list[_Chunk] = []
        before = 0
        for number, section in enumerate(_sections(parts)):
            chunks.extend(self._packed(section, before, number))
            before = section[-1].end
        yield from (merged.span() for merged in self._merged(chunks))

    def _packed(self, section: list[Part], before: int, number: int) -> Iterator[_Chunk]:
        """``before``: where the last section ended."""
        limit = self._settings.limit
        shown = [part for part in section if part.kind != "heading"] or section
        lines = {self._header(*said) for said in {(part.path, part.fields) for part in shown}}
        header = max(map(self._costs, lines))  # the longest: any part may begin a chunk
        most = max(50 * limit, 100 * limit - max(0, header - 100 * HEADER_FREE), 100)
        pieces = list(self._pieces(section, before, most))
        depth = len(section[0].path) if section[0].kind == "heading" else None
        begins = section[0].begins
        remaining = sum(piece.cost for piece in pieces)
        current = _Chunk([], 0, most, depth, number, begins)
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
            content = content or piece.part.kind != "heading"
        yield current

    def _pieces(self, section: list[Part], before: int, most: int) -> Iterator[_Piece]:
        """The section's parts, cut where they do not fit. What may be cut anywhere is cut to fit below its heading."""
        lead = 0
        for part in section:
            joins = not self._text[before : part.start].strip()
            before = part.end
            cost = self._costs(self._text[part.start : part.end])
            loose = part.kind in ("paragraph", "quote", "heading") and not part.fields
            room = most - lead if lead <= most // 2 and (loose or cost > most) else most
            if cost <= room:
                yield _Piece(part.start, part.end, cost, part, joins)
            else:
                for start, end, some, glued in cut(
                    self._text, part.start, part.end, part.cutters, self._costs, room
                ):
                    yield _Piece(start, end, some, part, joins and not glued)
                    joins = True
            lead = lead + cost if part.kind == "heading" else 0

    def _merged(self, chunks: list[_Chunk]) -> Iterator[_Chunk]:
        """``chunks`` with small ones joined to a neighbour where they may be and fit."""
        current: _Chunk | None = None
        for following in chunks:
            if current is None:
                current = following
            elif self._may_join(current, following):
                limit = min(current.limit, following.limit)
                cost = current.cost + following.cost
                pieces = current.pieces + following.pieces
                current = replace(current, pieces=pieces, cost=cost, limit=limit, section=following.section)
            else:
                yield current
                current = following
        if current is not None:
            yield current

    def _may_join(self, one: _Chunk, other: _Chunk) -> bool:
        if not other.pieces[0].joins or one.cost + other.cost > min(one.limit, other.limit):
            return False
        smaller = min(one.cost, other.cost)
        settings = self._settings
        if other.begins:
            first, second = one.pieces[-1].part.group, other.pieces[0].part.group
            return bool(first and first == second) or smaller < 100 * settings.own
        inner = one.section == other.section or (other.depth is not None and other.depth >= 2)
        return smaller < 100 * (settings.small if inner else settings.tiny)


def _sections(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Runs of parts under one path, each with the heading (or headings, if they follow one another) above it; a part that
    wants a chunk of its own begins one too."""
    section: list[Part] = []
    only_headings = True
    for part in parts:
        if section:
            last = section[-1]
            begins = (part.kind == "heading" or part.begins) and not only_headings
            moved = part.kind != "heading" and last.kind != "heading" and part.path != last.path
            if begins or moved:
                yield section
                section, only_headings = [], True
        section.append(part)
        only_headings = only_headings and part.kind == "heading"
    if section:
        yield section


def _share(cost: int, most: int) -> int:
    """An equal share of ``cost`` if it is cut into as few chunks as it can be."""
    return -(-cost // max(1, -(-cost // most)))
