"""Operations: how questions went."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.figures import MOST_DAYS
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.workspace import Workspace

_COUNTED = Field(description="Microseconds within which so many in a hundred ended, to within 19 %.")


class Days(Asked):
    days: int = Field(30, ge=1, le=MOST_DAYS, description="How many days.")
    until: str = Field(
        "", pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="The last of them, as 2026-11-01; empty: today."
    )


class Counts(Given):
    answered: int
    refused: int
    waiting: int
    failed: int
    claims: int = Field(description="Statements in answers.")
    cited: int = Field(description="Statements that cite what they rest on.")
    timed: int = Field(description="How many the quantiles are of.")
    p50: int | None = _COUNTED
    p95: int | None = _COUNTED
    p99: int | None = _COUNTED


class DayCounts(Counts):
    day: str


class Bucket(Given):
    since: int = Field(alias="from", description="Microseconds.")
    to: int
    count: int


class StageTime(Given):
    stage: str
    count: int = Field(description="Microseconds, of all questions together.")


class RefusalCount(Given):
    reason: str
    count: int


class JourneyCount(Given):
    journey: str
    count: int


class FiguresGiven(Given):
    since: str
    until: str
    uncounted: int = Field(description="Runs that are on the log and not in these figures yet; ask again.")
    days: list[DayCounts]
    total: Counts
    latency: list[Bucket]
    stages: list[StageTime]
    refusals: list[RefusalCount]
    journeys: list[JourneyCount]


def show(ws: Workspace, caller: Caller, asked: Days) -> dict[str, Any]:
    return ws.figures.show(caller.tenant, asked.days, until=asked.until)


FIGURES = (
    Operation(
        "figures.show",
        "status:read",
        Method.READ,
        "/figures",
        "How questions went, day by day: answers, refusals, citations, durations.",
        Days,
        FiguresGiven,
        show,
        {"days": 30},
    ),
)
