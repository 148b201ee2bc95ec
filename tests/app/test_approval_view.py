"""What an approver is shown: what will happen, evidence as far as they may read it, what is unusual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.tools import ToolDesk
from affidavit.domain.canonical import digest
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import UnknownNameError
from affidavit.domain.labels import Label, Origin
from affidavit.gateway.rules import Person, Proposal
from affidavit.store.people import Tenant
from affidavit.testing.clock import FixedClock

CODE = """
from affidavit import tool

@tool(effect="irreversible", idempotency="none", data=["text"])
def send(to: str, amount: int, text: str) -> None:
    "Send money and a word to somebody."
"""
DAY = 24 * 3600 * MICROSECONDS


class Rules:
    """Large amounts need an approver."""

    def decide(self, wish: Wish) -> Decision:
        arguments: Any = wish.context["arguments"]
        if arguments["amount"] < 1_000 or wish.context["approved"]:
            return Decision(Verdict.PERMIT, ("rule",), digest("rules"))
        return Decision(Verdict.NEEDS_APPROVAL, ("ask",), digest("rules"), ("approver",))

    def halted(self, tenant: int, tool: str) -> str:
        return ""


@pytest.fixture
def tenant(workspace: affidavit.Workspace, tmp_path: Path) -> Tenant:
    people = '{"id": "alice", "groups": ["desk", "staff"]}\n{"id": "bob", "groups": ["staff"]}\n{"id": "mallory"}\n'
    (tmp_path / "people.jsonl").write_text(people)
    workspace.import_people(tmp_path / "people.jsonl")
    docs = tmp_path / "docs"
    for name, group in (("open", "staff"), ("desk", "desk")):
        (docs / name).mkdir(parents=True)
        (docs / name / "access.toml").write_text(f'allow = ["group:{group}"]\n')
        (docs / name / "refunds.md").write_text(
            f"# Refunds of the {name}\n\nRefunds of the {name} are paid to Acme.\n"
        )
    workspace.add_source("folder", docs, "docs")
    workspace.sync("docs")
    folder = workspace.parts.folder
    (folder / "money.py").write_text(CODE)
    (folder / "tools.toml").write_text('[[tools]]\nfile = "money.py"\n')
    return workspace.parts.tenant("")


@pytest.fixture
def desk(workspace: affidavit.Workspace, tenant: Tenant) -> ToolDesk:
    def person(tenant: int, principal: str) -> Person:
        known = principal in ("user:alice", "user:bob", "user:mallory")
        roles = frozenset({"approver"} if principal == "user:bob" else ())
        return Person(frozenset({principal} if known else ()), roles)

    return ToolDesk(workspace.parts, Rules(), people=person)


def waiting(desk: ToolDesk, tenant: Tenant, **more: Any) -> str:
    given = {"to": "Acme", "amount": 5_000, "text": "thanks", **more}
    return desk.call(tenant, "alice", "send", given).row.name


def test_what_it_does_and_where_each_value_is_from(desk: ToolDesk, tenant: Tenant) -> None:
    shown = desk.asked(tenant, waiting(desk, tenant), "bob")
    assert shown["does"] == [
        "Send money and a word to somebody.",
        "It cannot be undone.",
        "If it breaks off, nobody can tell by itself whether it was done.",
    ]
    arguments = {one.pop("name"): one for one in shown["arguments"]}
    assert arguments["to"] == {"value": "Acme", "role": "control", "from": ["the person who asks"]}
    assert arguments["text"]["role"] == "data"
    assert shown["unusual"] == ["send was never called before"]
    assert shown["decisions"]


def test_only_who_is_concerned_is_shown_anything(desk: ToolDesk, tenant: Tenant) -> None:
    call = waiting(desk, tenant)
    assert desk.asked(tenant, call, "alice")["call"] == call
    for stranger in ("mallory", "nobody"):
        with pytest.raises(UnknownNameError):
            desk.asked(tenant, call, stranger)


def test_evidence_is_what_the_approver_may_read(
    workspace: affidavit.Workspace, desk: ToolDesk, tenant: Tenant
) -> None:
    answer = workspace.ask("Who are refunds paid to?", "alice")
    label = Label(Origin.DOCUMENT, "docs/desk/refunds.md").as_json()
    row = desk.gateway.propose(
        Proposal(
            tenant.id,
            "user:alice",
            "send",
            {"to": "Acme", "amount": 5_000, "text": ""},
            answer.run,
            90,
            context={"labels": {"to": [label], "amount": [label], "text": [label]}},
        ),
        lambda transaction: None,
    )
    mine = desk.asked(tenant, row.name, "alice")
    assert {one["document"] for one in mine["evidence"]} == {"open/refunds.md", "desk/refunds.md"}
    assert not mine["more_evidence"]
    his = desk.asked(tenant, row.name, "bob")
    assert [one["document"] for one in his["evidence"]] == ["open/refunds.md"]
    assert his["more_evidence"]
    assert "desk/refunds.md" not in str({k: his[k] for k in ("arguments", "unusual", "evidence")})
    assert his["question"] == "Who are refunds paid to?"
    said = "nobody who is trusted said what `to` is: it comes from a document"
    assert said in his["unusual"]
    assert not any("`text`" in line for line in his["unusual"]), "data may come from anywhere"


def test_what_no_earlier_call_was_like(
    workspace: affidavit.Workspace, desk: ToolDesk, tenant: Tenant, clock: FixedClock
) -> None:
    for n in range(24):
        desk.call(
            tenant, "bob", "send", {"to": ("Acme", "Brill")[n % 2], "amount": 100 + n % 3, "text": str(n)}
        )
        clock.advance(DAY)
    usual = desk.asked(tenant, waiting(desk, tenant, amount=102, to="Brill"))
    assert usual["unusual"] == ["user:alice never called send before"]
    clock.advance(DAY // 2)
    odd = desk.asked(tenant, waiting(desk, tenant, amount=9_000, to="Mallory & Sons"))["unusual"]
    assert "`to` is 'Mallory & Sons', which none of 25 earlier calls had" in odd
    assert "`amount` is 9000; the largest of 25 earlier calls was 102" in odd
    assert any(line.startswith("none of 25 earlier calls was made about ") for line in odd)
    assert len(odd) == 3
