"""Amazon Bedrock's Converse as a server speaks it:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.

What is sent is checked against botocore's service model in ``tests/adapters/models/test_wires.py``.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from affidavit.testing.loopback import Asked
from affidavit.testing.scripted_model import Prompt, Reply, split, usage_of

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filtered": "content_filtered"}
_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream)")
_STRING = 7


class BedrockWire:
    """The format of ``/model/NAME/converse`` and its stream."""

    def read(self, asked: Asked) -> Prompt:
        found = _PATH.fullmatch(asked.path)
        if found is None:
            raise ValueError(f"nothing is served at {asked.path}")
        body = json.loads(asked.body)
        config = body.get("inferenceConfig") or {}
        spoken = [("system", part["text"]) for part in body.get("system") or ()]
        for message in body["messages"]:
            spoken += _spoken(message)
        form = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure") or {}
        return Prompt(
            model=unquote(found[1]),
            messages=tuple(spoken),
            max_tokens=config.get("maxTokens", 10**9),
            stream=found[2] == "converse-stream",
            schema=json.loads(form["jsonSchema"]["schema"]) if form else None,
            tools=tuple(t["toolSpec"]["name"] for t in (body.get("toolConfig") or {}).get("tools", ())),
            stop=tuple(config.get("stopSequences") or ()),
            temperature=config.get("temperature"),
        )

    def whole(self, prompt: Prompt, reply: Reply) -> bytes:
        return json.dumps(response(prompt, reply)).encode()

    def pieces(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        for name, value in events(prompt, reply):
            kind = "exception" if name.endswith("Exception") else "event"
            yield frame(
                {
                    f":{kind}-type": name,
                    ":content-type": "application/json",
                    ":message-type": kind,
                },
                json.dumps(value).encode(),
            )

    def error(self, status: int, message: str) -> bytes:
        return json.dumps({"message": message}).encode()

    def stream_type(self) -> str:
        return "application/vnd.amazon.eventstream"


def _spoken(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A turn's parts; a server refuses empty ones."""
    for block in message["content"]:
        if "toolResult" in block:
            yield "tool", "".join(part["text"] for part in block["toolResult"]["content"])
        if "text" in block:
            if not block["text"]:
                raise ValueError("The text field in the ContentBlock object is blank")
            yield message["role"], block["text"]


def response(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    """A ``ConverseResponse``."""
    content: list[dict[str, Any]] = [{"text": reply.text}] if reply.text else []
    content += [
        {"toolUse": {"toolUseId": c.id, "name": c.name, "input": json.loads(c.arguments)}}
        for c in reply.calls
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _finish(reply),
        "metrics": {"latencyMs": 1},
        **_usage(prompt, reply),
    }


def events(prompt: Prompt, reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream, by name."""
    yield "messageStart", {"role": "assistant"}
    index = 0
    for piece in split(reply.text):
        yield "contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": piece}}
        if reply.late_error:
            yield "modelStreamErrorException", {"message": reply.error, "originalStatusCode": 500}
            return
    if reply.text:
        yield "contentBlockStop", {"contentBlockIndex": index}
        index += 1
    for call in reply.calls:
        opened = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        yield "contentBlockStart", {"contentBlockIndex": index, "start": opened}
        for half in (call.arguments[:3], call.arguments[3:]):
            delta = {"toolUse": {"input": half}}
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": index}
        index += 1
    yield "messageStop", {"stopReason": _finish(reply)}
    yield "metadata", {"metrics": {"latencyMs": 1}, **_usage(prompt, reply)}


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message of ``application/vnd.amazon.eventstream``: lengths and CRC-32 around headers and payload."""
    packed = b"".join(
        bytes((len(name),)) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(packed) + len(payload) + 16, len(packed))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return body + struct.pack(">I", zlib.crc32(body))


def _usage(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    used = usage_of(prompt, reply)
    if used is None:
        return {}
    return {"usage": {"inputTokens": used[0], "outputTokens": used[1], "totalTokens": sum(used)}}


def _finish(reply: Reply) -> str:
    return _FINISH[reply.finish or ("tools" if reply.calls else "stop")]
