"""Operations: where documents come from, how fresh they are, and what could not be read."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.noting import note
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.operations.places import Places
from affidavit.app.sources import connector
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError
from affidavit.ports import connector as port
from affidavit.runs.recorder import new_run_id

_FAULTS = 200
_PAGES = 20


class OneSource(Asked):
    name: str = Field(min_length=1, max_length=256)


class Removal(OneSource):
    reason: str = Field(min_length=1, max_length=10_000, description="Why. It goes on record.")


class Fault(Given):
    name: str = Field(description="The item's name within the source.")
    code: str
    message: str
    hint: str = ""


class Line(Given):
    name: str
    kind: str
    synced: str | None
    age: int | None = Field(description="Microseconds since then.")
    documents: int
    readable_by_nobody: int
    stopped: str = Field(description="Why it is stopped; empty if it is not.")
    faults: list[Fault] = Field(description="What the last sync could not read.")


class SourceList(Given):
    items: list[Line]
    next: str | None


class Sync(Given):
    run: str
    at: str
    took: int | None
    counts: dict[str, JsonValue]
    faults: list[Fault]


class Source(Line):
    syncs: list[Sync]
    syncing: bool = Field(description="Whether a server is bringing it up to date now.")


class Syncing(Given):
    source: str
    work: int = Field(description="GET /v1/works/{work} tells how far it is.")
    run: str = Field(description="The run that it is.")


class Checked(Given):
    source: str
    reachable: bool
    message: str
    items: int = Field(description="Items seen so far; it looks at the beginning only.")
    faults: list[Fault]


class Removed(Given):
    source: str
    documents: int


def sources(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    page, following = listing.paged(
        ws.source_book.all(caller.tenant), asked, lambda source: str(source["name"])
    )
    return {"items": [_hidden(ws, caller, one) for one in page], "next": following}


def source(ws: Workspace, caller: Caller, asked: OneSource) -> dict[str, Any]:
    syncing = ws.works.syncing(ws.sources.get(caller.tenant, asked.name).id)
    return {**_hidden(ws, caller, ws.source_book.show(caller.tenant, asked.name)), "syncing": syncing}


def _hidden(ws: Workspace, caller: Caller, told: dict[str, Any]) -> dict[str, Any]:
    """``told`` without the server's paths in what is said of faults."""
    places = Places(ws, caller.tenant)
    out = {**told, "faults": _faults(places, told["faults"])}
    if "syncs" in told:
        out["syncs"] = [{**sync, "faults": _faults(places, sync["faults"])} for sync in told["syncs"]]
    return out


def _faults(places: Places, faults: Any) -> list[dict[str, Any]]:
    return [
        {k: places.hidden(v) if isinstance(v, str) else v for k, v in fault.items()}
        for fault in faults[:_FAULTS]
    ]


def _told(places: Places, faults: Any) -> list[dict[str, Any]]:
    keys = ("name", "code", "message", "hint")
    return _faults(places, [{k: getattr(fault, k) for k in keys} for fault in faults])


def sync(ws: Workspace, caller: Caller, asked: OneSource) -> dict[str, Any]:
    run = caller.run or new_run_id(ws.parts.randomness)
    return {
        "source": asked.name,
        "work": ws.works.sync(caller.tenant, asked.name, caller.principal, run),
        "run": run,
    }


def check(ws: Workspace, caller: Caller, asked: OneSource) -> dict[str, Any]:
    """Whether the source can be read at all: a few pages of what there is, of which nothing is taken in."""
    found = ws.sources.get(caller.tenant, asked.name)
    places = Places(ws, caller.tenant)
    faults: list[port.Fault] = []
    seen, message, reachable = 0, "", True
    try:
        for n, page in enumerate(connector(found).changes("")):
            seen += len(page.items)
            faults += page.faults
            if n == _PAGES or len(faults) >= _FAULTS:
                break
    except AffidavitError as error:
        reachable, message = False, places.hidden(f"{error.message}: {error.hint}")
    return {
        "source": found.name,
        "reachable": reachable,
        "message": message,
        "items": seen,
        "faults": _told(places, faults),
    }


def remove(ws: Workspace, caller: Caller, asked: Removal) -> dict[str, Any]:
    found = ws.sources.get(caller.tenant, asked.name)
    what = {"source": found.name, "reason": asked.reason}
    note(ws.parts, caller.tenant, "source.remove", caller.principal, what)
    return {"source": found.name, "documents": ws.sources.remove(caller.tenant, found.name)}


_NAME = {"name": "handbook"}
SOURCES = (
    Operation(
        "sources.list",
        "source:read",
        Method.READ,
        "/sources",
        "Where documents come from, how fresh they are, and what the last sync could not read.",
        Page,
        SourceList,
        sources,
        {},
        command="source list",
        passing=frozenset({"age"}),
    ),
    Operation(
        "sources.show",
        "source:read",
        Method.READ,
        "/sources/{name}",
        "One source with its newest syncs. Names of files that could not be read are in it, whoever may read them.",
        OneSource,
        Source,
        source,
        _NAME,
        command="source list",
        passing=frozenset({"age"}),
    ),
    Operation(
        "sources.sync",
        "source:change",
        Method.ASK,
        "/sources/{name}/sync",
        "Begin to bring a source up to date, behind the request. One at a time for each source.",
        OneSource,
        Syncing,
        sync,
        _NAME,
        changes=True,
        later=True,
        command="sync",
    ),
    Operation(
        "sources.check",
        "source:change",
        Method.ASK,
        "/sources/{name}/check",
        "Try whether a source can be reached and read, without taking anything in.",
        OneSource,
        Checked,
        check,
        _NAME,
    ),
    Operation(
        "sources.remove",
        "source:change",
        Method.ASK,
        "/sources/{name}/remove",
        "Take a source out with all its documents. The log keeps what was answered from it.",
        Removal,
        Removed,
        remove,
        {**_NAME, "reason": "it moved to the new wiki"},
        changes=True,
        command="source remove",
    ),
)
