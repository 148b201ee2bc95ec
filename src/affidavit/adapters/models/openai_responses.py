"""OpenAI's responses: https://platform.openai.com/docs/api-reference/responses. Nothing is stored at the provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from affidavit.domain.errors import ModelError
from affidavit.ports.model import ChatRequest, ChatResult, Message, ModelInfo, ToolCall, Usage

PATH = "/responses"
_OVER = frozenset(("response.completed", "response.incomplete", "response.failed"))
_CUT = {"max_output_tokens": "length", "content_filter": "filtered"}


def body(request: ChatRequest, info: ModelInfo, *, newer: bool, stream: bool = False) -> dict[str, Any]:
    """The request. The format has no stop words and no seed. Raises ModelError (``request``)."""
    if request.stop:
        raise ModelError("request", "the responses interface has no stop words", "use the chat interface")
    made: dict[str, Any] = {
        "model": info.name,
        "input": [item for each in request.messages for item in _items(each)],
        "max_output_tokens": request.max_tokens,
        "store": False,
    }
    optional = {
        "temperature": number(request.temperature, "temperature"),
        "top_p": number(request.top_p, "top_p"),
        "tools": [_tool(each) for each in request.tools] or None,
    }
    made |= {name: value for name, value in optional.items() if value is not None}
    if request.schema is not None:
        if info.schema == "asked":
            made["input"].insert(0, {"role": "system", "content": in_words(request.schema)})
        else:
            form = {"type": "json_schema", "name": request.schema_name, "schema": request.schema}
            made["text"] = {"format": form | {"strict": is_strict(request.schema)}}
    return with_extra(made | ({"stream": True} if stream else {}), request)


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.call, "output": message.content}
        return
    if message.content or not message.calls:
        yield {"role": message.role, "content": message.content}
    for call in message.calls:
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }


def _tool(tool: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,
    }


def result(answer: Mapping[str, Any], key: str) -> ChatResult:
    """The answer of a ``response``. Raises ModelError."""
    if answer.get("error"):
        raise faults.reported(answer["error"], key)
    if answer.get("status") not in ("completed", "incomplete"):
        raise faults.unreadable("is not a completed response")
    said: list[str] = []
    calls: list[ToolCall] = []
    refused = False
    for each in sequence(answer.get("output"), "list `output`"):
        item = mapping(each, "output item")
        if item.get("type") == "function_call":
            calls.append(_call(item))
        if item.get("type") == "message":
            parts = [mapping(p, "part") for p in sequence(item.get("content"), "list `content`")]
            said += [text(p.get("text"), "text") for p in parts if p.get("type") == "output_text"]
            refused = refused or any(p.get("type") == "refusal" for p in parts)
    reason = "filtered" if refused else _finish(answer, calls)
    return ChatResult(
        "".join(said),
        tuple(calls),
        reason,
        _usage(answer.get("usage")),
        text(answer.get("model"), "text `model`"),
    )


def _finish(answer: Mapping[str, Any], calls: list[ToolCall]) -> str:
    if answer.get("status") == "incomplete":
        details = answer.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _CUT.get(reason, "other") if isinstance(reason, str) else "other"
    return "tools" if calls else "stop"


def _usage(value: Any) -> Usage:
    if not isinstance(value, Mapping):
        return Usage()
    details = value.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Usage(count(value.get("input_tokens")), count(value.get("output_tokens")), count(cached))


def _call(item: Mapping[str, Any]) -> ToolCall:
    return ToolCall(
        text(item.get("call_id"), "id of a tool call"),
        text(item.get("name"), "name of a tool call"),
        text(item.get("arguments"), "arguments of a tool call"),
    )


class Gathered:
    """A stream's events: the pieces of text as they come, and the whole from the last event."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._text: list[str] = []
        self._last: Mapping[str, Any] | None = None

    def add(self, event: Mapping[str, Any]) -> str:
        """Take an event; the text it adds. Raises ModelError."""
        kind = event.get("type")
        if kind == "error":
            raise faults.reported(event, self._key)
        if kind in _OVER:
            self._last = mapping(event.get("response"), "response")
        if kind != "response.output_text.delta":
            return ""
        piece = text(event.get("delta"), "text `delta`")
        self._text.append(piece)
        return piece

    def result(self) -> ChatResult:
        """The whole. Raises ModelError when the stream ended early, or its last word differs from what it said before."""
        if self._last is None:
            raise faults.cut("the stream ended before the answer was complete")
        whole = result(self._last, self._key)
        if whole.text != "".join(self._text):
            raise faults.unreadable("ends with another text than it streamed")
        return whole
