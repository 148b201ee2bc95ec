"""Proofs of single events and of growth, checkpoints, and the log as files: for whoever checks without affidavit."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from affidavit.app.wiring import Parts
from affidavit.events.evidence import Evidence, Head
from affidavit.events.tiles import TileWriter

PROOF = "c2sp.org/tlog-proof@v1"


def encoded(hashes: Sequence[bytes]) -> list[str]:
    """Hashes in base64, as C2SP formats write them."""
    return [base64.b64encode(hash).decode() for hash in hashes]


@dataclass(frozen=True)
class EventProof:
    """That one event is in the log. ``text`` is the https://c2sp.org/tlog-proof; its extra line is the event's header."""

    position: int
    header: bytes
    proof: Sequence[bytes]
    head: Head

    def text(self) -> str:
        lines = [
            PROOF,
            f"extra {base64.b64encode(self.header).decode()}",
            f"index {self.position}",
            *encoded(self.proof),
        ]
        return "\n".join(lines) + "\n\n" + self.head.note

    def as_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "header": self.header.decode(),
            "proof": encoded(self.proof),
            "checkpoint": self.head.note,
        }


@dataclass(frozen=True)
class GrowthProof:
    """That the log of ``old`` events is the beginning of the log of ``head``. ``text`` is the request of
    https://c2sp.org/tlog-witness: what a witness, too, asks for."""

    old: int
    old_root: bytes
    proof: Sequence[bytes]
    head: Head

    def text(self) -> str:
        return "\n".join([f"old {self.old}", *encoded(self.proof)]) + "\n\n" + self.head.note

    def as_json(self) -> dict[str, Any]:
        return {
            "old": self.old,
            "old_root": self.old_root.hex(),
            "new": self.head.size,
            "new_root": self.head.checkpoint.root.hex(),
            "proof": encoded(self.proof),
            "checkpoint": self.head.note,
        }


class ProofDesk:
    """Proofs about the log of one workspace. Nothing here holds personal data."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.evidence = Evidence(parts.database, parts.bodies, parts.signer)

    def key(self) -> str:
        """The log's public key, in signed-note form."""
        return self._parts.signer.verifier()

    def checkpoint(self, size: int | None = None) -> Head:
        """The newest signed checkpoint, or that of an earlier size."""
        with self._parts.database.read():
            return self.evidence.head(size)

    def prove(self, position: int, size: int | None = None) -> EventProof:
        """That the event at ``position`` is in the log. Raises UsageError for a position that was not reached."""
        with self._parts.database.read():
            head = self.evidence.head(size)
            entry = self.evidence.entry(position)
            return EventProof(position, entry.header, self.evidence.inclusion(entry, head), head)

    def consistency(self, old: int, new: int | None = None) -> GrowthProof:
        """That the log of ``new`` events (None: the newest checkpoint's) begins with the log of ``old`` events."""
        with self._parts.database.read():
            head = self.evidence.head(new)
            before, proof = self.evidence.growth(old, head)
            return GrowthProof(old, before.root, proof, head)

    def tiles(self, folder: Path, progress: Callable[[int], None] = lambda done: None) -> tuple[Head, int]:
        """Write or bring up to date the log as https://c2sp.org/tlog-tiles; the checkpoint, and how many files were written."""
        with self._parts.database.read():
            writer = TileWriter(self.evidence, folder, self.key(), progress)
            return writer.run(), writer.written


def verifier_source() -> str:
    """``verify_affidavit.py``: one file that checks offline, without affidavit."""
    return resources.files("affidavit.offline").joinpath("verify_affidavit.py").read_text(encoding="utf-8")
