"""`audit compare`: what parties outside hold, against the log as it is now. This is what catches the administrator.

Each checkpoint that was kept elsewhere must be the beginning of the present log: signed with the same key, and with the root
that the present log's own events give for its size. Whoever rewrites history and signs it anew cannot make that true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.adapters.sinks.file import read_notes
from affidavit.adapters.sinks.git import GitSink
from affidavit.adapters.sinks.http import check_url, refused, request
from affidavit.adapters.sinks.notes import notes_in
from affidavit.adapters.sinks.witness import WitnessSink
from affidavit.adapters.timestamps import check_timestamp, read_authorities
from affidavit.app.config import git_environment
from affidavit.app.outside import OutsideDesk, read_file
from affidavit.app.reach import reach
from affidavit.app.sinks import describe, make_sink
from affidavit.app.wiring import Parts
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import LogDamagedError, SinkError, UsageError
from affidavit.events.cosign import Cosigner, Note, NoteError, parse_cosigner, read_note
from affidavit.events.history import roots
from affidavit.events.note import open_note, parse_verifier_key
from affidavit.store.outside import COSIGNATURE as COSIGNED
from affidavit.store.outside import TIMESTAMP, Attestation

_HINT = "keep this workspace and what is outside as they are; the log's history was changed by someone with its key"


@dataclass(frozen=True)
class Place:
    """Somewhere checkpoints are kept; with ``cosigner`` each must also be signed by that party."""

    label: str
    notes: Sequence[str]
    cosigner: Cosigner | None = None
    problem: str = ""


@dataclass(frozen=True)
class Finding:
    """One place's verdict: so many checkpoints of logs of ``smallest`` to ``largest`` events; ``problem`` is "" if all fit."""

    place: str
    checkpoints: int
    smallest: int
    largest: int
    problem: str
    unreachable: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "ok": not self.problem,
            "checkpoints": self.checkpoints,
            "smallest": self.smallest,
            "largest": self.largest,
            "problem": self.problem or None,
        }

    def error(self) -> LogDamagedError | SinkError:
        """The finding as the error that a command fails with."""
        if self.unreachable:
            return SinkError(f"{self.place}: {self.problem}", "compare again when it can be read")
        return LogDamagedError(f"{self.place}: {self.problem}", _HINT)


