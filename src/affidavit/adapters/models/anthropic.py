"""Chat over Anthropic's messages: https://docs.anthropic.com/en/api/messages, on the official SDK."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from affidavit.adapters.models import faults
from affidavit.adapters.models.counting import TokenizerFile
from affidavit.adapters.models.frame import (
    Adapter,
    count,
    in_words,
    mapping,
    number,
    text,
    tokens,
    with_extra,
)
from affidavit.adapters.models.wire import PLACEHOLDER, Endpoint
from affidavit.domain.errors import ModelError
from affidavit.ports.model import ChatRequest, ChatResult, Delta, Message, ModelInfo, ToolCall, Usage

if TYPE_CHECKING:
    from anthropic import Anthropic

_PATH = "/v1/messages"
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tools",
    "refusal": "filtered",
}
_VERSION = {"anthropic-version": "2023-06-01"}
_MOST_BLOCKS = 1024


class AnthropicModel(Adapter):
    """``info.name`` at ``endpoint``, whose ``header`` is ``x-api-key`` with no prefix. A schema is asked for as an output format
    (``strict``) or in words (``asked``). There is no seed. Loads the SDK at the first call."""

    def __init__(self, endpoint: Endpoint, info: ModelInfo, tokenizer: TokenizerFile | None = None) -> None:
        super().__init__(endpoint, info, tokenizer)
        self._lock = threading.Lock()
        self._made: Anthropic | None = None

    def close(self) -> None:
        with self._lock:
            self._made = None
        super().close()

    def _complete(self, request: ChatRequest) -> ChatResult:
        answer = self._sdk().post(_PATH, cast_to=object, body=_body(request, self._info))
        return _result(mapping(answer, "JSON object"), self._key)

    def _pieces(self, request: ChatRequest) -> Iterator[Delta]:
        from anthropic import Stream  # noqa: PLC0415 - 0.3 s, and an extra

        body = _body(request, self._info) | {"stream": True}
        events = self._sdk().post(_PATH, cast_to=object, body=body, stream=True, stream_cls=Stream[object])
        gathered = _Gathered(self._key)
        for event in events:
            piece = gathered.add(mapping(event, "JSON object"))
            if piece:
                yield Delta(piece)
        yield Delta("", gathered.result())

    def _count(self, request: ChatRequest) -> int:
        """https://docs.anthropic.com/en/api/messages-count-tokens"""
        asked = _body(request, self._info)
        body = {k: asked[k] for k in ("model", "messages", "system", "tools") if k in asked}
        answer = self._sdk().post(f"{_PATH}/count_tokens", cast_to=object, body=body)
        return tokens(mapping(answer, "JSON object").get("input_tokens"))

    def _sdk(self) -> Anthropic:
        from anthropic import Anthropic  # noqa: PLC0415 - see _pieces

        with self._lock:
            if self._made is None:
                self._made = Anthropic(
                    api_key=PLACEHOLDER,
                    base_url=self._wire.endpoint.base_url,
                    default_headers=_VERSION,
                    max_retries=0,
                    timeout=None,
                    http_client=self._wire.client,
                )
            return self._made

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from anthropic import AnthropicError  # noqa: PLC0415 - see _pieces

        return (AnthropicError,)

    def _explained(self, error: Exception) -> ModelError:
        body = getattr(error, "body", None)  # of an `error` event: {"type": "error", "error": {…}}
        if isinstance(body, Mapping) and body.get("error"):
            return faults.reported(body["error"], self._key)
        return super()._explained(error)


def _body(request: ChatRequest, info: ModelInfo) -> dict[str, Any]:
    """The request. Raises ModelError (``request``)."""
    system = [m.content for m in request.messages if m.role == "system"]
    if request.schema is not None and info.schema == "asked":
        system.append(in_words(request.schema))
    made: dict[str, Any] = {
        "model": info.name,
        "max_tokens": request.max_tokens,
        "messages": _turns(request.messages),
    }
    optional = {
        "system": "\n\n".join(system) or None,
        "temperature": number(request.temperature, "temperature"),
        "top_p": number(request.top_p, "top_p"),
        "stop_sequences": list(request.stop) or None,
        "tools": [
            {"name": t.name, "description": t.description, "input_schema": t.parameters}
            for t in request.tools
        ]
        or None,
    }
    made |= {name: value for name, value in optional.items() if value is not None}
    if request.schema is not None and info.schema != "asked":
        made["output_config"] = {"format": {"type": "json_schema", "schema": request.schema}}
    return with_extra(made, request)


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The conversation without system messages; tools' answers are blocks of a user's turn, those in a row of one turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(_blocks(message))
        if message.role == "tool" and turns and turns[-1]["content"][-1]["type"] == "tool_result":
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.call, "content": message.content}
        return
    if message.content:  # an empty text block is refused
        yield {"type": "text", "text": message.content}
    for call in message.calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments(call)}


