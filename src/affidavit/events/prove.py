"""Inclusion and consistency proofs (RFC 9162, sections 2.1.3 and 2.1.4) for any size the log has had.

Proofs are computed from the stored leaves and the stored roots of perfect subtrees of every 8th level, a *tile* of at
most 256 hashes at a time: a proof reads at most two tiles a level. A tile of one width never changes, so some are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.events.consistency import verify_consistency
from affidavit.events.log import TILE_LEVELS
from affidavit.events.merkle import EMPTY_ROOT, node_hash
from affidavit.events.note import Checkpoint
from affidavit.store.database import Database

TILE = 1 << TILE_LEVELS
_KEPT_TILES = 128  # 16 kB each


class Tree:
    """The log's tree as it is stored. Safe to share between threads; call inside a snapshot."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._kept: OrderedDict[tuple[int, int, int], list[list[bytes]]] = OrderedDict()

    def size(self) -> int:
        """How many leaves there are."""
        return int(self._db.value("SELECT coalesce(max(position) + 1, 0) FROM events"))

    def row(self, level: int, start: int, stop: int) -> list[bytes]:
        """Roots ``start`` to ``stop`` (exclusive) of the perfect subtrees of 2^``level`` leaves, ``level`` a multiple of 8.

        Raises LogDamagedError if one is not there.
        """
        if level == 0:
            sql = "SELECT leaf FROM events WHERE position >= ? AND position < ? ORDER BY position"
            rows = self._db.all(sql, (start, stop))
        else:
            sql = "SELECT hash FROM tree WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
            rows = self._db.all(sql, (level, start, stop))
        if len(rows) != stop - start:
            raise LogDamagedError(
                f"the stored tree has gaps at level {level}, between nodes {start} and {stop}",
                "run `affidavit audit verify`; restore the workspace from a backup",
            )
        return [hash for (hash,) in rows]

    def _tile(self, tile_level: int, number: int, width: int) -> list[list[bytes]]:
        """The tile's hashes and, level by level, what they combine to; ``width`` of its 256 are there."""
        known = self._kept.get((tile_level, number, width))
        if known is not None:
            return known
        level = self.row(tile_level * TILE_LEVELS, number * TILE, number * TILE + width)
        levels = [level]
        while len(level) > 1 and len(levels) < TILE_LEVELS:
            pairs = iter(level)
            level = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=False)]
            levels.append(level)
        self._kept[tile_level, number, width] = levels
        if len(self._kept) > _KEPT_TILES:
            self._kept.popitem(last=False)
        return levels

    def node(self, size: int, level: int, number: int) -> bytes:
        """The root of the perfect subtree ``number`` of 2^``level`` leaves, in the tree of ``size`` leaves."""
        tile_level, inner = divmod(level, TILE_LEVELS)
        tile = number >> (TILE_LEVELS - inner)
        there = size >> (tile_level * TILE_LEVELS)
        width = min(TILE, there - tile * TILE)
        return self._tile(tile_level, tile, width)[inner][number - (tile << (TILE_LEVELS - inner))]

    def hash(self, size: int, start: int, stop: int) -> bytes:
        """MTH(D[start:stop]) of RFC 9162; ``start`` is where a subtree of the tree of ``size`` leaves begins."""
        if start == stop:
            return EMPTY_ROOT
        count = stop - start
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.node(size, level, start >> level)
        middle = start + _split(count)
        return node_hash(self.hash(size, start, middle), self.hash(size, middle, stop))

    def root(self, size: int) -> bytes:
        """The tree head of the first ``size`` leaves."""
        _reached(self.size(), size)
        return self.hash(size, 0, size)

    def frontier(self, size: int) -> list[bytes]:
        """The roots of the perfect subtrees that make up the tree of ``size`` leaves, largest first."""
        found, start = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                found.append(self.node(size, level, start >> level))
                start += 1 << level
        return found

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """PATH(position, D[0:size]): from the leaf's sibling upwards."""
        _reached(self.size(), size)
        if not 0 <= position < size:
            raise UsageError(
                f"position {position} is not among the first {size} events",
                f"positions go from 0 to {size - 1}",
            )
        path: list[bytes] = []
        start, stop = 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if position < middle:
                path.append(self.hash(size, middle, stop))
                stop = middle
            else:
                path.append(self.hash(size, start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """PROOF(old, D[0:new]): that the tree of ``new`` leaves begins with the tree of ``old`` leaves."""
        _reached(self.size(), new)
        if not 0 <= old <= new:
            raise UsageError(f"{old} is not a size before {new}", "name the smaller size first")
        if old in (0, new):
            return []
        proof: list[bytes] = []
        start, stop, whole = 0, new, True
        while old != stop:
            middle = start + _split(stop - start)
            if old <= middle:
                proof.append(self.hash(new, middle, stop))
                stop = middle
            else:
                proof.append(self.hash(new, start, middle))
                start, whole = middle, False
        if not whole:
            proof.append(self.hash(new, start, stop))
        return proof[::-1]


def _reached(have: int, size: int) -> None:
    if not 0 <= size <= have:
        raise UsageError(f"the log has not had {size} events", f"it has {have}")


def _split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    return 1 << (count - 1).bit_length() - 1


def includes(leaf: bytes, position: int, checkpoint: Checkpoint, proof: Sequence[bytes]) -> bool:
    """Whether ``leaf`` is at ``position`` of the checkpoint's tree (RFC 9162, 2.1.3.2)."""
    index, last, node = position, checkpoint.size - 1, leaf
    if not 0 <= index <= last:
        return False
    for sibling in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and node == checkpoint.root


def extends(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    """Whether the tree ``new`` begins with the tree ``old`` (RFC 9162, 2.1.4.2; the empty tree begins every tree)."""
    if old.size == 0 and old.root != EMPTY_ROOT:
        return False
    return verify_consistency(old.size, old.root, new.size, new.root, proof)
