"""Chat over Google's Gemini: https://ai.google.dev/api/generate-content, on the official google-genai SDK."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from affidavit.adapters.models import faults
from affidavit.adapters.models.anthropic import arguments
from affidavit.adapters.models.counting import TokenizerFile
from affidavit.adapters.models.frame import Adapter, count, in_words, mapping, number, sequence, text, tokens
from affidavit.adapters.models.wire import PLACEHOLDER, Endpoint
from affidavit.domain.errors import ModelError
from affidavit.ports.model import ChatRequest, ChatResult, Delta, Message, ModelInfo, ToolCall, Usage

if TYPE_CHECKING:
    from google.genai import Client

_LENGTH, _STOP = frozenset(("MAX_TOKENS",)), frozenset(("STOP",))
_FILTERED = frozenset(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"))


class GoogleModel(Adapter):
    """``info.name`` at ``endpoint``, whose ``header`` is ``x-goog-api-key`` with no prefix. Loads the SDK at the first call."""

    def __init__(self, endpoint: Endpoint, info: ModelInfo, tokenizer: TokenizerFile | None = None) -> None:
        super().__init__(endpoint, info, tokenizer)
        self._lock = threading.Lock()
        self._made: Client | None = None

    def close(self) -> None:
        with self._lock:
            self._made = None
        super().close()

    def _complete(self, request: ChatRequest) -> ChatResult:
        answer = self._sdk().models.generate_content(**_asked(request, self._info))
        gathered = _Gathered()
        gathered.add(_plain(answer))
        return gathered.result()

    def _pieces(self, request: ChatRequest) -> Iterator[Delta]:
        gathered = _Gathered()
        for chunk in self._sdk().models.generate_content_stream(**_asked(request, self._info)):
            piece = gathered.add(_plain(chunk))
            if piece:
                yield Delta(piece)
        yield Delta("", gathered.result())

    def _count(self, request: ChatRequest) -> int:
        """https://ai.google.dev/api/tokens; the SDK takes no system text there, so it is counted as a turn."""
        turns = tuple(Message("user", m.content) if m.role == "system" else m for m in request.messages)
        answer = self._sdk().models.count_tokens(model=self._info.name, contents=_turns(turns))
        return tokens(_plain(answer).get("totalTokens"))

    def _sdk(self) -> Client:
        from google.genai import Client, types  # noqa: PLC0415 - 1 s, and an extra

        with self._lock:
            if self._made is None:
                options = types.HttpOptions(
                    base_url=self._wire.endpoint.base_url,
                    api_version="v1beta",
                    httpx_client=self._wire.client,
                    retry_options=types.HttpRetryOptions(attempts=1),
                )
                self._made = Client(vertexai=False, api_key=PLACEHOLDER, http_options=options)
            return self._made

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from google.genai import errors  # noqa: PLC0415 - see _sdk

        return (errors.APIError,)

    def _explained(self, error: Exception) -> ModelError:
        details = getattr(error, "details", None)  # {"error": {"code", "message", "status"}}
        if isinstance(details, Mapping) and details.get("error"):
            return faults.reported(details["error"], self._key)
        return super()._explained(error)


def _plain(answer: Any) -> Mapping[str, Any]:
    """The SDK's object as it was on the wire."""
    return mapping(answer.model_dump(mode="json", by_alias=True, exclude_none=True), "JSON object")


def _asked(request: ChatRequest, info: ModelInfo) -> dict[str, Any]:
    """Arguments of the SDK's call. Raises ModelError (``request``)."""
    system = [m.content for m in request.messages if m.role == "system"]
    config: dict[str, Any] = {"maxOutputTokens": request.max_tokens}
    if request.schema is not None and info.schema == "asked":
        system.append(in_words(request.schema))
    elif request.schema is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": dict(request.schema)}
    optional = {
        "systemInstruction": "\n\n".join(system) or None,
        "temperature": number(request.temperature, "temperature"),
        "topP": number(request.top_p, "top_p"),
        "seed": request.seed,
        "stopSequences": list(request.stop) or None,
        "tools": [{"functionDeclarations": [_tool(each) for each in request.tools]}]
        if request.tools
        else None,
        # what the port does not know goes into the body as it is
        "httpOptions": {"extraBody": dict(request.extra)} if request.extra else None,
    }
    config |= {name: value for name, value in optional.items() if value is not None}
    return {"model": info.name, "contents": _turns(request.messages), "config": config}


