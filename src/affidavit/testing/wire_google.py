"""Google's generateContent as a server speaks it: https://ai.google.dev/api/generate-content.

What is sent is checked against the official SDK's types in ``tests/adapters/models/test_wires.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.testing.loopback import Asked
from affidavit.testing.scripted_model import Prompt, Reply, split, usage_of

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tools": "STOP", "filtered": "SAFETY"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_PATH = re.compile(r"/v1beta/models/([^:/]+):(generateContent|streamGenerateContent\?alt=sse)")


class GoogleWire:
    """The format of ``models/NAME:generateContent`` and its stream."""

    def read(self, asked: Asked) -> Prompt:
        found = _PATH.fullmatch(asked.path)
        if found is None:
            raise ValueError(f"nothing is served at {asked.path}")
        body = json.loads(asked.body)
        config = body.get("generationConfig") or {}
        system = "".join(p["text"] for p in (body.get("systemInstruction") or {}).get("parts", ()))
        spoken = [("system", system)] if system else []
        for content in body["contents"]:
            spoken += _spoken(content)
        return Prompt(
            model=found[1],
            messages=tuple(spoken),
            max_tokens=config.get("maxOutputTokens", 10**9),
            stream=found[2].startswith("stream"),
            schema=config.get("responseJsonSchema"),
            tools=tuple(f["name"] for t in body.get("tools") or () for f in t["functionDeclarations"]),
            stop=tuple(config.get("stopSequences") or ()),
            seed=config.get("seed"),
            temperature=config.get("temperature"),
        )

    def whole(self, prompt: Prompt, reply: Reply) -> bytes:
        parts: list[dict[str, Any]] = [{"text": reply.text}] if reply.text else []
        parts += _calls(reply)
        return json.dumps(response(prompt, reply, parts, last=True)).encode()

    def pieces(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        for piece in split(reply.text):
            yield _event(response(prompt, reply, [{"text": piece}], last=False))
            if reply.late_error:
                yield _event(json.loads(self.error(503, reply.error)))
                return
        yield _event(response(prompt, reply, _calls(reply), last=True))

    def error(self, status: int, message: str) -> bytes:
        kind = _STATUSES.get(status, "INTERNAL")
        return json.dumps({"error": {"code": status, "message": message, "status": kind}}).encode()

    def stream_type(self) -> str:
        return "text/event-stream"


def _spoken(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in content["parts"]:
        if "functionResponse" in part:
            if not part["functionResponse"]["name"]:
                raise ValueError("function_response.name: must not be empty")
            yield "tool", part["functionResponse"]["response"]["output"]
        if "text" in part:
            yield {"model": "assistant"}.get(content["role"], content["role"]), part["text"]


def response(prompt: Prompt, reply: Reply, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
    """A ``GenerateContentResponse``; the last of a stream has a reason and the counts."""
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if last:
        candidate["finishReason"] = _FINISH[reply.finish or ("tools" if reply.calls else "stop")]
    made: dict[str, Any] = {"candidates": [candidate], "modelVersion": prompt.model, "responseId": "r1"}
    used = usage_of(prompt, reply)
    if last and used:
        made["usageMetadata"] = {
            "promptTokenCount": used[0],
            "candidatesTokenCount": used[1],
            "totalTokenCount": sum(used),
        }
    return made


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"functionCall": {"id": call.id, "name": call.name, "args": json.loads(call.arguments)}}
        for call in reply.calls
    ]


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"
