"""Operations: drills, each on a copy and in the background."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation, may
from affidavit.app.workspace import Workspace


class DrillInput(Asked):
    name: str = Field(min_length=1, max_length=64)


class Drill(Given):
    drill: str
    breaks: str
    promises: list[str]


class Ran(Given):
    position: int
    drill: str
    by: str
    at: str
    state: str = Field(description="running, kept, broken or lost.")
    error: str
    report: dict[str, JsonValue] | None


class DrillList(Given):
    drills: list[Drill]
    items: list[Ran]
    next: str | None


class Began(Given):
    drill: str
    position: int = Field(description="The list of drills tells by this how it went.")


def drills(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    watched = may(ws, caller, "audit:read")
    found = ws.drill_book.newest(caller.tenant, asked.limit + 1, listing.before(asked), watched=watched)
    return {"drills": ws.drill_book.all(), **listing.newest(found, asked.limit)}


def run(ws: Workspace, caller: Caller, asked: DrillInput) -> dict[str, Any]:
    return {
        "drill": asked.name,
        "position": ws.drill_book.begin(caller.tenant, asked.name, caller.principal),
    }


DRILLS = (
    Operation(
        "drills.list",
        "drill:run",
        Method.READ,
        "/drills",
        "The drills there are, and how they went, the newest first.",
        Page,
        DrillList,
        drills,
        {"limit": 5},
        command="drill list",
    ),
    Operation(
        "drills.run",
        "drill:run",
        Method.ASK,
        "/drills/{name}",
        "Break something on a copy, in the background. The report goes on record.",
        DrillInput,
        Began,
        run,
        {"name": "kill"},
        changes=True,
        command="drill kill",
    ),
)
