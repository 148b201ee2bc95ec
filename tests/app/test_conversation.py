"""Questions that follow others: permissions are evaluated anew at each turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app.test_models import QUESTION, SENTENCE, Scripted, claims, release, replayed, shown, steps

import affidavit
from affidavit.domain.answer import Answer
from affidavit.domain.errors import AccessDeniedError
from affidavit.ports.model import ChatRequest

Write = Callable[[dict[str, str | bytes]], Path]
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "leave.md": f"# Walrus leave\n\n{SENTENCE}\n\nWalrus leave is granted by Carol Jones.",
}
EXACT = {"temperature": "0", "top_p": "", "seed": 7, "max_tokens": 200, "timeout_ms": 200_000, "attempts": 1}


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


THINGS = ("walrus", "squid", "otter", "heron", "badger", "lynx", "puffin", "newt", "stoat")


def secret(thing: str) -> str:
    """What only this document says: a word that no question has."""
    return f"quar{thing}z"


@pytest.fixture
def zoo(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write, models: dict[str, Scripted]
) -> affidavit.Workspace:
    files: dict[str, str | bytes] = {}
    for thing in THINGS:
        files[f"{thing}/access.toml"] = f'inherit = false\nallow = ["group:{thing}s"]'
        files[f"{thing}/leave.md"] = f"# The {thing}\n\nThe {thing} bonus is paid in {secret(thing)} coins."
    people = tmp_path / "p.jsonl"
    people.write_text(json.dumps({"id": "alice", "groups": [f"{t}s" for t in THINGS]}) + "\n")
    workspace.import_people(people)
    workspace.add_source("folder", write_folder(files), "docs")
    workspace.sync()
    workspace.parts.models.make = lambda target: models[target.name]
    return workspace


def talk(ws: affidavit.Workspace, things: tuple[str, ...], follows: str = "") -> list[Answer]:
    answers = []
    for thing in things:
        answers.append(ws.ask(f"In what is the {thing} bonus paid?", "alice", follows=follows))
        follows = answers[-1].run
    return answers


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, len(THINGS) - 1), min_size=1, max_size=4), st.integers(0, 3))
def test_nothing_revoked_appears_in_any_later_prompt(
    zoo: affidavit.Workspace, models: dict[str, Scripted], revoked: set[int], later: int
) -> None:
    tenant = zoo.parts.tenant("")
    zoo.publish(
        release(
            rewrite={"options": [{"target": "near", **EXACT}]},
            summarise={"options": [{"target": "near", **EXACT}]},
        )
    )
    models["near"].say = models["far"].say = lambda request: "no JSON"
    answers = talk(zoo, THINGS)
    assert all(a.answer and secret(t) in a.answer for t, a in zip(THINGS, answers, strict=True))
    try:
        for n in revoked:
            zoo.people.leave(tenant, "user:alice", f"{THINGS[n]}s")
        models["near"].asked.clear()
        models["far"].asked.clear()
        last = answers[-1].run
        for _ in range(later + 1):
            last = zoo.ask("And of what are they made there?", "alice", follows=last).run
        prompts = json.dumps([m.content for n in models for r in models[n].asked for m in r.messages])
        assert models["near"].asked
        for n, thing in enumerate(THINGS):
            assert (secret(thing) in prompts) == (n not in revoked)
            if n in revoked:
                assert f"In what is the {thing} bonus" not in prompts
    finally:
        for n in revoked:
            zoo.people.join(tenant, "user:alice", f"{THINGS[n]}s")


def test_older_turns_are_summarised_with_the_runs_they_come_from(
    zoo: affidavit.Workspace, models: dict[str, Scripted]
) -> None:
    near = {"options": [{"target": "near", **EXACT}]}
    zoo.publish(release(rewrite=near, summarise=near))
    models["near"].say = models["far"].say = lambda request: "no JSON"
    answers = talk(zoo, THINGS)

    def say(request: ChatRequest) -> str:
        turns = shown(request)
        if "id" not in turns[0]:
            return json.dumps({"question": "Are coins made there?", "unclear": ""})
        good = {"text": turns[0]["answer"][0], "turns": ["T1"]}
        lies = [{"text": "The bonus is 7000 coins.", "turns": ["T2"]}, {"text": "Nothing.", "turns": ["T99"]}]
        return json.dumps({"lines": [good, *lies]})

    models["near"].say = say
    after = zoo.ask("And of what are they made there?", "alice", follows=answers[-1].run)
    summarised = steps(zoo, after.run)["summary"]
    assert summarised["output"] == {
        "how": "model",
        "lines": [
            {"text": f"The walrus bonus is paid in {secret('walrus')} coins.", "runs": [answers[0].run]}
        ],
    }
    assert [s["run"] for s in steps(zoo, after.run)["conversation"]["output"]][:3] == summarised["input"][
        "turns"
    ]
    assert replayed(zoo, after.run)
    zoo.publish(release())
    plain = zoo.ask("And of what are they made there?", "alice", follows=answers[-1].run)
    told = steps(zoo, plain.run)["summary"]["output"]
    assert (told["how"], told["lines"][0]) == (
        "questions",
        {"text": "In what is the walrus bonus paid?", "runs": [answers[0].run]},
    )
    assert replayed(zoo, plain.run)


def test_what_a_remote_target_may_not_see_is_not_put_into_its_question(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write, models: dict[str, Scripted]
) -> None:
    files: dict[str, str | bytes] = {
        "access.toml": 'allow = ["group:staff"]\nclassification = "confidential"',
        "kraken.md": "# Kraken bonus\n\nEvery kraken bonus pays three quarkoins monthly.",
    }
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    workspace.add_source("folder", write_folder(files), "docs")
    workspace.sync()
    workspace.parts.models.make = lambda target: models[target.name]
    near = {"options": [{"target": "near", **EXACT}]}
    first = workspace.ask("What does the kraken bonus pay?", "alice")
    assert "quarkoins" in first.answer
    workspace.publish(release(rewrite=near))  # answers are written far away
    second = workspace.ask("And when is it paid?", "alice", follows=first.run)
    assert "quarkoins" not in json.dumps([shown(r) for r in models["near"].asked])
    assert steps(workspace, second.run)["rewrite"]["input"]["withheld"] == 1
    workspace.publish(
        {
            **release(rewrite=near),
            "models": {**release(rewrite=near)["models"], "tasks": {"answer": near, "rewrite": near}},
        }
    )
    workspace.ask("And when is it paid?", "alice", follows=first.run)
    assert "quarkoins" in json.dumps([shown(r) for r in models["near"].asked])
