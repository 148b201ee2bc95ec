"""What a chunking strategy says of a text: its parts, in order, each with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from affidavit.domain.records import Block

Fields = tuple[tuple[str, str], ...]
"""(name, value) pairs in the order found; a name may come more than once."""
Cutter = Callable[[str, int, int], Iterator[tuple[int, int]]]
"""(text, start, end) to the stretches that ``text[start:end]`` falls into, without the white space between them."""

LONGEST_VALUE = 200
"""Characters of a field's value that are kept."""
MOST_VALUES = 24
"""Values of fields a chunk may have."""


@dataclass(frozen=True)
class Part:
    """A block or a stretch of one that no chunk cuts while it fits the limit: a clause, a row, a symbol, a message, an item.

    ``begins``: a chunk begins here; ``group``: parts with one number (not 0) may share a chunk all the same, as the
    sub-clauses of a clause; ``cutters``: where it is cut if it is longer than the limit, the best place first.
    """

    kind: str
    start: int
    end: int
    path: tuple[str, ...]
    fields: Fields = ()
    begins: bool = False
    group: int = 0
    cutters: tuple[Cutter, ...] = ()


def value(words: str) -> str:
    """A field's value: white space collapsed, bounded."""
    return " ".join(words[: 2 * LONGEST_VALUE].split())[:LONGEST_VALUE].rstrip()


def union(found: Iterator[tuple[str, str]]) -> Fields:
    """The distinct pairs in the order found, as many as a chunk may have."""
    kept: dict[tuple[str, str], None] = {}
    for pair in found:
        if pair[1]:
            kept.setdefault(pair)
        if len(kept) == MOST_VALUES:
            break
    return tuple(kept)


def block_part(block: Block, cutters: tuple[Cutter, ...]) -> Part:
    """A block as it is."""
    return Part(block.kind, block.start, block.end, block.path, cutters=cutters)
