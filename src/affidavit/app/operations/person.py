"""Operations: who one is."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations.operation import Caller, Given, Method, Nothing, Operation, may
from affidavit.app.workspace import Workspace
from affidavit.domain.roles import ACTIONS, EVERYBODY


class Me(Given):
    tenant: str
    principal: str
    by: str = Field(description="The service that speaks for you, if one does.")
    groups: list[str]
    roles: list[str]
    may: list[str]


def me(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    shown = ws.people.show(caller.tenant, caller.principal)
    return {
        "tenant": caller.tenant.name,
        "principal": caller.principal,
        "by": caller.by,
        "groups": shown["all_groups"],
        "roles": shown["roles"],
        "may": [a for a in sorted({*EVERYBODY, *ACTIONS}) if may(ws, caller, a)],
    }


PERSON = (
    Operation(
        "me.show",
        "run:read",
        Method.READ,
        "/me",
        "Who you are here, and what you may do.",
        Nothing,
        Me,
        me,
        {},
        command="people show",
    ),
)
