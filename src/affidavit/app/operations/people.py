"""Operations: who there is, who is in what, and who may do what."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.operations import listing
from affidavit.app.operations.listing import Search
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation, may
from affidavit.app.workspace import Workspace
from affidavit.domain.access import named
from affidavit.domain.errors import ForbiddenError, UnknownNameError
from affidavit.domain.roles import ACTIONS, GRANTABLE, INCLUDED, PREFIX

Who = Field(min_length=1, max_length=300, description="user:NAME, service:NAME or group:NAME.")


class OnePerson(Asked):
    name: str = Who


class MemberInput(OnePerson):
    group: str = Field(min_length=1, max_length=300, description="The group's name.")


class GrantInput(OnePerson):
    action: str = Field(min_length=1, max_length=64, description="An action, or role:NAME.")


class Unbound(Given):
    principal: str
    ended: int = Field(description="1 if they were bound to an account, else 0.")


class Names(Given):
    items: list[str]
    next: str | None


class Person(Given):
    tenant: str
    principal: str
    facts: dict[str, JsonValue]
    groups: list[str]
    all_groups: list[str]
    members: list[str]
    roles: list[str]
    may: list[str]


def people(ws: Workspace, caller: Caller, asked: Search) -> dict[str, Any]:
    found = [name for name in ws.people.names(caller.tenant) if name.startswith(asked.prefix)]
    page, following = listing.paged(found, asked, str)
    return {"items": page, "next": following}


def person(ws: Workspace, caller: Caller, asked: OnePerson) -> dict[str, Any]:
    return ws.people.show(caller.tenant, named(asked.name))


def join(ws: Workspace, caller: Caller, asked: MemberInput) -> dict[str, Any]:
    who, group = _known(ws, caller, asked.name), _group(asked.group)
    check_gain(ws, caller, f"group:{group}")
    ws.people.join(caller.tenant, who, group, caller.principal)
    return ws.people.show(caller.tenant, who)


def leave(ws: Workspace, caller: Caller, asked: MemberInput) -> dict[str, Any]:
    who, group = _known(ws, caller, asked.name), _group(asked.group)
    check_gain(ws, caller, f"group:{group}")
    ws.people.leave(caller.tenant, who, group, caller.principal)
    return ws.people.show(caller.tenant, who)


def grant(ws: Workspace, caller: Caller, asked: GrantInput) -> dict[str, Any]:
    who = _known(ws, caller, asked.name)
    _may_give(ws, caller, asked.action)
    ws.people.grant(caller.tenant, who, asked.action, by=caller.principal)
    return ws.people.show(caller.tenant, who)


def revoke(ws: Workspace, caller: Caller, asked: GrantInput) -> dict[str, Any]:
    who = _known(ws, caller, asked.name)
    _may_give(ws, caller, asked.action)
    ws.people.grant(caller.tenant, who, asked.action, revoke=True, by=caller.principal)
    return ws.people.show(caller.tenant, who)


def unbind(ws: Workspace, caller: Caller, asked: OnePerson) -> dict[str, Any]:
    who = _known(ws, caller, asked.name)
    if who != caller.principal:
        check_gain(ws, caller, who)  # else whoever may do this could make themselves them
    return {"principal": who, "ended": ws.bindings.unbind(caller.tenant, who, caller.principal)}


def check_gain(ws: Workspace, caller: Caller, who: str) -> None:
    """Raises ForbiddenError unless ``caller`` holds themselves all that comes with being ``who`` or in it."""
    for grant in _grants_of(ws, caller, who):
        _may_give(ws, caller, grant)


def _known(ws: Workspace, caller: Caller, person: str) -> str:
    """The principal called ``person``, if there is one. Raises UnknownNameError."""
    who = named(person)
    if who.startswith("operator:"):
        raise UnknownNameError(f"there is no {who} in {caller.tenant.name}", "see who is known: /v1/people")
    ws.people.show(caller.tenant, who)
    return who


def _group(name: str) -> str:
    return name.removeprefix("group:")


def _grants_of(ws: Workspace, caller: Caller, who: str) -> list[str]:
    """What ``who`` and the groups they are in hold."""
    parts = ws.parts
    with parts.database.read():
        head = parts.log.head()
        mine = parts.people.closure(caller.tenant.id, who, head)
        return [a for a in GRANTABLE if mine & parts.people.grants(caller.tenant.id, a, head)]


def _may_give(ws: Workspace, caller: Caller, grant: str) -> None:
    """Raises ForbiddenError for a grant that ``caller`` does not have: who may change people could else give themselves all."""
    included = INCLUDED.get(grant.removeprefix(PREFIX), frozenset()) if grant.startswith(PREFIX) else {grant}
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    missing = sorted(action for action in included if action in ACTIONS and not may(ws, caller, action))
    foreign = grant.startswith(PREFIX) and (
        caller.scopes is not None or not roles & {"admin", grant.removeprefix(PREFIX)}
    )
    if missing or foreign:
        raise ForbiddenError(
            f"you hold no {missing[0] if missing else grant}, so you can neither give nor take it",
            f"ask an administrator of {caller.tenant.name}",
        )


_BOB = {"name": "user:bob"}
PEOPLE = (
    Operation(
        "people.list",
        "people:read",
        Method.READ,
        "/people",
        "Everybody who is known: people, services, groups.",
        Search,
        Names,
        people,
        {"prefix": "user:"},
        command="people list",
    ),
    Operation(
        "people.show",
        "people:read",
        Method.READ,
        "/person",
        "What is known of somebody: facts, groups, members, roles, what they may do.",
        OnePerson,
        Person,
        person,
        _BOB,
        command="people show",
    ),
    Operation(
        "people.join",
        "people:change",
        Method.ASK,
        "/people/join",
        "Put somebody into a group. A group that holds grants needs somebody who has them.",
        MemberInput,
        Person,
        join,
        {**_BOB, "group": "finance"},
        changes=True,
        command="people join",
        guards="people.show",
    ),
    Operation(
        "people.leave",
        "people:change",
        Method.ASK,
        "/people/leave",
        "Take somebody out of a group. A group that holds grants needs somebody who has them.",
        MemberInput,
        Person,
        leave,
        {**_BOB, "group": "finance"},
        changes=True,
        command="people leave",
        guards="people.show",
    ),
    Operation(
        "people.unbind",
        "credential:change",
        Method.ASK,
        "/people/unbind",
        "Let somebody sign in with another account of the provider's: whoever does so next is them. Their sessions end.",
        OnePerson,
        Unbound,
        unbind,
        _BOB,
        changes=True,
        command="people unbind",
    ),
    Operation(
        "people.grant",
        "people:change",
        Method.ASK,
        "/people/grant",
        "Let somebody do something that you may do yourself.",
        GrantInput,
        Person,
        grant,
        {**_BOB, "action": "role:approver"},
        changes=True,
        command="people grant",
        guards="people.show",
    ),
    Operation(
        "people.revoke",
        "people:change",
        Method.ASK,
        "/people/revoke",
        "No longer let somebody do something.",
        GrantInput,
        Person,
        revoke,
        {**_BOB, "action": "role:approver"},
        changes=True,
        command="people grant",
        guards="people.show",
    ),
)
