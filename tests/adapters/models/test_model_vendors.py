"""Anthropic, Google and Bedrock over their official SDKs, against servers that speak the vendor's format."""

from __future__ import annotations

import json

import pytest

from affidavit.adapters.models.anthropic import AnthropicModel
from affidavit.adapters.models.bedrock import BedrockModel
from affidavit.adapters.models.google import GoogleModel
from affidavit.adapters.models.wire import Endpoint
from affidavit.domain.errors import ModelError
from affidavit.ports.model import ChatModel, Message, ModelInfo, ToolCall
from affidavit.testing.model_conformance import KEY, SCHEMA, ModelConformance, ask
from affidavit.testing.scripted_model import Reply, ScriptedServer
from affidavit.testing.wire_anthropic import AnthropicWire
from affidavit.testing.wire_bedrock import BedrockWire
from affidavit.testing.wire_google import GoogleWire

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]


def _info(provider: str, schema: str = "strict") -> ModelInfo:
    return ModelInfo(
        provider,
        "m-1",
        schema,
        tools=True,
        streaming=True,
        seed=provider == "google",
        local=False,
        counts=provider != "bedrock",
    )


def anthropic(server: ScriptedServer, schema: str = "strict") -> AnthropicModel:
    return AnthropicModel(Endpoint(server.base, KEY, "x-api-key", ""), _info("anthropic", schema))


def google(server: ScriptedServer, schema: str = "strict") -> GoogleModel:
    return GoogleModel(Endpoint(server.base, KEY, "x-goog-api-key", ""), _info("google", schema))


def bedrock(server: ScriptedServer, schema: str = "strict", key: str = KEY) -> BedrockModel:
    return BedrockModel(Endpoint(server.base, key), _info("bedrock", schema), "eu-central-1")


class TestAnthropic(ModelConformance):
    def server(self) -> ScriptedServer:
        return ScriptedServer(AnthropicWire(), KEY)

    def make(self, server: ScriptedServer) -> ChatModel:
        return anthropic(server)


class TestGoogle(ModelConformance):
    def server(self) -> ScriptedServer:
        return ScriptedServer(GoogleWire(), KEY)

    def make(self, server: ScriptedServer) -> ChatModel:
        return google(server)


class TestBedrock(ModelConformance):
    def server(self) -> ScriptedServer:
        return ScriptedServer(BedrockWire(), KEY)

    def make(self, server: ScriptedServer) -> ChatModel:
        return bedrock(server)


VENDORS = [(AnthropicWire, anthropic), (GoogleWire, google), (BedrockWire, bedrock)]


@pytest.mark.parametrize(("wire", "make"), VENDORS)
def test_nothing_of_the_environment_is_sent(wire: type, make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"),
    ):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Custom: from-the-environment")
    for name in (
        "ANTHROPIC_BASE_URL",
        "GOOGLE_GEMINI_BASE_URL",
        "AWS_ENDPOINT_URL",
        "HTTP_PROXY",
        "http_proxy",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ScriptedServer(wire(), KEY) as server:
        assert isinstance(server, ScriptedServer)
        model = make(server)
        assert model.complete(ask("say x")).text == "x"
        model.close()
        asked = server.asked[0]
    assert "from-the-environment" not in str(asked)
    allowed = {"host", "accept", "content-type", "content-length", "user-agent", "accept-encoding"}
    secret = {"authorization", "x-api-key", "x-goog-api-key", "anthropic-version"}
    assert {name.lower() for name in asked.headers} <= allowed | secret


@pytest.mark.parametrize(("wire", "make"), VENDORS)
def test_a_schema_may_be_asked_for_in_words(wire: type, make: type) -> None:
    with ScriptedServer(wire(), KEY) as server:
        assert isinstance(server, ScriptedServer)
        model = make(server, "asked")
        model.complete(ask("say x", schema=SCHEMA))
        model.close()
        role, text = server.seen[0].messages[0]
    assert (role, server.seen[0].schema) == ("system", None)
    assert '"claims"' in text


@pytest.mark.parametrize(("wire", "make"), VENDORS)
def test_a_call_that_was_not_valid_cannot_be_sent_back(wire: type, make: type) -> None:
    told = (Message("user", "x"), Message("assistant", "", (ToolCall("1", "look_up", "{half"),)))
    with ScriptedServer(wire(), KEY) as server:
        assert isinstance(server, ScriptedServer)
        model = make(server)
        with pytest.raises(ModelError) as caught:
            model.complete(ask("", messages=told))
        model.close()
    assert (caught.value.kind, server.seen) == ("request", [])


def test_bedrock_signs_with_an_access_key() -> None:
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
    with ScriptedServer(BedrockWire()) as server:
        assert isinstance(server, ScriptedServer)
        model = bedrock(server, key=f"AKIDEXAMPLE:{secret}:token")
        assert model.complete(ask("say x")).text == "x"
        sent = str(server.asked[0])
        assert "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" in sent
        assert secret not in sent
        server.script(Reply(status=400, error=f"bad {secret}"))
        with pytest.raises(ModelError) as caught:
            model.complete(ask("x"))
        assert secret not in str(caught.value.as_dict())
        model.close()


def test_anthropic_counts_the_whole_prompt() -> None:
    body = {
        "type": "message",
        "role": "assistant",
        "id": "m",
        "model": "m-1",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "x"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 5,
            "output_tokens": 2,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
        },
    }
    with ScriptedServer(AnthropicWire(), KEY) as server:
        assert isinstance(server, ScriptedServer)
        model = anthropic(server)
        server.script(Reply(raw=json.dumps(body).encode()))
        result = model.complete(ask("x"))
        model.close()
    assert (result.text, result.usage.input, result.usage.cached) == ("x", 125, 100)


@pytest.mark.parametrize(
    ("body", "kind", "wait"),
    [
        (
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "details": [{"reason": "API_KEY_INVALID"}],
                }
            },
            "auth",
            None,
        ),
        (
            {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "7.5s"}]}},
            "rate_limit",
            7.5,
        ),
    ],
)
def test_googles_own_words(body: dict[str, object], kind: str, wait: float | None) -> None:
    with ScriptedServer(GoogleWire(), KEY) as server:
        assert isinstance(server, ScriptedServer)
        model = google(server)
        server.script(Reply(raw=json.dumps(body).encode(), status=400 if kind == "auth" else 429))
        with pytest.raises(ModelError) as caught:
            model.complete(ask("x"))
        model.close()
    assert (caught.value.kind, caught.value.wait) == (kind, wait)
