"""A file that checkpoints are appended to: on another machine's share, a write-once disk, a printer's spool."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from affidavit.adapters.sinks.notes import LARGEST_FILE, notes_in, notes_in_file
from affidavit.domain.errors import SinkError
from affidavit.ports.sink import Delivery

_TAIL = 65_536


class FileSink:
    """Appends to ``path``, each checkpoint followed by an empty line. A last piece that a crash cut off is left standing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, delivery: Delivery) -> str:
        try:
            handle = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o644
            )
            with os.fdopen(handle, "r+b", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise SinkError(f"{self._path} is not a file", "give the path of a file", retryable=False)
                fcntl.flock(file, fcntl.LOCK_EX)
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - _TAIL))
                tail = file.read().decode("utf-8", "replace")
                if notes_in(tail)[-1:] == [delivery.note] and tail.endswith(delivery.note + "\n"):
                    return ""
                apart = "" if not tail or tail.endswith("\n\n") else "\n\n"
                data = (apart + delivery.note + "\n").encode()
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            _make_durable(self._path.parent)
        except OSError as error:
            raise _unusable(self._path, error) from error
        return ""

    def held(self, origin: str) -> list[str]:
        return read_notes(self._path)


def read_notes(path: Path) -> list[str]:
    """The signed notes in the file ``path``. Raises SinkError."""
    try:
        if not path.is_file():
            raise SinkError(f"{path} is not a file", "check the path", retryable=False)
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unusable(path, error) from error
    if len(data) > LARGEST_FILE:
        raise SinkError(f"{path} is larger than {LARGEST_FILE >> 20} MB", "split it", retryable=False)
    return notes_in_file(data)


def _make_durable(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(path: Path, error: OSError) -> SinkError:
    return SinkError(
        f"{path} cannot be used: {error.strerror}", "check that it is mounted, its permissions and its disk"
    )