def _tool(tool: Any) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parametersJsonSchema": dict(tool.parameters),
    }


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The conversation without system messages. Tools' answers in a row are one turn; Gemini knows them by the tool's name."""
    names = {call.id: call.name for message in messages for call in message.calls}
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        if message.role == "tool":
            told = {"name": names.get(message.call, ""), "response": {"output": message.content}}
            part = {"functionResponse": told | ({"id": message.call} if message.call else {})}
            if turns and "functionResponse" in turns[-1]["parts"][-1]:
                turns[-1]["parts"].append(part)
            else:
                turns.append({"role": "user", "parts": [part]})
            continue
        parts: list[dict[str, Any]] = [{"text": message.content}] if message.content else []
        parts += [{"functionCall": {"id": c.id, "name": c.name, "args": arguments(c)}} for c in message.calls]
        turns.append(
            {
                "role": "model" if message.role == "assistant" else "user",
                "parts": parts or [{"text": ""}],
            }
        )
    return turns


class _Gathered:
    """The chunks of an answer, of which there is one when it is not streamed."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._reason = ""
        self._usage = Usage()
        self._model = ""

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take a ``GenerateContentResponse``; the text it adds. Raises ModelError."""
        self._model = text(chunk.get("modelVersion"), "text `modelVersion`") or self._model
        if "usageMetadata" in chunk:
            self._usage = _usage(mapping(chunk["usageMetadata"], "usage"))
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, Mapping) and feedback.get("blockReason"):
            self._reason = "SAFETY"
        added = ""
        for each in sequence(chunk.get("candidates"), "list `candidates`")[:1]:
            candidate = mapping(each, "candidate")
            self._reason = text(candidate.get("finishReason"), "finish reason") or self._reason
            content = mapping(candidate.get("content") or {}, "content")
            for part in sequence(content.get("parts"), "list `parts`"):
                added += self._part(mapping(part, "part"))
        self._text.append(added)
        return added

    def _part(self, part: Mapping[str, Any]) -> str:
        """The text of a part that is text and no thought."""
        if "functionCall" in part:
            call = mapping(part["functionCall"], "function call")
            name = text(call.get("name"), "name of a tool call")
            written = json.dumps(mapping(call.get("args") or {}, "arguments"), ensure_ascii=False)
            given = text(call.get("id"), "id of a tool call")
            self._calls.append(
                ToolCall(given or f"call_{len(self._calls)}", name, text(written, "arguments"))
            )
        return "" if part.get("thought") else text(part.get("text"), "text")

    def result(self) -> ChatResult:
        """The whole. Raises ModelError when the answer ended before it was complete, or is none."""
        if not self._reason:
            if self._text and any(self._text):
                raise faults.cut("the stream ended before the answer was complete")
            raise faults.unreadable("has no candidate")
        return ChatResult("".join(self._text), tuple(self._calls), self._finish(), self._usage, self._model)

    def _finish(self) -> str:
        if self._reason in _LENGTH:
            return "length"
        if self._reason in _FILTERED:
            return "filtered"
        if self._calls:
            return "tools"
        return "stop" if self._reason in _STOP else "other"


def _usage(value: Mapping[str, Any]) -> Usage:
    """Gemini counts thoughts apart from what is said; both are paid for as output."""
    said, thought = count(value.get("candidatesTokenCount")), count(value.get("thoughtsTokenCount"))
    output = max(said, 0) + max(thought, 0) if max(said, thought) >= 0 else -1
    return Usage(count(value.get("promptTokenCount")), output, count(value.get("cachedContentTokenCount")))
