"""OpenAI's chat completions and responses as a server speaks them: https://platform.openai.com/docs/api-reference.

What is sent is checked against the official SDK's models in ``tests/adapters/models/test_wires.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.testing.loopback import Asked
from affidavit.testing.scripted_model import Prompt, Reply, ScriptedServer, split, usage_of

_CREATED = 1_700_000_000
_FINISH = {"stop": "stop", "length": "length", "tools": "tool_calls", "filtered": "content_filter"}
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}


class ScriptedModel(ScriptedServer):
    """An OpenAI-compatible server; see ``scripted_model``."""

    def __init__(self, key: str = "") -> None:
        super().__init__(OpenAIWire(), key)

    def __enter__(self) -> ScriptedModel:
        super().__enter__()
        return self

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.base}/v1"


class OpenAIWire:
    """Both formats; the path tells which."""

    def read(self, asked: Asked) -> Prompt:
        body = json.loads(asked.body)
        if asked.path.split("?")[0].endswith("/chat/completions"):
            return _read_chat(body)
        if asked.path.split("?")[0].endswith("/responses"):
            return _read_responses(body)
        raise ValueError(f"nothing is served at {asked.path}")

    def whole(self, prompt: Prompt, reply: Reply) -> bytes:
        made = _response(prompt, reply, _items(reply)) if _of_responses(prompt) else completion(prompt, reply)
        return json.dumps(made).encode()

    def pieces(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        if _of_responses(prompt):
            for number, event in enumerate(_response_events(prompt, reply)):
                yield _event({**event, "sequence_number": number}, event["type"])
            return
        for chunk in chunks(prompt, reply):
            yield _event(chunk)
        yield b"data: [DONE]\n\n"

    def error(self, status: int, message: str) -> bytes:
        kind = _TYPES.get(status, "server_error")
        return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": None}}).encode()

    def stream_type(self) -> str:
        return "text/event-stream"


class _ResponsesPrompt(Prompt):
    """A prompt that came to /responses and is answered in its format."""


def _of_responses(prompt: Prompt) -> bool:
    return isinstance(prompt, _ResponsesPrompt)


def _read_chat(body: Mapping[str, Any]) -> Prompt:
    form = body.get("response_format") or {}
    stop = body.get("stop") or ()
    limit = body.get("max_completion_tokens", body.get("max_tokens", 10**9))
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise ValueError("max_tokens and max_completion_tokens exclude each other")
    return Prompt(
        model=body["model"],
        messages=tuple((m["role"], _text(m.get("content"))) for m in body["messages"]),
        max_tokens=limit,
        stream=bool(body.get("stream")),
        schema=form["json_schema"]["schema"] if form.get("type") == "json_schema" else None,
        tools=tuple(t["function"]["name"] for t in body.get("tools") or ()),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=body.get("seed"),
        temperature=body.get("temperature"),
        usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _read_responses(body: Mapping[str, Any]) -> Prompt:
    form = (body.get("text") or {}).get("format") or {}
    entries = body["input"]
    entries = [{"role": "user", "content": entries}] if isinstance(entries, str) else entries
    spoken: list[tuple[str, str]] = []
    for entry in entries:
        if entry.get("type") == "function_call_output":
            spoken.append(("tool", _text(entry["output"])))
        elif entry.get("type") != "function_call":
            spoken.append((entry["role"], _text(entry["content"])))
    return _ResponsesPrompt(
        model=body["model"],
        messages=tuple(spoken),
        max_tokens=body.get("max_output_tokens") or 10**9,
        stream=bool(body.get("stream")),
        schema=form["schema"] if form.get("type") == "json_schema" else None,
        tools=tuple(t["name"] for t in body.get("tools") or ()),
        temperature=body.get("temperature"),
    )


def _text(content: object) -> str:
    """The text of a content, which is text, nothing, or a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    if content is None or isinstance(content, str):
        return content or ""
    raise ValueError("content must be text or a list of parts")


def completion(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    """A ``chat.completion``."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    made = _head(prompt, "chat.completion")
    made["choices"] = [{"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": None}]
    used = _usage(prompt, reply)
    return made | ({"usage": used} if used else {})


def chunks(prompt: Prompt, reply: Reply) -> Iterator[dict[str, Any]]:
    """The ``chat.completion.chunk`` objects of a stream."""
    head = _head(prompt, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**head, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for number, piece in enumerate(split(reply.text)):
        yield chunk({"content": piece})
        if reply.late_error and number == 0:
            yield {"error": {"message": reply.error, "type": "server_error", "code": 500}}
            return
    for index, call in enumerate(_calls(reply)):
        arguments = call["function"]["arguments"]
        opened = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [opened]})
        for half in (arguments[:3], arguments[3:]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
    yield chunk({}, _finish(reply))
    used = _usage(prompt, reply)
    if prompt.usage and used:
        yield {**head, "choices": [], "usage": used}


def _head(prompt: Prompt, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": _CREATED, "model": prompt.model}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in reply.calls
    ]


def _finish(reply: Reply) -> str:
    return _FINISH[reply.finish or ("tools" if reply.calls else "stop")]


def _usage(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    used = usage_of(prompt, reply)
    if used is None:
        return {}
    return {
        "prompt_tokens": used[0],
        "completion_tokens": used[1],
        "total_tokens": sum(used),
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _items(reply: Reply) -> list[dict[str, Any]]:
    """The output items of a response."""
    content: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": []}
    items: list[dict[str, Any]] = []
    if reply.text or not reply.calls:
        items.append(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [content],
            }
        )
    for call in reply.calls:
        items.append(
            {
                "id": f"fc_{call.id}",
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
        )
    return items


def _response(prompt: Prompt, reply: Reply, items: list[dict[str, Any]], status: str = "") -> dict[str, Any]:
    cut = {"length": "max_output_tokens", "filtered": "content_filter"}.get(reply.finish)
    made: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED,
        "model": prompt.model,
        "status": status or ("incomplete" if cut else "completed"),
        "output": items,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": {"reason": cut} if cut and not status else None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
    }
    used = usage_of(prompt, reply)
    if used and not status:
        made["usage"] = {
            "input_tokens": used[0],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": used[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(used),
        }
    return made


def _response_events(prompt: Prompt, reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": _response(prompt, reply, [], "in_progress")}
    for index, item in enumerate(_items(reply)):
        yield from _item_events(item, index)
        if reply.late_error:
            yield {"type": "error", "code": "server_error", "message": reply.error, "param": None}
            return
    made = _response(prompt, reply, _items(reply))
    yield {"type": f"response.{made['status']}", "response": made}


def _item_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    place = {"output_index": index, "item_id": item["id"]}
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    begun = {**item, **empty, "status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    if item["type"] == "message":
        for piece in split(item["content"][0]["text"]):
            yield {
                "type": "response.output_text.delta",
                **place,
                "content_index": 0,
                "delta": piece,
                "logprobs": [],
            }
    else:
        yield {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _event(value: Mapping[str, Any], name: str = "") -> bytes:
    """A server-sent event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"
