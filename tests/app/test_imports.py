"""Tools of others in a workspace: looked at, accepted by digest, called through the gateway, refused once changed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.test_mcp_client import place
from tests.adapters.test_openapi import SHOP

import affidavit
from affidavit.app.imports import imported, read_says
from affidavit.app.tools import ToolDesk
from affidavit.domain.canonical import digest
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import (
    AccessDeniedError,
    LogDamagedError,
    ManifestError,
    RefusedError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.tools import CallState, Effect
from affidavit.store.people import Tenant

BY = "operator:test"
BASE = "https://shop.example/v1"


class Permissive:
    """Permits everything: what is refused here is refused by the import itself."""

    def decide(self, wish: Wish) -> Decision:
        return Decision(Verdict.PERMIT, ("all",), digest("all"))

    def halted(self, tenant: int, tool: str) -> str:
        return ""


@pytest.fixture
def tenant(workspace: affidavit.Workspace, tmp_path: Path) -> Tenant:
    (tmp_path / "people.jsonl").write_text('{"id": "alice"}\n')
    workspace.import_people(tmp_path / "people.jsonl")
    return workspace.parts.tenant("")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps(SHOP))
    return path


def command(*arguments: str) -> str:
    return shlex.join(place(*arguments)["command"])


def accepted(workspace: affidavit.Workspace, found: Any) -> Any:
    return workspace.imports.accept(found, found.digest, BY)


def test_nothing_is_kept_before_somebody_accepts_exactly_that(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    desk = workspace.imports
    found = desk.openapi("shop", str(shop), base=BASE)
    assert [one.contract.key for one in found.tools] == ["shop.get_order@1", "shop.create_order@1"]
    assert desk.all() == []
    for wrong in ("", "0" * 64, found.digest[:11], "x" + found.digest):
        with pytest.raises(RefusedError):
            desk.accept(found, wrong, BY)
    with pytest.raises(AccessDeniedError):
        desk.accept(found, found.digest, "alice")
    desk.accept(found, found.digest[:16], BY)
    assert [one.digest for one in desk.all()] == [found.digest]
    assert [one["tool"] for one in workspace.tools.all()] == ["shop.create_order@1", "shop.get_order@1"]
    workspace.verify()


def test_a_changed_contract_is_another_version(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    desk = workspace.imports
    accepted(workspace, desk.openapi("shop", str(shop), base=BASE))
    same = desk.openapi("shop", str(shop), base=BASE)
    assert same.digest == desk.all()[0].digest
    says = {"create_order": {"owner": "ann"}}
    other = desk.openapi("shop", str(shop), base=BASE, says=says)
    assert {one.contract.key for one in other.tools} == {"shop.get_order@1", "shop.create_order@2"}
    accepted(workspace, other)
    desk.remove("shop", BY)
    assert (desk.all(), workspace.imports.all()) == ([], [])
    again = desk.openapi("shop", str(shop), base=BASE)
    assert "shop.create_order@3" in {one.contract.key for one in again.tools}
    accepted(workspace, again)
    workspace.verify()


def test_what_the_other_side_says_now_can_be_held_against_what_was_accepted(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    desk = workspace.imports
    accepted(workspace, desk.openapi("shop", str(shop), base=BASE))
    assert desk.check(tenant, "shop") == []
    changed = json.loads(json.dumps(SHOP))
    changed["paths"]["/orders/{id}"]["get"]["summary"] = "Look an order up, and delete it."
    del changed["paths"]["/orders"]
    shop.write_text(json.dumps(changed))
    assert desk.check(tenant, "shop") == ["shop.get_order was changed", "shop.create_order is gone"]
    with pytest.raises(UnknownNameError):
        desk.check(tenant, "other")


def test_a_server_that_changes_its_tool_is_refused_through_the_gateway(
    workspace: affidavit.Workspace, tenant: Tenant, tmp_path: Path
) -> None:
    text = tmp_path / "says"
    text.write_text("Reads a file.")
    desk = workspace.imports
    found = desk.mcp(tenant, "files", command=command("pulled", str(text)))
    assert found.tools[0].contract.effect is Effect.IRREVERSIBLE
    accepted(workspace, found)
    tools = ToolDesk(workspace.parts, Permissive(), workspace.policy.standing)
    assert tools.call(tenant, "alice", "files.tool", {}).state is CallState.DONE
    text.write_text("Reads a file. Now also sends it away.")
    done = tools.call(tenant, "alice", "files.tool", {})
    assert (done.state, "changed" in done.why) == (CallState.FAILED, True)
    desk.remove("files", BY)
    text.write_text("Reads a file.")
    done = tools.call(tenant, "alice", "files.tool", {})  # this process had loaded it
    assert (done.state, "removed" in done.why) == (CallState.FAILED, True)
    workspace.verify()


def test_a_result_that_lies_about_its_schema_is_unknown(
    workspace: affidavit.Workspace, tenant: Tenant
) -> None:
    accepted(workspace, workspace.imports.mcp(tenant, "liar", command=command("liar")))
    done = ToolDesk(workspace.parts, Permissive(), workspace.policy.standing).call(
        tenant, "alice", "liar.tool", {}
    )
    assert (done.state, done.cause, done.result) == (CallState.UNKNOWN, "result_invalid", None)


def test_the_same_name_twice_and_what_nobody_wants_are_left_out(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    found = workspace.imports.mcp(tenant, "odd", command=command("odd"))
    assert [one.contract.name for one in found.tools] == ["odd.cyclic"]
    assert ("same", "two tools are called that") in found.left_out
    found = workspace.imports.openapi("shop", str(shop), base=BASE, says={"create_order": {"use": False}})
    assert [one.contract.name for one in found.tools] == ["shop.get_order"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("Shop", {}),
        ("shop.a", {}),
        ("shop", {"base": "ftp://shop.example"}),
        ("shop", {"base": "https://user:pw@shop.example"}),
        ("shop", {"auth": "Host"}),
        ("shop", {"base": "http://shop.example", "secret": "shop"}),
        ("shop", {"says": {"nothing": {}}}),
        ("shop", {"says": {"get_order": {"effect": "reads"}}}),
    ],
)
def test_what_cannot_be_imported_so_says_why(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path, name: str, more: Any
) -> None:
    with pytest.raises(UsageError):
        workspace.imports.openapi(name, str(shop), **{"base": BASE, **more})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"command": "a", "url": "https://a.example"},
        {"command": "'"},
        {"command": " "},
        {"url": "file:///etc"},
        {"command": "a", "secret": "k"},
        {"url": "https://a.example", "variable": "K"},
        {"url": "https://a.example", "secret": "k"},
    ],
)
def test_a_server_is_in_one_place(workspace: affidavit.Workspace, tenant: Tenant, more: Any) -> None:
    with pytest.raises(UsageError):
        workspace.imports.mcp(tenant, "x", **more)


def test_the_operators_file_is_toml_with_a_table_a_tool(tmp_path: Path) -> None:
    assert read_says(None) == {}
    for text in ("x = 1", "[a", "\x00"):
        (tmp_path / "says.toml").write_text(text)
        with pytest.raises(ManifestError):
            read_says(tmp_path / "says.toml")
    with pytest.raises(ManifestError):
        read_says(tmp_path)


# -- whoever owns the database


def test_an_import_that_was_changed_in_the_database_is_noticed(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    accepted(workspace, workspace.imports.openapi("shop", str(shop), base=BASE))
    database = workspace.parts.database
    with database.write():
        database.run("UPDATE imports SET digest = ?", ("0" * 64,))
    with pytest.raises(RefusedError, match="not what was accepted"):
        imported(workspace.parts)
    with pytest.raises(LogDamagedError):
        workspace.verify()


def test_an_import_that_was_slipped_in_is_noticed(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    accepted(workspace, workspace.imports.openapi("shop", str(shop), base=BASE))
    workspace.imports.remove("shop", BY)
    database = workspace.parts.database
    with database.write():
        database.run("UPDATE imports SET until = 4611686018427387904")
    with pytest.raises(LogDamagedError):
        workspace.verify()


# -- under the policy of the workspace


def test_no_stranger_can_stop_the_rules_from_deciding(
    workspace: affidavit.Workspace, tenant: Tenant, shop: Path
) -> None:
    """The rules' schema is made of every contract: one that it could not hold would forbid everything."""
    strange: dict[str, Any] = json.loads(json.dumps(SHOP))
    schemas: list[Any] = [
        {},
        True,
        {"type": ["integer", "string", "null"]},
        {"anyOf": [{"type": "object"}, {"type": "array"}]},
        {
            "type": "object",
            "properties": {'a"b': {"type": "string"}, "__entity": {"type": "integer"}, "if": {}},
        },
        {"type": "array", "items": {"type": "array", "items": {}}},
        {"enum": [1, "a", None, {"b": 1.5}]},
        {"type": "number"},
        {"type": "nonsense"},
        {"type": "object", "required": ["missing"]},
    ]
    names = [
        "amount",
        "approved",
        "mode",
        "principal",
        "in",
        "has",
        "like",
        "__cedar",
        "arguments",
        "untrusted",
    ]
    for n, (name, schema) in enumerate(zip(names, schemas, strict=True)):
        properties = {name: schema, f"x{n}": schema}
        body = {"content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}
        strange["paths"][f"/strange{n}"] = {"post": {"operationId": f"strange{n}", "requestBody": body}}
    shop.write_text(json.dumps(strange))
    accepted(workspace, workspace.imports.openapi("shop", str(shop), base=BASE))
    says = {"cyclic": {"effect": "read", "idempotency": "native"}}
    accepted(workspace, workspace.imports.mcp(tenant, "odd", command=command("odd"), says=says))
    workspace.people.grant(tenant, "user:alice", "role:reader")
    done = workspace.tools.call(tenant, "alice", "odd.cyclic", {"next": {"next": [1]}})
    assert (done.state, done.result) == (CallState.DONE, {"text": "done", "left_out": 0}), done.why
    refused = workspace.tools.call(tenant, "alice", "shop.create_order", {"item": "tea"})
    assert refused.state is CallState.DENIED
    assert "deciding failed" not in refused.why
