"""Operations: what is promised of sources and answers, and how it is kept."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Nothing, Operation
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


class OneSource(Asked):
    name: str = Field(min_length=1, max_length=256)


class Quality(Given):
    name: str
    documents: int
    owners: dict[str, int]
    classifications: dict[str, int]
    ranks: dict[str, int]
    deprecated: int
    currency: dict[str, JsonValue] = Field(description="How much is younger than its own limit of freshness.")
    completeness: dict[str, JsonValue]
    duplicates: int = Field(description="Documents whose text another one of the source has too.")
    in_other_sources: int
    unparsed: int = Field(description="Files of the last sync that could not be read.")


def quality(ws: Workspace, caller: Caller, asked: OneSource) -> dict[str, Any]:
    """Figures alone: names of documents are for those who may read them."""
    found = ws.quality.show(caller.tenant, asked.name)
    kept = ("name", "documents", "owners", "classifications", "deprecated", "currency", "completeness")
    return {
        **{k: found[k] for k in kept},
        "ranks": {str(rank): count for rank, count in found["ranks"].items()},
        "deprecated": found["deprecated"] or 0,
        "duplicates": found["duplicates"]["documents"],
        "in_other_sources": found["duplicates"]["in_other_sources"],
        "unparsed": found["unparsed"]["files"],
    }


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
        passing=frozenset({"unread_seconds"}),
    ),
    Operation(
        "sources.quality",
        "source:read",
        Method.READ,
        "/sources/{name}/quality",
        "How current, complete and free of duplicates a source is: figures, and no names of documents.",
        OneSource,
        Quality,
        quality,
        {"name": "handbook"},
        command="source show",
    ),
)
