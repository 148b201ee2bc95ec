"""The operation table: one door, and nobody through it who may not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tools.reference import commands

import affidavit
from affidavit.app.operations.operation import Caller, Table, check, perform
from affidavit.app.operations.questions import QUESTIONS
from affidavit.app.operations.table import TABLE
from affidavit.domain.errors import ForbiddenError
from affidavit.domain.roles import ACTIONS, EVERYBODY


@pytest.fixture
def alice(workspace: affidavit.Workspace) -> Caller:
    tenant = workspace.people.ensure_tenant("acme")
    workspace.load_people([affidavit.app.people.Entry("user:alice", frozenset(), {})], "acme")
    return Caller(tenant, "user:alice", "key")


def test_every_operation_refuses_a_stranger(workspace: affidavit.Workspace, alice: Caller) -> None:
    stranger = replace(alice, principal="user:nobody")
    for operation in TABLE:
        asked = operation.takes.model_validate(operation.example)
        with pytest.raises(ForbiddenError):
            perform(workspace, stranger, operation, asked)


def test_every_operation_names_an_action_that_can_be_had() -> None:
    assert {operation.action for operation in TABLE} <= {*EVERYBODY, *ACTIONS}


def test_a_person_may_do_what_everybody_may_and_no_more(
    workspace: affidavit.Workspace, alice: Caller
) -> None:
    for action in EVERYBODY:
        check(workspace, alice, action)
    for action in ACTIONS:
        with pytest.raises(ForbiddenError) as caught:
            check(workspace, alice, action)
        assert action in caught.value.hint


def test_who_was_granted_nothing_is_refused_what_is_not_everybodys(
    workspace: affidavit.Workspace, alice: Caller
) -> None:
    rows = [row for row in TABLE if row.action not in EVERYBODY]
    assert len(rows) > 20
    for operation in rows:
        with pytest.raises(ForbiddenError) as caught:
            perform(workspace, alice, operation, operation.takes.model_validate(operation.example))
        assert operation.action in caught.value.message


def test_nobody_is_the_operator_over_the_network(workspace: affidavit.Workspace, alice: Caller) -> None:
    for principal in ("operator:alice", "group:staff", "anyone", ""):
        for operation in TABLE:
            with pytest.raises(ForbiddenError):
                check(workspace, replace(alice, principal=principal), operation.action)


def test_every_command_named_is_one() -> None:
    known = {name for name, _ in commands()}
    assert {row.command for row in TABLE if row.command} <= known


def test_no_input_is_a_path_and_every_text_is_bounded() -> None:
    for operation in TABLE:
        for name, field in operation.takes.model_json_schema().get("properties", {}).items():
            for kind in field.get("anyOf", [field]):
                if kind.get("type") == "string":
                    bounded = {"maxLength", "enum", "const", "pattern"} & kind.keys()
                    assert bounded, f"{operation.name}: {name} may be of any length"
            assert "path" not in name


def test_a_proof_with_scopes_is_good_for_those_alone(workspace: affidavit.Workspace, alice: Caller) -> None:
    workspace.people.grant(alice.tenant, "user:alice", "role:admin")
    check(workspace, alice, "audit:read")
    narrow = replace(alice, scopes=frozenset({"question:ask"}))
    check(workspace, narrow, "question:ask")
    with pytest.raises(ForbiddenError):
        check(workspace, narrow, "audit:read")


def test_two_operations_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two operations"):
        Table(QUESTIONS, QUESTIONS)
