"""``policy diff`` over recorded calls: the world of then, the rules of now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import affidavit
from affidavit.app.tooldiff import tool_diff
from affidavit.domain.decisions import Verdict
from affidavit.domain.errors import UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.labels import ASKER
from affidavit.domain.tools import Contract, Effect, Idempotency
from affidavit.events.read import Reader, Recorded
from affidavit.policy.cedar import Cedar

SEND = Contract(
    "mail.send",
    1,
    "Send.",
    {"type": "object", "properties": {"to": {"type": "string"}}},
    {},
    Effect.WRITE,
    Idempotency.NONE,
)
RULES = (
    '@id("w") permit (principal in Role::"operator", action in Action::"tool:write", resource)\n'
    'when { context.mode == "live" };'
)


class Proposals(Reader):
    """A reader for which a run's recorded step is the proposal of its call."""

    def of_run(self, run: str) -> list[Recorded]:
        kind: Any = SimpleNamespace(value="call.proposed")
        return [replace(e, kind=kind) for e in super().of_run(run) if e.kind is EventKind.STEP_RECORDED]


def _call(ws: affidavit.Workspace, name: str, verdict: Verdict) -> None:
    body: dict[str, Any] = {"call": name, "tool": SEND.key, "principal": "user:alice", "arguments": {"to": "bob"},
            "context": {"labels": {"to": [ASKER.as_json()]}}}  # fmt: skip
    made: dict[str, Any] = {"call": name, "tool": SEND.key, "when": "propose", "rules": ["old"]}
    facts: dict[str, int | str] = {"step": 1, "action": "tool:call", "effect": verdict.value}
    step: dict[str, int | str] = {"step": 1, "name": "propose"}

    def write(tx: Any) -> None:
        tx.append(Event(EventKind.STEP_RECORDED, 1, f"run-{name}", step, body))
        tx.append(Event(EventKind.DECISION_MADE, 1, f"run-{name}", facts, made))
        tx.append(Event(EventKind.DECISION_MADE, 1, f"run-{name}", facts, {**made, "when": "claim"}))

    ws.parts.log.write(write)


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice", "groups": []}\n')
    workspace.import_people(people, "acme")
    workspace.parts.events = Proposals(workspace.parts.database, workspace.parts.bodies)
    return workspace


def test_more_than_somebody_waits_for_is_refused_and_what_was_erased_counts(ws: affidavit.Workspace) -> None:
    acme = ws.parts.tenant("")
    for name in ("a", "b"):
        _call(ws, name, Verdict.PERMIT)
    policy = Cedar({"a.cedar": RULES}, [SEND])
    assert tool_diff(ws.parts, acme, policy, 0, 4)["decisions"] == 2
    with pytest.raises(UsageError, match="more than 1 decisions") as caught:
        tool_diff(ws.parts, acme, policy, 0, 1)
    assert "fewer days" in caught.value.hint


def test_what_other_rules_would_have_decided(ws: affidavit.Workspace) -> None:
    acme = ws.parts.tenant("")
    _call(ws, "a", Verdict.PERMIT)  # neither live nor with a role: these rules would have forbidden it
    ws.people.grant(acme, "user:alice", "role:operator")
    _call(ws, "b", Verdict.FORBID)
    ws.controls.set_mode(acme, "live", "operator:dave", "pilot")
    _call(ws, "c", Verdict.PERMIT)
    _call(ws, "d", Verdict.FORBID)
    ws.people.grant(acme, "user:alice", "role:operator", revoke=True)
    _call(ws, "e", Verdict.FORBID)
    found = tool_diff(ws.parts, acme, Cedar({"a.cedar": RULES}, (SEND,)), 0)
    assert (found["decisions"], found["changed"], found["erased"]) == (5, 2, 0)
    assert [(c["was"], c["would_be"], c["rules"]) for c in found["changes"]] == [
        ("forbid", "permit", ["w"]),
        ("permit", "forbid", []),
    ]
    later = tool_diff(ws.parts, acme, Cedar({"a.cedar": RULES}, (SEND,)), ws.parts.clock.now() + 1)
    assert later["decisions"] == 0
    other = ws.people.ensure_tenant("globex")
    assert tool_diff(ws.parts, other, Cedar({"a.cedar": RULES}, (SEND,)), 0)["decisions"] == 0
