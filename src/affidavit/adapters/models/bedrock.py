"""Chat over Amazon Bedrock's Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.

The official SDK makes, signs and reads; our own connection carries, through the SDK's ``before-send`` event.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from affidavit.adapters.models import faults
from affidavit.adapters.models.anthropic import arguments
from affidavit.adapters.models.counting import TokenizerFile
from affidavit.adapters.models.frame import Adapter, count, in_words, mapping, number, sequence, text
from affidavit.adapters.models.wire import Endpoint
from affidavit.domain.errors import ModelError
from affidavit.ports.model import ChatRequest, ChatResult, Delta, Message, ModelInfo, ToolCall, Usage

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tools",
    "guardrail_intervened": "filtered",
    "content_filtered": "filtered",
}


class BedrockModel(Adapter):
    """``info.name`` (a model or an inference profile) in ``region``. The endpoint's key is a Bedrock API key, or
    ``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]``; with ``chain`` AWS's SDK looks for credentials itself (profile, role).
    There is no seed."""

    def __init__(
        self,
        endpoint: Endpoint,
        info: ModelInfo,
        region: str,
        *,
        chain: bool = False,
        tokenizer: TokenizerFile | None = None,
    ) -> None:
        super().__init__(replace(endpoint, signed=chain or ":" in endpoint.key), info, tokenizer)
        self._region = region
        self._chain = chain
        self._lock = threading.Lock()
        self._made: Any = None

    def close(self) -> None:
        with self._lock:
            self._made = None
        super().close()

    def _complete(self, request: ChatRequest) -> ChatResult:
        return _result(mapping(self._sdk().converse(**_asked(request, self._info)), "answer"), self._info)

    def _pieces(self, request: ChatRequest) -> Iterator[Delta]:
        answer = self._sdk().converse_stream(**_asked(request, self._info))
        gathered = _Gathered(self._key)
        for event in answer["stream"]:
            piece = gathered.add(mapping(event, "event"))
            if piece:
                yield Delta(piece)
        yield Delta("", gathered.result(self._info))

    def _sdk(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._client()
            return self._made

    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - 0.3 s, and an extra
        import botocore  # noqa: PLC0415 - see above
        from botocore.config import Config  # noqa: PLC0415 - see above

        config = Config(
            region_name=self._region,
            retries={"total_max_attempts": 1},
            signature_version=None if self._wire.endpoint.signed else botocore.UNSIGNED,
            ignore_configured_endpoint_urls=True,
            proxies={},
        )
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        parts = dict(zip(names, self._key.split(":", 2), strict=False)) if ":" in self._key else {}
        client = boto3.session.Session(**parts).client(
            "bedrock-runtime", endpoint_url=self._wire.endpoint.base_url, config=config
        )
        client.meta.events.register("before-send.bedrock-runtime", self._send)
        return client

    def _send(self, request: Any, **_: Any) -> Any:
        """Carry a request that the SDK has prepared; what is returned takes the place of the SDK's own connection."""
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - see _client

        client = self._wire.client
        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        made = client.build_request(request.method, request.url, headers=headers, content=request.body)
        response = client.send(made, stream=True)
        return AWSResponse(request.url, response.status_code, dict(response.headers), _Raw(response))

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see _client

        return (BotoCoreError, ClientError)

    def _explained(self, error: Exception) -> ModelError:
        if type(error).__name__ in (
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
        ):
            return ModelError("auth", "AWS's SDK found no credentials", "name a key, or log in to AWS")
        if type(error).__name__ == "ParamValidationError":
            said = faults.redacted(str(error), self._key)[:300]
            return ModelError("request", f"Bedrock's SDK refuses the request: {said}", "check the settings")
        response = getattr(error, "response", None)  # of an exception event in a stream
        if isinstance(response, Mapping) and response.get("Error"):
            told = mapping(response["Error"], "error")
            return faults.reported({"code": told.get("Code"), "message": told.get("Message")}, self._key)
        return super()._explained(error)


class _Raw:
    """A body as botocore reads it."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield from self._response.iter_raw()

    def read(self, *_: Any) -> bytes:
        body: bytes = self._response.read()
        return body

    def close(self) -> None:
        """The call closes the connection."""


def _asked(request: ChatRequest, info: ModelInfo) -> dict[str, Any]:
    """Arguments of the SDK's call. Raises ModelError (``request``)."""
    system = [m.content for m in request.messages if m.role == "system"]
    limits = {
        "maxTokens": request.max_tokens,
        "temperature": number(request.temperature, "temperature"),
        "topP": number(request.top_p, "top_p"),
        "stopSequences": list(request.stop) or None,
    }
    made: dict[str, Any] = {
        "modelId": info.name,
        "messages": _turns(request.messages),
        "inferenceConfig": {name: value for name, value in limits.items() if value is not None},
    }
    if request.schema is not None and info.schema == "asked":
        system.append(in_words(request.schema))
    elif request.schema is not None:
        form = {"schema": json.dumps(request.schema, sort_keys=True), "name": request.schema_name}
        made["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": form}}}
    if system:
        made["system"] = [{"text": each} for each in system if each]
    if request.tools:
        made["toolConfig"] = {"tools": [{"toolSpec": _tool(each)} for each in request.tools]}
    if request.extra:
        made["additionalModelRequestFields"] = dict(request.extra)
    return made


