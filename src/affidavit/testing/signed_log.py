"""A log of nothing but leaves, with its key: for whoever needs checkpoints, proofs and forks without a workspace."""

from __future__ import annotations

import base64
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.events.merkle import Frontier, leaf_hash
from affidavit.events.note import Checkpoint, sign, verifier_key
from affidavit.ports.sink import Delivery

ORIGIN = "affidavit/test"
_Ranges = Callable[[int, int], bytes]
"""``(start, stop)`` to the root of the leaves ``start`` up to and without ``stop``."""


def _split(size: int) -> int:
    """The largest power of two that is smaller than ``size`` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def prove_consistency(ranges: _Ranges, old: int, new: int) -> list[bytes]:
    """PROOF(old, D_new) as RFC 9162, 2.1.4.1, writes it down; empty from nothing and from a tree to itself.

    Raises ValueError for old > new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"there is no proof from {old} to {new} leaves")
    return [] if old in (0, new) else _subproof(ranges, old, 0, new, whole=True)


def _subproof(ranges: _Ranges, old: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF(old, D[start:stop], whole); ``whole``: the old tree is a subtree the verifier has the root of."""
    if old == stop - start:
        return [] if whole else [ranges(start, stop)]
    middle = start + _split(stop - start)
    if old <= middle - start:
        return [*_subproof(ranges, old, start, middle, whole=whole), ranges(middle, stop)]
    return [*_subproof(ranges, old - (middle - start), middle, stop, whole=False), ranges(start, middle)]


class SignedLog:
    """A log of ``size`` leaves that say ``history``; another history with the same key is a fork."""

    def __init__(
        self, size: int = 100, history: str = "truth", key: bytes = b"k" * 32, origin: str = ORIGIN
    ) -> None:
        self.origin = origin
        self._leaves = [leaf_hash(f"{history} {n}".encode()) for n in range(size)]
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self._public = self._key.public_key().public_bytes_raw()

    def vkey(self) -> str:
        """The public key, as `audit verify` prints it."""
        return verifier_key(self.origin, self._public)

    def root(self, start: int, stop: int) -> bytes:
        """The root of the leaves from ``start`` up to and without ``stop``."""
        frontier = Frontier()
        for leaf in self._leaves[start:stop]:
            frontier.append(leaf)
        return frontier.root()

    def note(self, size: int) -> str:
        """The signed checkpoint of the first ``size`` leaves."""
        return self.signed(Checkpoint(self.origin, size, self.root(0, size)))

    def signed(self, checkpoint: Checkpoint) -> str:
        """Any checkpoint at all, signed with the log's key."""
        return sign(checkpoint, self.origin, self._key, self._public)

    def signed_text(self, text: str) -> str:
        """Any text at all as a note, signed with the log's key."""
        line = self.signed(Checkpoint(self.origin, 0, b"")).rsplit("\n", 2)[1]
        raw = base64.b64decode(line.rsplit(" ", 1)[1])[:4] + self._key.sign(text.encode())
        return f"{text}\n— {self.origin} {base64.b64encode(raw).decode()}\n"

    def prove(self, old: int, new: int) -> list[bytes]:
        """The consistency proof from ``old`` leaves to ``new``."""
        return prove_consistency(self.root, old, new)

    def delivery(self, size: int, before: int = 0, at: int = 1_790_000_000) -> Delivery:
        """The checkpoint of ``size`` leaves, on its way to a sink."""
        return Delivery(self.origin, size, self.note(size), before, lambda old: self.prove(old, size), at)

    def request(self, old: int, size: int) -> bytes:
        """The body of an ``add-checkpoint`` request."""
        proof = "".join(base64.b64encode(node).decode() + "\n" for node in self.prove(old, size))
        return f"old {old}\n{proof}\n{self.note(size)}".encode()
