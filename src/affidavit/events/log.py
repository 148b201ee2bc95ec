"""The append-only log: one durable transaction writes events and the catalog rows they are about.

Group commit: callers hand in their change; whoever holds the lock first commits everybody's changes that have
piled up, each in a savepoint of its own, with one fsync for all.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.domain.canonical import canonical
from affidavit.domain.clock import Clock
from affidavit.domain.errors import LogDamagedError, WorkspaceError
from affidavit.domain.events import Event, EventKind, header_bytes
from affidavit.events.merkle import Frontier, leaf_hash
from affidavit.events.note import Checkpoint, sign, sign_text, verifier_key
from affidavit.store.bodies import Bodies
from affidavit.store.database import Database
from affidavit.store.runs import Runs

T = TypeVar("T")

TILE_LEVELS = 8
"""Every 8th level of perfect subtrees is stored (as in C2SP tlog-tiles): 1/255 more rows buys short proofs."""
_WRITTEN = """SELECT count(*) FROM events WHERE run = ? AND run <> ''
  AND kind NOT IN ('call.proposed', 'call.changed', 'approval.resolved')
  AND NOT (kind = 'decision.made' AND json_extract(CAST(header AS TEXT), '$.facts.action') = 'tool:call')"""
KEPT_EVERY = 256
"""At least one checkpoint is kept for each so many positions, and always the newest."""
KEY_BYTES = 32


class Signer:
    """The log's Ed25519 key, read from a file on first use."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self.origin = origin
        self._key: Ed25519PrivateKey | None = None
        self._public = b""

    def _load(self) -> Ed25519PrivateKey:
        if self._key is None:
            try:
                raw = self._path.read_bytes()
            except OSError as error:
                raise WorkspaceError(
                    f"the log's key {self._path} cannot be read: {error.strerror}",
                    "restore it from a backup: without it nothing more can be recorded, so nothing is answered",
                ) from error
            if len(raw) != KEY_BYTES:
                raise WorkspaceError(f"the log's key {self._path} is damaged", "restore it from a backup")
            self._key = Ed25519PrivateKey.from_private_bytes(raw)
            self._public = self._key.public_key().public_bytes_raw()
        return self._key

    def sign(self, checkpoint: Checkpoint) -> str:
        key = self._load()
        return sign(checkpoint, self.origin, key, self._public)

    def seal(self, kind: str, digest: str) -> str:
        """A note that vouches for a whole file: its format ``kind`` and its SHA-256 in hexadecimal.

        It can be taken for no checkpoint: the second line of one is a decimal number, and this one is 64 digits long.
        """
        key = self._load()
        return sign_text(f"{kind}\n{digest}\n", self.origin, key, self._public)

    def derived(self, purpose: str) -> bytes:
        """32 secret bytes for ``purpose`` that only the holder of the key can work out."""
        return hmac.digest(self._load().private_bytes_raw(), f"affidavit {purpose}".encode(), "sha256")

    def verifier(self) -> str:
        """The public key in signed-note form."""
        self._load()
        return verifier_key(self.origin, self._public)


class Transaction:
    """What a change sees: it may append events and write rows; all become durable together."""

    def __init__(
        self, database: Database, bodies: Bodies, at: int, first: int, redact: Callable[[Event], Event]
    ) -> None:
        self._redact = redact
        self.db = database
        self.bodies = bodies
        self.at = at
        self._first = first
        self.leaves: list[bytes] = []

    @property
    def next_position(self) -> int:
        return self._first + len(self.leaves)

    def written(self, run: str) -> int:
        """How many events of ``run`` the log has, but for those that the gateway writes about calls within it."""
        return int(self.db.value(_WRITTEN, (run,)))

    def append(self, event: Event) -> int:
        """Write ``event``; its position."""
        position = self.next_position
        event = self._redact(event)
        body, commitment = None, ""
        if event.body is not None:
            body, commitment = self.bodies.put(canonical(event.body))
        header = header_bytes(event, self.at, commitment)
        leaf = leaf_hash(header)
        self.db.run(
            "INSERT INTO events (position, kind, tenant, run, at, header, leaf, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (position, event.kind.value, event.tenant, event.run, self.at, header, leaf, body),
        )
        self.leaves.append(leaf)
        self._list(event, position)
        return position

    def _list(self, event: Event, position: int) -> None:
        """Keep the list of runs in step with the log."""
        if event.kind is EventKind.RUN_STARTED:
            who = event.body.get("principal") if isinstance(event.body, dict) else None
            journey = str(event.facts["journey"])
            Runs(self.db).begin(
                position, event.tenant, event.run, journey, who if isinstance(who, str) else ""
            )
        elif event.kind is EventKind.RUN_FINISHED:
            Runs(self.db).end(event.run, str(event.facts["status"]))


