"""Operations: API keys."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.credentials import LONGEST_DAYS
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.operations.people import check_gain
from affidavit.app.times import iso
from affidavit.app.workspace import Workspace
from affidavit.domain.access import named
from affidavit.domain.errors import ForbiddenError
from affidavit.store.credentials import CredentialKind

Days = Field(
    90,
    ge=1,
    le=LONGEST_DAYS,
    description="How long it is good for; a key that is made with a key ends with that one at the latest.",
)


class KeyInput(Asked):
    principal: str = Field(min_length=1, max_length=300, description="user:NAME or service:NAME.")
    name: str = Field(min_length=1, max_length=200, description="What it is for.")
    days: int = Days
    scopes: list[str] | None = Field(
        None,
        max_length=64,
        description="The actions that it is good for; none given: all of the principal's, and for others what everybody may do.",
    )
    acts_for: list[str] = Field(
        default_factory=list,
        max_length=64,
        description="For whom a service may speak: user:NAME, group:NAME.",
    )


class OneKey(Asked):
    id: str = Field(pattern=r"^[a-z2-7]{16}$")


class End(OneKey):
    alone: bool = Field(False, description="Leave the keys that were made with it.")


class Rotation(OneKey):
    days: int = Days
    overlap: int = Field(24, ge=0, le=24, description="Hours that the old one is good for meanwhile.")


class Key(Given):
    id: str
    principal: str
    name: str
    scopes: list[str] | None
    acts_for: list[str]
    made_by: str = Field(description="The key that it was made with, and ends with.")
    expires: str
    expired: bool


class KeyList(Given):
    items: list[Key]
    next: str | None


class Made(Given):
    key: Key
    secret: str = Field(description="Shown this once. Send it as: Authorization: Bearer SECRET.")


class Ended(Given):
    id: str
    ended: list[str] = Field(description="It, and the keys that were made with it.")


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "expires": iso(told["expires"])}


def keys(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    found = sorted(ws.credentials.keys(caller.tenant), key=lambda key: str(key["id"]))
    page, following = listing.paged(found, asked, lambda key: str(key["id"]))
    return {"items": [_shown(key) for key in page], "next": following}


def make(ws: Workspace, caller: Caller, asked: KeyInput) -> dict[str, Any]:
    _within(ws, caller, named(asked.principal), asked.scopes, asked.acts_for)
    made, secret = ws.credentials.make_key(
        caller.tenant,
        named(asked.principal),
        asked.name,
        asked.days,
        caller.principal,
        asked.scopes,
        asked.acts_for,
        _by_key(ws, caller),
    )
    return {"key": _shown(ws.credentials.shown(made)), "secret": secret}


def rotate(ws: Workspace, caller: Caller, asked: Rotation) -> dict[str, Any]:
    old = next((key for key in ws.credentials.keys(caller.tenant) if key["id"] == asked.id), None)
    if old is not None:
        _within(ws, caller, old["principal"], old["scopes"], old["acts_for"])
    made, secret = ws.credentials.rotate_key(
        caller.tenant, asked.id, caller.principal, asked.days, asked.overlap, _by_key(ws, caller)
    )
    return {"key": _shown(ws.credentials.shown(made)), "secret": secret}


def end(ws: Workspace, caller: Caller, asked: End) -> dict[str, Any]:
    there = next((key for key in ws.credentials.keys(caller.tenant) if key["id"] == asked.id), None)
    if there is not None and there["principal"] != caller.principal:
        check_gain(ws, caller, there["principal"])  # nobody ends the key of somebody who may do more
    ended = ws.credentials.end_key(caller.tenant, asked.id, caller.principal, alone=asked.alone)
    return {"id": asked.id, "ended": ended}


def _by_key(ws: Workspace, caller: Caller) -> str:
    """The id of the key that ``caller`` asks by, "" if it is none."""
    used = ws.credentials.rows.get(caller.proof) if caller.proof else None
    return caller.proof if used is not None and used.kind is CredentialKind.KEY else ""


def _within(
    ws: Workspace, caller: Caller, principal: str, scopes: list[str] | None, acts_for: list[str]
) -> None:
    """Raises ForbiddenError for a key that could do more than ``caller``: only an administrator speaks for others, and who came
    with a narrow key makes no wider one."""
    wider = caller.scopes is not None and (scopes is None or not caller.scopes.issuperset(scopes))
    roles = ws.tools.person(caller.tenant.id, caller.principal).roles
    foreign = (principal != caller.principal or bool(acts_for)) and "admin" not in roles
    if wider or foreign:
        raise ForbiddenError(
            "the key could do more than you may",
            "ask for no more scopes than yours" if wider else "an administrator makes keys for others",
        )


_ID = {"id": "cbcdefghijklmnop"}
KEYS = (
    Operation(
        "keys.list",
        "credential:change",
        Method.READ,
        "/keys",
        "The API keys that stand. Never a secret.",
        Page,
        KeyList,
        keys,
        {},
        command="key list",
    ),
    Operation(
        "keys.make",
        "credential:change",
        Method.ASK,
        "/keys",
        "Make an API key. Its secret is shown this once.",
        KeyInput,
        Made,
        make,
        {
            "principal": "service:helpdesk",
            "name": "the help desk's bot",
            "days": 90,
            "acts_for": ["group:staff"],
        },
        changes=True,
        once=True,
        command="key make",
    ),
    Operation(
        "keys.rotate",
        "credential:change",
        Method.ASK,
        "/keys/{id}/rotate",
        "Make a key that replaces another, which is good for some hours more.",
        Rotation,
        Made,
        rotate,
        _ID,
        changes=True,
        once=True,
        command="key rotate",
    ),
    Operation(
        "keys.end",
        "credential:change",
        Method.END,
        "/keys/{id}",
        "Take a key back, and what was made with it: the very next request with it is refused.",
        End,
        Ended,
        end,
        _ID,
        changes=True,
        command="key end",
    ),
)
