"""Consistency proofs of RFC 9162 (section 2.1.4): that a longer tree begins with all of a shorter one.

The check alone: it needs the two heads and the proof, which is all a witness is given. ``events/prove.py`` makes proofs.
"""

from __future__ import annotations

from collections.abc import Sequence

from affidavit.events.merkle import node_hash

LONGEST_PROOF = 63
"""Hashes in a proof over any tree that can exist (C2SP tlog-witness)."""


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
