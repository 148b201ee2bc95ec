"""A git folder: one file a log, one commit a checkpoint. Clones of it are copies out of the administrator's reach."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from affidavit.adapters.sinks.notes import notes_in
from affidavit.domain.errors import SinkError
from affidavit.ports.sink import Delivery

_SECONDS = 60
_SUFFIX = ".checkpoint"
# The repository may have been made by others: nothing in it is to be run, and nothing of the operator's habits applies.
_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.quotePath=false",
    "log.showRoot=true",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "user.name=affidavit",
    "user.email=affidavit@localhost",
)


class GitSink:
    """Commits to the repository whose working folder is ``folder``; with ``push``, pushes to where its branch belongs.

    ``environment`` is what the git program is given: without the caller's ``GIT_*`` variables, which would send it elsewhere.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, push: bool = False) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._push = push

    def send(self, delivery: Delivery) -> str:
        name = file_name(delivery.origin)
        self._check()
        if self._committed(name) != delivery.note:
            self._write(name, delivery.note)
            self._git("add", "--force", "--", name)
            message = f"{delivery.origin}: {delivery.size} events"
            self._git("commit", "--quiet", "--no-verify", "--only", "-m", message, "--", name)
        if self._push:
            self._git("push", "--quiet", "--no-verify")
        return ""

    def held(self, origin: str) -> list[str]:
        """Every version of every ``*.checkpoint`` file that any branch or tag still reaches, oldest first."""
        self._check(bare=True)
        listed = self._git(
            "log",
            "--all",
            "--reverse",
            "--no-renames",
            "--raw",
            "--no-abbrev",
            "-m",
            "--format=",
            "--",
            f"*{_SUFFIX}",
        )
        blobs = re.findall(r"^:\d+ \d+ [0-9a-f]+ ([0-9a-f]+) [AMT]", listed, re.MULTILINE)
        wanted = "".join(f"{blob}\n" for blob in dict.fromkeys(blobs))
        return [
            note
            for text in _objects(self._git_bytes("cat-file", "--batch", given=wanted))
            for note in notes_in(text)
        ]

    def _check(self, *, bare: bool = False) -> None:
        if not self._folder.is_dir():
            raise SinkError(f"{self._folder} is not a folder", "check that it is there and mounted")
        if not bare and self._git("rev-parse", "--is-inside-work-tree").strip() != "true":
            raise SinkError(
                f"{self._folder} is a bare repository", "give the folder of a clone", retryable=False
            )

    def _committed(self, name: str) -> str | None:
        """The file as the present branch has it, None if it has not."""
        found = self._git("ls-tree", "HEAD", "--", name, may_fail=True)
        return self._git("cat-file", "blob", found.split()[2]) if found.strip() else None

    def _write(self, name: str, note: str) -> None:
        """Through another file, so that a link of that name in the repository is replaced and not followed."""
        part = self._folder / f".{name}.part"
        try:
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with os.fdopen(handle, "wb") as file:
                file.write(note.encode())
            part.replace(self._folder / name)
        except OSError as error:
            raise SinkError(
                f"{self._folder} cannot be written: {error.strerror}", "check its permissions and disk"
            ) from error

    def _git(self, *arguments: str, may_fail: bool = False) -> str:
        return self._git_bytes(*arguments, may_fail=may_fail).decode("utf-8", "replace")

    def _git_bytes(self, *arguments: str, given: str = "", may_fail: bool = False) -> bytes:
        options = [part for setting in _SAFE for part in ("-c", setting)]
        command = ["git", "--no-pager", *options, "-C", str(self._folder), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the arguments are ours, the paths the operator's own
                command,
                input=given.encode(),
                capture_output=True,
                env={
                    **self._environment,
                    "GIT_TERMINAL_PROMPT": "0",
                    "GIT_NO_REPLACE_OBJECTS": "1",
                    "LC_ALL": "C",
                },
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise SinkError("there is no git program here", "install git", retryable=False) from error
        except subprocess.TimeoutExpired as error:
            raise SinkError(
                f"git {arguments[0]} in {self._folder} took more than {_SECONDS} s", "see what keeps it"
            ) from error
        if done.returncode and not may_fail:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise SinkError(
                f"git {arguments[0]} in {self._folder} failed: {said}",
                "try the same there by hand; it must be a repository of yours, with a branch checked out",
            )
        return b"" if done.returncode else done.stdout


def file_name(origin: str) -> str:
    """The file that the log ``origin`` has in the folder."""
    return re.sub(r"[^A-Za-z0-9-]", "-", origin) + _SUFFIX


def _objects(batch: bytes) -> Iterator[str]:
    """The contents in what ``git cat-file --batch`` prints: a line ``NAME TYPE SIZE``, so many bytes, a newline."""
    while batch:
        head, _, rest = batch.partition(b"\n")
        words = head.split()
        if len(words) != 3:  # an object that is gone: `NAME missing`
            batch = rest
            continue
        size = int(words[2])
        yield rest[:size].decode("utf-8", "replace")
        batch = rest[size + 1 :]
