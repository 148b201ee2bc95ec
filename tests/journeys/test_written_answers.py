"""Questions answered over HTTP by real model servers: nonsense is never released, every fault has an answer, all replays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_models import QUESTION, SENTENCE, release
from tests.conftest import EXAMPLES
from tests.model_servers import fault_proxy, scripted_model, tiny_server

import affidavit
from affidavit.ask.prompt import MARK
from affidavit.testing.fault_proxy import FAULTS, FaultProxy
from affidavit.testing.scripted_model import Prompt, Reply
from affidavit.testing.tiny_model import MODEL, TinyServer
from affidavit.testing.wire_openai import ScriptedModel

__all__ = ["fault_proxy", "scripted_model", "tiny_server"]
pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
CLAIM = "You get 20 days of walrus leave a year."
QUICK = 300


def under(url: str, model: str, **options: Any) -> Mapping[str, Any]:
    """A release whose answers are written by the server at ``url``."""
    content: dict[str, Any] = json.loads(json.dumps(release()))
    target = {"kind": "openai", "model": model, "version": "", "base_url": url, "local": True, "region": ""}
    content["models"]["targets"] = {"here": {**target, "options": options}}
    exact = {
        "temperature": "0",
        "top_p": "",
        "seed": 7,
        "max_tokens": 200,
        "timeout_ms": 100_000,
        "attempts": 1,
    }
    content["models"]["tasks"] = {"answer": {"options": [{"target": "here", **exact}]}}
    content["write"]["milliseconds"] = 200_000
    return content


def citing(prompt: Prompt) -> Reply:
    """An honest model: one claim, quoted from whichever passage has the sentence."""
    lines = [
        line.removeprefix(f"{MARK} ") for line in prompt.last.splitlines() if line.startswith(f"{MARK} {{")
    ]
    where = next(p["id"] for p in map(json.loads, lines) if SENTENCE in p["text"])
    cited = [{"passage": where, "quote": SENTENCE}]
    return Reply(json.dumps({"claims": [{"text": CLAIM, "citations": cited}]}))


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Any) -> affidavit.Workspace:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    files = {"access.toml": 'allow = ["group:staff"]', "leave.md": f"# Walrus leave\n\n{SENTENCE}"}
    workspace.add_source("folder", write_folder(files), "docs")
    workspace.sync()
    return workspace


def identical(ws: affidavit.Workspace, run: str, tenant: str = "") -> bool:
    (report,) = ws.replays.replay(ws.parts.tenant(tenant), [run])
    return report.identical


def test_an_honest_server_is_quoted(ws: affidavit.Workspace, scripted_model: ScriptedModel) -> None:
    scripted_model.answer_with = citing
    ws.publish(under(scripted_model.url, "any"))
    answer = ws.ask(QUESTION, "alice")
    assert answer.answer == CLAIM
    assert answer.claims[0].citations[0].quote == SENTENCE
    asked = len(scripted_model.seen)
    assert identical(ws, answer.run)
    assert len(scripted_model.seen) == asked == 1


@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("hang", "slow", "drip", "usage")])
def test_every_fault_ends_in_whole_sentences(
    ws: affidavit.Workspace, scripted_model: ScriptedModel, fault_proxy: FaultProxy, fault: str
) -> None:
    scripted_model.answer_with = citing
    fault_proxy.otherwise = fault
    ws.publish(under(fault_proxy.url, "any"))
    answer = ws.ask(QUESTION, "alice")
    assert (answer.model, answer.answer) == (None, SENTENCE)
    assert identical(ws, answer.run)
    ws.verify()


@pytest.mark.parametrize("fault", ["slow", "usage"])
def test_what_is_only_slow_or_lies_about_its_counts_is_used(
    ws: affidavit.Workspace, scripted_model: ScriptedModel, fault_proxy: FaultProxy, fault: str
) -> None:
    scripted_model.answer_with = citing
    fault_proxy.otherwise, fault_proxy.delay = fault, 0.2
    ws.publish(under(fault_proxy.url, "any"))
    answer = ws.ask(QUESTION, "alice")
    assert answer.answer == CLAIM
    assert identical(ws, answer.run)


def test_a_server_that_never_answers_is_not_waited_for(
    ws: affidavit.Workspace, fault_proxy: FaultProxy
) -> None:
    fault_proxy.otherwise = "hang"
    content = json.loads(json.dumps(under(fault_proxy.url, "any")))
    content["write"]["milliseconds"] = QUICK
    ws.publish(content)
    answer = ws.ask(QUESTION, "alice")
    assert (answer.model, answer.answer) == (None, SENTENCE)
    assert identical(ws, answer.run)


def test_a_nonsense_model_releases_nothing_over_the_whole_example(
    workspace: affidavit.Workspace, tiny_server: TinyServer
) -> None:
    """llama.cpp's own server on random weights: its JSON is valid by grammar, what it says is noise."""
    acme = EXAMPLES / "acme"
    workspace.import_people(acme / "people.jsonl", "acme")
    workspace.add_source("folder", acme / "acme", "acme-files", "acme")
    workspace.sync(tenant="acme")
    questions = [json.loads(line) for line in (acme / "questions.jsonl").read_text("utf-8").splitlines()]
    asked = [q for q in questions if q["tenant"] == "acme" and q["as"] != "mallory"][:12]
    before = [workspace.ask(q["text"], q["as"], "acme") for q in asked]
    workspace.publish(under(tiny_server.url, MODEL, schema="grammar"))
    after = [workspace.ask(q["text"], q["as"], "acme") for q in asked]
    for was, now in zip(before, after, strict=True):
        assert now.model is None
        assert now.answer in (
            "",
            was.answer,
        )  # an empty list of claims says that there is no answer: that is a refusal
    kinds = set()
    for answer in after:
        story = workspace.runs.show(workspace.parts.tenant("acme"), answer.run, None, audit=True)
        model = [s["output"] for s in story["steps"] if s["name"] == "model"]
        kinds |= {a["kind"] for m in model for a in m["attempts"]}
        assert identical(workspace, answer.run, "acme")
    assert kinds  # it was really asked
