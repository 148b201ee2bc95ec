"""A worker process from the drill's side."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from affidavit.app.drills.lab import Lab
from affidavit.app.drills.seams import LIVE
from affidavit.domain.errors import WorkspaceError

_PATIENCE = 120.0  # seconds for one request
_TOLD = 400  # characters of a traceback


class Child:
    """A worker (see ``worker``). Killed when it is left."""

    def __init__(
        self, lab: Lab, environment: Mapping[str, str] | None = None, before: Sequence[str] = ()
    ) -> None:
        """``before`` is a command that starts the worker's, such as one that gives it a small disk."""
        self._errors = (lab.room / "worker.err").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own words
            [*before, *lab.seams.worker, *([LIVE] if lab.seams.live else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for the drill to hear, which then ends the worker itself
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def send(self, **request: Any) -> None:
        """Ask for something without waiting. Raises WorkspaceError when the worker is gone."""
        try:
            assert self._process.stdin is not None  # noqa: S101  # a pipe, as asked for above
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def call(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer to one request. Raises WorkspaceError when the worker ends or does not answer."""
        self.send(do=do, **request)
        return self.next()

    def next(self) -> dict[str, Any]:
        """The next answer. Raises WorkspaceError."""
        try:
            line = self._lines.get(timeout=_PATIENCE)
        except queue.Empty as error:
            raise WorkspaceError(
                f"the drill's worker gave no answer in {_PATIENCE:.0f} s", "see what it waits for"
            ) from error
        if line is None:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self, after: float = 0.0) -> list[dict[str, Any]]:
        """End it as ``kill -9`` does; everything it had acknowledged and that was not read yet."""
        time.sleep(after)
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what was not sent is not missed
        self._errors.close()
        self._lines.put(None)  # the reader's own may have been taken already
        lines = list(iter(self._lines.get, None))
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _ended(self) -> WorkspaceError:
        self._process.wait()
        self._errors.seek(0)
        told = self._errors.read().strip()[-_TOLD:]
        return WorkspaceError(f"the drill's worker ended with status {self._process.returncode}: {told}", "")
