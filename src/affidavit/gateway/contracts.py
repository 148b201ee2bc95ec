"""``@tool``: a typed Python function becomes a contract and something that can be called; and the tools one has, by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol, get_type_hints

from affidavit.domain.canonical import Json
from affidavit.domain.errors import RefusedError, UnknownNameError, UsageError
from affidavit.domain.tools import Contract, Effect, Idempotency, Role
from affidavit.gateway.arguments import Schema
from affidavit.gateway.schemas import as_json, made, schema_of

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)


@dataclass(frozen=True)
class Context:
    """What the gateway hands to a tool besides its arguments: to a parameter annotated with this class.

    ``key`` is the idempotency key: the same in every attempt of one call, never in another. ``attempt`` counts from 1,
    ``seconds`` is how long the tool may take. ``secrets`` holds the credentials that the contract names.
    """

    key: str
    attempt: int
    seconds: float
    tenant: str = ""
    principal: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class Callee(Protocol):
    """What the gateway calls: a tool of whatever origin."""

    @property
    def contract(self) -> Contract:
        """What it promises."""
        ...

    def run(self, arguments: Mapping[str, Json], context: Context) -> Json:
        """Do it. Raises ToolError if it cannot; any other exception leaves open whether something happened."""
        ...

    def check(self, arguments: Mapping[str, Json], context: Context) -> tuple[bool, Json]:
        """For ``check_first``: whether the call with ``context.key`` was done, and its result."""
        ...


class Tool:
    """A Python function under a contract. It can still be called as the function it is."""

    def __init__(self, function: Callable[..., Any], contract: Contract, kinds: Mapping[str, Any]) -> None:
        self.function = function
        self.contract = contract
        self._kinds = dict(kinds)
        self._context = next((n for n, k in kinds.items() if k is Context), "")
        self._check: Callable[..., Any] | None = None
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def checks(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator for the function of a ``check_first`` tool that takes a ``Context`` and says what became of its key: the
        result if it was done, None if it was not."""
        self._check = function
        return function

    def run(self, arguments: Mapping[str, Json], context: Context) -> Json:
        """Call the function with what its annotations promise it."""
        given = {name: made(self._kinds[name], value) for name, value in arguments.items()}
        if self._context:
            given[self._context] = context
        result: Json = as_json(self.function(**given))
        return result

    def check(self, arguments: Mapping[str, Json], context: Context) -> tuple[bool, Json]:
        """(done, result). Raises UsageError for a tool that cannot be asked."""
        if self._check is None:
            raise UsageError(
                f"{self.contract.key} is check_first, but nothing can be asked",
                f"decorate a function with @{self.__name__}.checks",
            )
        found = self._check(context)
        return found is not None, as_json(found)


def tool(
    *,
    effect: Effect | str,
    idempotency: Idempotency | str = "",
    name: str = "",
    version: int = 1,
    data: Iterable[str] = (),
    **promises: Any,
) -> Callable[[Callable[..., Any]], Tool]:
    """Make a typed function a tool. ``promises`` are further fields of ``Contract``: ``timeout`` in milliseconds, ``attempts``,
    ``rate``, ``undo``, ``owner``, ``deprecated``, ``retired``, ``secrets`` and so on.

    The docstring is the description that people and models read. ``data`` names the arguments that are carried along and decide
    nothing; all others are control arguments. A tool that changes something says how it bears being called twice; one that
    only reads is ``native``. Raises UsageError for what cannot be promised so.
    """
    kind = Effect(effect)
    if not idempotency and kind is not Effect.READ:
        raise UsageError(
            f"{name or 'the tool'} changes something: what if it is called twice?",
            "idempotency= native, by_key, check_first, or none: then it is never tried again",
        )

    def made_of(function: Callable[..., Any]) -> Tool:
        hints = get_type_hints(function, include_extras=True)
        parameters, kinds = _parameters(function, hints)
        contract = Contract(
            name=name or function.__name__,
            version=version,
            description=inspect.cleandoc(function.__doc__ or ""),
            parameters=parameters,
            result=schema_of(hints.get("return", type(None)), f"{function.__name__}, its result"),
            effect=kind,
            idempotency=Idempotency(idempotency or "native"),
            roles=dict.fromkeys(data, Role.DATA),
            **promises,
        )
        _check_promises(contract, Context in kinds.values())
        return Tool(function, contract, kinds)

    return made_of


