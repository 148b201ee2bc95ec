"""Operations: how much may be asked for, and what is left of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations.operation import Caller, Given, Method, Nothing, Operation, may
from affidavit.app.workspace import Workspace


class Limit(Given):
    name: str = Field(
        description="As the RateLimit headers call it: person or tenant, and what of a day is counted."
    )
    most: int
    seconds: int = Field(description="In so many seconds: a minute, or a day from midnight UTC.")
    left: int
    after: int = Field(description="Seconds until there are more.")


class LimitList(Given):
    items: list[Limit]
    next: str | None


def limits(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    """With status:read also what all of the organisation may ask for together."""
    whole = may(ws, caller, "status:read")
    return {"items": caller.meter.used(whole=whole) if caller.meter else [], "next": None}


LIMITS = (
    Operation(
        "limits.show",
        "run:read",
        Method.READ,
        "/limits",
        "How much you may ask for by the minute and by the day, and what is left of it.",
        Nothing,
        LimitList,
        limits,
        {},
        passing=frozenset({"left", "after"}),
    ),
)
