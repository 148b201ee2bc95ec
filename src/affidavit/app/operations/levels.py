"""Operations: what is promised of sources and answers, and how it is kept."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations.operation import Caller, Given, Method, Nothing, Operation
from affidavit.app.workspace import Workspace


class Objective(Given):
    percent: str
    within_seconds: int | None
    days: int


class Level(Given):
    level: str
    meaning: str
    source: str | None
    state: str = Field(description="open (nothing is promised), kept, breached or unmeasured.")
    objective: Objective | None
    total: int
    good: int
    percent: str | None
    worst_seconds: int | None
    unread_seconds: int | None
    overdue: bool
    budget_left_percent: int | None = Field(
        description="What is left of the failures that the objective allows; below 0 there were more."
    )


class LevelList(Given):
    items: list[Level]
    next: None = None


def levels(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    found = [
        {k: v for k, v in said.items() if not k.startswith(("tenant", "source_"))}
        for said in ws.levels.show(caller.tenant)
    ]
    return {"items": found, "next": None}


LEVELS = (
    Operation(
        "levels.list",
        "status:read",
        Method.READ,
        "/levels",
        "What is promised of each source and of answers, how it is kept, and what is left of the error budget.",
        Nothing,
        LevelList,
        levels,
        {},
        command="level show",
    ),
)
