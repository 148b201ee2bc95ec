"""What the gateway is told from above: who somebody is, what is decided, what is stopped, and which secrets there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from affidavit.domain.canonical import Json, digest
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import AffidavitError
from affidavit.domain.tools import CALL, Contract

UNDECIDED = "none"
"""Stands for the policy's digest where deciding failed before there was one."""


@dataclass(frozen=True)
class Person:
    """Who somebody is at this moment: themself with every group, and the roles they hold. A stranger is nothing."""

    principals: frozenset[str]
    roles: frozenset[str]


class Rules(Protocol):
    """Decides. Asked inside the transaction that acts on the answer, so it must write nothing."""

    def decide(self, wish: Wish) -> Decision:
        """Whether it may be done. Whatever this raises is a denial."""
        ...

    def halted(self, tenant: int, tool: str) -> str:
        """Why ``tool`` (``name@version``) is stopped for ``tenant``, "" if it is not."""
        ...


class Standing(Protocol):
    """What of a person decides."""

    @property
    def principals(self) -> frozenset[str]:
        """Themself with every group."""
        ...

    @property
    def roles(self) -> frozenset[str]:
        """What they hold."""
        ...


class People(Protocol):
    """Knows people."""

    def __call__(self, tenant: int, principal: str, /) -> Standing:
        """Who ``principal`` is now."""
        ...


class Secrets(Protocol):
    """Knows credentials."""

    def __call__(self, tenant: int, names: tuple[str, ...], /) -> Mapping[str, str]:
        """The values of ``names`` for ``tenant``. Raises UsageError where one is not there."""
        ...


def no_secrets(tenant: int, names: tuple[str, ...]) -> Mapping[str, str]:
    """For a workspace that holds none."""
    return {}


@dataclass(frozen=True)
class Proposal:
    """What somebody wants done. ``run`` and ``step`` say within what, and are proposed once; ``own``: the run is for this call
    alone and ends with it. ``context`` holds circumstances for the policy (labels of the arguments, the mode)."""

    tenant: int
    principal: str
    tool: str
    arguments: Mapping[str, Json]
    run: str
    step: int = 1
    own: bool = False
    undoes: int = 0
    context: Mapping[str, Json] = field(default_factory=dict)


def attributes(contract: Contract) -> dict[str, Json]:
    """What a policy is told of a tool: everything but its words and schemas."""
    told = contract.as_json()
    return {k: v for k, v in told.items() if k not in ("description", "parameters", "result")}


@dataclass(frozen=True)
class Agreed:
    """Who said yes so far, and the roles they did it by."""

    roles: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()


NOBODY = Agreed()


def decided(
    rules: Rules, person: Standing, wanted: Proposal, contract: Contract, agreed: Agreed
) -> tuple[Decision, str]:
    """(the decision, why it is stopped or ""). An error while deciding forbids."""
    try:
        stopped = rules.halted(wanted.tenant, contract.key)
        if stopped:
            return Decision(Verdict.FORBID, (), UNDECIDED), stopped
        wish = Wish(
            tenant=wanted.tenant,
            principal=wanted.principal,
            principals=person.principals,
            roles=person.roles,
            action=CALL,
            resource=contract.key,
            attributes=attributes(contract),
            context={
                **wanted.context,
                "arguments": wanted.arguments,
                "approved": sorted(agreed.roles),
                "approvers": sorted(agreed.people),
            },
        )
        return rules.decide(wish), ""
    except AffidavitError as error:
        return Decision(Verdict.FORBID, (), UNDECIDED, errors=(error.message,)), ""
    except Exception as error:  # noqa: BLE001  # whatever a rule engine or a rule does: no decision is no
        return Decision(Verdict.FORBID, (), UNDECIDED, errors=(type(error).__name__,)), ""


def binding(arguments: Mapping[str, Json], contract: str, policy: str) -> str:
    """What an approval binds to: these arguments, this contract, this policy."""
    return digest([dict(arguments), contract, policy])


def reason(decision: Decision, stopped: str) -> str:
    """Why it was not permitted, in words for people."""
    if stopped:
        return stopped
    if decision.errors:
        return f"deciding failed, and no decision is no: {decision.errors[0]}"
    if not decision.rules:
        return "no rule permits it"
    return f"forbidden by {', '.join(decision.rules)}"


def told(decision: Decision) -> dict[str, Any]:
    """As it stands in an event's body."""
    return dict(decision.as_json())
