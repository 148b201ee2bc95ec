"""Parsing in processes of its own, so that a hostile or broken document costs itself only.

The processes are kept and used again; one that a document has taken down, or that answers nonsense, is replaced. Nothing an
answer says is believed: offsets, kinds and types are checked before anything is built from it.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from affidavit.domain.errors import (
    BusyError,
    MissingParserError,
    ParseError,
    UnsupportedError,
    WorkspaceError,
)
from affidavit.domain.media import MEDIA_TYPES
from affidavit.domain.records import FLAGS, Block, Notice, Parsed

_LENGTH = struct.Struct(">Q")
"""Bytes of the frame that follows."""
_START = """
import sys, types
package = types.ModuleType("affidavit")
package.__path__ = [sys.argv.pop(1)]
sys.modules["affidavit"] = package
from affidavit.ingest.parse.worker import main
main()
"""
"""The parsers and nothing else of this system: importing the package itself would load all of it, three times as slowly."""
_PACKAGE = str(Path(__file__).resolve().parents[2])

MEMORY = 1024 * 1024 * 1024
"""Bytes one document may take."""
SECONDS = 60
"""Of processor time one document may take."""
WALL = 600.0
"""Seconds after which a process that computes nothing is given up."""
KEPT = 4
"""Idle processes that are kept."""
MOST_ANSWER = 512 * 1024 * 1024
_USES = 1_000
"""Documents after which a process is replaced: libraries leak."""
_PIECE = 1 << 20
_LEAVE = 10.0
"""Seconds a process has to end when there is nothing left to do."""
_REINSTALL = "install affidavit again: pip install --force-reinstall affidavit"
_HOSTILE = "The file is damaged, or was made to do this. Save it anew from its own program, or leave it out."
KINDS = frozenset(("heading", "paragraph", "list", "table", "code", "quote", "row"))
_ERRORS = {kind.code: kind for kind in (ParseError, UnsupportedError, MissingParserError)}


class _GoneError(Exception):
    """The process ended without an answer."""


class _Worker:
    """One process, ready to parse. Not to be shared between threads. Raises BusyError, WorkspaceError if none can be had."""

    def __init__(self, memory: int, seconds: int, wall: float) -> None:
        self._wall = wall
        self._seconds = seconds
        self.uses = 0
        flags = ["-P", "-B"] if sys.dont_write_bytecode else ["-P"]
        # nothing of our environment: no credentials, no settings; a fixed order of everything that is hashed
        environment = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONHASHSEED": "0"}
        try:
            self._process = self._started(flags, environment, memory, seconds)
        except OSError as error:
            raise BusyError(
                f"no process can be started to parse documents: {error.strerror}", "try again"
            ) from error
        try:
            self._answer()
        except _GoneError as error:  # not a document's fault, so no document may be taken out for it
            raise WorkspaceError(f"documents cannot be parsed: {self.end()}", _REINSTALL) from error

    @staticmethod
    def _started(
        flags: list[str], environment: dict[str, str], memory: int, seconds: int
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, *flags, "-c", _START, _PACKAGE, str(memory), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,  # Ctrl-C is ours to deal with
        )

    def ask(self, data: bytes, media_type: str, name: str) -> Any:
        """The answer, as JSON. Raises _GoneError."""
        self.uses += 1
        header = json.dumps({"media_type": media_type, "name": name}).encode("ascii")
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(_LENGTH.pack(len(header)) + header + _LENGTH.pack(len(data)) + data)
                stdin.flush()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _GoneError from error
        return self._answer()

    def _answer(self) -> Any:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > MOST_ANSWER:
            raise _GoneError
        try:
            return json.loads(self._read(length))
        except (ValueError, RecursionError) as error:
            raise _GoneError from error

    def _read(self, size: int) -> bytes:
        stdout = self._process.stdout
        out = bytearray()
        with selectors.DefaultSelector() as selector:
            if stdout is not None:
                selector.register(stdout, selectors.EVENT_READ)
            while len(out) < size:
                if stdout is None or not selector.select(self._wall):
                    raise _GoneError
                piece = os.read(stdout.fileno(), min(_PIECE, size - len(out)))
                if not piece:
                    raise _GoneError
                out += piece
        return bytes(out)

    def kill(self) -> None:
        """End the process whatever it is doing."""
        self._process.kill()

    def end(self) -> str:
        """Make sure that the process is gone; why it went, for an error."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # what was still to be written is of no use to anybody
        code = self._process.poll()
        if code is None:
            try:
                code = self._process.wait(_LEAVE)  # without input it ends by itself
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                return f"it was still computing after {self._wall:.0f} seconds"
        if code == -signal.SIGXCPU:
            return f"it took more than {self._seconds} seconds of processor time"
        return f"its parser was ended by {signal.Signals(-code).name}" if code < 0 else "its parser failed"