def arguments(call: ToolCall) -> Any:
    """A call's arguments as the object that a format wants. Raises ModelError (``request``) if they are none."""
    try:
        value = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise _no_object(call) from error
    if not isinstance(value, dict):
        raise _no_object(call)
    return value


def _no_object(call: ToolCall) -> ModelError:
    return ModelError(
        "request",
        f"the arguments of tool call {call.id!r} are not a JSON object",
        "do not send back a call that was not valid",
    )


def _result(answer: Mapping[str, Any], key: str) -> ChatResult:
    """The answer of a ``message``. Raises ModelError."""
    if answer.get("type") == "error" or answer.get("error"):
        raise faults.reported(answer.get("error"), key)
    if answer.get("type") != "message" or not isinstance(answer.get("content"), list):
        raise faults.unreadable("is not a message")
    said: list[str] = []
    calls: list[ToolCall] = []
    for each in answer["content"]:
        block = mapping(each, "content block")
        if block.get("type") == "text":
            said.append(text(block.get("text"), "text"))
        if block.get("type") == "tool_use":
            written = json.dumps(mapping(block.get("input"), "input of a tool call"), ensure_ascii=False)
            calls.append(
                ToolCall(text(block.get("id"), "id"), text(block.get("name"), "name"), text(written, "input"))
            )
    return ChatResult(
        "".join(said),
        tuple(calls),
        _finish(answer.get("stop_reason")),
        _usage(answer.get("usage")),
        text(answer.get("model"), "text `model`"),
    )


def _finish(reason: Any) -> str:
    return _FINISH.get(reason, "other") if isinstance(reason, str) else "other"


def _usage(value: Any) -> Usage:
    """Anthropic counts what came from its cache, or went into it, apart from the input; the port counts all of the prompt."""
    if not isinstance(value, Mapping):
        return Usage()
    plain, read = count(value.get("input_tokens")), count(value.get("cache_read_input_tokens"))
    written = count(value.get("cache_creation_input_tokens"))
    whole = plain + max(read, 0) + max(written, 0) if plain >= 0 else -1
    return Usage(whole, count(value.get("output_tokens")), read)


class _Gathered:
    """A stream's events, put together into the message they stand for."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}
        self._over = False

    def add(self, event: Mapping[str, Any]) -> str:
        """Take an event; the text it adds. Raises ModelError."""
        match event.get("type"):
            case "error":
                raise faults.reported(event.get("error"), self._key)
            case "message_start":
                self._message = dict(mapping(event.get("message"), "message"))
                self._count(self._message.get("usage"))
            case "content_block_start":
                self._blocks[_index(event)] = dict(mapping(event.get("content_block"), "content block"))
            case "content_block_delta":
                return self._delta(_index(event), mapping(event.get("delta"), "delta"))
            case "message_delta":
                self._message |= mapping(event.get("delta"), "delta")
                self._count(event.get("usage"))
            case "message_stop":
                self._over = True
        return ""

    def _count(self, usage: Any) -> None:
        """Later counts replace earlier ones; what is not told again stays."""
        if isinstance(usage, Mapping):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _delta(self, index: int, delta: Mapping[str, Any]) -> str:
        if index not in self._blocks:
            raise faults.unreadable("continues a block that it did not begin")
        block = self._blocks[index]
        if delta.get("type") == "input_json_delta":
            self._inputs.setdefault(index, []).append(text(delta.get("partial_json"), "input"))
        if delta.get("type") != "text_delta":
            return ""
        piece = text(delta.get("text"), "text")
        block.setdefault("pieces", []).append(piece)
        return piece

    def result(self) -> ChatResult:
        """The whole. Raises ModelError when the stream ended before the answer did."""
        if not self._over:
            raise faults.cut("the stream ended before the answer was complete")
        for index, block in self._blocks.items():
            if block.get("type") == "text":
                block["text"] = text(block.get("text"), "text") + "".join(block.pop("pieces", []))
            if index in self._inputs:
                block["input"] = json.loads("".join(self._inputs[index]) or "{}")
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return _result({**self._message, "content": content, "usage": self._usage or None}, self._key)


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    if type(index) is not int or not 0 <= index < _MOST_BLOCKS:
        raise faults.unreadable("has a block out of range")
    return index
