"""OpenAI's interface over the official SDK: both formats against a scripted server, and llama.cpp's real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.model_servers import fault_proxy, scripted_model, tiny_server

from affidavit.adapters.models.openai import OpenAIModel
from affidavit.adapters.models.wire import Endpoint
from affidavit.domain.errors import ModelError
from affidavit.ports.model import ChatModel, ModelInfo
from affidavit.testing.fault_proxy import LIE, WRONG, FaultProxy
from affidavit.testing.model_conformance import KEY, SCHEMA, TOOL, ModelConformance, ask, whole
from affidavit.testing.scripted_model import Call, Reply, ScriptedServer
from affidavit.testing.tiny_model import MODEL, TinyServer
from affidavit.testing.wire_openai import ScriptedModel

__all__ = ["fault_proxy", "scripted_model", "tiny_server"]

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]


def _info(schema: str = "strict", name: str = "m", seed: bool = True) -> ModelInfo:
    return ModelInfo("openai", name, schema, tools=True, streaming=True, seed=seed, local=False, counts=True)


class TestChat(ModelConformance):
    def server(self) -> ScriptedServer:
        return ScriptedModel(key=KEY)

    def make(self, server: ScriptedServer) -> ChatModel:
        return OpenAIModel(Endpoint(f"{server.base}/v1", KEY), _info())


class TestResponses(ModelConformance):
    stops = False

    def server(self) -> ScriptedServer:
        return ScriptedModel(key=KEY)

    def make(self, server: ScriptedServer) -> ChatModel:
        return OpenAIModel(Endpoint(f"{server.base}/v1", KEY), _info(seed=False), "responses")


@pytest.fixture
def model(scripted_model: ScriptedModel) -> Iterator[OpenAIModel]:
    made = OpenAIModel(Endpoint(scripted_model.url, KEY), _info())
    yield made
    made.close()


def _sent(server: ScriptedServer) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(server.asked[-1].body)
    return body


def test_only_what_the_interface_needs_is_sent(
    scripted_model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Custom: from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    model = OpenAIModel(Endpoint(scripted_model.url), _info())
    model.complete(ask("say x"))
    model.close()
    asked = scripted_model.asked[0]
    assert {name.lower() for name in asked.headers} == {
        *("host", "accept", "content-type", "content-length", "user-agent", "accept-encoding")
    }
    assert "from-the-environment" not in str(asked)
    assert _sent(scripted_model) == {
        "model": "m",
        "messages": [{"role": "user", "content": "say x"}],
        "max_tokens": 1000,
    }


def test_azure_is_given_its_header_and_version(scripted_model: ScriptedModel) -> None:
    endpoint = Endpoint(scripted_model.url, KEY, "api-key", "")
    model = OpenAIModel(endpoint, _info(), query={"api-version": "preview"})
    model.complete(ask("say x"))
    model.close()
    asked = scripted_model.asked[0]
    assert (asked.headers["api-key"], asked.path) == (KEY, "/v1/chat/completions?api-version=preview")
    assert "Authorization" not in asked.headers


def test_a_schema_is_asked_for_in_each_way(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    model.complete(ask("schema", schema=SCHEMA, schema_name="claims"))
    form = _sent(scripted_model)["response_format"]["json_schema"]
    assert (form["name"], form["strict"]) == ("claims", True)
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    model.complete(ask("schema", schema=loose))
    assert _sent(scripted_model)["response_format"]["json_schema"]["strict"] is False
    other = OpenAIModel(Endpoint(scripted_model.url), _info("asked"))
    other.complete(ask("say x", schema=SCHEMA))
    other.close()
    assert "response_format" not in _sent(scripted_model)
    assert '"claims"' in _sent(scripted_model)["messages"][0]["content"]


def test_extra_settings_travel_and_replace_nothing(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    model.complete(ask("say x", extra={"cache_prompt": False}))
    assert _sent(scripted_model)["cache_prompt"] is False
    with pytest.raises(ModelError, match="may not replace model"):
        model.complete(ask("say x", extra={"model": "other"}))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "spent", "code": "insufficient_quota"}}, "budget"),
        ({"error": {"message": "no", "code": "content_filter"}}, "refused"),
        ({"error": {"message": "busy", "code": 503}}, "overloaded"),
        ({"error": {"message": "much", "code": 429}}, "rate_limit"),
        ({"error": "a word"}, "server"),
        ({"choices": []}, "schema"),
        ({"choices": [{}]}, "schema"),
        ({"choices": [{"message": {"content": {"a": 1}}}]}, "schema"),
        ({"choices": [{"message": {"content": None, "tool_calls": [1]}}]}, "schema"),
    ],
)
def test_an_error_under_status_200(
    scripted_model: ScriptedModel, model: OpenAIModel, body: dict[str, Any], kind: str
) -> None:
    raw = json.dumps(body).encode()
    scripted_model.script(Reply(raw=raw), Reply(raw=b"data: " + raw + b"\n\n", headers=_SSE))
    with pytest.raises(ModelError) as caught:
        model.complete(ask("x"))
    assert caught.value.kind == kind
    with pytest.raises(ModelError) as caught:
        list(model.stream(ask("x")))
    assert caught.value.kind in ((kind, "connection") if kind == "schema" else (kind,))


_SSE = {"Content-Type": "text/event-stream"}


@pytest.mark.parametrize(
    "raw", [b"data: {half\n\n", b"data: []\n\n", b"data: null\n\n", b"\xff\xfe\n\n", b"", b"data: [DONE]\n\n"]
)
def test_a_stream_that_is_none(scripted_model: ScriptedModel, model: OpenAIModel, raw: bytes) -> None:
    scripted_model.script(Reply(raw=raw, headers=_SSE))
    with pytest.raises(ModelError) as caught:
        list(model.stream(ask("x")))
    assert caught.value.kind in ("schema", "connection")


def test_llamas_own_complaint_is_a_schema_failure(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    said = "The model produced output that does not match the expected peg-native format"
    scripted_model.script(Reply(status=500, error=said))
    with pytest.raises(ModelError) as caught:
        model.complete(ask("x"))
    assert caught.value.kind == "schema"


def test_a_redirect_is_not_followed(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    scripted_model.script(Reply(raw=b"", status=307, headers={"Location": "http://127.0.0.1:9/"}))
    with pytest.raises(ModelError, match="307") as caught:
        model.complete(ask("x"))
    assert caught.value.kind == "request"


def test_a_compressed_answer_is_not_unpacked(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    scripted_model.script(Reply(raw=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ModelError, match="compressed"):
        model.complete(ask("x"))


def test_a_connection_is_used_again_after_a_stream(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    opened = 0
    accept = scripted_model._server.get_request  # type: ignore[union-attr]

    def counting() -> Any:
        nonlocal opened
        opened += 1
        return accept()

    scripted_model._server.get_request = counting  # type: ignore[union-attr, method-assign]
    for _ in range(3):
        whole(model, ask("say a b c"))
        model.complete(ask("say x"))
    assert opened == 1


def test_calls_in_pieces_are_put_together(scripted_model: ScriptedModel, model: OpenAIModel) -> None:
    calls = (Call("look_up", '{"name": "a"}', "1"), Call("look_up", '{"name": "b"}', "2"))
    scripted_model.script(Reply("both", calls), Reply("both", calls))
    result = whole(model, ask("x", tools=(TOOL,)))
    assert [c.arguments for c in result.calls] == ['{"name": "a"}', '{"name": "b"}']
    assert result == model.complete(ask("x", tools=(TOOL,)))


# -- through the fault proxy


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", "rate_limit"),
        ("429-bare", "rate_limit"),
        ("500", "server"),
        ("503", "overloaded"),
        ("cut", "connection"),
        ("half", "connection"),
        ("hang", "timeout"),
        ("garbage", "schema"),
    ],
)
def test_every_fault_has_its_kind(fault_proxy: FaultProxy, fault: str, kind: str, stream: bool) -> None:
    model = OpenAIModel(Endpoint(fault_proxy.url), _info())
    fault_proxy.script(fault)
    request = ask("say " + "word " * 30, timeout=0.5 if fault == "hang" else 100.0)
    with pytest.raises(ModelError) as caught:
        whole(model, request) if stream else model.complete(request)
    assert (caught.value.kind, caught.value.wait) == (kind, 1.0 if fault == "429" else None)
    assert model.complete(ask("say fine")).text == "fine"
    model.close()


def test_what_only_the_caller_can_see_passes(fault_proxy: FaultProxy) -> None:
    model = OpenAIModel(Endpoint(fault_proxy.url), _info())
    fault_proxy.script("schema", "echo", "usage")
    assert model.complete(ask("x", schema=SCHEMA)).text == WRONG
    assert model.complete(ask("say x")).text == "say x"
    assert model.complete(ask("say x")).usage.output == LIE
    model.close()


# -- the real server


@pytest.fixture
def llama(tiny_server: TinyServer) -> Iterator[OpenAIModel]:
    made = OpenAIModel(Endpoint(tiny_server.url), _info("grammar", MODEL))
    yield made
    made.close()


def test_llama_streams_what_it_completes(llama: OpenAIModel) -> None:
    request = ask("Say something.", max_tokens=30, seed=5, temperature="0.7", extra={"cache_prompt": False})
    done = llama.complete(request)
    assert done.text
    assert done.finish in ("length", "stop")
    assert done.model == MODEL
    assert done.usage.input > 5
    assert 0 < done.usage.output <= 30
    streamed = whole(llama, request)
    assert (streamed.text, streamed.finish) == (done.text, done.finish)
    assert streamed.usage.output == done.usage.output


def test_llamas_grammar_makes_the_form_right(llama: OpenAIModel) -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 12}, "hit": {"type": "integer"}},
        "required": ["text", "hit"],
        "additionalProperties": False,
    }
    for seed in range(10):
        said = json.loads(llama.complete(ask("x", schema=schema, seed=seed, max_tokens=200)).text)
        assert set(said) == {"text", "hit"}


def test_llama_refuses_what_it_does_not_know(llama: OpenAIModel) -> None:
    with pytest.raises(ModelError) as caught:
        llama.complete(ask("word " * 20_000))
    assert caught.value.kind == "request"


def test_llamas_time_limit(llama: OpenAIModel) -> None:
    with pytest.raises(ModelError) as caught:
        llama.complete(ask("x", timeout=0.001))
    assert caught.value.kind == "timeout"


def test_a_llama_with_a_key(tmp_path: Any) -> None:
    with TinyServer(tmp_path, key=KEY) as server:
        model = OpenAIModel(Endpoint(server.url, KEY), _info("grammar", MODEL))
        assert 0 < model.complete(ask("x", max_tokens=3)).usage.output <= 3
        model.close()
        wrong = OpenAIModel(Endpoint(server.url, "sk-other"), _info("grammar", MODEL))
        with pytest.raises(ModelError) as caught:
            wrong.complete(ask("x"))
        assert caught.value.kind == "auth"
        wrong.close()
