"""What is handed to people who check: events as they were written, with the proofs and signatures that go with them.

Everything is read in the caller's snapshot and held against the newest signed checkpoint before it leaves, so a log that was
tampered with gives an error and never a proof that fails elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.domain.events import commit_body
from affidavit.events.log import Signer
from affidavit.events.note import Checkpoint, open_note
from affidavit.events.prove import Tree, extends, includes
from affidavit.store.bodies import Bodies
from affidavit.store.database import Database

_COLUMNS = "position, tenant, header, leaf, body"


@dataclass(frozen=True)
class Entry:
    """One event as it stands in the log; ``header`` is the leaf's data. ``body`` is None without one, or once it is erased."""

    position: int
    tenant: int
    header: bytes
    leaf: bytes
    body: int | None


@dataclass(frozen=True)
class Head:
    """A signed tree head."""

    note: str
    checkpoint: Checkpoint

    @property
    def size(self) -> int:
        return self.checkpoint.size


def _damaged(what: str) -> LogDamagedError:
    return LogDamagedError(what, "run `affidavit audit verify`; restore the workspace from a backup")


class Evidence:
    """Proofs from one workspace's log. Safe to share between threads; call inside a snapshot."""

    def __init__(self, database: Database, bodies: Bodies, signer: Signer) -> None:
        self._db = database
        self._bodies = bodies
        self._signer = signer
        self.tree = Tree(database)

    def newest(self) -> Head:
        """The newest signed checkpoint. Raises LogDamagedError unless it covers the whole log."""
        row = self._db.one("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
        if row is None:
            raise _damaged("the log has no checkpoint")
        head = Head(row[0], open_note(row[0], self._signer.verifier()))
        if head.size != self.tree.size():
            raise _damaged(
                f"the newest checkpoint is for {head.size} events, but the log has {self.tree.size()}"
            )
        return head

    def head(self, size: int | None) -> Head:
        """The checkpoint of any size the log has had, signed now if none was kept; None means the newest.

        Signing an old size again is no fork: that the newest checkpoint's tree begins with it is checked first.
        """
        newest = self.newest()
        if size is None or size == newest.size:
            return newest
        if not 0 < size < newest.size:
            raise UsageError(f"the log has not had {size} events", f"sizes go from 1 to {newest.size}")
        checkpoint = Checkpoint(newest.checkpoint.origin, size, self.tree.root(size))
        self._joined(checkpoint, newest)
        kept = self._db.value("SELECT note FROM checkpoints WHERE size = ?", (size,))
        if kept is None:
            return Head(self._signer.sign(checkpoint), checkpoint)
        if open_note(kept, self._signer.verifier()) != checkpoint:
            raise _damaged(f"the checkpoint of {size} events is not that of the tree")
        return Head(kept, checkpoint)

    def growth(self, old: int, new: Head) -> tuple[Checkpoint, list[bytes]]:
        """The tree head of ``old`` events, unsigned, and the proof that ``new`` begins with it."""
        before = Checkpoint(new.checkpoint.origin, old, self.tree.root(old))
        return before, self._joined(before, new)

    def _joined(self, old: Checkpoint, new: Head) -> list[bytes]:
        proof = self.tree.consistency(old.size, new.size)
        if not extends(old, new.checkpoint, proof):
            raise _damaged(
                f"the first {old.size} events are not those that the checkpoint of {new.size} signed"
            )
        return proof

    def entry(self, position: int) -> Entry:
        """The event at ``position``. Raises UsageError if the log has not come that far."""
        for entry in self.between(position, position + 1):
            return entry
        raise UsageError(
            f"the log has no position {position}", f"it has {self.tree.size()} events, from 0 on"
        )

    def between(self, first: int, stop: int) -> Iterator[Entry]:
        """The events from ``first`` up to and without ``stop``."""
        sql = f"SELECT {_COLUMNS} FROM events WHERE position >= ? AND position < ? ORDER BY position"  # noqa: S608
        return (Entry(*row) for row in self._db.each(sql, (first, stop)))

    def of_run(self, run: str) -> list[Entry]:
        """A run's events in order."""
        # the second condition lets SQLite use the index, which leaves out events without a run
        sql = f"SELECT {_COLUMNS} FROM events WHERE run = ? AND run <> '' ORDER BY position"  # noqa: S608
        return [Entry(*row) for row in self._db.all(sql, (run,))]

    def inclusion(self, entry: Entry, head: Head) -> list[bytes]:
        """The proof that ``entry`` is in the tree of ``head``."""
        proof = self.tree.inclusion(entry.position, head.size)
        if not includes(entry.leaf, entry.position, head.checkpoint, proof):
            raise _damaged(f"position {entry.position}: the event is not the one that was signed")
        return proof

    def opened(self, entry: Entry, commitment: str) -> tuple[bytes, bytes] | None:
        """(salt, body) of ``entry``; None without one, or once it is erased. Raises LogDamagedError if it was changed."""
        there = entry.body is not None and self._db.one("SELECT 1 FROM bodies WHERE id = ?", (entry.body,))
        if entry.body is None or not there:
            return None
        salt, data = self._bodies.opened(entry.body)
        if commit_body(salt, data) != commitment:
            raise _damaged(f"position {entry.position}: the body was changed: its commitment does not match")
        return salt, data

    def frontier(self, size: int) -> list[bytes]:
        """The roots of the perfect subtrees of the first ``size`` events, largest first."""
        return self.tree.frontier(size)

    def positions_between(self, start: int, end: int, size: int) -> tuple[int, int]:
        """(first, stop) of the events of the time from ``start`` up to and without ``end``, among the first ``size``.

        Times never run backwards, so these are all the positions of that time.
        """
        sql = "SELECT position FROM events WHERE at >= ? AND position < ? ORDER BY at, position LIMIT 1"
        first, stop = (self._db.one(sql, (moment, size)) or (size,) for moment in (start, end))
        return int(first[0]), int(stop[0])
