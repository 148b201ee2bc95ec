"""Operations: what is promised of sources and answers, and how it is kept."""

from __future__ import annotations

from typing import Any, Literal

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
    each: bool = Field(
        description="It is promised of every source alike, or of answers; not of this source alone."
    )
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


_PERCENT = r"^\d{1,3}(\.\d{1,2})?$"
LevelName = Literal["freshness", "deletion", "revocation", "permissions", "citations"]


class Which(Asked):
    level: LevelName
    source: str = Field("", max_length=256, description="Of this source; empty: of each, and of answers.")


class PromiseInput(Which):
    percent: str = Field(pattern=_PERCENT, description="How many of a hundred, such as 99.5.")
    within_seconds: int = Field(
        0, ge=0, le=366 * 86_400, description="For what takes time: freshness, deletion, revocation."
    )
    days: int = Field(30, ge=1, le=366, description="Measured over the last so many days.")


class Promised(Given):
    level: str
    source: str
    percent: str
    within_seconds: int
    days: int


class NotPromised(Given):
    level: str
    source: str


def promise(ws: Workspace, caller: Caller, asked: PromiseInput) -> dict[str, Any]:
    made = ws.levels.set(
        caller.tenant,
        asked.level,
        asked.percent,
        caller.principal,
        asked.within_seconds,
        asked.days,
        asked.source,
    )
    return {
        "level": made.level,
        "source": asked.source,
        "percent": asked.percent,
        "within_seconds": made.within,
        "days": made.days,
    }


def withdraw(ws: Workspace, caller: Caller, asked: Which) -> dict[str, Any]:
    ws.levels.remove(caller.tenant, asked.level, caller.principal, asked.source)
    return {"level": asked.level, "source": asked.source}


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
        "levels.set",
        "level:change",
        Method.CHANGE,
        "/levels/{level}",
        "Promise a level of service, of one source, of each, or of answers; what was promised of the same goes.",
        PromiseInput,
        Promised,
        promise,
        {"level": "freshness", "percent": "99", "within_seconds": 3600},
        changes=True,
        command="level set",
    ),
    Operation(
        "levels.remove",
        "level:change",
        Method.END,
        "/levels/{level}",
        "Promise it no longer. What was measured stays on record.",
        Which,
        NotPromised,
        withdraw,
        {"level": "freshness"},
        changes=True,
        command="level remove",
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
