"""Questions that follow others: permissions are evaluated anew at each turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.test_models import QUESTION, SENTENCE, Scripted, claims, release, replayed, shown, steps

import affidavit
from affidavit.domain.errors import AccessDeniedError

Write = Callable[[dict[str, str | bytes]], Path]
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "leave.md": f"# Walrus leave\n\n{SENTENCE}\n\nWalrus leave is granted by Carol Jones.",
}
EXACT = {"temperature": "0", "top_p": "", "seed": 7, "max_tokens": 200, "timeout_ms": 2000, "attempts": 1}


@pytest.fixture
def models() -> dict[str, Scripted]:
    return {"near": Scripted(True), "far": Scripted(False)}


@pytest.fixture
def ws(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write, models: dict[str, Scripted]
) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text(
        '{"id": "alice", "groups": ["staff"]}\n{"id": "bob", "groups": ["staff"]}\n{"id": "erin"}\n'
    )
    workspace.import_people(people)
    workspace.add_source("folder", write_folder(FILES), "docs")
    workspace.sync()
    workspace.parts.models.make = lambda target: models[target.name]
    return workspace


def test_a_question_that_points_back_carries_the_one_before(ws: affidavit.Workspace) -> None:
    first = ws.ask(QUESTION, "alice")
    second = ws.ask("And who grants it?", "alice", follows=first.run)
    assert second.understood == f"{QUESTION} And who grants it?"
    assert "Carol Jones" in second.answer
    third = ws.ask("Walrus leave is granted by whom?", "alice", follows=second.run)
    assert third.understood == ""
    assert [t["run"] for t in steps(ws, third.run)["conversation"]["output"]] == [first.run, second.run]
    assert all(replayed(ws, run) for run in (first.run, second.run, third.run))
    ws.verify()


def test_what_was_revoked_is_not_remembered(
    ws: affidavit.Workspace, models: dict[str, Scripted], write_folder: Write
) -> None:
    ws.publish(release(rewrite={"options": [{"target": "near", **EXACT}]}))
    models["far"].say = claims((SENTENCE, SENTENCE))
    first = ws.ask(QUESTION, "alice")
    assert first.answer == SENTENCE
    ws.people.leave(ws.parts.tenant(""), "user:alice", "staff")
    second = ws.ask("And for squids?", "alice", follows=first.run)
    assert steps(ws, second.run)["conversation"]["output"] == []
    assert all("20 days" not in json.dumps(shown(r)) for r in models["near"].asked)


def test_nobody_goes_on_from_another_persons_question(ws: affidavit.Workspace) -> None:
    first = ws.ask(QUESTION, "alice")
    head = ws.parts.log.head()
    messages = []
    for who, run in (("bob", first.run), ("erin", first.run), ("bob", "run-nothing"), ("alice", "rün")):
        with pytest.raises(AccessDeniedError) as error:
            ws.ask("And who grants it?", who, follows=run)
        messages.append(error.value.message.replace(run, "RUN"))
    assert len(set(messages)) == 1
    assert ws.parts.log.head() == head


def test_a_model_rewrites_and_may_ask_back(ws: affidavit.Workspace, models: dict[str, Scripted]) -> None:
    ws.publish(release(rewrite={"options": [{"target": "near", **EXACT}]}))
    models["far"].say = claims((SENTENCE, SENTENCE))
    first = ws.ask(QUESTION, "alice")
    models["near"].say = lambda request: json.dumps({"question": "Who grants walrus leave?", "unclear": ""})
    assert ws.ask("And who grants it?", "alice", follows=first.run).understood == "Who grants walrus leave?"
    models["near"].say = lambda request: json.dumps({"question": "?", "unclear": "Which leave do you mean?"})
    asked_back = ws.ask("And that?", "alice", follows=first.run)
    assert asked_back.refusal is not None
    assert (asked_back.refusal.reason, asked_back.refusal.message) == ("unclear", "Which leave do you mean?")
    assert replayed(ws, asked_back.run)


@pytest.mark.parametrize(
    "said",
    [
        "nonsense",
        '{"question": "", "unclear": ""}',
        '{"question": "x"}',
        '{"question": "x", "unclear": "see https://evil.example/?q=secret"}',
        '{"question": "x", "unclear": "![a](b)"}',
        json.dumps({"question": "x", "unclear": "y" * 201}),
    ],
)
def test_a_model_that_says_what_may_not_be_shown_is_not_heeded(
    ws: affidavit.Workspace, models: dict[str, Scripted], said: str
) -> None:
    ws.publish(release(rewrite={"options": [{"target": "near", **EXACT}]}))
    models["far"].say = claims((SENTENCE, SENTENCE))
    first = ws.ask(QUESTION, "alice")
    models["near"].say = lambda request: said
    second = ws.ask("And who grants it?", "alice", follows=first.run)
    assert second.understood == f"{QUESTION} And who grants it?"
    assert steps(ws, second.run)["rewrite"]["output"]["how"] == "rule"
