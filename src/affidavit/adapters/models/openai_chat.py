"""OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affidavit.adapters.models import faults
from affidavit.adapters.models.frame import (
    count,
    in_words,
    is_strict,
    mapping,
    number,
    sequence,
    text,
    with_extra,
)
from affidavit.ports.model import ChatRequest, ChatResult, Message, ModelInfo, ToolCall, Usage

PATH = "/chat/completions"
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filtered",
}
_MOST_CALLS = 128


def body(request: ChatRequest, info: ModelInfo, *, newer: bool, stream: bool = False) -> dict[str, Any]:
    """The request. ``newer``: the limit goes by its newer name. Raises ModelError (``request``)."""
    made: dict[str, Any] = {
        "model": info.name,
        "messages": [_message(each) for each in request.messages],
        "max_completion_tokens" if newer else "max_tokens": request.max_tokens,
    }
    optional = {
        "temperature": number(request.temperature, "temperature"),
        "top_p": number(request.top_p, "top_p"),
        "seed": request.seed if info.seed else None,
        "stop": list(request.stop) or None,
        "tools": [_tool(each) for each in request.tools] or None,
    }
    made |= {name: value for name, value in optional.items() if value is not None}
    if request.schema is not None:
        if info.schema == "asked":
            made["messages"].insert(0, {"role": "system", "content": in_words(request.schema)})
        else:
            form = {
                "name": request.schema_name,
                "schema": request.schema,
                "strict": is_strict(request.schema),
            }
            made["response_format"] = {"type": "json_schema", "json_schema": form}
    if stream:
        made |= {"stream": True, "stream_options": {"include_usage": True}}
    return with_extra(made, request)


def _message(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        made["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.calls
        ]
    if message.role == "tool":
        made["tool_call_id"] = message.call
    return made


def _tool(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def result(answer: Mapping[str, Any], key: str) -> ChatResult:
    """The answer of a ``chat.completion``. Raises ModelError."""
    if answer.get("error"):  # gateways send it under status 200
        raise faults.reported(answer["error"], key)
    choices = sequence(answer.get("choices"), "list `choices`")
    if not choices:
        raise faults.unreadable("has no choice")
    choice = mapping(choices[0], "choice")
    message = mapping(choice.get("message"), "message")
    calls = tuple(_call(each) for each in sequence(message.get("tool_calls"), "list `tool_calls`"))
    refused = text(message.get("refusal"), "text `refusal`")
    return ChatResult(
        _content(message.get("content")),
        calls,
        "filtered" if refused else finish(choice.get("finish_reason"), calls),
        usage(answer.get("usage")),
        text(answer.get("model"), "text `model`"),
    )


def finish(reason: Any, calls: tuple[ToolCall, ...]) -> str:
    """The port's word. Some servers say ``stop`` after a tool call."""
    word = _FINISH.get(reason, "other") if isinstance(reason, str) else "other"
    return "tools" if calls and word in ("stop", "other") else word


def usage(value: Any) -> Usage:
    """The counts, as far as they are there."""
    if not isinstance(value, Mapping):
        return Usage()
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Usage(count(value.get("prompt_tokens")), count(value.get("completion_tokens")), count(cached))


def _content(value: Any) -> str:
    """Text, or the text of a list of parts."""
    if isinstance(value, list):
        parts = (mapping(part, "part") for part in value)
        return "".join(text(part.get("text"), "text") for part in parts)
    return text(value, "text `content`")


def _call(value: Any) -> ToolCall:
    call = mapping(value, "tool call")
    function = mapping(call.get("function"), "function of a tool call")
    return ToolCall(
        text(call.get("id"), "id of a tool call"),
        text(function.get("name"), "name of a tool call"),
        text(function.get("arguments"), "arguments of a tool call"),
    )


class Gathered:
    """A stream's chunks, put together."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._text: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._reason: Any = None
        self._refused = False
        self._usage = Usage()
        self._model = ""

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take a ``chat.completion.chunk``; the text it adds. Raises ModelError."""
        if chunk.get("error"):
            raise faults.reported(chunk["error"], self._key)
        self._model = text(chunk.get("model"), "text `model`") or self._model
        if chunk.get("usage"):
            self._usage = usage(chunk["usage"])
        added = ""
        for choice in sequence(chunk.get("choices"), "list `choices`")[:1]:
            added = self._choice(mapping(choice, "choice"))
        return added

    def _choice(self, choice: Mapping[str, Any]) -> str:
        self._reason = choice.get("finish_reason") or self._reason
        delta = choice.get("delta")
        if delta is None:
            return ""
        delta = mapping(delta, "delta")
        self._refused = self._refused or bool(delta.get("refusal"))
        for each in sequence(delta.get("tool_calls"), "list `tool_calls`"):
            self._add_call(mapping(each, "tool call"))
        piece = _content(delta.get("content"))
        self._text.append(piece)
        return piece

    def _add_call(self, part: Mapping[str, Any]) -> None:
        index = part.get("index", 0)
        if type(index) is not int or not 0 <= index < _MOST_CALLS:
            raise faults.unreadable("has a tool call out of range")
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = mapping(part.get("function") or {}, "function of a tool call")
        call["id"] = text(part.get("id"), "id of a tool call") or call["id"]
        call["name"] += text(function.get("name"), "name of a tool call")
        call["arguments"] += text(function.get("arguments"), "arguments of a tool call")

    def result(self) -> ChatResult:
        """The whole. Raises ModelError when the stream ended before the answer did."""
        if self._reason is None:
            raise faults.cut("the stream ended before the answer was complete")
        calls = tuple(ToolCall(**self._calls[index]) for index in sorted(self._calls))
        reason = "filtered" if self._refused else finish(self._reason, calls)
        return ChatResult("".join(self._text), calls, reason, self._usage, self._model)
