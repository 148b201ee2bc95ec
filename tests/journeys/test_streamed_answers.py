"""Answers streamed by real model servers over HTTP, with every fault in the middle, kill -9 and a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_models import QUESTION, SENTENCE, release
from tests.app.test_streaming import DAYS, EARLY, FILES, GRANTS
from tests.journeys.test_written_answers import identical, under
from tests.model_servers import fault_proxy, scripted_model, tiny_server

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.ask.prompt import MARK
from affidavit.domain.answer import Answer, GivenClaim
from affidavit.domain.events import EventKind
from affidavit.testing.fault_proxy import FAULTS, FaultProxy
from affidavit.testing.scripted_model import Prompt, Reply
from affidavit.testing.tiny_model import MODEL, TinyServer
from affidavit.testing.wire_openai import ScriptedModel

__all__ = ["fault_proxy", "scripted_model", "tiny_server"]
SAID = (DAYS, GRANTS, EARLY)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Any) -> affidavit.Workspace:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    workspace.add_source("folder", write_folder(FILES), "docs")
    workspace.sync()
    return workspace


def citing(prompt: Prompt) -> Reply:
    """An honest model that says three things, a word at a time."""
    lines = [
        line.removeprefix(f"{MARK} ") for line in prompt.last.splitlines() if line.startswith(f"{MARK} {{")
    ]
    passages = [json.loads(line) for line in lines]
    claims = []
    for sentence in SAID:
        where = next(p["id"] for p in passages if sentence in p["text"])
        claims.append({"text": sentence, "citations": [{"passage": where, "quote": sentence}]})
    return Reply(json.dumps({"claims": claims}))


def asked(ws: affidavit.Workspace) -> tuple[Answer, list[GivenClaim]]:
    told: list[GivenClaim] = []
    return ws.ask(QUESTION, "alice", on_claim=told.append), told


@pytest.mark.network
@pytest.mark.enable_socket
def test_an_honest_server_is_heard_claim_by_claim(
    ws: affidavit.Workspace, scripted_model: ScriptedModel
) -> None:
    scripted_model.answer_with = citing
    ws.publish(under(scripted_model.url, "any"))
    ended: list[bool] = []

    def look(given: GivenClaim) -> None:
        events = ws.parts.events.of_run(given.run)
        ended.append(any(e.facts.get("name") == "model" for e in events))

    answer = ws.ask(QUESTION, "alice", on_claim=look)
    assert [c.text for c in answer.claims] == list(SAID)
    assert ended == [False, False, False]  # the model's step is recorded when the answer is whole
    assert identical(ws, answer.run)
    assert [p.stream for p in scripted_model.seen] == [True]


@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("hang", "drip", "slow")])
def test_a_stream_that_fails_anywhere_gives_only_what_holds(
    ws: affidavit.Workspace, scripted_model: ScriptedModel, fault_proxy: FaultProxy, fault: str
) -> None:
    scripted_model.answer_with = citing
    fault_proxy.otherwise = fault
    ws.publish(under(fault_proxy.url, "any"))
    answer, told = asked(ws)
    assert answer.status.value == "answered"
    assert [t.claim for t in told] == list(answer.claims)
    assert {c.text for c in answer.claims} <= set(SAID)
    assert bool(answer.incomplete) == (fault == "half" and answer.model is not None)
    assert len(scripted_model.seen) <= 1  # never asked once more after something was given
    assert identical(ws, answer.run)
    ws.verify()


@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("after", [1, 2])
def test_a_stream_cut_after_some_claims_keeps_them(
    ws: affidavit.Workspace, scripted_model: ScriptedModel, after: int
) -> None:
    def cut(prompt: Prompt) -> Reply:
        whole = citing(prompt).text
        upto = whole.index(SAID[after])
        return Reply(whole[:upto], finish="stop")

    scripted_model.answer_with = cut
    ws.publish(under(scripted_model.url, "any"))
    answer, told = asked(ws)
    assert [t.claim.text for t in told] == [c.text for c in answer.claims] == list(SAID[:after])
    assert answer.incomplete == "model"
    assert identical(ws, answer.run)


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_nonsense_server_streams_nothing(ws: affidavit.Workspace, tiny_server: TinyServer) -> None:
    """llama.cpp's own server on random weights, streamed: valid by grammar, nothing of it holds."""
    ws.publish(under(tiny_server.url, MODEL, schema="grammar"))
    for _ in range(3):
        answer, told = asked(ws)
        assert answer.model is None
        assert [t.claim for t in told] == list(answer.claims)
        assert EventKind.CLAIM_RELEASED not in [e.kind for e in ws.parts.events.of_run(answer.run)]
        assert identical(ws, answer.run)