class Pool:
    """Processes that parse. Safe to share between threads; each document has a process to itself while it is read."""

    def __init__(self, *, memory: int = MEMORY, seconds: int = SECONDS, wall: float = WALL) -> None:
        self._limits = (memory, seconds, wall)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._owner = os.getpid()

    def parse(self, data: bytes, media_type: str, name: str) -> Parsed:
        """What ``parse`` of this package gives, from a limited process. Raises ParseError, also for a document that takes too
        much of anything or takes its parser down; BusyError and WorkspaceError if no process can be had."""
        with self._worker() as worker:
            try:
                answer = worker.ask(data, media_type, name)
            except _GoneError as error:
                worker.uses = _USES
                raise ParseError(f"it could not be parsed: {worker.end()}.", _HOSTILE) from error
            if isinstance(answer, dict) and "exhausted" in answer:
                worker.uses = _USES
                what = "memory" if answer["exhausted"] == "memory" else "depth"
                raise ParseError(
                    f"it could not be parsed: it takes more {what} than a document may.", _HOSTILE
                )
        return decoded(answer)

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        worker = self._take()
        done = False
        try:
            yield worker
            done = True
        except ParseError:
            done = True
            raise
        finally:
            if not done:  # interrupted with an answer outstanding
                worker.uses = _USES
                worker.kill()
            self._give(worker)

    def _take(self) -> _Worker:
        with self._lock:
            if self._owner != os.getpid():  # after a fork: the pipes are the parent's
                self._idle, self._owner = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return _Worker(*self._limits)

    def _give(self, worker: _Worker) -> None:
        with self._lock:
            if worker.uses < _USES and len(self._idle) < KEPT:
                self._idle.append(worker)
                return
        worker.end()

    def close(self) -> None:
        """End all idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._owner == os.getpid():
            for worker in idle:
                worker.end()


@cache
def shared() -> Pool:
    """The pool of this process, ended with it."""
    pool = Pool()
    atexit.register(pool.close)
    return pool


def decoded(answer: Any) -> Parsed:
    """A document out of an answer. Raises ParseError, also for an answer that cannot be true."""
    try:
        if "error" not in answer:
            return _document(answer)
        code, message, hint = answer["error"]
        error = _ERRORS[code](str(message), str(hint))
    except (KeyError, ValueError, TypeError, IndexError) as fault:
        raise ParseError(
            "it could not be parsed: its parser gave an answer that cannot be.", _HOSTILE
        ) from fault
    raise error


def _document(answer: dict[str, Any]) -> Parsed:
    text, paths = str(answer["text"]), [tuple(map(str, path)) for path in answer["paths"]]
    blocks = tuple(_blocks(answer["blocks"], paths, text))
    if answer["media_type"] not in MEDIA_TYPES.values() or not isinstance(answer["metadata"], dict):
        raise ValueError("media type or metadata")
    notices = tuple(Notice(str(code), str(message), str(hint)) for code, message, hint in answer["notices"])
    return Parsed(text, str(answer["title"]), blocks, answer["media_type"], answer["metadata"], notices)


def _blocks(written: Any, paths: list[tuple[str, ...]], text: str) -> Iterator[Block]:
    at = 0
    for kind, start, end, path, flag in written:
        if kind not in KINDS or flag not in ("", *FLAGS) or not at <= start < end <= len(text):
            raise ValueError("a block")
        if not isinstance(start, int) or not isinstance(end, int) or path < 0:
            raise TypeError("a block")
        at = end
        yield Block(kind, start, end, paths[path], flag)
