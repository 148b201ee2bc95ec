"""Operations: the record."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.workspace import Workspace

RUN_ID = r"^run-[a-z2-7]{16}$"


class Listed(Asked):
    limit: int = Field(20, ge=1, le=200, description="How many at most.")


class OneRun(Asked):
    run: str = Field(pattern=RUN_ID)


class RunLine(Given):
    run: str
    at: str
    journey: str
    status: str
    position: int
    principal: str | None = None
    question: str | None = None
    source: str | None = None


class RunList(Given):
    items: list[RunLine]


def newest(ws: Workspace, caller: Caller, asked: Listed) -> dict[str, Any]:
    return {"items": ws.runs.newest(caller.tenant, caller.principal, asked.limit)}


def show(ws: Workspace, caller: Caller, asked: OneRun) -> dict[str, Any]:
    return ws.runs.show(caller.tenant, asked.run, caller.principal)


RUNS = (
    Operation(
        "runs.list",
        "run:read",
        Method.READ,
        "/runs",
        "The newest runs: yours, or with audit:read everybody's.",
        Listed,
        RunList,
        newest,
        {"limit": 5},
        command="run list",
    ),
    Operation(
        "runs.show",
        "run:read",
        Method.READ,
        "/runs/{run}",
        "One run as you may see it: what was asked, found and given; with audit:read everything that was recorded.",
        OneRun,
        dict[str, JsonValue],
        show,
        {"run": "run-aaaaaaaaaaaaaaaa"},
        command="run show",
    ),
)