# -- kill -9, and a person at a terminal

SERVING = """
import os, sys
sys.path[:0] = [{root!r}]
import affidavit
from tests.app.test_models import release
from tests.app.test_streaming import GOOD, Streaming, saying
model = Streaming()
model.say = saying(*GOOD)
"""
ASKER = (
    SERVING
    + """
ws = affidavit.open(sys.argv[1])
ws.parts.models.make = lambda target: model
def told(given):
    print(given.run, given.claim.text, flush=True)
    if given.number == int(sys.argv[2]):
        sys.stdin.read()  # until the end
ws.ask({question!r}, "alice", on_claim=told)
"""
)
TERMINAL = (
    SERVING
    + """
from affidavit.app.models import ModelShop
from affidavit.entrypoints.cli import main
ModelShop.at = lambda self, target: model
model.fails_at = int(os.environ["FAILS_AT"]) if "FAILS_AT" in os.environ else None
main()
"""
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, content in FILES.items():
        (docs / name).write_text(str(content))
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as made:
        made.import_people(tmp_path / "p.jsonl")
        made.add_source("folder", docs, "docs")
        made.sync()
        made.publish(release())
    return tmp_path / "ws"


def code(template: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(template.format(root=str(ROOT), question=QUESTION))]


@pytest.mark.parametrize("claims", [1, 2])
def test_killed_in_the_middle_the_record_shows_what_was_given(place: Path, claims: int) -> None:
    process = subprocess.Popen(
        [*code(ASKER), str(place), str(claims)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().split(" ", 1) for _ in range(claims)]
    process.kill()
    process.communicate()
    run, texts = lines[0][0], [text.rstrip("\n") for _, text in lines]
    with affidavit.open(place) as ws:
        tenant = ws.parts.tenant("")
        story = ws.runs.show(tenant, run, "user:alice")
        assert (story["status"], story["given"]["incomplete"]) == ("unfinished", "unfinished")
        assert [c["text"] for c in story["given"]["claims"]] == texts
        explained = ws.replays.explain(tenant, run)
        assert explained["did"]["interrupted"]
        assert [c["text"] for c in explained["did"]["given"]["claims"]] == texts
        assert identical(ws, run)
        ws.verify()


def at_a_terminal(place: Path, **environment: str) -> str:
    """What ``affidavit ask`` prints at a terminal of its own."""
    main_end, its_end = pty.openpty()
    process = subprocess.Popen(
        [*code(TERMINAL), "-w", str(place), "ask", QUESTION, "--as", "alice"],
        stdout=its_end,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )
    os.close(its_end)
    shown = b""
    try:
        while piece := os.read(main_end, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(main_end)
    assert process.wait() == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_claims_as_they_come_and_the_same_in_the_end(place: Path) -> None:
    live = at_a_terminal(place)
    piped = subprocess.run(
        [*code(TERMINAL), "-w", str(place), "ask", QUESTION, "--as", "alice"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    def told(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("run-")]

    assert told(live) == told(piped)
    assert f"{SENTENCE} [1]" in told(live)
    with affidavit.open(place) as ws:
        counts = [
            sum(e.kind is EventKind.CLAIM_RELEASED for e in ws.parts.events.of_run(run))
            for run in ws.replays.runs(ws.parts.tenant(""), "ask")
        ]
    assert counts == [3, 0]


def test_a_terminal_is_told_that_the_model_broke_off(place: Path) -> None:
    live = at_a_terminal(place, FAILS_AT="300")
    assert "the model broke off here" in live
    assert "[1]" in live
