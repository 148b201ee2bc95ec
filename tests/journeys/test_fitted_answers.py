"""The happy path with a real model: llama.cpp's own server runs a tiny llama that knows the answers to a few questions, and what
it writes goes the whole way: routes, generation under a grammar, the check, the record, the replay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EXAMPLES
from tests.journeys.test_written_answers import identical, under

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.answer import Answer
from affidavit.testing.clock import FixedClock, SeededRandomness
from affidavit.testing.fitted_model import CONTEXT, write_fitted_adapter, write_fitted_model
from affidavit.testing.tiny_model import MODEL, TinyServer

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
TENANT = "acme"
COUNT = 5


def example(folder: Path) -> affidavit.Workspace:
    """The example's workspace, by keyword only."""
    workspace = affidavit.init(folder, EmbedderSpec("none"), FixedClock(), SeededRandomness())
    acme = EXAMPLES / "acme"
    workspace.import_people(acme / "people.jsonl", TENANT)
    workspace.add_source("folder", acme / "acme", "acme-files", TENANT)
    workspace.sync(tenant=TENANT)
    return workspace


def cited(workspace: affidavit.Workspace, answer: Answer) -> dict[str, str]:
    """How a model is to cite the first claim of an extractive ``answer``: the passage's name in the prompt, and the quote."""
    story = workspace.runs.show(workspace.parts.tenant(TENANT), answer.run, None, audit=True)
    kept = next(s["output"]["kept"] for s in story["steps"] if s["name"] == "recheck")
    citation = answer.claims[0].citations[0]
    return {"passage": f"P{1 + kept.index(citation.chunk)}", "quote": citation.quote}


def questions() -> list[dict[str, Any]]:
    """The example's questions of the tenant."""
    lines = (EXAMPLES / "acme" / "questions.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["tenant"] == TENANT and row["as"] != "mallory"]


@dataclass(frozen=True)
class Fitted:
    """A model's server and file, and what it was fitted to: question to (who asks, the sentence that answers it)."""

    server: TinyServer
    file: Path
    known: Mapping[str, tuple[str, str]]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fitted]:
    """A model fitted to some questions of the example."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not for this platform")
    folder = tmp_path_factory.mktemp("fitted")
    answers: dict[str, str] = {}
    known: dict[str, tuple[str, str]] = {}
    with example(folder / "ws") as workspace:
        for row in questions():
            answer = workspace.ask(row["text"], row["as"], TENANT)
            if answer.claims and answer.answer.isascii() and row["text"] not in known and len(known) < COUNT:
                claim = {"text": answer.claims[0].text, "citations": [cited(workspace, answer)]}
                answers[row["text"]] = json.dumps({"claims": [claim]})
                known[row["text"]] = (row["as"], answer.claims[0].text)
    model = write_fitted_model(folder / "model.gguf", answers)
    adapter = write_fitted_adapter(folder / "adapter.gguf", answers)
    with TinyServer(folder, model, adapter=adapter, context=CONTEXT) as server:
        yield Fitted(server, model, known)


def test_it_answers_what_it_was_fitted_to_and_all_replays(tmp_path: Path, fitted: Fitted) -> None:
    assert len(fitted.known) == COUNT
    with example(tmp_path / "ws") as workspace:
        workspace.publish(under(fitted.server.url, MODEL, schema="grammar"))
        for question, (person, sentence) in fitted.known.items():
            answer = workspace.ask(question, person, TENANT)
            assert (answer.model, [c.text for c in answer.claims]) == (MODEL, [sentence])
            assert answer.claims[0].citations[0].quote == sentence
            assert identical(workspace, answer.run, TENANT)
        workspace.verify()


def test_the_model_tells_nobody_what_they_may_not_read(tmp_path: Path, fitted: Fitted) -> None:
    """It knows the answers by heart; without a passage to cite they are worth nothing."""
    told = 0
    with example(tmp_path / "ws") as workspace:
        workspace.publish(under(fitted.server.url, MODEL, schema="grammar"))
        for row in questions():
            if row["expect"] == "refused" and row["text"] in fitted.known:
                answer = workspace.ask(row["text"], row["as"], TENANT)
                assert row["contains"] not in json.dumps(answer.given())
                told += 1
    assert told


def test_without_its_adapter_it_does_not_know_what_was_asked(tmp_path: Path, fitted: Fitted) -> None:
    right = 0
    with TinyServer(tmp_path, fitted.file, context=CONTEXT) as bare, example(tmp_path / "ws") as workspace:
        workspace.publish(under(bare.url, MODEL, schema="grammar"))
        for question, (person, sentence) in fitted.known.items():
            answer = workspace.ask(question, person, TENANT)
            right += answer.model is not None and [c.text for c in answer.claims] == [sentence]
    assert right <= 1  # always the same, whatever the question is
