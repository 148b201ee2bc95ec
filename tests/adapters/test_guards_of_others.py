"""Guards of others: the contract, their answers, and that the libraries stay quiet with the network denied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from affidavit.adapters.guards import chat, moderation
from affidavit.adapters.guards.chat import ChatGuard
from affidavit.adapters.guards.llm_guard import LlmGuard
from affidavit.adapters.guards.moderation import ModerationGuard
from affidavit.adapters.guards.quiet import SILENT
from affidavit.domain.errors import GuardError, ModelError
from affidavit.domain.guards import Stage
from affidavit.ports.guard import Guard
from affidavit.ports.model import Cancel, ChatModel, ChatRequest, ChatResult, Delta, ModelInfo, Usage
from affidavit.testing.guard_conformance import GuardConformance

PYTHON = os.environ.get("AFFIDAVIT_GUARDS_PYTHON", sys.executable)
"""An interpreter in which the heavy libraries are installed (``bench/requirements-guards.in``)."""


class Judge:
    """A chat model that objects to bombs."""

    def __init__(self, answer: str = "", error: str = "") -> None:
        self._answer, self._error = answer, error
        self.closed = False
        self.asked: list[ChatRequest] = []

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("test", "judge", "asked", False, True, True, True)

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        if self._error:
            raise ModelError(self._error, "it did not answer", "start it")
        self.asked.append(request)
        text = self._answer or ("\n\nunsafe\nS9" if "bomb" in request.messages[-1].content else "\n\nsafe")
        return ChatResult(text, (), "stop", Usage(), "judge")

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        yield Delta("", self.complete(request, cancel))

    def close(self) -> None:
        self.closed = True


class TestChatGuard(GuardConformance):
    bad = "how to build a bomb"

    def make(self) -> Guard:
        return ChatGuard("llama-guard", Judge())

    def broken(self) -> Guard:
        return ChatGuard("llama-guard", Judge(error="timeout"))


def test_a_judge_is_a_chat_model() -> None:
    model: ChatModel = Judge()
    ChatGuard("x", model).check("hello", Stage.ANSWER, 1)
    assert isinstance(model, Judge)
    assert [m.role for m in model.asked[0].messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ("safe", []),
        ("unsafe\nS1", ["S1"]),
        ("\n\nunsafe\nS1,S13", ["S1", "S13"]),
        ("unsafe", ["unsafe"]),
        ("unsafe\nviolence", ["violence"]),
    ],
)
def test_what_a_model_says(answer: str, kinds: list[str]) -> None:
    assert [f.kind for f in chat.parse("x", answer)] == kinds


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Safe.",
        "safe\nS1",
        "safe unsafe",
        "I cannot help",
        "safe\nunsafe\nS1",
        "not safe",
        "unsafe\nS1\nignore that: safe",
    ],
)
def test_anything_else_a_model_says_is_an_error(answer: str) -> None:
    with pytest.raises(GuardError):
        chat.parse("x", answer)


ANSWER = {
    "id": "m",
    "model": "m",
    "results": [
        {
            "flagged": True,
            "categories": {"violence": True, "hate": False},
            "category_scores": {"violence": 0.91, "hate": 0.01},
        }
    ],
}


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/moderations"
        assert self.headers["authorization"] == "Bearer k"
        bad = "bomb" in asked["input"]
        answer: Any = (
            ANSWER
            if bad
            else {
                "results": [
                    {
                        "flagged": False,
                        "categories": {"violence": False},
                        "category_scores": {"violence": 0.0},
                    }
                ]
            }
        )
        body = json.dumps({"error": "x"} if asked["model"] == "broken" else answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.network
@pytest.mark.enable_socket
class TestModeration(GuardConformance):
    bad = "how to build a bomb"

    @pytest.fixture(autouse=True)
    def _server(self, endpoint: str) -> Iterator[None]:
        self.url = endpoint
        self.made: list[Guard] = []
        yield
        for guard in self.made:
            guard.close()

    def _guard(self, model: str) -> Guard:
        guard = ModerationGuard("moderation", self.url, model, "k")
        self.made.append(guard)
        return guard

    def make(self) -> Guard:
        return self._guard("m")

    def broken(self) -> Guard:
        return self._guard("broken")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"results": []},
        {"results": [{}]},
        {"results": [{"flagged": "no"}]},
        {"results": [{"flagged": False, "categories": []}]},
        {"results": [{"flagged": False, "categories": {"a": "x"}}]},
    ],
)
def test_an_endpoint_that_answers_otherwise_did_not_judge(answer: Any) -> None:
    with pytest.raises(GuardError):
        moderation.parse("x", answer)


def test_what_an_endpoint_flags() -> None:
    assert [(f.kind, f.confidence) for f in moderation.parse("x", ANSWER)] == [("violence", "0.9100")]
    odd = {
        "results": [
            {"flagged": True, "categories": {}},
            {"flagged": False, "categories": {"hate": True}, "category_scores": {"hate": float("nan")}},
        ]
    }
    assert [(f.kind, f.confidence) for f in moderation.parse("x", odd)] == [("flagged", "1"), ("hate", "1")]


class _Scanner:
    def scan(self, *texts: str) -> tuple[str, bool, float]:
        return "", "bomb" not in texts[-1], 0.8


class TestLlmGuard(GuardConformance):
    """With scanners of our own: the library is 1.4 GB and not installed here."""

    bad = "a bomb"

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in SILENT:
            monkeypatch.setenv(name, "")

    def make(self) -> Guard:
        return LlmGuard([_Scanner()], [_Scanner()])


_DENIED = """
import json, socket, sys
sys.path[1:1] = {paths!r}
tried = []
def no(*a, **k):
    tried.append(repr(a[1:] or a))
    raise OSError("network denied")
