"""Parties outside this machine: where checkpoints are sent, who has cosigned what, and what `status` tells of it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.adapters.timestamps import read_authorities, timestamp
from affidavit.app.reach import reach
from affidavit.app.sinks import Settings, describe, make_sink
from affidavit.app.times import LATEST, iso
from affidavit.app.wiring import LOCKS, Parts
from affidavit.domain.access import check_name
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import (
    AffidavitError,
    BusyError,
    LogDamagedError,
    SinkError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.events.cosign import Cosigner, NoteError, parse_cosigner, read_note
from affidavit.events.log import Transaction
from affidavit.events.prove import Tree
from affidavit.ports.sink import Delivery
from affidavit.store.outside import COSIGNATURE, TIMESTAMP, Attestation, Outside, Progress, SinkRow


@dataclass(frozen=True)
class Sent:
    """What `audit send` did for one sink: ``sent``, ``current`` (it had it already) or ``failed``, and why."""

    name: str
    kind: str
    outcome: str
    size: int
    error: AffidavitError | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "outcome": self.outcome,
            "size": self.size,
            "error": None if self.error is None else self.error.as_dict(),
        }


class OutsideDesk:
    """Settings of the sinks, sending, and what came back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rows = Outside(parts.database)

    # -- settings, on the log

    def add(self, name: str, kind: str, settings: Settings) -> None:
        """Send checkpoints there from now on. ``settings`` are those that ``app.sinks.settings_of`` makes."""
        check_name(name, "sink")

        def write(tx: Transaction) -> None:
            if any(sink.name == name for sink in self._rows.sinks()):
                raise UsageError(
                    f"there is a sink {name!r} already",
                    f"choose another name, or: affidavit audit sink remove {name}",
                )
            id = self._rows.next_id()
            facts: dict[str, int | str] = {"subject": id, "change": "added"}
            body: dict[str, Json] = {"name": name, "kind": kind, "settings": dict(settings)}
            position = tx.append(Event(EventKind.SINK_CHANGED, facts=facts, body=body))
            self._rows.add(id, name, kind, canonical(dict(settings)).decode(), position)

        self._parts.log.write(write)

    def remove(self, name: str) -> None:
        """Send nothing there any more. What is there stays there."""

        def write(tx: Transaction) -> None:
            sink = self._named(name)
            facts: dict[str, int | str] = {"subject": sink.id, "change": "removed"}
            self._rows.remove(sink.id, tx.append(Event(EventKind.SINK_CHANGED, facts=facts)))

        self._parts.log.write(write)

    def sink(self, name: str) -> SinkRow:
        """The sink called ``name``. Raises UnknownNameError."""
        with self._parts.database.read():
            return self._named(name)

    def sinks(self) -> list[SinkRow]:
        """Every sink in use."""
        with self._parts.database.read():
            return self._rows.sinks()

    def _named(self, name: str) -> SinkRow:
        for sink in self._rows.sinks():
            if sink.name == name:
                return sink
        raise UnknownNameError(f"there is no sink {name!r}", "`affidavit audit sink list` shows them")

    # -- sending

    def send(self, progress: Callable[[], None] = lambda: None) -> list[Sent]:
        """Send the newest checkpoint to each sink that has not got it. One that fails does not keep the others from theirs."""
        with self._locked():
            size, note = self.newest()
            done = []
            for sink in self.sinks():
                done.append(self._send(sink, size, note))
                progress()
            return done

    def newest(self) -> tuple[int, str]:
        """(size, note) of the newest checkpoint."""
        with self._parts.database.read():
            row = self._parts.database.one("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1")
        if row is None:
            raise LogDamagedError("the log has no checkpoint", "run `affidavit audit verify`")
        return int(row[0]), str(row[1])

    def _send(self, sink: SinkRow, size: int, note: str) -> Sent:
        database, now = self._parts.database, self._parts.clock.now()
        with database.read():
            before = self._rows.progress(sink.id)
        if before.size == size and not before.error:
            return Sent(sink.name, sink.kind, "current", size)

        def prove(old: int) -> list[bytes]:
            with database.read():
                return Tree(database).consistency(old, size)

        delivery = Delivery(
            self._parts.signer.origin, size, note, min(before.size, size), prove, now // MICROSECONDS
        )
        try:
            lines = make_sink(sink.kind, sink.settings, reach(self._parts)).send(delivery)
            cosigned = _cosigned(sink, note, lines) if sink.kind == "witness" else None
        except AffidavitError as error:
            told = Progress(before.size, before.at, now, error.message)
            with database.write():
                self._rows.set_progress(sink.id, told)
            return Sent(sink.name, sink.kind, "failed", before.size, error)
        with database.write():
            self._rows.set_progress(sink.id, Progress(size, now, now))
            if cosigned is not None:
                self._rows.keep(cosigned)
        return Sent(sink.name, sink.kind, "sent", size)

    def timestamp(self, url: str, authority: Path) -> Attestation:
        """Have an RFC 3161 authority date the newest checkpoint; ``authority`` is a PEM file of roots it must answer to."""
        roots = read_authorities(read_file(authority))
        size, note = self.newest()
        token, seconds = timestamp(url, note.encode(), roots, private=reach(self._parts))
        kept = Attestation(TIMESTAMP, url, size, seconds * MICROSECONDS, note, token)
        with self._parts.database.write():
            self._rows.keep(kept)
        return kept

    # -- looking

    def witnesses(self) -> list[dict[str, Any]]:
        """Every witness, and the largest log it has cosigned: checked with its key, which is on the log."""
        with self._parts.database.read():
            size, kept = self._parts.log.head() + 1, self._rows.kept()
            listed = [(s, self._rows.progress(s.id)) for s in self._rows.sinks() if s.kind == "witness"]
        found = []
        for sink, progress in listed:
            key = str(sink.settings["key"])
            seen = [a for a in kept if a.kind == COSIGNATURE and a.party == key and _holds(a)]
            newest = max(seen, key=lambda a: a.size, default=None)
            found.append(
                {
                    "name": sink.name,
                    "url": sink.settings["url"],
                    "key": key,
                    "size": None if newest is None else newest.size,
                    "cosigned_at": None if newest is None else iso(newest.at),
                    "behind": size if newest is None else size - newest.size,
                    "error": progress.error or None,
                }
            )
        return found

    def attestations(self) -> list[Attestation]:
        """What parties outside have signed and is kept here, oldest first."""
        with self._parts.database.read():
            return self._rows.kept()

    def status(self) -> list[dict[str, Any]]:
        """How far each sink has come."""
        with self._parts.database.read():
            size = self._parts.log.head() + 1
            return [self._status(sink, self._rows.progress(sink.id), size) for sink in self._rows.sinks()]

    def _status(self, sink: SinkRow, progress: Progress, size: int) -> dict[str, Any]:
        return {
            "name": sink.name,
            "kind": sink.kind,
            "place": describe(sink.kind, sink.settings),
            "settings": json.loads(json.dumps(dict(sink.settings))),
            "size": progress.size,
            "behind": size - progress.size,
            "sent_at": iso(progress.at) if progress.at else None,
            "tried_at": iso(progress.tried) if progress.tried else None,
            "error": progress.error or None,
        }

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One sending at a time, over all processes; the lock goes with the process that held it."""
        folder = self._parts.folder / LOCKS
        folder.mkdir(exist_ok=True)
        with (folder / "send.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(
                    "checkpoints are being sent by another process", "wait until it is done"
                ) from error
            yield


def read_file(path: Path) -> bytes:
    """A small file the user named. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(1_000_000)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from error


