"""The Merkle tree of RFC 9162 (section 2.1), grown a leaf at a time.

A tree of n leaves is kept as its *frontier*: the roots of the perfect subtrees that n's binary digits name, largest
first. That is all appending and the root need: at most 64 hashes for any log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """An append-only tree reduced to what appending needs.

    ``completed(level, number, hash)`` is told of every perfect subtree as it closes; level 0 is the leaves.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves has {size.bit_count()} frontier hashes, not {len(hashes)}"
            )
        self.size = size
        self._hashes = list(hashes)

    @classmethod
    def from_text(cls, text: str) -> Frontier:
        """The inverse of ``as_text``."""
        size, _, packed = text.partition(":")
        raw = bytes.fromhex(packed)
        return cls(int(size), [raw[i : i + HASH_BYTES] for i in range(0, len(raw), HASH_BYTES)])

    def as_text(self) -> str:
        """``SIZE:HEX``, to be kept between transactions."""
        return f"{self.size}:{b''.join(self._hashes).hex()}"

    def append(self, leaf: bytes, completed: Callable[[int, int, bytes], None] | None = None) -> None:
        """Add one leaf hash."""
        level, number, node = 0, self.size, leaf
        while number & 1:
            node = node_hash(self._hashes.pop(), node)
            level, number = level + 1, number >> 1
            if completed is not None:
                completed(level, number, node)
        self._hashes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The tree head."""
        if not self._hashes:
            return EMPTY_ROOT
        node = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            node = node_hash(left, node)
        return node