def _tool(tool: Any) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description or tool.name,
        "inputSchema": {"json": dict(tool.parameters)},
    }


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The conversation without system messages; tools' answers in a row are blocks of one user's turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        blocks = list(_blocks(message))
        if message.role == "tool" and turns and "toolResult" in turns[-1]["content"][-1]:
            turns[-1]["content"] += blocks
        elif blocks:
            role = "assistant" if message.role == "assistant" else "user"
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"toolResult": {"toolUseId": message.call, "content": [{"text": message.content}]}}
        return
    if message.content:
        yield {"text": message.content}
    for call in message.calls:
        yield {"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments(call)}}


def _result(answer: Mapping[str, Any], info: ModelInfo) -> ChatResult:
    """The answer of a ``ConverseResponse``; it does not name the model. Raises ModelError."""
    if "output" not in answer or not isinstance(answer.get("stopReason"), str):
        raise faults.unreadable("has no output")
    message = mapping(mapping(answer["output"], "output").get("message"), "message")
    said: list[str] = []
    calls: list[ToolCall] = []
    for each in sequence(message.get("content"), "list `content`"):
        block = mapping(each, "content block")
        said.append(text(block.get("text"), "text"))
        if "toolUse" in block:
            call = mapping(block["toolUse"], "tool call")
            written = json.dumps(mapping(call.get("input") or {}, "input"), ensure_ascii=False)
            calls.append(
                ToolCall(
                    text(call.get("toolUseId"), "id"), text(call.get("name"), "name"), text(written, "input")
                )
            )
    reason = _FINISH.get(answer["stopReason"], "other")
    return ChatResult("".join(said), tuple(calls), reason, _usage(answer.get("usage")), info.name)


def _usage(value: Any) -> Usage:
    """Bedrock counts what came from the cache, or went into it, apart from the input; the port counts all of the prompt."""
    if not isinstance(value, Mapping):
        return Usage()
    plain, read = count(value.get("inputTokens")), count(value.get("cacheReadInputTokens"))
    written = count(value.get("cacheWriteInputTokens"))
    whole = plain + max(read, 0) + max(written, 0) if plain >= 0 else -1
    return Usage(whole, count(value.get("outputTokens")), read)


class _Gathered:
    """A stream's events, put together into the answer they stand for."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._blocks: dict[int, dict[str, Any]] = {}
        self._reason: Any = None
        self._usage: Any = None

    def add(self, event: Mapping[str, Any]) -> str:
        """Take an event; the text it adds. Raises ModelError."""
        for name, value in event.items():
            if name.endswith("Exception"):
                told = mapping(value, "error")
                raise faults.reported({"code": name, "message": told.get("message")}, self._key)
        if "messageStop" in event:
            self._reason = mapping(event["messageStop"], "end").get("stopReason")
        if "metadata" in event:
            self._usage = mapping(event["metadata"], "metadata").get("usage")
        if "contentBlockStart" in event:
            opened = mapping(event["contentBlockStart"], "block")
            self._blocks[opened["contentBlockIndex"]] = {
                "toolUse": dict(opened["start"]["toolUse"]),
                "input": "",
            }
        if "contentBlockDelta" not in event:
            return ""
        return self._delta(mapping(event["contentBlockDelta"], "delta"))

    def _delta(self, part: Mapping[str, Any]) -> str:
        block = self._blocks.setdefault(part["contentBlockIndex"], {"text": ""})
        delta = mapping(part["delta"], "delta")
        if "toolUse" in delta:
            block["input"] += text(delta["toolUse"].get("input"), "input")
        piece = text(delta.get("text"), "text")
        if piece:
            block["text"] += piece
        return piece

    def result(self, info: ModelInfo) -> ChatResult:
        """The whole. Raises ModelError when the stream ended before the answer did."""
        if self._reason is None:
            raise faults.cut("the stream ended before the answer was complete")
        content = []
        for index in sorted(self._blocks):
            block = self._blocks[index]
            if "toolUse" in block:
                block = {"toolUse": {**block["toolUse"], "input": json.loads(block["input"] or "{}")}}
            content.append(block)
        answer = {
            "output": {"message": {"content": content}},
            "stopReason": self._reason,
            "usage": self._usage,
        }
        return _result(answer, info)
