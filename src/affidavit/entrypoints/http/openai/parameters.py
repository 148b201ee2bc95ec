"""What a client of OpenAI's API may send, name by name: taken, settled elsewhere, or refused. Nothing is ignored unsaid.

Source: the official Python SDK 3.52, ``openai.types.chat.completion_create_params``,
``openai.types.responses.response_create_params`` and ``openai.types.embedding_create_params``; a test holds every name of theirs
against these lists, and the tables of docs/how-to/openai.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
class Neutral:
    """A parameter that is refused but with a value that asks for nothing more than what happens anyway; ``why`` is what whoever
    sends another is told."""

    values: tuple[Any, ...]
    why: str

    def takes(self, value: Any) -> bool:
        return any(type(one) is type(value) and one == value for one in self.values)


@dataclass(frozen=True)
class Parameters:
    """The parameters of one endpoint. ``taken`` are heeded. ``settled`` change nothing here, since the release or the key
    decides it: they are accepted, and the answer names them. ``neutral`` are accepted with few values. All others are refused."""

    taken: frozenset[str]
    settled: frozenset[str]
    neutral: Mapping[str, Neutral]

    def check(self, body: Mapping[str, Any]) -> list[str]:
        """The names of what was sent and is settled elsewhere. Raises RequestError for the first parameter that is refused."""
        given = {name: value for name, value in body.items() if value is not None}
        for name in sorted(given.keys() - self.taken - self.settled):
            neutral = self.neutral.get(name)
            if neutral is None:
                raise RequestError(f"Unknown parameter: '{name[:80]}'.", name[:80], "unknown_parameter")
            if not neutral.takes(given[name]):
                raise RequestError(
                    f"'{name}' is not supported here: {neutral.why}.", name, "unsupported_parameter"
                )
        return sorted(given.keys() & self.settled)

    def told(self) -> Iterator[tuple[str, str]]:
        """(name, what becomes of it), by name, as the documentation has it."""
        for name in sorted(self.taken | self.settled | self.neutral.keys()):
            if name in self.taken:
                yield name, "heeded"
            elif name in self.settled:
                yield name, "named in `not_used`"
            else:
                neutral = self.neutral[name]
                but = " or ".join(f"`{_shown(value)}`" for value in neutral.values)
                yield name, f"refused{f' but for {but}' if but else ''}: {neutral.why}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("'", '"') if not isinstance(value, str) else f'"{value}"'


_ONE = "there is one answer to a question, and it is on record"
_KEPT = "what is kept is the record of the run, and nothing else"
_CHOSEN = "the text is made of cited claims, each verified before it is given: it cannot be cut or steered by tokens"
_FORM = "an answer is claims with citations; the field `affidavit` has its structure"
_TOOLS = (
    "what a client's own tools return is no evidence and nothing acts outside the gateway; the workspace's tools act with "
    f"metadata.{PREFIX}act"
)
_TEXT = "questions and answers are text"
_HERE = "this server has no such part"
_CALLS = ("tools", "functions")

CHAT = Parameters(
    taken=frozenset({"model", "messages", "stream", "stream_options", "metadata"}),
    settled=frozenset(
        "temperature top_p seed max_tokens max_completion_tokens frequency_penalty presence_penalty reasoning_effort verbosity "
        "service_tier user safety_identifier prompt_cache_key prompt_cache_options prompt_cache_retention".split()
    ),
    neutral={
        "n": Neutral((1,), _ONE),
        "store": Neutral((False,), _KEPT),
        "logprobs": Neutral((False,), _CHOSEN),
        "top_logprobs": Neutral((0,), _CHOSEN),
        "stop": Neutral(("", []), _CHOSEN),
        "logit_bias": Neutral(({},), _CHOSEN),
        "modalities": Neutral((["text"],), _TEXT),
        "response_format": Neutral(({"type": "text"},), _FORM),
        **{name: Neutral(([],), _TOOLS) for name in _CALLS},
        "tool_choice": Neutral(("none",), _TOOLS),
        "function_call": Neutral(("none",), _TOOLS),
        "parallel_tool_calls": Neutral((True, False), _TOOLS),
        "audio": Neutral((), _TEXT),
        "moderation": Neutral((), _HERE),
        "prediction": Neutral((), _CHOSEN),
        "web_search_options": Neutral((), "answers are made of the organisation's own documents"),
    },
)

RESPONSES = Parameters(
    taken=frozenset({"model", "input", "stream", "metadata", "previous_response_id"}),
    settled=frozenset(
        "instructions temperature top_p max_output_tokens reasoning service_tier user safety_identifier prompt_cache_key "
        "prompt_cache_options prompt_cache_retention stream_options truncation".split()
    ),
    neutral={
        "store": Neutral((False,), _KEPT),
        "background": Neutral((False,), "a question is answered while its asker waits"),
        "include": Neutral(([],), "everything that there is to say of an answer is in it"),
        "top_logprobs": Neutral((0,), _CHOSEN),
        "text": Neutral(({"format": {"type": "text"}},), _FORM),
        "tools": Neutral(([],), _TOOLS),
        "tool_choice": Neutral(("none",), _TOOLS),
        "max_tool_calls": Neutral((), _TOOLS),
        "parallel_tool_calls": Neutral((True, False), _TOOLS),
        "access_programs": Neutral((), _HERE),
        "context_management": Neutral((), "what a client says was said before is shown to no model"),
        "conversation": Neutral((), _KEPT),
        "image": Neutral((), _TEXT),
        "moderation": Neutral((), _HERE),
        "prompt": Neutral((), "how answers are written is in the release"),
    },
)

EMBEDDINGS = Parameters(
    taken=frozenset({"model", "input", "encoding_format", "dimensions"}),
    settled=frozenset({"user"}),
    neutral={},
)
