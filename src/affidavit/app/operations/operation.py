"""The one table of what can be asked of a workspace from outside, and the one door through which it is.

An operation has a name, the action it needs, typed input and output, and a function. The HTTP routes, the OpenAPI page, the
MCP tools, the console and the test "a stranger is refused by every operation" are all made from the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from affidavit.app.operations.places import Places
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError, ForbiddenError, SecondPersonError
from affidavit.domain.roles import EVERYBODY
from affidavit.store.people import Tenant

LOOKING = "look"
"""How a caller is known who only looks as somebody else does."""


class Asked(BaseModel):
    """What an operation takes. A field that is not declared is refused, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, str_strip_whitespace=False)


class Given(BaseModel):
    """What an operation gives. Fields may be added in a later version."""

    model_config = ConfigDict(frozen=True)


class Nothing(Asked):
    """An operation that takes nothing."""


CONFIRMED = "confirmed"
"""How a caller is known whose request a second person confirmed."""
Takes = TypeVar("Takes", bound=Asked)


class Method(str, Enum):
    """How it is asked for over HTTP: ``READ`` changes nothing but the record."""

    READ = "GET"
    ASK = "POST"
    CHANGE = "PUT"
    END = "DELETE"


@dataclass(frozen=True)
class Caller:
    """Who asks, as proved: ``principal`` is whose permissions hold; ``via`` says by what, ``by`` who speaks for them.

    ``scopes`` are the actions that the proof is good for, None for all that the principal may do. ``run`` is the id of this one
    request, and that of the run it makes if it makes one; "" leaves it to the run.
    """

    tenant: Tenant
    principal: str
    via: str
    by: str = ""
    scopes: frozenset[str] | None = None
    run: str = ""

    @property
    def looking(self) -> bool:
        """Whether ``by`` only looks as ``principal`` does: then nothing may be changed, and what is read goes on record."""
        return self.via == LOOKING

    @property
    def stated(self) -> str:
        """As it goes on record where a change is made for somebody."""
        return self.principal


@dataclass(frozen=True)
class Operation(Generic[Takes]):
    """One row of the table.

    ``name`` is ``things.verb``; ``action`` the grant it needs (what ``EVERYBODY`` may do needs none but being known);
    ``path`` below /v1 with the input's fields in braces; ``mcp`` says that agents are offered it as a tool; ``command`` names
    the command line's way to the same, "" where there is none. ``changes`` says that asking twice is not the same as asking once.
    ``makes_run``: all that it does is on record under the caller's ``run``. ``once``: what it gives is a secret, which is shown
    once and kept nowhere. ``parts`` is ``function`` for whoever wants to be told as it comes, for an answer in parts. ``tails``:
    it takes ``after`` and gives ``items``, each with its ``position``, until ``ended``: it can be followed.
    """

    name: str
    action: str
    method: Method
    path: str
    summary: str
    takes: type[Takes]
    gives: Any
    function: Callable[[Workspace, Caller, Takes], Any]
    example: Mapping[str, Any]
    changes: bool = False
    mcp: bool = False
    command: str = ""
    makes_run: bool = False
    once: bool = False
    parts: Callable[[Workspace, Caller, Takes, Callable[[Any], None]], Any] | None = None
    tails: bool = False

    @property
    def group(self) -> str:
        """The part before the dot."""
        return self.name.partition(".")[0]


class Table:
    """Operations by name, in the order in which they are documented."""

    def __init__(self, *groups: tuple[Operation[Any], ...]) -> None:
        self._rows: dict[str, Operation[Any]] = {}
        for row in (row for group in groups for row in group):
            if row.name in self._rows:
                raise ValueError(f"two operations are called {row.name}")
            self._rows[row.name] = row

    def __iter__(self) -> Iterator[Operation[Any]]:
        return iter(self._rows.values())

    def __getitem__(self, name: str) -> Operation[Any]:
        return self._rows[name]


def perform(
    ws: Workspace, caller: Caller, operation: Operation[Takes], asked: Takes, *, again: bool = False
) -> Any:
    """Ask ``operation``, if ``caller`` may. Raises ForbiddenError, and whatever the operation raises.

    ``again``: for a request that was asked before and goes on, which a look has on record already.
    Neither what it gives nor an error says where something is on the server's disk.
    """
    if caller.looking and (operation.changes or operation.method is not Method.READ):
        raise ForbiddenError(
            f"you look as {caller.principal}: nothing can be changed meanwhile", "stop looking first"
        )
    check(ws, caller, operation.action)
    if caller.looking and not again:
        ws.looking.saw(caller.tenant, caller.by, caller.principal, operation.name, asked.model_dump())
    if operation.once and caller.by:  # with it the service could go on as them when its own key is taken back
        raise ForbiddenError(
            f"{caller.by} speaks for {caller.principal}, and is given no secret of theirs",
            "they ask in person",
        )
    _second_person(ws, caller, operation, asked)
    places = Places(ws, caller.tenant)
    try:
        return places.without(operation.function(ws, caller, asked))
    except AffidavitError as error:
        error.message, error.hint = places.hidden(error.message), places.hidden(error.hint)
        raise


def _second_person(ws: Workspace, caller: Caller, operation: Operation[Takes], asked: Takes) -> None:
    """Raises SecondPersonError where somebody else must confirm this first; it waits for them, on record."""
    changes = operation.changes or operation.method in (Method.CHANGE, Method.END)
    if not changes or caller.via == CONFIRMED or operation.action not in ws.proposals.required(caller.tenant):
        return
    wanted = (
        caller.tenant,
        operation.name,
        caller.principal,
        caller.by,
        caller.scopes,
        asked.model_dump_json(),
    )
    if operation.once and ws.proposals.take(*wanted):
        return
    made = ws.proposals.propose(*wanted)
    raise SecondPersonError(
        f"this takes two people: it waits as proposal {made.id}",
        f"somebody else who may {operation.action} confirms it: POST /v1/proposals/{made.id}/confirm"
        + ("; then ask for the same again" if operation.once else ""),
        made.id,
    )


def check(ws: Workspace, caller: Caller, action: str) -> None:
    """Raises ForbiddenError unless ``caller`` is known in the tenant and may do ``action``, now, by their own grants and within
    the scopes of what they proved themselves by."""
    if not may(ws, caller, action):
        raise ForbiddenError(
            f"this needs the grant {action}",
            f"ask an administrator of {caller.tenant.name}: affidavit people grant {caller.principal} {action}",
        )


def may(ws: Workspace, caller: Caller, action: str) -> bool:
    """Whether ``caller`` may do ``action`` now."""
    parts = ws.parts
    if not caller.principal.startswith(("user:", "service:")):
        return False  # `operator:NAME` is believed at the machine; nobody is that over the network
    if caller.scopes is not None and action not in caller.scopes:
        return False
    with parts.database.read():
        head = parts.log.head()
        who = parts.scopes.identify(caller.tenant.id, caller.principal, head)
        if not who.principals:
            return False
        return action in EVERYBODY or bool(
            who.principals & parts.people.holders(caller.tenant.id, action, head)
        )