def _parameters(
    function: Callable[..., Any], hints: Mapping[str, Any]
) -> tuple[dict[str, Json], dict[str, Any]]:
    """(schema of the arguments, what each parameter is annotated with)."""
    properties: dict[str, Json] = {}
    needed: list[str] = []
    kinds: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"{function.__name__}, argument {name}"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UsageError(f"{where} has no fixed name", "name every argument")
        if name not in hints:
            raise UsageError(f"{where} has no type", f"annotate it: {name}: str")
        kinds[name] = hints[name]
        if hints[name] is Context:
            continue
        schema = schema_of(hints[name], where)
        if parameter.default is parameter.empty:
            needed.append(name)
        else:
            schema = {**schema, "default": as_json(parameter.default)}
        properties[name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": list(needed),
        "additionalProperties": False,
    }, kinds


def _check_promises(contract: Contract, takes_context: bool) -> None:
    if contract.idempotency in (Idempotency.BY_KEY, Idempotency.CHECK_FIRST) and not takes_context:
        raise UsageError(
            f"{contract.key} is {contract.idempotency.value} but never sees the key",
            "give it a parameter `context: Context` and hand context.key to the other side",
        )
    if contract.effect is Effect.READ and contract.idempotency is not Idempotency.NATIVE:
        raise UsageError(f"{contract.key} only reads, so twice is as once", "leave idempotency out")
    if contract.idempotency is Idempotency.NONE and contract.attempts > 1:
        raise UsageError(f"{contract.key} cannot be tried twice", "leave attempts at 1, or let it take a key")
    if contract.secrets and not takes_context:
        raise UsageError(f"{contract.key} is given secrets but takes no context", "add `context: Context`")
    for day in (contract.deprecated, contract.retired):
        if day and not _DAY.match(day):
            raise UsageError(f"{contract.key}: {day!r} is no day", "write it as 2026-11-21")


@dataclass(frozen=True)
class Entry:
    """A tool that can be called, with its schemas compiled once."""

    callee: Callee
    arguments: Schema
    result: Schema
    digest: str

    @property
    def contract(self) -> Contract:
        return self.callee.contract


class Registry:
    """The tools there are, by ``name@version``; several versions of one name side by side."""

    def __init__(self, tools: Iterable[Callee] = ()) -> None:
        self._entries: dict[str, Entry] = {}
        for one in tools:
            self.add(one)

    def add(self, callee: Callee) -> None:
        """Raises UsageError if there is one of this name and version, or its schemas cannot be used."""
        contract = callee.contract
        if contract.key in self._entries:
            raise UsageError(f"there are two tools {contract.key}", "give one another name or version")
        self._entries[contract.key] = Entry(
            callee,
            Schema(contract.parameters, f"{contract.key}, its arguments"),
            Schema(contract.result, f"{contract.key}, its result"),
            contract.digest,
        )

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda e: (e.contract.name, e.contract.version)))

    def get(self, key: str) -> Entry | None:
        """The tool ``name@version``, None if it is not here."""
        return self._entries.get(key)

    def named(self, name: str, today: date) -> Entry:
        """``name@version``, or by its bare name the newest version that is not retired. Raises UnknownNameError, RefusedError."""
        if "@" in name:
            found = self._entries.get(name)
        else:
            versions = [e for e in self if e.contract.name == name]
            living = [e for e in versions if not retired(e.contract, today)]
            found = (living or versions or [None])[-1]  # type: ignore[list-item]  # None where there is none at all
        if found is None:
            known = ", ".join(e.contract.key for e in self) or "none yet"
            raise UnknownNameError(f"there is no tool {name[:80]!r}", f"known: {known[:500]}")
        if retired(found.contract, today):
            raise RefusedError(
                f"{found.contract.key} was retired on {found.contract.retired}",
                "use a newer version: affidavit tool list",
            )
        return found


def retired(contract: Contract, today: date) -> bool:
    """Whether it is no longer called."""
    return bool(contract.retired) and contract.retired <= today.isoformat()


def deprecated(contract: Contract, today: date) -> bool:
    """Whether it still works and should be left."""
    return bool(contract.deprecated) and contract.deprecated <= today.isoformat()
