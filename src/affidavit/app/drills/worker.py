"""The process that a drill starves, limits or kills. Reads one JSON request a line, answers one JSON line to each.

``python -m affidavit.app.drills.worker``. An answer on standard output is what a person would call acknowledged. An error of
affidavit's is answered as ``{"error": code, "message": …}``; anything else ends the process with a traceback, as it should.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from affidavit.app.drills.remembered import Memory
from affidavit.app.drills.seams import LIVE
from affidavit.app.drills.standin import StandIns
from affidavit.app.workspace import Workspace
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.errors import AffidavitError

Request = dict[str, Any]
_BLOCK = 64 * 1024


class Worker:
    """One workspace and what one may ask of it. Each method takes a request and gives an answer."""

    def __init__(self) -> None:
        self._ws: Workspace | None = None
        self.answers: dict[str, Callable[[Request], Request]] = {
            "open": self.open,
            "close": self.close,
            "status": self.status,
            "ask": self.ask,
            "search": self.search,
            "sync": self.sync,
            "write": self.write,
            "import": self.people,
            "verify": self.verify,
            "copy": self.copy,
            "fill": self.fill,
            "free": self.free,
            "limit": self.limit,
        }

    @property
    def ws(self) -> Workspace:
        if self._ws is None:
            raise RuntimeError("open a workspace first")
        return self._ws

    def answer(self, request: Request) -> Request:
        """What ``request`` gives, or the error that a person would be shown."""
        try:
            return self.answers[request["do"]](request)
        except AffidavitError as error:
            return {"error": error.code, "message": error.message}

    def open(self, request: Request) -> Request:
        self._ws = open_workspace(request["folder"])
        Memory().into(self._ws)
        if LIVE not in sys.argv:
            StandIns().into(self._ws)
        return {"opened": True}

    def close(self, request: Request) -> Request:
        self.ws.close()
        self._ws = None
        return {"closed": True}

    def status(self, request: Request) -> Request:
        return self.ws.status()

    def ask(self, request: Request) -> Request:
        answer = self.ws.ask(request["question"], request["user"], request["tenant"])
        return {"run": answer.run, "status": answer.status.value}

    def search(self, request: Request) -> Request:
        found = self.ws.search(request["question"], request["user"], 10, request["tenant"])
        return {"run": found.run, "degraded": found.degraded, "hits": len(found.hits)}

    def sync(self, request: Request) -> Request:
        (report,) = self.ws.sync(request["source"], request["tenant"])
        return {"run": report.run, "counts": report.counts()}

    def write(self, request: Request) -> Request:
        """Write one file of the drill's own source; ``{n}`` is the round."""
        n = str(request["n"])
        path = Path(request["file"].replace("{n}", n))
        path.write_text(request["text"].replace("{n}", n), encoding="utf-8")
        return {}

    def people(self, request: Request) -> Request:
        report = self.ws.import_people(
            Path(request["file"].replace("{n}", str(request["n"]))), request["tenant"]
        )
        return {"people": report.people, "n": request["n"]}

    def verify(self, request: Request) -> Request:
        return self.ws.verify()

    # -- room on the disk

    def copy(self, request: Request) -> Request:
        """Copy a folder, into the small disk or out of it."""
        shutil.copytree(request["from"], request["to"])
        return {}

    def fill(self, request: Request) -> Request:
        """Fill the disk that holds ``file`` until only ``leave`` bytes are free."""
        path, leave = Path(request["file"]), int(request["leave"])
        free = shutil.disk_usage(path.parent).free
        with path.open("ab") as file:
            while free > leave:
                try:
                    file.write(bytes(min(_BLOCK, free - leave)))
                    file.flush()
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
                free = shutil.disk_usage(path.parent).free
        return {"free": shutil.disk_usage(path.parent).free}

    def free(self, request: Request) -> Request:
        """Take away what ``fill`` wrote, or the limit."""
        if "file" in request:
            Path(request["file"]).unlink()
        else:
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        return {}

    def limit(self, request: Request) -> Request:
        """No file of this process may grow beyond ``bytes``: what a quota does."""
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["bytes"], most))
        return {}

    def forever(self, requests: list[Request]) -> None:
        """The same requests over and over, each acknowledged when it is done; ``n`` counts the rounds."""
        n = 0
        while True:
            for request in requests:
                say({"do": request["do"], **self.answer({**request, "n": n})})
            n += 1


def say(answer: Request) -> None:
    """One line, out at once."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer requests until there are no more."""
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "forever":
            worker.forever(request["requests"])
        say(worker.answer(request))
    os._exit(0)  # what is open is left as a process leaves it that simply ends


if __name__ == "__main__":
    main()
