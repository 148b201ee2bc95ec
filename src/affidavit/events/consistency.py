"""Consistency proofs of RFC 9162 (section 2.1.4): that a longer tree begins with all of a shorter one.

Nothing here knows where leaves are kept: ``prove_consistency`` asks for the roots of ranges of leaves, and
``verify_consistency`` needs only the two heads and the proof, which is all a witness is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from affidavit.events.merkle import node_hash

LONGEST_PROOF = 63
"""Hashes in a proof over any tree that can exist (C2SP tlog-witness)."""

Ranges = Callable[[int, int], bytes]
"""``(start, stop)`` to the root of the leaves ``start`` up to and without ``stop``."""


def split(size: int) -> int:
    """The largest power of two that is smaller than ``size`` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def prove_consistency(ranges: Ranges, old: int, new: int) -> list[bytes]:
    """PROOF(old, D_new) of RFC 9162; empty from nothing, and from a tree to itself. Raises ValueError for old > new."""
    if not 0 <= old <= new:
        raise ValueError(f"there is no proof from {old} to {new} leaves")
    return [] if old in (0, new) else _subproof(ranges, old, 0, new, whole=True)


def _subproof(ranges: Ranges, old: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF(old, D[start:stop], whole); ``whole``: the old tree is a subtree the verifier has the root of."""
    if old == stop - start:
        return [] if whole else [ranges(start, stop)]
    middle = start + split(stop - start)
    if old <= middle - start:
        return [*_subproof(ranges, old, start, middle, whole=whole), ranges(middle, stop)]
    return [*_subproof(ranges, old - (middle - start), middle, stop, whole=False), ranges(start, middle)]


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether ``proof`` shows that the tree of ``new_root`` begins with the tree of ``old_root`` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size in (0, new_size):  # from nothing everything follows; the same size must be the same tree
        return not proof and (old_size == 0 or old_root == new_root)
    path = list(proof)
    if old_size.bit_count() == 1:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(node, old), node_hash(node, new)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == old_root and new == new_root
