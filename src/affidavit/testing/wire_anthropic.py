"""Anthropic's messages as a server speaks them: https://docs.anthropic.com/en/api/messages.

What is sent is checked against the official SDK's models in ``tests/adapters/models/test_wires.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.testing.loopback import Asked
from affidavit.testing.scripted_model import Prompt, Reply, split, usage_of

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filtered": "refusal"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class AnthropicWire:
    """The format of ``/v1/messages``."""

    def read(self, asked: Asked) -> Prompt:
        if asked.path.split("?")[0] != "/v1/messages":
            raise ValueError(f"nothing is served at {asked.path}")
        if "anthropic-version" not in {name.lower() for name in asked.headers}:
            raise ValueError("anthropic-version: header is required")
        body = json.loads(asked.body)
        spoken = [("system", body["system"])] if body.get("system") else []
        for message in body["messages"]:
            if message["role"] not in ("user", "assistant"):
                raise ValueError("messages: role must be user or assistant")
            spoken += _spoken(message)
        form = (body.get("output_config") or {}).get("format") or {}
        return Prompt(
            model=body["model"],
            messages=tuple(spoken),
            max_tokens=body["max_tokens"],
            stream=bool(body.get("stream")),
            schema=form.get("schema"),
            tools=tuple(t["name"] for t in body.get("tools") or ()),
            stop=tuple(body.get("stop_sequences") or ()),
            temperature=body.get("temperature"),
        )

    def whole(self, prompt: Prompt, reply: Reply) -> bytes:
        return json.dumps(message(prompt, reply)).encode()

    def pieces(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        for event in events(prompt, reply):
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()

    def error(self, status: int, message: str) -> bytes:
        kind = _TYPES.get(status, "api_error")
        return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()

    def stream_type(self) -> str:
        return "text/event-stream"


def _spoken(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A turn's parts; a server refuses empty ones."""
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not blocks:
        raise ValueError("messages: content must not be empty")
    for block in blocks:
        if block["type"] == "tool_result":
            yield "tool", block["content"]
        if block["type"] == "text":
            if not block["text"]:
                raise ValueError("messages: text content blocks must be non-empty")
            yield message["role"], block["text"]


def message(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    """A ``message``."""
    made = _head(prompt, reply)
    made["content"] = _blocks(reply)
    made["stop_reason"] = _finish(reply)
    return made


def events(prompt: Prompt, reply: Reply) -> Iterator[dict[str, Any]]:
    """The events of a stream."""
    yield {"type": "message_start", "message": _head(prompt, reply)}
    for index, block in enumerate(_blocks(reply)):
        empty: dict[str, Any] = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        for delta in _deltas(block, reply):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
            if reply.late_error:
                yield {"type": "error", "error": {"type": "overloaded_error", "message": reply.error}}
                return
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": _finish(reply), "stop_sequence": None}
    used = usage_of(prompt, reply)
    counts = {"usage": {"output_tokens": used[1]}} if used else {}
    yield {"type": "message_delta", "delta": end, **counts}
    yield {"type": "message_stop"}


def _deltas(block: Mapping[str, Any], reply: Reply) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        for piece in split(block["text"]):
            yield {"type": "text_delta", "text": piece}
        return
    written = json.dumps(block["input"])
    for half in (written[:3], written[3:]):
        yield {"type": "input_json_delta", "partial_json": half}


def _head(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    used = usage_of(prompt, reply)
    counts = {"usage": {"input_tokens": used[0], "output_tokens": used[1]}} if used else {}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": prompt.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        **counts,
    }


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in reply.calls
    ]
    return blocks


def _finish(reply: Reply) -> str:
    return _FINISH[reply.finish or ("tools" if reply.calls else "stop")]
