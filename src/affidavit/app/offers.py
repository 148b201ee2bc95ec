"""Which tools a person is offered: the newest living version of each that the policy could let them use, as things stand."""

from __future__ import annotations

from affidavit.app.policies import PolicyDesk, Standing
from affidavit.app.tools import ToolDesk
from affidavit.domain.decisions import Wish
from affidavit.domain.roles import ROLES
from affidavit.domain.tools import CALL, Contract
from affidavit.gateway.callbook import day
from affidavit.gateway.contracts import retired
from affidavit.gateway.rules import Standing as Who
from affidavit.gateway.rules import attributes

LIVE = "live"


def offered(tools: ToolDesk, policy: PolicyDesk, tenant: int, principal: str, now: int) -> list[Contract]:
    """In order of name. What is stopped, or forbidden to them whatever they said in the call, is left out: asked for by name it
    is denied, on record."""
    person = tools.person(tenant, principal)
    newest = {
        entry.contract.name: entry.contract
        for entry in tools.gateway.registry
        if not retired(entry.contract, day(now))
    }
    found = []
    for contract in newest.values():
        wish = _wish(tenant, principal, person, contract)
        if not policy.halted(tenant, contract.key) and policy.possible(wish):
            found.append(contract)
    return found


def shown(
    tools: ToolDesk, policy: PolicyDesk, tenant: int, principal: str, groups: frozenset[str] | None = None
) -> list[Contract]:
    """Every tool and version that the policy could let ``principal`` use if the tenant were live and nothing stopped; with all
    ``groups`` of the tenant, those that it could let anybody there use, for whoever looks after the tools. Others are as if
    there were none: they may be another tenant's.
    """
    person = tools.person(tenant, principal)
    known: list[Who] = [person]
    if groups is not None:
        everything = frozenset(ROLES)
        # with every group one may be forbidden what each of them is permitted: so with one's own alone, too
        known += [
            Standing(person.principals, everything),
            Standing(person.principals | groups, everything),
        ]
    return [
        entry.contract
        for entry in tools.gateway.registry
        if any(policy.possible(_wish(tenant, principal, one, entry.contract), LIVE) for one in known)
    ]


def _wish(tenant: int, principal: str, person: Who, contract: Contract) -> Wish:
    return Wish(
        tenant=tenant,
        principal=principal,
        principals=person.principals,
        roles=person.roles,
        action=CALL,
        resource=contract.key,
        attributes=attributes(contract),
        context={},
    )