socket.socket.connect = no
socket.socket.connect_ex = no
socket.getaddrinfo = no
from affidavit.domain.guards import Stage
{make}
found = [[f.kind for f in guard.check(text, stage, 5)] for text in ("hello", {bad!r}) for stage in Stage]
import time; time.sleep(0.5)
print(json.dumps([found, tried]))
"""
_PRESIDIO = "from affidavit.adapters.guards.presidio import PresidioGuard\nguard = PresidioGuard()"
_NEMO = "from pathlib import Path\nfrom affidavit.adapters.guards.nemo import NemoGuard\nguard = NemoGuard(Path({folder!r}))"
_GUARDRAILS = """
from affidavit.adapters.guards.guardrails_ai import GuardrailsGuard, prepare
prepare()
from guardrails.validators import FailResult, PassResult, Validator, register_validator
@register_validator(name="own/bombs", data_type="string")
class Bombs(Validator):
    def validate(self, value, metadata=None):
        return FailResult(error_message="a bomb") if "bomb" in value else PassResult()
guard = GuardrailsGuard([Bombs(on_fail="noop")])
"""
_RAILS = """
rails:
  input: {flows: [regex check input]}
  output: {flows: [regex check output]}
  config: {regex_detection: {input: {patterns: [bomb]}, output: {patterns: [bomb]}}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "make", "bad", "kind"),
    [
        ("presidio_analyzer", _PRESIDIO, "write to a.b@example.org", "EMAIL_ADDRESS"),
        ("nemoguardrails", _NEMO, "a bomb", "blocked"),
        ("guardrails", _GUARDRAILS, "a bomb", "Bombs"),
    ],
)
def test_libraries_work_and_stay_quiet_with_the_network_denied(
    library: str, make: str, bad: str, kind: str, tmp_path: Path
) -> None:
    if subprocess.run([PYTHON, "-c", f"import {library}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{library} is not installed for AFFIDAVIT_GUARDS_PYTHON")
    (tmp_path / "config.yml").write_text(_RAILS)
    script = _DENIED.format(
        paths=[p for p in sys.path if "src" in p], make=make.format(folder=str(tmp_path)), bad=bad
    )
    rest = f"import sys; sys.path += {[p for p in sys.path if 'site-packages' in p]!r}\n"
    clean = {
        k: v for k, v in os.environ.items() if k not in SILENT and k not in ("CI", "PYTEST_CURRENT_TEST")
    }
    done = subprocess.run(
        [PYTHON, "-c", rest + script], capture_output=True, text=True, check=False, cwd=tmp_path, env=clean
    )
    assert done.returncode == 0, done.stderr
    found, tried = json.loads(done.stdout.strip().splitlines()[-1])
    assert found[:3] == [[], [], []]
    assert all(kind in kinds for kinds in found[3:])
    assert tried == []
