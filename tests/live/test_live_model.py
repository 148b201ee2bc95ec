"""A real model, whichever it is: what the port promises of it, and one answer of the example company that must hold.

What a real model says is not known beforehand, so these ask for what any model can do, and look at the form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tests.conftest import EXAMPLES

import affidavit
from affidavit.app.drills.writing import KIND, Terms, publish
from affidavit.app.modelspec import ModelSpec
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ModelError
from affidavit.ports.model import Cancel, ChatModel, ChatRequest, Message, ToolSpec

SECONDS = 120.0
SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "large": {"type": "boolean"}},
    "required": ["city", "large"],
    "additionalProperties": False,
}
LOOK_UP = ToolSpec(
    "look_up",
    "Find the text of a policy by its name.",
    {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
)


def ask(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def test_an_answer_with_its_usage(model: ChatModel) -> None:
    result = model.complete(ChatRequest(ask("Say hello."), 2000, SECONDS))
    assert result.text.strip()
    assert result.finish == "stop"
    assert result.model
    assert result.usage.input == -1 or 0 < result.usage.input < 1000


def test_an_answer_in_a_schema(model: ChatModel) -> None:
    asked = 'Which is the capital of France? Answer as JSON with "city" and "large".'
    said = json.loads(model.complete(ChatRequest(ask(asked), 2000, SECONDS, SCHEMA)).text)
    assert set(said) == {"city", "large"}
    assert isinstance(said["city"], str)
    assert isinstance(said["large"], bool)


def test_a_stream_ends_with_the_whole(model: ChatModel) -> None:
    if not model.info.streaming:
        pytest.skip("the model does not stream")
    deltas = list(model.stream(ChatRequest(ask("Count from one to twenty in words."), 2000, SECONDS)))
    assert deltas[-1].result is not None
    assert "".join(d.text for d in deltas) == deltas[-1].result.text
    assert all(d.result is None for d in deltas[:-1])


def test_a_proposal_to_call_a_tool(model: ChatModel) -> None:
    if not model.info.tools:
        pytest.skip("the model has no tools")
    request = ChatRequest(
        ask("Look up the policy called travel. Use the tool."), 2000, SECONDS, tools=(LOOK_UP,)
    )
    (call, *_) = model.complete(request).calls
    assert call.name == "look_up"
    assert isinstance(json.loads(call.arguments)["name"], str)


def test_what_is_cancelled_ends(model: ChatModel) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(ModelError) as caught:
        model.complete(ChatRequest(ask("Write a long story."), 2000, SECONDS), cancel)
    assert caught.value.kind == "cancelled"


def test_a_written_answer_holds_and_replays(workspace: affidavit.Workspace, spec: ModelSpec) -> None:
    workspace.import_people(EXAMPLES / "acme" / "people.jsonl")
    workspace.add_source("folder", EXAMPLES / "acme" / "acme", "handbook")
    workspace.sync()
    publish(workspace, Terms())
    workspace.publish(released(workspace, spec))
    answer = workspace.ask("How many weeks of parental leave are there?", "alice")
    tenant = workspace.parts.tenant("")
    story = workspace.runs.show(tenant, answer.run, None, audit=True)
    told = [s["output"] for s in story["steps"] if s["name"] in ("model", "check")]
    assert answer.model, json.dumps(told, indent=1, ensure_ascii=False)
    assert answer.claims
    assert all(claim.citations for claim in answer.claims)
    workspace.parts.models.close()
    (report,) = workspace.replays.replay(tenant, [answer.run])
    assert report.identical
    assert workspace.money.costs("stage")["total"]["calls"] >= 1


def released(workspace: affidavit.Workspace, spec: ModelSpec) -> dict[str, object]:
    """The release of the drills with ``spec`` in the place of both their targets."""
    content = json.loads(json.dumps(workspace.parts.release().content))
    said = spec.as_json()
    named = {name: said.pop(name) for name in ("kind", "model", "base_url", "local", "region")}
    assert named["kind"] != KIND
    target = {**named, "version": "", "options": {k: v for k, v in said.items() if v != ""}}
    content["models"]["targets"] = dict.fromkeys(content["models"]["targets"], target)
    return dict(content)
