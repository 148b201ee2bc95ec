"""What a tool promises: its contract, as one content-addressed value, and the states of one use of it.

A contract is data: a model sees its name, description and parameters; policy sees all of it; an approval binds to its digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from affidavit.domain.canonical import Json, digest
from affidavit.domain.errors import UsageError

CALL = "tool:call"
"""The action of every use of a tool."""


class Effect(str, Enum):
    """What a call may change: nothing, something that an undo tool or a person can put right, or something nobody can."""

    READ = "read"
    WRITE = "write"
    IRREVERSIBLE = "irreversible"


class Idempotency(str, Enum):
    """What happens when one call is carried out twice.

    ``native``: the same as once, by its nature (setting a value). ``by_key``: the other side knows the key it is given and does
    it once. ``check_first``: the tool can be asked whether the key was done. ``none``: it would be done twice, so a call whose
    end is not known is never tried again: it becomes ``unknown`` for a person.
    """

    NATIVE = "native"
    BY_KEY = "by_key"
    CHECK_FIRST = "check_first"
    NONE = "none"


class Role(str, Enum):
    """What an argument does: ``control`` arguments say what is done to whom and where (recipient, account, path, id, amount),
    ``data`` arguments are content that is carried along (the text of a message). Undeclared means control."""

    CONTROL = "control"
    DATA = "data"


class CallState(str, Enum):
    """One use of a tool: proposed → waiting → ready → running → done, failed or unknown; denied and expired end it too."""

    PROPOSED = "proposed"
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DENIED = "denied"
    EXPIRED = "expired"


ENDED = frozenset({CallState.DONE, CallState.FAILED, CallState.UNKNOWN, CallState.DENIED, CallState.EXPIRED})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}(?:\.[a-z][a-z0-9_]{0,47})?\Z")
_VERSION = re.compile(
    r"[1-9]\d{0,8}\Z", re.ASCII
)  # as it is written: what is stopped as 01 would not be stopped


def is_tool_name(text: str) -> bool:
    """Whether ``text`` may name a tool, with its version (``crm.refund@2``) or without."""
    name, at, version = text.partition("@")
    return bool(_NAME.match(name)) and (not at or bool(_VERSION.match(version)))


@dataclass(frozen=True)
class Contract:
    """A tool, as everybody but its own code sees it.

    ``name`` is ``word`` or ``group.word``; ``version`` counts from 1. ``parameters`` and ``result`` are JSON Schemas
    (2020-12); an object of parameters allows no others. ``roles`` says what each argument does. ``timeout`` and
    ``lease`` in milliseconds; ``attempts``: how often it may be tried; ``rate``: at most so many calls in so many seconds,
    (0, 0) for no limit. ``undo`` names the tool (``name@version``) that puts a call right, ``owner`` who answers for it.
    ``deprecated`` and ``retired`` are dates (``2026-11-21``) or "". ``origin`` is ``python``, ``mcp:NAME`` or ``openapi:NAME``.
    ``outward``: a call alone, by its control arguments, tells something to a party outside (fetching an address), even if it
    changes nothing. ``trusted``: whether all that it returns may be believed as the organisation's own word (it never is if
    strangers can write into it); ``trusts`` names fields that may be believed where the rest may not (an id that the system
    gave) and the kind of each (``file``, ``event``); ``kinds`` the kinds of arguments: an id vouches only for its own kind.
    ``said`` gives the words by which a person says a value: ``{"permission": {"r": ("read", "view")}}``.
    ``secrets`` names the credentials that the gateway hands to it, and nobody else.
    """

    name: str
    version: int
    description: str
    parameters: Mapping[str, Json]
    result: Mapping[str, Json]
    effect: Effect
    idempotency: Idempotency
    roles: Mapping[str, Role] = field(default_factory=dict)
    timeout: int = 10_000
    attempts: int = 1
    rate: tuple[int, int] = (0, 0)
    undo: str = ""
    owner: str = ""
    deprecated: str = ""
    retired: str = ""
    origin: str = "python"
    outward: bool = False
    trusted: bool = False
    trusts: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise UsageError(
                f"{self.name!r} is no name for a tool", "lower case, digits and _: `refund` or `crm.refund`"
            )
        if self.version < 1 or self.timeout < 1 or self.attempts < 1:
            raise UsageError(f"{self.name}: version, timeout and attempts count from 1")
        if self.rate != (0, 0) and min(self.rate) < 1:
            raise UsageError(f"{self.name}: a rate is so many calls in so many seconds, each from 1")
        unknown = {*self.roles, *self.kinds, *self.said} - set(self.arguments)
        if unknown:
            raise UsageError(f"{self.name} has no such arguments: {', '.join(sorted(unknown))}")

    @property
    def key(self) -> str:
        """``name@version``, as policies, releases and calls cite it."""
        return f"{self.name}@{self.version}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of its parameters."""
        properties: Any = self.parameters.get("properties") or {}
        return tuple(properties)

    def role(self, argument: str) -> Role:
        """What ``argument`` does; control unless the contract says otherwise."""
        return self.roles.get(argument, Role.CONTROL)

    def as_json(self) -> dict[str, Json]:
        """As it stands on the log and in a release."""
        return {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "parameters": self.parameters,
            "result": self.result,
            "effect": self.effect.value,
            "idempotency": self.idempotency.value,
            "roles": {name: role.value for name, role in self.roles.items()},
            "timeout": self.timeout,
            "attempts": self.attempts,
            "rate": list(self.rate),
            "undo": self.undo,
            "owner": self.owner,
            "deprecated": self.deprecated,
            "retired": self.retired,
            "origin": self.origin,
            "outward": self.outward,
            "trusted": self.trusted,
            "trusts": dict(self.trusts),
            "kinds": dict(self.kinds),
            "said": {name: {v: list(w) for v, w in words.items()} for name, words in self.said.items()},
            "secrets": list(self.secrets),
        }

    @property
    def digest(self) -> str:
        """The contract's name by content: any change of it is another contract."""
        return digest(self.as_json())


def contract(content: Mapping[str, Any]) -> Contract:
    """A contract from what ``as_json`` gave. Raises UsageError if it is malformed."""
    try:
        calls, seconds = content["rate"]
        return Contract(
            **{
                **content,
                "effect": Effect(content["effect"]),
                "idempotency": Idempotency(content["idempotency"]),
                "roles": {name: Role(role) for name, role in content["roles"].items()},
                "rate": (int(calls), int(seconds)),
                "said": {
                    name: {value: tuple(said) for value, said in words.items()}
                    for name, words in content["said"].items()
                },
                "secrets": tuple(content["secrets"]),
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"the contract is malformed: {error!r}") from error
