"""The one table of what can be asked of a workspace from outside, and the one door through which it is.

An operation has a name, the action it needs, typed input and output, and a function. The HTTP routes, the OpenAPI page, the
MCP tools, the console and the test "a stranger is refused by every operation" are all made from the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from affidavit.app.operations.places import Places
from affidavit.app.proposals import Wanted
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


class Meter(Protocol):
    """What counts for a caller. It knows whose quota is charged."""

    def charge(self, operation: Operation[Any]) -> None:
        """Count one ``operation``. Raises QuotaError."""
        ...

    def used(self, *, whole: bool) -> list[dict[str, Any]]:
        """What may be asked for and what is left of it: the caller's, with ``whole`` also that of all of the tenant together."""
        ...


@dataclass(frozen=True)
class Caller:
    """Who asks, as proved: ``principal`` is whose permissions hold; ``via`` says by what, ``by`` who speaks for them.

    ``scopes`` are the actions that the proof is good for, None for all that the principal may do. ``run`` is the id of this one
    request, and that of the run it makes if it makes one; "" leaves it to the run. ``proof`` is the id of the credential that
    proved it, "" where a provider's token or the machine did. ``meter`` counts what they do.
    """

    tenant: Tenant
    principal: str
    via: str
    by: str = ""
    scopes: frozenset[str] | None = None
    run: str = ""
    proof: str = ""
    meter: Meter | None = field(default=None, compare=False, repr=False)

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
    it takes ``after`` and gives ``items``, each with its ``position``, until ``ended``: it can be followed. ``passing``: fields
    that say nothing of the thing itself and differ each time it is read, such as its age. ``guards`` names the operation that
    reads what this one changes: whoever read it may ask that it be changed only as long as it is that; ``guarded``: they must.
    ``later``: it gives ``work``, which goes on behind the request.
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
    passing: frozenset[str] = frozenset()
    guards: str = ""
    guarded: bool = False
    later: bool = False

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
    ws: Workspace,
    caller: Caller,
    operation: Operation[Takes],
    asked: Takes,
    *,
    again: bool = False,
    only_if: Callable[[], None] | None = None,
) -> Any:
    """Ask ``operation``, if ``caller`` may. Raises ForbiddenError, and whatever the operation raises.

    ``again``: for a request that was asked before and goes on, which a look has on record already. ``only_if`` raises where
    what is to be changed is not what whoever asks looked at: before anything is done, and again in the transaction that does it.
    Neither what it gives nor an error says where something is on the server's disk.
    """
    if caller.looking and (operation.changes or operation.method is not Method.READ):
        raise ForbiddenError(
            f"you look as {caller.principal}: nothing can be changed meanwhile", "stop looking first"
        )
    check(ws, caller, operation.action)
    if caller.looking and not again:
        ws.looking.saw(caller.tenant, caller.by, caller.principal, operation.name, asked.model_dump())
    if caller.meter is not None and not again:
        caller.meter.charge(operation)
    if operation.once and caller.by:  # with it the service could go on as them when its own key is taken back
        raise ForbiddenError(
            f"{caller.by} speaks for {caller.principal}, and is given no secret of theirs",
            "they ask in person",
        )
    if only_if is not None:
        only_if()
    with ws.parts.log.only_if(only_if) if only_if else nullcontext():
        _second_person(ws, caller, operation, asked)
        return shown(ws, caller, operation, asked)


def shown(ws: Workspace, caller: Caller, operation: Operation[Takes], asked: Takes) -> Any:
    """What ``operation`` gives ``caller``, who may have it, without the places on the server's disk."""
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
    wanted = Wanted(
        operation.name,
        caller.principal,
        caller.by,
        caller.scopes,
        asked.model_dump_json(),
    )

    def still(agreed: str) -> bool:
        return may(ws, Caller(caller.tenant, agreed, CONFIRMED), operation.action)

    if operation.once and ws.proposals.take(caller.tenant, wanted, still):
        return
    made = ws.proposals.propose(caller.tenant, wanted, caller.proof)
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