def _cosigned(sink: SinkRow, note: str, lines: str) -> Attestation:
    """The checkpoint with the cosignature that came back, once that is checked. Raises SinkError."""
    cosigner = parse_cosigner(str(sink.settings["key"]))
    own = [line for line in lines.split("\n") if line.startswith(f"— {cosigner.name} ")]
    joined = note + "".join(f"{line}\n" for line in own)
    at = _opened(cosigner, joined)
    if at is None or at > LATEST:
        raise SinkError(
            f"what answers at {sink.settings['url']} did not cosign with the key of {cosigner.name}",
            "ask whoever runs the witness for its key (`affidavit witness show`), over another channel",
            retryable=False,
        )
    return Attestation(
        COSIGNATURE, cosigner.vkey(), read_note(note).checkpoint().size, at * MICROSECONDS, joined, None
    )


def _opened(cosigner: Cosigner, note: str) -> int | None:
    try:
        return cosigner.opened(read_note(note))
    except NoteError:
        return None


def _holds(attestation: Attestation) -> bool:
    """That a kept cosignature is what the witness's key signed, for that size: the row may have been written by hand."""
    try:
        note = read_note(attestation.note)
        return (
            parse_cosigner(attestation.party).opened(note) is not None
            and note.checkpoint().size == attestation.size
        )
    except NoteError:
        return False