class _Job(Generic[T]):
    def __init__(self, change: Callable[[Transaction], T]) -> None:
        self.change = change
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Log:
    """Appends to the log. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        bodies: Bodies,
        clock: Clock,
        signer: Signer,
        redactor: Callable[[], Callable[[Event], Event]] = lambda: lambda event: event,
    ) -> None:
        """``redactor`` is asked once a transaction for what passes every event before it is stored."""
        self._redactor = redactor
        self._db = database
        self._bodies = bodies
        self._clock = clock
        self._signer = signer
        self._queue: list[_Job[object]] = []
        self._queue_lock = threading.Lock()
        self._leader = threading.Lock()
        self._conditions = threading.local()

    def head(self) -> int:
        """The last position, -1 while the log is empty."""
        return int(self._db.value("SELECT coalesce(max(position), -1) FROM events"))

    def position_at(self, at: int) -> int:
        """The last position written at or before ``at`` (microseconds), -1 if none was."""
        # time does not run backwards, so the last in time is the last; `max(position)` would read every earlier one
        found = self._db.value(
            "SELECT position FROM events WHERE at <= ? ORDER BY at DESC, position DESC LIMIT 1", (at,)
        )
        return -1 if found is None else int(found)

    @contextmanager
    def only_if(self, check: Callable[[], None]) -> Iterator[None]:
        """The first change that this thread writes inside is made only if ``check`` does not raise; what it raises is raised.

        It is called in the change's own transaction, before it: between the two nobody writes. It must not write itself.
        """
        self._conditions.check = check
        try:
            yield
        finally:
            self._conditions.check = None

    def _conditional(self, change: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        check: Callable[[], None] | None = getattr(self._conditions, "check", None)
        if check is None:
            return change
        self._conditions.check = None
        holds = check

        def checked(tx: Transaction) -> T:
            holds()
            return change(tx)

        return checked

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Run ``change`` in a durable transaction and give back what it returns.

        Returns only once the commit is on disk. If ``change`` raises, nothing of it is written and the
        error is raised here.
        """
        job: _Job[T] = _Job(self._conditional(change))
        with self._queue_lock:
            self._queue.append(job)  # type: ignore[arg-type]  # the queue does not look at results
        with self._leader:
            if not job.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # set, since there was no error

    def _commit(self, batch: list[_Job[object]]) -> None:
        try:
            with self._db.write():
                frontier, last_at = self._state()
                transaction = Transaction(
                    self._db,
                    self._bodies,
                    max(self._clock.now(), last_at),
                    first=frontier.size,
                    redact=self._redactor(),
                )
                for job in batch:
                    self._attempt(job, transaction)
                if transaction.leaves:
                    self._grow(frontier, transaction)
        except BaseException as error:
            for job in batch:
                job.error = job.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for job in batch:
                job.done = True

    def _attempt(self, job: _Job[object], transaction: Transaction) -> None:
        written = len(transaction.leaves)
        try:
            with self._db.savepoint():
                job.result = job.change(transaction)
        except Exception as error:  # noqa: BLE001  # handed to the caller, whose error it is
            del transaction.leaves[written:]
            job.error = error

    def _state(self) -> tuple[Frontier, int]:
        text = self._db.value("SELECT value FROM meta WHERE key = 'frontier'")
        frontier = Frontier.from_text(text) if text else Frontier()
        last = self._db.one("SELECT position, at FROM events ORDER BY position DESC LIMIT 1")
        size, at = (last[0] + 1, last[1]) if last else (0, 0)
        if size != frontier.size:
            raise LogDamagedError(
                f"the log has {size} events but its tree has {frontier.size}",
                "run `affidavit audit verify`; restore the workspace from a backup",
            )
        return frontier, at

    def _grow(self, frontier: Frontier, transaction: Transaction) -> None:
        before = frontier.size

        def completed(level: int, number: int, hash: bytes) -> None:
            if level % TILE_LEVELS == 0:
                self._db.run("INSERT INTO tree (level, number, hash) VALUES (?, ?, ?)", (level, number, hash))

        for leaf in transaction.leaves:
            frontier.append(leaf, completed)
        note = self._signer.sign(Checkpoint(self._signer.origin, frontier.size, frontier.root()))
        self._db.run(
            "INSERT INTO meta (key, value) VALUES ('frontier', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (frontier.as_text(),),
        )
        self._db.run(
            "INSERT INTO checkpoints (size, at, note) VALUES (?, ?, ?)", (frontier.size, transaction.at, note)
        )
        if before // KEPT_EVERY == frontier.size // KEPT_EVERY:
            self._db.run("DELETE FROM checkpoints WHERE size = ?", (before,))
