"""Operations: what takes two people, and waits for the second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, JsonValue

from affidavit.app import proposals as desk
from affidavit.app.operations import listing
from affidavit.app.operations.deciding import differing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import (
    CONFIRMED,
    Asked,
    Caller,
    Given,
    Method,
    Operation,
    Table,
    may,
    perform,
)
from affidavit.app.proposals import absent
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import ForbiddenError
from affidavit.store.proposals import Proposal

PUBLISH, SHOW = "policy.publish", "policy.show"
ID = r"^p[a-z2-7]{15}$"


class OneProposal(Asked):
    id: str = Field(pattern=ID)
    reason: str = Field("", max_length=2000, description="Why, in a sentence.")


class Differing(Given):
    file: str
    lines: list[str] = Field(description="Those that differ, with + or - before them, and some around them.")


class Waiting(Given):
    id: str
    operation: str
    action: str
    by: str = Field(description="Who asked for it.")
    asked: JsonValue
    expires: int = Field(description="Microseconds since 1970.")
    yours: bool = Field(description="You asked for it yourself: somebody else confirms it.")
    differs: list[Differing] = Field(description="Of rules: in what they differ from those in force now.")


class WaitingList(Given):
    items: list[Waiting]
    next: str | None


class Done(Given):
    id: str
    operation: str
    result: JsonValue = Field(
        None,
        description="Null where it gives a secret: whoever asked for it asks again, and is given it then.",
    )


class Proposing:
    """The functions behind the rows. ``table`` is where the operations that were asked for are found."""

    table: Table

    def listed(self, ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
        mine = [
            one
            for one in sorted(ws.proposals.waiting(caller.tenant), key=lambda one: one.id)
            if self._theirs(ws, caller, one)
        ]
        page, following = listing.paged(mine, asked, lambda one: one.id)
        return {"items": [self._shown(ws, one, caller) for one in page], "next": following}

    def _shown(self, ws: Workspace, one: Proposal, caller: Caller) -> dict[str, Any]:
        asked = json.loads(one.asked)
        rules = one.operation == PUBLISH and may(ws, caller, self.table[SHOW].action)
        return {
            "id": one.id,
            "operation": one.operation,
            "action": self.table[one.operation].action,
            "by": one.principal,
            "asked": asked,
            "expires": one.expires,
            "yours": one.principal == caller.principal,
            "differs": list(_differs(ws.policy.in_force(), asked["rules"])) if rules else [],
        }

    def confirm(self, ws: Workspace, caller: Caller, asked: OneProposal) -> dict[str, Any]:
        """Do it, as whoever asked for it, who must still be allowed to. On record before it is done, so that it is done once."""
        there = self._known(ws, caller, asked.id)
        operation = self.table[there.operation]
        self._second(caller, there, operation)
        first = Caller(
            caller.tenant, there.principal, CONFIRMED, there.speaker, there.scopes, proof=there.proof
        )
        why = ws.proposals.fault(caller.tenant, there)
        if not why and not may(ws, first, operation.action):
            why = f"{there.principal} may not {operation.action} any more"
        said = (caller.principal, why or asked.reason, caller.proof)
        if why:
            ws.proposals.resolve(caller.tenant, asked.id, desk.VOID, *said)
            raise ForbiddenError(f"this is not done: {why}", "whoever wants it done asks for it again")
        if operation.once:  # whoever is shown a secret can act by it: it is for the first, not for the second
            ws.proposals.resolve(caller.tenant, asked.id, desk.AGREED, *said)
            return {"id": asked.id, "operation": operation.name}
        wanted = operation.takes.model_validate_json(there.asked)
        ws.proposals.resolve(caller.tenant, asked.id, desk.CONFIRMED, *said)
        return {"id": asked.id, "operation": operation.name, "result": perform(ws, first, operation, wanted)}

    def decline(self, ws: Workspace, caller: Caller, asked: OneProposal) -> dict[str, Any]:
        """Do not do it; whoever asked for it may take it back so, too."""
        there = self._known(ws, caller, asked.id)
        if there.principal != caller.principal:
            self._second(caller, there, self.table[there.operation])
        ws.proposals.resolve(
            caller.tenant, asked.id, "declined", caller.principal, asked.reason, caller.proof
        )
        return {"id": asked.id, "operation": there.operation}

    def _known(self, ws: Workspace, caller: Caller, id: str) -> Proposal:
        """What waits, for whoever it is listed for; for others it is not there. Raises UnknownNameError."""
        there = ws.proposals.get(caller.tenant, id)
        if not self._theirs(ws, caller, there):
            raise absent(id)
        return there

    def _theirs(self, ws: Workspace, caller: Caller, one: Proposal) -> bool:
        return one.principal == caller.principal or may(ws, caller, self.table[one.operation].action)

    def _second(self, caller: Caller, there: Proposal, operation: Operation[Any]) -> None:
        """Raises ForbiddenError unless ``caller``, who may do as much, is a second person, themselves."""
        if caller.principal == there.principal or caller.by or not caller.principal.startswith("user:"):
            raise ForbiddenError(
                "this takes a second person", f"somebody else who may {operation.action}, in person"
            )


def _differs(now: Mapping[str, str], then: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name in sorted({*now, *then}):
        lines = list(differing(now.get(name, ""), then.get(name, "")))
        if lines:
            yield {"file": name, "lines": lines}


PROPOSING = Proposing()
PROPOSALS = (
    Operation(
        "proposals.list",
        "run:read",
        Method.READ,
        "/proposals",
        "What takes two people and waits for the second: what you asked for, and what you may confirm.",
        Page,
        WaitingList,
        PROPOSING.listed,
        {},
        command="proposal list",
    ),
    Operation(
        "proposals.confirm",
        "run:read",
        Method.ASK,
        "/proposals/{id}/confirm",
        "Confirm what somebody else asked for: it is done now, as theirs. Needs the same action as it does.",
        OneProposal,
        Done,
        PROPOSING.confirm,
        {"id": "paaaaaaaaaaaaaaa", "reason": "agreed by telephone"},
        changes=True,
    ),
    Operation(
        "proposals.decline",
        "run:read",
        Method.ASK,
        "/proposals/{id}/decline",
        "Decline what somebody else asked for, or take back what you did.",
        OneProposal,
        Done,
        PROPOSING.decline,
        {"id": "paaaaaaaaaaaaaaa", "reason": "not now"},
        changes=True,
    ),
)
