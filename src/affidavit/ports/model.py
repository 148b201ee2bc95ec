"""The model port: messages in, text or tool calls out. A model proposes words; code decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from affidavit.domain.canonical import Json


@dataclass(frozen=True)
class ModelInfo:
    """Which model, and what it can do, as data.

    ``name`` is the provider's name for it. ``schema``: how an answer in a JSON Schema is had (``strict`` by the provider,
    ``grammar`` by constrained decoding, ``asked`` by instruction only). ``local``: text sent to it never leaves the machine.
    ``context``: tokens of prompt and answer together, 0 unknown. ``counts``: it is a ``CountingModel``.
    """

    provider: str
    name: str
    schema: str
    tools: bool
    streaming: bool
    seed: bool
    local: bool
    context: int = 0
    counts: bool = False


@dataclass(frozen=True)
class ToolSpec:
    """A function that a model may propose to call; ``parameters`` is its JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True)
class ToolCall:
    """A proposal: ``arguments`` is JSON text exactly as the model wrote it, not yet validated."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """``role`` is ``system``, ``user``, ``assistant`` or ``tool`` (then ``call`` names the tool call it answers)."""

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    call: str = ""


@dataclass(frozen=True)
class ChatRequest:
    """One call. ``schema`` is a JSON Schema for the answer, or None for free text; numbers of settings are decimal text where
    they are not integers, as in a release; "" leaves one to the provider. ``timeout`` in seconds, for the whole call."""

    messages: tuple[Message, ...]
    max_tokens: int
    timeout: float
    schema: Mapping[str, Json] | None = None
    schema_name: str = "answer"
    tools: tuple[ToolSpec, ...] = ()
    temperature: str = ""
    top_p: str = ""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """Tokens that were counted, -1 where the provider says nothing."""

    input: int = -1
    output: int = -1
    cached: int = -1


@dataclass(frozen=True)
class ChatResult:
    """``finish``: ``stop``, ``length``, ``tools``, ``filtered`` or ``other``. ``model``: what the provider says answered."""

    text: str
    calls: tuple[ToolCall, ...]
    finish: str
    usage: Usage
    model: str


@dataclass(frozen=True)
class Delta:
    """A piece of a stream. The last one carries ``result``, the whole as ``complete`` would have given it."""

    text: str
    result: ChatResult | None = None


class Cancel:
    """Set from another thread, ends a call soon: the adapter closes the connection and raises ModelError (``cancelled``)."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()


class ChatModel(Protocol):
    """One model of one provider. Safe to call from several threads. Never retries: whoever calls owns the time."""

    @property
    def info(self) -> ModelInfo: ...

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        """The whole answer. Raises ModelError."""
        ...

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        """The answer in pieces, ending with the whole. Raises ModelError, also in the middle."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class CountingModel(Protocol):
    """What a model may offer besides, and does where ``info.counts`` says so."""

    def count(self, request: ChatRequest, cancel: Cancel | None = None) -> int:
        """How many tokens the messages of ``request`` are by the model's own tokenizer, within its ``timeout``. What a server
        adds around them may be estimated, rather too high. Raises ModelError."""
        ...


def plain(result: ChatResult) -> dict[str, Any]:
    """``result`` as JSON for the record."""
    return {
        "text": result.text,
        "calls": [vars(c) for c in result.calls],
        "finish": result.finish,
        "usage": vars(result.usage),
        "model": result.model,
    }


def from_plain(value: Mapping[str, Any]) -> ChatResult:
    """The inverse of ``plain``: what a replay answers with."""
    return ChatResult(
        value["text"],
        tuple(ToolCall(**c) for c in value["calls"]),
        value["finish"],
        Usage(**value["usage"]),
        value["model"],
    )
