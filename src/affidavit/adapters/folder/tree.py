"""Opening folders and files of a tree without ever being led out of it.

Everything is opened relative to the folder above (``dir_fd``), one component at a time and never through a symbolic
link, so a folder that is swapped for a link between listing and reading leads to an error and not to somebody else's
file. POSIX only.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from affidavit.domain.errors import SourceError

# O_NONBLOCK: opening a FIFO must not wait for a writer. What was opened is looked at before it is read.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC

# These say that the whole source, or this process, is in trouble: no single folder may be taken for empty because of it.
_WHOLE = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
)


@dataclass(frozen=True)
class Entry:
    """One name in a folder, as the system spells it; ``found`` is its own status (links are not followed) or why
    there is none."""

    name: str
    found: os.stat_result | OSError


@contextmanager
def opened_root(root: Path) -> Iterator[int]:
    """A descriptor of the tree's top (which may itself be reached through a link). Raises SourceError."""
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise unreachable(root, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def unreachable(root: Path, error: OSError) -> SourceError:
    """The error for a tree that is out of reach as a whole."""
    return SourceError(
        f"the folder {root} cannot be read: {error.strerror}",
        "check that it exists, is mounted and may be read; nothing was taken for deleted",
    )


def descent(root: int, parts: Sequence[str]) -> Generator[int, None, None]:
    """A descriptor of each folder from ``root`` down to the one at ``parts``; each is open until the next is asked for.

    Raises OSError. Close the generator when it is not run to its end.
    """
    fd = os.open(".", _FOLDER, dir_fd=root)
    try:
        yield fd
        for part in parts:
            below = os.open(part, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
            yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_folder(root: int, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of the folder at ``parts`` under ``root``. Raises OSError."""
    with closing(descent(root, parts)) as folders:
        yield next(islice(folders, len(parts), None))


@contextmanager
def opened_file(folder: int, name: str) -> Iterator[int]:
    """A descriptor of ``name`` in ``folder``, whatever it is, except a link. Never blocks. Raises OSError."""
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def entries(folder: int) -> list[Entry]:
    """The names in ``folder``, sorted. Raises OSError."""
    with os.scandir(folder) as scan:
        return sorted((_entry(one) for one in scan), key=lambda entry: entry.name)


def _entry(one: os.DirEntry[str]) -> Entry:
    try:
        return Entry(one.name, one.stat(follow_symlinks=False))
    except OSError as error:
        return Entry(one.name, error)


def read(fd: int, limit: int) -> bytes:
    """Up to ``limit`` + 1 bytes: more than ``limit`` means that there are more than that. Raises OSError."""
    parts = []
    left = limit + 1
    while left:
        part = os.read(fd, min(left, 1 << 20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def status(folder: int, name: str) -> os.stat_result:
    """The status of ``name`` in ``folder`` itself, links not followed. Raises OSError."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def readable(folder: int, name: str) -> bool:
    """Whether this process may read ``name``, as far as permissions tell."""
    return os.access(name, os.R_OK, dir_fd=folder, effective_ids=os.access in os.supports_effective_ids)


def stamp(found: os.stat_result) -> str:
    """Differs whenever the content may differ. The change time cannot be set by hand as the modification time can."""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"


def concerns_everything(error: OSError) -> bool:
    """Whether ``error`` says nothing about the one file or folder it was met at."""
    return error.errno in _WHOLE


def is_special(mode: int) -> bool:
    """Whether a mode is neither a file, a folder nor a link."""
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