class Comparer:
    """Compares what is outside with the present log.

    ``key`` is the log's public key as the one who compares knows it, "" to take the workspace's word. ``other_logs`` allows
    a place to hold checkpoints of other logs too. ``authorities`` is a PEM file, against which kept timestamps are checked.
    """

    def __init__(
        self, parts: Parts, key: str = "", *, other_logs: bool = False, authorities: Path | None = None
    ) -> None:
        self._parts = parts
        self._key = key.strip() or parts.catalog.setting("verifier") or ""
        self._origin = _origin(self._key)
        self._other_logs = other_logs
        self._roots = None if authorities is None else read_authorities(read_file(authorities))

    # -- where to look

    def everything(self, desk: OutsideDesk) -> list[Place]:
        """Every sink that can be read back, and what parties outside signed and is kept here."""
        places = [
            self.sink(desk, sink.name) for sink in desk.sinks() if sink.kind not in ("webhook", "email")
        ]
        return places + self._attested(desk.attestations())

    def sink(self, desk: OutsideDesk, name: str) -> Place:
        """What the sink ``name`` holds."""
        sink = desk.sink(name)
        label = f"{sink.kind} {name} ({describe(sink.kind, sink.settings)})"
        cosigner = parse_cosigner(str(sink.settings["key"])) if sink.kind == "witness" else None
        try:
            held = make_sink(sink.kind, sink.settings, reach(self._parts)).held(self._origin)
        except SinkError as error:
            return Place(label, (), problem=error.message)
        return Place(label, held, cosigner)

    def place(self, where: str, desk: OutsideDesk, witness: str = "") -> Place:
        """What a file, a folder, a git repository, an address or a sink's name holds. Raises UsageError."""
        cosigner = parse_cosigner(witness) if witness else None
        path = Path(where)
        if not path.exists() and any(sink.name == where for sink in desk.sinks()):
            return self.sink(desk, where)
        try:
            if where.startswith(("http://", "https://")):
                notes = self._fetched(where)
            else:
                notes = _in_folder(path, self._origin) if path.is_dir() else read_notes(path)
        except SinkError as error:
            return Place(where, (), problem=error.message)
        return Place(where, notes, cosigner)

    def _fetched(self, url: str) -> list[str]:
        if not url.rstrip("/").endswith("/checkpoint"):
            return WitnessSink(url, private=reach(self._parts)).held(self._origin)
        answer = request("GET", check_url(url), private=reach(self._parts))
        if answer.status != 200:
            raise refused(url, answer)
        return notes_in(answer.text())

    def _attested(self, kept: list[Attestation]) -> list[Place]:
        """What is kept here, a place for each party. A copy of its word: the party itself is asked where it can be."""
        places = []
        for kind, party in sorted({(a.kind, a.party) for a in kept}):
            own = [a for a in kept if (a.kind, a.party) == (kind, party)]
            if kind == COSIGNED:
                cosigner = parse_cosigner(party)
                places.append(
                    Place(f"cosignatures of {cosigner.name} kept here", [a.note for a in own], cosigner)
                )
            elif kind == TIMESTAMP:
                places.append(
                    Place(
                        f"timestamps of {party} kept here", [a.note for a in own], problem=self._undated(own)
                    )
                )
        return places

    def _undated(self, kept: list[Attestation]) -> str:
        """What is wrong with the first token that is not good for its checkpoint, "" if nothing or if nobody can say."""
        if self._roots is None:
            return ""
        for a in kept:
            try:
                seconds = check_timestamp(a.party, a.token or b"", a.note.encode(), self._roots)
            except SinkError as error:
                return error.message
            if seconds * MICROSECONDS != a.at:
                return f"the timestamp of {a.size} events is of another time than its row says"
        return ""

    # -- comparing

    def compare(
        self, places: Sequence[Place], progress: Callable[[int], None] = lambda done: None
    ) -> list[Finding]:
        """The verdict on each place. One pass over the log, whatever the number of places. Raises UsageError for none."""
        if not places:
            raise UsageError(
                "there is nothing to compare with",
                "name a file, a git folder or a witness's address; or send checkpoints first: affidavit audit sink add",
            )
        opened = [[self._opened(note, place.cosigner) for note in place.notes] for place in places]
        sizes = {n.checkpoint().size for notes in opened for n in notes if isinstance(n, Note)}
        with self._parts.database.read():
            known = dict(roots(self._parts.database, sizes, progress))
            reached = self._parts.log.head() + 1
        return [
            self._finding(place, notes, known, reached) for place, notes in zip(places, opened, strict=True)
        ]

    def _opened(self, text: str, cosigner: Cosigner | None) -> Note | str | None:
        """The note if it is a checkpoint of this log, signed by its key; None for an allowed other log's; else what is wrong."""
        try:
            note = read_note(text)
            origin = note.checkpoint().origin
        except NoteError as error:
            return f"it holds a checkpoint that is malformed: {error}"
        if origin != self._origin:
            return None if self._other_logs else f"it holds a checkpoint of another log, {origin}"
        try:
            open_note(text, self._key)
        except LogDamagedError:
            return f"its checkpoint of {note.checkpoint().size} events is not signed with the log's key"
        if cosigner is not None and cosigner.opened(note) is None:
            return f"its checkpoint of {note.checkpoint().size} events is not cosigned by {cosigner.name}"
        return note

    def _finding(
        self, place: Place, notes: Iterable[Note | str | None], known: dict[int, bytes], reached: int
    ) -> Finding:
        ours = [note for note in notes if note is not None]
        sizes = [note.checkpoint().size for note in ours if isinstance(note, Note)]
        problem = place.problem or ("" if ours else "it holds no checkpoint of this log")
        for note in () if problem else ours:
            problem = note if isinstance(note, str) else _mismatch(note, known, reached)
            if problem:
                break
        return Finding(
            place.label,
            len(sizes),
            min(sizes, default=0),
            max(sizes, default=0),
            problem,
            unreachable=bool(place.problem) and not place.notes,
        )


def _origin(key: str) -> str:
    """The name in a log's public key. Raises UsageError."""
    try:
        return parse_verifier_key(key)[0]
    except LogDamagedError as error:
        raise UsageError(
            "this is not a log's public key", "give the line NAME+ID+KEY that `affidavit audit verify` prints"
        ) from error


def _mismatch(note: Note, known: dict[int, bytes], reached: int) -> str:
    """Why the present log does not begin with what ``note`` says, "" if it does."""
    checkpoint = note.checkpoint()
    if checkpoint.size > reached:
        return (
            f"its checkpoint has {checkpoint.size} events, the log only {reached}: "
            "the log was cut off, or an older copy was put back"
        )
    found = known.get(checkpoint.size)
    if found is None:
        return f"its checkpoint has {checkpoint.size} events, and of those some are missing from the log"
    if found != checkpoint.root:
        return f"the log's first {checkpoint.size} events are not those that its checkpoint was signed for"
    return ""


def _in_folder(path: Path, origin: str) -> list[str]:
    if (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        return GitSink(path, git_environment()).held(origin)
    return [note for file in sorted(path.iterdir()) if file.is_file() for note in read_notes(file)]
