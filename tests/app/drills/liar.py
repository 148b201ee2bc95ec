"""A worker that is broken in the one way that its argument names."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from affidavit.app.drills.worker import Worker, main
from affidavit.app.people import read_people

Request = dict[str, Any]
LIE = sys.argv[1]


def ask(self: Worker, request: Request) -> Request:
    """Answers without having recorded anything, whatever happens."""
    time.sleep(0.005)
    return {"run": "run-aaaaaaaaaaaaaaaa", "status": "answered"}


def sync(self: Worker, request: Request) -> Request:
    """Reports a sync that never was."""
    time.sleep(0.005)
    return {"run": "run-aaaaaaaaaaaaaaaa", "counts": {}}


def nobody(self: Worker, request: Request) -> Request:
    """Reports people as imported who are not."""
    time.sleep(0.005)
    return {"people": 40, "n": request["n"]}


def half(self: Worker, request: Request) -> Request:
    """Imports the first hundred and stops."""
    entries = list(read_people(Path(request["file"])))[:100]
    self.ws.load_people(entries, request["tenant"])
    return {"people": len(entries), "n": request["n"]}


def dirty(self: Worker, request: Request) -> Request:
    """Leaves a mark that somebody must take away by hand."""
    Path(request["folder"], "dirty").touch()
    return REAL_OPEN(self, request)


def sulk(self: Worker, request: Request) -> Request:
    """Once refused, refuses for ever."""
    if getattr(self, "sulking", None):
        return dict(self.sulking)  # type: ignore[attr-defined]
    try:
        return REAL_ASK(self, request)
    except Exception as error:  # noqa: BLE001
        self.sulking = {"error": "sulking", "message": str(error)}  # type: ignore[attr-defined]
        return dict(self.sulking)  # type: ignore[attr-defined]


def quiet(self: Worker, request: Request) -> Request:
    """Does not say that it searched by keyword alone."""
    return {**REAL_SEARCH(self, request), "degraded": ""}


def crash(self: Worker, request: Request) -> Request:
    """Ends in the middle of a question."""
    raise ZeroDivisionError(json.dumps(request))


REAL_ASK, REAL_SEARCH, REAL_OPEN = Worker.ask, Worker.search, Worker.open
METHODS = {
    "ask": ("ask", ask),
    "sync": ("sync", sync),
    "nobody": ("people", nobody),
    "half": ("people", half),
    "dirty": ("open", dirty),
    "sulk": ("ask", sulk),
    "quiet": ("search", quiet),
    "crash": ("ask", crash),
}

if __name__ == "__main__":
    name, method = METHODS[LIE]
    setattr(Worker, name, method)
    main()
