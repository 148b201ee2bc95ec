"""Which tools a person is offered: the newest living version of each that the policy could let them use, as things stand."""

from __future__ import annotations

from affidavit.app.policies import PolicyDesk
from affidavit.app.tools import ToolDesk
from affidavit.domain.decisions import Wish
from affidavit.domain.tools import CALL, Contract
from affidavit.gateway.callbook import day
from affidavit.gateway.contracts import retired
from affidavit.gateway.rules import attributes


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
        wish = Wish(
            tenant=tenant,
            principal=principal,
            principals=person.principals,
            roles=person.roles,
            action=CALL,
            resource=contract.key,
            attributes=attributes(contract),
            context={},
        )
        if not policy.halted(tenant, contract.key) and policy.possible(wish):
            found.append(contract)
    return found
