"""Following the log: one driver for every kind of follower.

Events go out in order; the position is saved, durably, after the other side has them. Killed in between, an ``atomic`` follower
undoes what it had begun, an ``identified`` one sends it again under the same ids.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from affidavit.app.wiring import LOCKS, Parts
from affidavit.domain.errors import BusyError, FollowerError, LogDamagedError, UsageError
from affidavit.events.follow import Tail, waits
from affidavit.ports.follower import Batch, Follower, Handed, Standing
from affidavit.store.followers import Followers, Place
from affidavit.store.people import Tenant

START, NOW = "start", "now"
FIRST_RETRY, LONGEST_RETRY = 0.5, 60.0
TRIES_ONCE = 6
"""With ``once`` a batch is tried so often, over about half a minute; without it until it succeeds."""

_LOCK_TRIES, _LOCK_PAUSE = 4, 0.05
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class Following:
    """What is followed to where. ``name`` owns the position; ``target`` names the other side without secrets.

    ``since`` is ``start``, ``now``, a position (the first event handed over), or "": where the follower was, else the start.
    ``tenant`` None follows the whole workspace. ``content`` lets bodies leave: questions, names, answers.
    """

    name: str
    target: str
    since: str = ""
    tenant: Tenant | None = None
    content: bool = False
    once: bool = False


@dataclass
class Progress:
    """How far one call has come: events handed over, the position reached, tries that failed."""

    handed: int = 0
    position: int = -1
    failed_tries: int = 0


@dataclass(frozen=True)
class Notices:
    """Told while following: after each batch, and when the other side cannot take one (with seconds until the next try)."""

    handed: Callable[[Progress], None] = lambda progress: None
    waiting: Callable[[FollowerError, float], None] = lambda error, wait: None


@dataclass
class _Ground:
    """The log as a follower may ask it."""

    origin: str
    tail: Tail
    keep: Callable[[str], None]

    def story(self, run: str, after: int, upto: int) -> list[Handed]:
        return list(self.tail.story(run, after, upto))

    def leaf(self, position: int) -> bytes | None:
        return self.tail.leaf(position)

    def save(self, state: str) -> None:
        self.keep(state)


class FollowDesk:
    """Hands the log over, and says how far that has come."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._places = Followers(parts.database)
        self._origin = parts.signer.origin

    def list(self) -> list[dict[str, Any]]:
        """Every follower: what it follows, how far it has come and how many events it is behind."""
        with self._parts.database.read():
            head = self._parts.log.head()
            return [self._described(place, head) for place in self._places.all()]

    def _described(self, place: Place, head: int) -> dict[str, Any]:
        settings = json.loads(place.settings)
        return {
            "name": place.name,
            **settings,
            "position": place.position,
            "lag": head - place.position,
            "at": place.at,
            "running": self._running(place.name),
            "rejected": json.loads(place.state or "{}").get("rejected", 0),
        }

    def standing(self) -> Standing:
        """How the log and its followers stand now."""
        with self._parts.database.read():
            head = self._parts.log.head()
            at = self._parts.database.value("SELECT at FROM checkpoints ORDER BY size DESC LIMIT 1")
            lags = {place.name: head - place.position for place in self._places.all()}
        return Standing(head + 1, at or 0, lags)

    def follow(
        self,
        follower: Follower,
        wanted: Following,
        notices: Notices = Notices(),
        sleep: Callable[[float], None] = time.sleep,
    ) -> Progress:
        """Hand the log over until it is caught up (``once``) or for ever.

        Raises BusyError if another process follows under this name, UsageError if the name follows something else,
        LogDamagedError if the log is not the one that was followed, FollowerError if the other side does not take it.
        """
        if not _NAME.fullmatch(wanted.name):
            raise UsageError(
                f"{wanted.name!r} cannot be a follower's name",
                "use a-z, 0-9, dots and dashes, for example siem-2",
            )
        with self._locked(wanted.name):
            drive = _Drive(self._parts, self._places, follower, wanted, notices, sleep)
            tenant = None if wanted.tenant is None else wanted.tenant.id
            tail = Tail(self._parts.database, self._parts.bodies, tenant=tenant, content=wanted.content)
            try:
                return drive.run(tail, self.standing)
            finally:
                follower.close()

    def _running(self, name: str) -> bool:
        path = self._parts.folder / LOCKS / f"follower-{name}.lock"
        if not path.exists():
            return False
        with path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One process a name; the lock goes with the process that held it."""
        folder = self._parts.folder / LOCKS
        folder.mkdir(exist_ok=True)
        with (folder / f"follower-{name}.lock").open("a+") as file:
            for tries_left in range(_LOCK_TRIES - 1, -1, -1):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if tries_left:
                        time.sleep(
                            _LOCK_PAUSE
                        )  # `follow list` holds it for a moment to see whether anybody does
                        continue
                    file.seek(0)
                    holder = file.read().strip() or "unknown"
                    raise BusyError(
                        f"follower {name!r} is being run by process {holder}",
                        "one process follows under one name; give this one another --name",
                    ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


class _Drive:
    """One follower on its way."""

    def __init__(
        self,
        parts: Parts,
        places: Followers,
        follower: Follower,
        wanted: Following,
        notices: Notices,
        sleep: Callable[[float], None],
    ) -> None:
        self._parts = parts
        self._places = places
        self._follower = follower
        self._wanted = wanted
        self._notices = notices
        self._sleep = sleep
        self._progress = Progress()

    def run(self, tail: Tail, standing: Callable[[], Standing]) -> Progress:
        self._place = self._found(tail)
        self._progress.position = self._place.position
        self._follower.begin(self._place.state, _Ground(self._parts.signer.origin, tail, self._keep))
        idle = waits()
        while True:
            limit = self._follower.capabilities.batch
            piece = tail.after(self._place.position, limit)
            through = self._place.position if piece is None else piece.through
            events = () if piece is None else piece.events
            batch = Batch(events, through, self._parts.clock.now(), standing())
            self._save(batch, self._delivered(batch), b"" if piece is None else piece.leaf)
            if piece is not None:
                idle = waits()
            elif self._wanted.once:
                return self._progress
            else:
                self._sleep(next(idle))

    def _found(self, tail: Tail) -> Place:
        """Where to begin: saved, so that `follow list` shows it before the first event went out."""
        wanted = self._wanted
        settings = self._settings()
        place = self._places.get(wanted.name)
        if place is not None and not wanted.since:
            if json.loads(place.settings) != settings:
                raise UsageError(
                    f"follower {wanted.name!r} follows something else: {_told(json.loads(place.settings))}",
                    "give this one another --name, or say --from where this one begins anew",
                )
            if place.position >= 0 and tail.leaf(place.position) != place.leaf:
                raise LogDamagedError(
                    f"position {place.position} is not the event that follower {wanted.name!r} handed over: the log was "
                    "cut off, rewritten or restored from an older backup",
                    "run `affidavit audit verify` and compare with what was handed over; then go on with --from POSITION",
                )
            return place
        self._check_alone(settings)
        position = self._first(tail) - 1
        at = self._parts.clock.now()
        leaf = (tail.leaf(position) or b"") if position >= 0 else b""
        place = Place(wanted.name, json.dumps(settings, sort_keys=True), position, leaf, "", at)
        self._places.save(place)
        return place

    def _check_alone(self, settings: Mapping[str, Any]) -> None:
        """What a follower undoes after a kill must be its own: two of them cannot share a file."""
        if self._follower.capabilities.hand_over != "atomic":
            return
        for other in self._places.all():
            theirs = json.loads(other.settings)
            same = (theirs["kind"], theirs["target"]) == (settings["kind"], settings["target"])
            if same and other.name != self._wanted.name:
                raise UsageError(
                    f"follower {other.name!r} hands over to {settings['target']} already",
                    f"go on with --name {other.name}, or hand over to another place",
                )

    def _settings(self) -> dict[str, Any]:
        wanted = self._wanted
        return {
            "kind": self._follower.capabilities.kind,
            "target": wanted.target,
            "tenant": "" if wanted.tenant is None else wanted.tenant.name,
            "content": wanted.content,
        }

    def _first(self, tail: Tail) -> int:
        """The first position to hand over."""
        since = self._wanted.since or START
        size = tail.head() + 1
        if since == START:
            return 0
        if since == NOW:
            return size
        if not since.isdecimal() or int(since) > size:
            raise UsageError(
                f"--from {since!r} is no position of this log", f"start, now, or a number from 0 to {size}"
            )
        return int(since)

    def _delivered(self, batch: Batch) -> str:
        """The follower's new state, however often it takes."""
        longest = FIRST_RETRY
        tries = 0
        while True:
            try:
                return self._follower.deliver(batch)
            except FollowerError as error:
                tries += 1
                self._progress.failed_tries += 1
                if not error.retryable or (self._wanted.once and tries >= TRIES_ONCE):
                    raise
                # full jitter: many followers of one receiver must not come back all at once
                wait = max(longest * self._chance(), error.wait or 0.0)
                self._notices.waiting(error, wait)
                self._sleep(min(wait, LONGEST_RETRY))
                longest = min(longest * 2, LONGEST_RETRY)

    def _chance(self) -> float:
        return int.from_bytes(self._parts.randomness.token(2)) / 0xFFFF

    def _save(self, batch: Batch, state: str, leaf: bytes) -> None:
        place = self._place
        if batch.through == place.position and state == place.state:
            return
        self._place = replace(
            place, position=batch.through, leaf=leaf or place.leaf, state=state, at=batch.now
        )
        self._places.save(self._place)
        self._progress.handed += len(batch.events)
        self._progress.position = batch.through
        self._notices.handed(self._progress)

    def _keep(self, state: str) -> None:
        self._place = replace(self._place, state=state)
        self._places.save(self._place)


def _told(settings: Mapping[str, Any]) -> str:
    tenant = settings["tenant"] or "every tenant"
    content = "with" if settings["content"] else "without"
    return f"{settings['kind']} to {settings['target']}, {tenant}, {content} content"
