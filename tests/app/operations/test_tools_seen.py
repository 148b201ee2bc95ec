"""Which tools somebody sees: those that the policy could let them use; another tenant's are as if there were none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.acting_world import Outside, tools_of

import affidavit
from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.app.policies import PolicyFiles, shipped
from affidavit.domain.errors import AffidavitError, UnknownNameError

TENANTS = ("acme", "globex")
THEIRS = """
@id("refunds-are-theirs")
forbid (principal, action, resource == Tool::"refund@1")
unless { principal in Tenant::"globex" };
@id("a-tool-for-a-club")
permit (principal in Group::"acme/club", action, resource == Tool::"order.look@1");
@id("not-for-guests")
forbid (principal in Group::"acme/guests", action, resource);
"""


@pytest.fixture
def ws(workspace: affidavit.Workspace) -> affidavit.Workspace:
    workspace.tools.add(*tools_of(Outside()))
    for name in TENANTS:
        people = [Entry(f"user:{who}", frozenset(), {}) for who in ("ann", "op", "boss", "rob")]
        member = Entry("user:cleo", frozenset({"group:club"}), {})
        workspace.load_people([*people, member, Entry("user:gus", frozenset({"group:guests"}), {})], name)
        tenant = workspace.parts.tenant(name)
        workspace.people.grant(tenant, "user:op", "role:operator")
        workspace.people.grant(tenant, "user:boss", "role:admin")
        workspace.people.grant(tenant, "user:rob", "role:reader")
    rules = {"rules.cedar": next(iter(shipped().rules.values())) + THEIRS}
    workspace.publish(workspace.policy.content(PolicyFiles(rules, {})))
    return workspace


def ask(ws: affidavit.Workspace, tenant: str, who: str, name: str, /, **fields: Any) -> Any:
    caller = Caller(ws.parts.tenant(tenant), f"user:{who}", "session")
    return perform(ws, caller, TABLE[name], TABLE[name].takes.model_validate(fields))


def seen(ws: affidavit.Workspace, tenant: str, who: str) -> set[str]:
    return {tool["tool"] for tool in ask(ws, tenant, who, "tools.list", limit=200)["items"]}


def test_each_sees_what_they_could_use(ws: affidavit.Workspace) -> None:
    everything = {tool["tool"] for tool in ws.tools.all()}
    assert {"refund@1", "order.look@1"} < everything
    assert seen(ws, "acme", "ann") == set()
    assert seen(ws, "acme", "cleo") == {"order.look@1"}
    assert seen(ws, "acme", "op") == everything - {
        "refund@1"
    }  # also those that wait for the tenant to go live
    assert seen(ws, "globex", "op") == everything
    assert "order.look@1" in seen(ws, "acme", "rob")
    assert "refund@1" not in seen(ws, "globex", "rob")


def test_who_looks_after_tools_sees_those_of_anybody_of_theirs(ws: affidavit.Workspace) -> None:
    everything = {tool["tool"] for tool in ws.tools.all()}
    assert seen(ws, "acme", "boss") == everything - {"refund@1"}
    assert seen(ws, "globex", "boss") == everything


def test_another_tenants_tool_is_as_if_there_were_none(ws: affidavit.Workspace) -> None:
    for who in ("boss", "ann"):
        for name, fields in (("tools.show", {}), ("tools.call", {}), ("policy.try", {"person": "user:op"})):
            said = []
            for tool in ("refund@1", "nothing@1"):
                key = "tool" if name == "policy.try" else "name"
                with pytest.raises(AffidavitError) as caught:
                    ask(ws, "acme", who, name, **{key: tool, **fields})
                said.append((type(caught.value), json.dumps(vars(caught.value), default=str)))
            if name != "tools.call":  # calling what one may not is denied, and on record
                assert said[0][0] is said[1][0]
                assert said[0][1].replace("refund", "nothing") == said[1][1]
            assert "order.look" not in said[1][1]
    assert ask(ws, "globex", "boss", "tools.show", name="refund")["name"] == "refund"


def test_whose_name_is_wrong_is_told_of_no_other(ws: affidavit.Workspace) -> None:
    with pytest.raises(UnknownNameError) as caught:
        ask(ws, "acme", "ann", "tools.call", name="refnud")
    assert "refund" not in caught.value.hint
