"""What a client of OpenAI's API may send, name by name: taken, settled elsewhere, or refused. Nothing is ignored unsaid.

Source: the official Python SDK 3.52, ``openai.types.chat.completion_create_params``,
``openai.types.responses.response_create_params`` and ``openai.types.embedding_create_params``; a test holds every name of theirs
against these lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "affidavit_"
"""Of the keys of ``metadata`` that mean something here."""


class RequestError(Exception):
    """The request cannot be served as it is: ``param`` names the part, ``code`` is a word of OpenAI's or one of that form."""

    def __init__(self, message: str, param: str | None, code: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Parameters:
    """The parameters of one endpoint. ``taken`` are heeded. ``settled`` change nothing here, since the release or the key
    decides it: they are accepted, and the answer names them. ``neutral`` are accepted with a value that asks for nothing more
    than what happens anyway. All others are refused."""

    taken: frozenset[str]
    settled: frozenset[str]
    neutral: Mapping[str, tuple[Any, ...]]

    def check(self, body: Mapping[str, Any]) -> list[str]:
        """The names of what was sent and is settled elsewhere. Raises RequestError for the first parameter that is refused."""
        given = {name: value for name, value in body.items() if value is not None}
        for name in sorted(given.keys() - self.taken - self.settled):
            allowed = self.neutral.get(name)
            if allowed is None:
                raise RequestError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
            if not any(type(one) is type(given[name]) and one == given[name] for one in allowed):
                raise RequestError(
                    f"'{name}' is not supported here: docs/how-to/openai.md says what is, and why.",
                    name,
                    "unsupported_parameter",
                )
        return sorted(given.keys() & self.settled)


CHAT = Parameters(
    taken=frozenset({"model", "messages", "stream", "stream_options", "metadata"}),
    settled=frozenset(
        "temperature top_p seed max_tokens max_completion_tokens frequency_penalty presence_penalty reasoning_effort verbosity "
        "service_tier user safety_identifier prompt_cache_key prompt_cache_options prompt_cache_retention".split()
    ),
    neutral={
        "n": (1,),
        "store": (False,),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "stop": ("", []),
        "logit_bias": ({},),
        "modalities": (["text"],),
        "response_format": ({"type": "text"},),
        "tools": ([],),
        "tool_choice": ("none",),
        "parallel_tool_calls": (True, False),
        "functions": ([],),
        "function_call": ("none",),
        "audio": (),
        "moderation": (),
        "prediction": (),
        "web_search_options": (),
    },
)

RESPONSES = Parameters(
    taken=frozenset({"model", "input", "stream", "metadata", "previous_response_id"}),
    settled=frozenset(
        "instructions temperature top_p max_output_tokens reasoning service_tier user safety_identifier prompt_cache_key "
        "prompt_cache_options prompt_cache_retention stream_options truncation".split()
    ),
    neutral={
        "store": (False,),
        "background": (False,),
        "include": ([],),
        "top_logprobs": (0,),
        "text": ({"format": {"type": "text"}},),
        "tools": ([],),
        "tool_choice": ("none",),
        "max_tool_calls": (),
        "parallel_tool_calls": (True, False),
        "access_programs": (),
        "context_management": (),
        "conversation": (),
        "image": (),
        "moderation": (),
        "prompt": (),
    },
)

EMBEDDINGS = Parameters(
    taken=frozenset({"model", "input", "encoding_format", "dimensions"}),
    settled=frozenset({"user"}),
    neutral={},
)
