"""The model servers of the tests: real HTTP, the vendor's format, and every fault really happens."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.model_servers import fault_proxy, scripted_model, tiny_server

from affidavit.testing.fault_proxy import LIE, WRONG, FaultProxy
from affidavit.testing.scripted_model import Call, Reply
from affidavit.testing.tiny_model import TinyServer
from affidavit.testing.wire_openai import ScriptedModel

__all__ = ["fault_proxy", "scripted_model", "tiny_server"]

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]

SCHEMA = {
    "type": "object",
    "properties": {"claim": {"type": "string", "maxLength": 20}, "hit": {"type": "integer"}},
    "required": ["claim", "hit"],
    "additionalProperties": False,
}
REPLIES = (
    Reply("two words"),
    Reply(""),
    Reply("", (Call("search", '{"query": "leave"}'), Call("other", "{}", "call_2"))),
    Reply("both", (Call("search", "{}"),)),
    Reply("cut short", finish="length"),
    Reply("", finish="filtered"),
    Reply("no counts", usage=None),
)


def _post(
    url: str, path: str, body: dict[str, Any], timeout: float = 100
) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path + path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def _chat(url: str, text: str, timeout: float = 100, **more: Any) -> tuple[int, dict[str, str], bytes]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}
    return _post(url, "/chat/completions", body, timeout)


def _said(body: bytes) -> str:
    text: str = json.loads(body)["choices"][0]["message"]["content"]
    return text


def _events(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@pytest.mark.parametrize("reply", REPLIES)
def test_openai_wire_is_what_the_sdk_declares(scripted_model: ScriptedModel, reply: Reply) -> None:
    scripted_model.script(reply, reply, reply, reply)
    ChatCompletion.model_validate(json.loads(_chat(scripted_model.url, "x")[2]), strict=True)
    stream: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    for chunk in _events(_chat(scripted_model.url, "x", **stream)[2]):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    asked = {"model": "m", "input": "x"}
    Response.model_validate(json.loads(_post(scripted_model.url, "/responses", asked)[2]), strict=False)
    one = TypeAdapter[Any](ResponseStreamEvent)
    events = _events(_post(scripted_model.url, "/responses", {**asked, "stream": True})[2])
    assert [one.validate_python(e).type for e in events][-1].startswith("response.")


def test_a_scripted_model_obeys_and_keeps_what_it_saw(scripted_model: ScriptedModel) -> None:
    assert _said(_chat(scripted_model.url, "say ünï 🦉")[2]) == "ünï 🦉"
    scripted_model.script(Reply("first"), Reply(status=429, headers={"Retry-After": "7"}))
    assert _said(_chat(scripted_model.url, "a")[2]) == "first"
    status, headers, _ = _chat(scripted_model.url, "b")
    assert (status, headers["Retry-After"]) == (429, "7")
    scripted_model.answer_with = lambda prompt: Reply(prompt.last.upper())
    assert _said(_chat(scripted_model.url, "loud")[2]) == "LOUD"
    assert [p.last for p in scripted_model.seen] == ["say ünï 🦉", "a", "b", "loud"]
    assert _post(scripted_model.url, "/chat/completions", {"messages": 1})[0] == 400


def test_a_server_with_a_key_refuses_without() -> None:
    with ScriptedModel(key="sk-secret") as server:
        assert _chat(server.url, "x")[0] == 401
        assert server.seen == []


def test_llama_answers_in_the_schema_and_says_nonsense(tiny_server: TinyServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}
    for seed in range(5):
        status, _, body = _chat(tiny_server.url, "hello", seed=seed, response_format=form, max_tokens=200)
        assert status == 200
        assert set(json.loads(_said(body))) == {"claim", "hit"}


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("429-bare", 429), ("500", 500), ("503", 503)])
def test_the_proxy_answers_with_a_status(fault_proxy: FaultProxy, fault: str, status: int) -> None:
    fault_proxy.script(fault)
    got, headers, _ = _chat(fault_proxy.url, "say x")
    assert (got, headers.get("Retry-After")) == (status, "1" if fault == "429" else None)
    assert _chat(fault_proxy.url, "say x")[0] == 200
    assert fault_proxy.counts == {fault: 1, "pass": 1}


@pytest.mark.parametrize("stream", [False, True])
def test_the_proxy_spoils_what_is_said(fault_proxy: FaultProxy, stream: bool) -> None:
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}

    fault_proxy.drop = 0.0005

    def said(fault: str) -> str:
        fault_proxy.script(fault)
        body = _chat(fault_proxy.url, "say something here", **more)[2]
        if not stream:
            return _said(body)
        return "".join(c["delta"].get("content") or "" for event in _events(body) for c in event["choices"])

    assert said("pass") == "something here"
    assert said("schema") == WRONG
    assert said("echo") == "say something here"
    assert said("drip") == "something here"
    fault_proxy.script("usage", "garbage")
    assert str(LIE).encode() in _chat(fault_proxy.url, "say x", **more)[2]
    assert b"not json" in _chat(fault_proxy.url, "say x", **more)[2]


@pytest.mark.parametrize("stream", [False, True])
def test_the_proxy_breaks_connections(fault_proxy: FaultProxy, stream: bool) -> None:
    fault_proxy.script("half", "cut")
    with pytest.raises(http.client.IncompleteRead):
        _chat(fault_proxy.url, "say " + "word " * 30, stream=stream)
    with pytest.raises(http.client.RemoteDisconnected):
        _chat(fault_proxy.url, "say x", stream=stream)
    fault_proxy.script("hang")
    with pytest.raises(TimeoutError):
        _chat(fault_proxy.url, "say x", timeout=0.2, stream=stream)


def test_the_proxy_knows_its_faults_and_can_choose(fault_proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="no fault 'fast'"):
        fault_proxy.script("fast")
    fault_proxy.choose = lambda number: "500" if number % 2 else "pass"
    assert [_chat(fault_proxy.url, "say x")[0] for _ in range(4)] == [200, 500, 200, 500]
