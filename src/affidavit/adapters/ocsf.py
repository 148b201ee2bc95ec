"""OCSF records as JSON lines in a file that a SIEM's agent reads.

``atomic``: lines are appended and flushed to disk before position, file and offset are saved in one transaction. After a
kill what stands behind the saved offset was not handed over yet: it is cut off and written again. Every change of file (a
rotation) is saved before anything is written to the new one, so the saved state always names the file that may have such a
tail.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from affidavit.adapters.ocsf_classes import record
from affidavit.domain.errors import FollowerError
from affidavit.ports.follower import Batch, FollowerCapabilities, Ground

_PREFIX = b'{"activity_id": '
_LARGEST_TAIL = 256 * 2**20


@dataclass(frozen=True)
class _Mark:
    """A file by its inode, and how many of its bytes are handed over."""

    inode: int
    offset: int

    def text(self) -> str:
        return json.dumps({"inode": self.inode, "offset": self.offset})

    @classmethod
    def parse(cls, text: str) -> _Mark:
        value = json.loads(text)
        return cls(value["inode"], value["offset"])


class OcsfFollower:
    """Appends to ``path``, which is its own: whoever else writes there is noticed and refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int = -1
        self._mark = _Mark(0, 0)

    @property
    def capabilities(self) -> FollowerCapabilities:
        return FollowerCapabilities("ocsf", "atomic", 1000)

    def begin(self, state: str, ground: Ground) -> None:
        self._ground = ground
        with _explained(self._path):
            if state:
                self._mark = _Mark.parse(state)
                self._undo()
            self._open()

    def deliver(self, batch: Batch) -> str:
        if not batch.events:
            return self._mark.text()
        with _explained(self._path):
            self._open()
            lines = [json.dumps(record(self._ground.origin, e)) for e in batch.events]
            data = ("\n".join(lines) + "\n").encode()
            try:
                _write(self._file, data)
                os.fsync(self._file)
            except OSError:
                # a full disk: a half line must not stay for the agent to read
                os.ftruncate(self._file, self._mark.offset)
                raise
        self._mark = _Mark(self._mark.inode, self._mark.offset + len(data))
        return self._mark.text()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # -- which file

    def _open(self) -> None:
        """Have the file now called ``path`` open, its end saved as handed over. Renamed or cut off since, it is another one."""
        now = os.stat(self._path) if self._path.exists() else None  # noqa: PTH116
        if (
            self._file >= 0
            and now is not None
            and (now.st_ino, now.st_size) == (self._mark.inode, self._mark.offset)
        ):
            return
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            raise FollowerError(f"{self._path} is not a plain file", "name a file")
        if found.st_ino == self._mark.inode and found.st_size > self._mark.offset:
            raise self._foreign(self._path)
        if found.st_size and found.st_ino != self._mark.inode:
            self._ours_or_refuse()
        if (found.st_ino, found.st_size) != (self._mark.inode, self._mark.offset):
            _sync_folder(self._path.parent)
            self._mark = _Mark(found.st_ino, found.st_size)
            self._ground.save(self._mark.text())

    def _ours_or_refuse(self) -> None:
        with self._path.open("rb") as file:
            head = file.read(len(_PREFIX))
            file.seek(-1, os.SEEK_END)
            if head != _PREFIX or file.read(1) != b"\n":
                raise FollowerError(
                    f"{self._path} is there already and holds something else",
                    "give this follower a file of its own",
                )

    def _foreign(self, path: Path) -> FollowerError:
        return FollowerError(
            f"{path} holds lines that this follower did not write", "give this follower a file of its own"
        )

    # -- after a kill

    def _undo(self) -> None:
        """Cut off what was written after the last save, in whatever name the file has by now."""
        for path in self._candidates():
            with path.open("r+b") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._mark.inode:
                    continue
                if found.st_size > self._mark.offset:
                    file.seek(self._mark.offset)
                    tail = file.read(_LARGEST_TAIL)
                    self._check_tail(path, tail)
                    file.truncate(self._mark.offset)
                    os.fsync(file.fileno())
                return

    def _candidates(self) -> list[Path]:
        """The file, and what a rotation may have made of it: plain files beside it whose name begins alike."""
        beside = sorted(self._path.parent.glob(_escaped(self._path.name) + "*"))
        return [p for p in beside if p.is_file() and not p.is_symlink()]

    def _check_tail(self, path: Path, tail: bytes) -> None:
        """That ``tail`` is what we would write again. If not, the log was set back, or somebody else writes: cut nothing."""
        *lines, rest = tail.split(b"\n")
        if not (_PREFIX.startswith(rest) or rest.startswith(_PREFIX)):
            raise self._foreign(path)
        for line in lines:
            try:
                said = json.loads(line)
                position, leaf = said["metadata"]["sequence"], bytes.fromhex(said["unmapped"]["leaf"])
            except (ValueError, KeyError, TypeError) as error:
                raise self._foreign(path) from error
            if type(position) is not int or self._ground.leaf(position) != leaf:
                raise FollowerError(
                    f"{path} holds an event at position {position} that the log does not have: the log was cut off, "
                    "rewritten or restored from an older backup",
                    "keep the file, it is evidence; run `affidavit audit verify`; go on with another file and --name",
                )


class _explained:  # noqa: N801  # used like a function
    """Turns an OSError into a FollowerError that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise FollowerError(
                f"{self._path} cannot be written: {error.strerror}",
                "check the path, its permissions and the disk",
                retryable=error.errno in (errno.ENOSPC, errno.EDQUOT),
            ) from error


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
